// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client's jobs: implements the protocols' callbacks into the translator, apart from the bricks, for the model.

use cloudsync_format::claim::{Claim, Seen};
use cloudsync_format::holes::Holes;
use cloudsync_format::xattr::{self, State};
use cloudsync_logic::decision::Want;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::protocol::brick_file::BrickFile;
use cloudsync_logic::protocol::handshake::{self, Archive, Object};
use cloudsync_logic::protocol::heal::{Marks, Origin, Volume, conclude};
use cloudsync_logic::protocol::job::{self, Work};
use cloudsync_logic::protocol::lease::{Held, Lease};
use cloudsync_logic::protocol::lock::try_lock;
use cloudsync_logic::protocol::recall::{COMMIT, Fetch, Plan, Step};
use cloudsync_logic::status::{self, Status};

use crate::client::Client;
use crate::world::{Attributes, FILE};

pub(crate) struct Steps<'c, 'w> {
    client: &'c Client<'w>,
    lease: &'c Lease,
    /// Whether the file is recalled in one write.
    one_write: bool,
    /// The size to which the file is truncated.
    keep: Option<u64>,
    /// Whether the bricks carried out the truncation.
    truncated: bool,
    commit: &'static [Step],
}

impl Fetch<Client<'_>> for Steps<'_, '_> {
    fn fetch(&mut self, (): &(), _: &Status<Attributes>, plan: Plan) -> Result<bool, Failure> {
        let object = self.client.world.borrow().object().cloned();
        let size = usize::try_from(plan.size).unwrap();
        let each = if plan.one_write { size.max(1) } else { 1 };
        let mut moved = false;
        for at in (0..size).step_by(each) {
            self.client.wait("the store sends")?;
            self.lease.check(self.client)?;
            let object = object.as_ref().unwrap();
            let bytes = &object[at..size.min(at + each)];
            moved |= self
                .client
                .operation("write", |world| Ok(world.write(at, bytes)))?;
        }
        // A plugin of the stock ABI may end long after its last write.
        self.client.wait("the plugin ends")?;
        Ok(moved)
    }

    fn verify(&mut self, (): &(), _: &Status<Attributes>, plan: Plan) -> Result<(), Failure> {
        self.client.wait("the store sends")?;
        let size = usize::try_from(plan.size).unwrap();
        let same = self.client.operation("read back", |world| {
            let object = world.object().map(|object| object[..size].to_vec());
            Ok(object.is_some_and(|object| world.bytes.get(..size) == Some(&object[..])))
        })?;
        if same {
            Ok(())
        } else {
            Err(Failure::Disconnected)
        }
    }

    fn truncate_as_caller(&mut self) -> Result<(), Failure> {
        let Some(keep) = self.keep else {
            return Ok(());
        };
        self.client.operation("truncate as the caller", |world| {
            if world.refuses {
                return Err(Failure::NotAccepted(Errno::EPERM));
            }
            world.truncate_as_caller(keep);
            Ok(())
        })?;
        self.truncated = true;
        Ok(())
    }

    fn end_reading(&mut self, _: Option<&Failure>) {}

    fn commit(&self) -> &'static [Step] {
        self.commit
    }
}

impl Work<Client<'_>> for Steps<'_, '_> {
    fn begin(&mut self) {
        self.truncated = false;
    }

    fn compare(
        &mut self,
        (): &(),
        status: &Status<Attributes>,
        marks: Marks,
    ) -> Result<Origin, Failure> {
        let compared = self.client.wait("the store sends").map(|()| {
            let world = self.client.world.borrow();
            let key = status.key.as_ref().or(status.remote.as_ref()).unwrap();
            let object = &world.objects[std::str::from_utf8(key).unwrap()];
            let same =
                |(mine, theirs): (&u8, &u8)| mine == theirs || (marks.recalled && *mine == 0);
            world.bytes.iter().zip(object).all(same)
        });
        conclude(
            compared,
            status,
            marks,
            Volume {
                own_times: self.client.world.borrow().own_times,
                coded: false,
            },
        )
    }

    fn kept(&mut self) {}

    fn plan(&mut self, status: &Status<Attributes>, keep: Option<u64>) -> Result<Plan, Failure> {
        let whole = status::Attributes::size(&status.attributes);
        Ok(Plan {
            size: keep.map_or(whole, |keep| keep.min(whole)),
            one_write: self.one_write,
        })
    }

    fn take_truncation(&mut self) -> bool {
        true
    }

    fn local(&mut self, _: Option<u64>) {}
}

/// Runs a job whose commit has this order of steps.
pub(crate) fn job_with(
    client: &Client<'_>,
    want: Want,
    one_write: bool,
    commit: &'static [Step],
) -> Result<(), Failure> {
    let lease = Lease::default();
    let keep = match want {
        Want::First(keep) => Some(keep),
        _ => None,
    };
    let mut steps = Steps {
        client,
        lease: &lease,
        one_write,
        keep,
        truncated: false,
        commit,
    };
    let keep_going = || Err(Failure::Locked);
    let done = job::run(client, &lease, FILE, want, keep_going, &mut steps);
    if done.is_ok() && !client.is_dead() {
        match keep {
            Some(keep) if steps.truncated => client.world.borrow_mut().truncated(keep),
            // The file is local: the operation proceeds as on any local file.
            Some(keep) if client.world.borrow().status().state == State::Local => {
                let mut world = client.world.borrow_mut();
                world.truncate_as_caller(keep);
                world.truncated(keep);
                world.sync();
            }
            _ => {}
        }
    }
    done
}

/// Runs a job.
pub(crate) fn job(client: &Client<'_>, want: Want, one_write: bool) -> Result<(), Failure> {
    job_with(client, want, one_write, &COMMIT)
}

struct Handshake<'c, 'w> {
    client: &'c Client<'w>,
    key: String,
}

impl Archive<Attributes> for Handshake<'_, '_> {
    fn confirm_object(&mut self, _: &Status<Attributes>) -> Result<Object, Failure> {
        self.client.wait("the store answers")?;
        Ok(Object {
            key: self.key.clone(),
            version: "etag".to_owned(),
            checksum: None,
        })
    }

    fn mark_as_caller(&mut self, mark: &str) -> Result<(), Failure> {
        self.client.operation("mark", |world| {
            world.set_mark(xattr::DOWNLOADING, mark);
            Ok(())
        })
    }

    fn bricks_do_not_check(&mut self) {
        panic!("they do");
    }
}

/// Uploads the file as a new object and runs the handshake.
pub(crate) fn archive(client: &Client<'_>) -> Result<(), Failure> {
    let status = client.status()?;
    if status.state != State::Local {
        return Err(Failure::Locked);
    }
    let key = {
        let mut world = client.world.borrow_mut();
        let key = format!("key {}", world.objects.len());
        let bytes = world.bytes.clone();
        world.objects.insert(key.clone(), bytes);
        key
    };
    client.wait("the upload takes its time")?;
    let attributes = &status.attributes;
    let seen = Seen {
        mtime: status::Attributes::mtime(attributes),
        ctime: status::Attributes::ctime(attributes),
        size: status::Attributes::size(attributes),
    };
    let claim = Claim {
        seconds: seen.mtime.seconds,
        seen: Some(seen),
        checksum: None,
        holes: Holes::default(),
        store: None,
        key: Some(key.clone()),
    };
    let lease = Lease::default();
    lease.begin(client);
    let _lock = try_lock(client)?;
    let own_times = client.world.borrow().own_times;
    let mut work = Handshake { client, key };
    let held = Held {
        file: client,
        lease: &lease,
    };
    handshake::run(held, &claim, FILE, own_times, &mut work).map(drop)
}

/// The stock translator's handshake, by which a brick makes the file cold on its own, and changes no times.
pub(crate) fn stock_archive(client: &Client<'_>) -> Result<(), Failure> {
    client.operation("stock handshake", |world| {
        let size = world.bytes.len().to_string();
        world.objects.insert("key".to_owned(), world.bytes.clone());
        world.set_mark(xattr::OBJECT_SIZE, &size);
        world.set_mark(xattr::REMOTE, "key");
        world.resize(0);
        world.sync();
        world.times_count = world.own_times;
        Ok(())
    })
}

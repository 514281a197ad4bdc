// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs a job on a thread that may block: checks whether there is anything to do, and runs the protocol.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cloudsync_format::xattr::State;
use cloudsync_logic::budget::Reservation;
use cloudsync_logic::decision::{Known, Want};
use cloudsync_logic::errno::Failure;
use cloudsync_logic::history::Kind;
use cloudsync_logic::objects::identity::Identity;
use cloudsync_logic::protocol::brick_file::BrickFile;
use cloudsync_logic::protocol::heal::{Marks, Origin, is_unexplained};
use cloudsync_logic::protocol::job::{self, Work};
use cloudsync_logic::protocol::recall::{Fetch, Plan};
use cloudsync_logic::recall::recalls::Checked;
use cloudsync_metrics::labels::Limit;

use crate::bricks::file::File;
use crate::bricks::space::Taken;
use crate::history;
use crate::host::child::Status;
use crate::host::fd::Fd;
use crate::recall::bring::{bring, refuses_readers};
use crate::recall::evidence;
use crate::recall::job::{Job, introduce, listed};
use crate::recall::truncation::Truncation;
use crate::sizes::PIECE;
use crate::volume::Volume;
use cloudsync_format::history::Event;
use cloudsync_format::jobs::Stage;

/// Checks without the lock whether there is anything to do. After another client's recall the file is local, and
/// operations that the bricks do not check get here every time. Does not need the store.
///
/// # Errors
/// Why the job cannot succeed.
pub fn check(volume: &Volume, job: &Job) -> Result<Checked, Failure> {
    let status = volume.file(&job.inode, job.gfid, job)?.status()?;
    let local = status.state == State::Local;
    if local && !status.has_left_overs {
        job.inode.learn(volume.this, Known::Local);
        return Ok(Checked::Done);
    }
    match job.want {
        Want::Tidy if local || status.is_half_committed() => Ok(Checked::NoStore),
        Want::Tidy => Ok(Checked::Done),
        Want::Inspect if !is_unexplained(&status, job.gfid) => Ok(Checked::Done),
        // The bytes on the bricks may have to be compared with the object.
        Want::Inspect | Want::SettleNow | Want::Settle => Ok(Checked::of(status.on_bricks)),
        Want::First(0) => Ok(Checked::NoStore),
        // A file with bytes may turn out to be local, which does not need the store.
        _ if status.state == State::Remote => {
            volume.store_of(&status)?;
            Ok(Checked::of(status.attributes.size()))
        }
        _ => Ok(Checked::of(status.attributes.size())),
    }
}

/// How long a lookup waits for the end of a recall that has left marks.
const MOMENT: Duration = Duration::from_secs(5);

/// Runs the job.
///
/// # Errors
/// Why the job failed. The file is then still cold, or as another client left it.
pub fn run(volume: &Arc<Volume>, job: &Job) -> Result<(), Failure> {
    introduce(volume, job);
    volume.objects.let_readers_first(job.gfid);
    let file = volume.file(&job.inode, job.gfid, job)?;
    let started = Instant::now();
    let keep_going = || match job.want {
        _ if job.cancelled.load(Ordering::Acquire) != 0 => Err(Failure::Cancelled),
        Want::Inspect | Want::SettleNow => Err(Failure::Locked),
        Want::Tidy if started.elapsed() > MOMENT => Err(Failure::Locked),
        _ => Ok(()),
    };
    let mut steps = Steps {
        volume,
        job,
        file: &file,
        room: None,
        reserved: None,
        bytes: 0,
        store: None,
        truncation: None,
    };
    let outcome = job::run(
        &file, &job.lease, job.gfid, job.want, keep_going, &mut steps,
    );
    let outcome = match steps.truncation {
        Some(truncation) => truncation.answer(job, &file.path(), outcome),
        None => outcome,
    };
    match outcome {
        // A lookup continues without it and shows the archived size.
        Err(failure)
            if matches!(job.want, Want::Tidy | Want::Inspect)
                || matches!(failure, Failure::Locked) =>
        {
            log::debug!("{}: state not settled: {failure}", file.path());
            Ok(())
        }
        outcome => outcome,
    }
}

/// Implements what the protocol calls.
struct Steps<'a> {
    volume: &'a Arc<Volume>,
    job: &'a Job,
    file: &'a File<'a>,
    /// The space reserved on the bricks.
    room: Option<Taken<'a>>,
    /// What the recall may still fetch of the budget.
    reserved: Option<Reservation>,
    /// What the recall fetches.
    bytes: u64,
    /// The name of the store that it fetches from; `None`: the volume's own.
    store: Option<String>,
    /// The operation that truncates the file.
    truncation: Option<Truncation>,
}

impl<'a> Fetch<File<'a>> for Steps<'a> {
    fn fetch(&mut self, fd: &Fd, status: &Status, plan: Plan) -> Result<bool, Failure> {
        let store = self.volume.store_of(status)?;
        let written = bring(
            self.volume,
            &store,
            self.job,
            fd,
            status,
            plan.size,
            self.reserved.as_ref(),
        )?;
        Ok(written.moved_mtime)
    }

    fn verify(&mut self, fd: &Fd, status: &Status, plan: Plan) -> Result<(), Failure> {
        let (volume, job) = (self.volume, self.job);
        let store = volume.store_of(status)?;
        if !store.can_fetch() {
            return Err(Failure::Disconnected);
        }
        let object = volume.objects.open(volume.this, &store, job.gfid, status)?;
        match evidence::is_in(&object, self.file, fd, plan.size, false)? {
            true => Ok(()),
            false => Err(Failure::Disconnected),
        }
    }

    fn truncate_as_caller(&mut self) -> Result<(), Failure> {
        self.truncation.as_mut().map_or(Ok(()), Truncation::run)
    }

    fn end_reading(&mut self, failed: Option<&Failure>) {
        self.job.end_reading();
        // The object is no longer needed, or its bytes in memory may be the cause of the failure.
        let refused = failed.and_then(refuses_readers);
        self.volume.objects.close(self.job.gfid, refused);
        self.room = None;
        self.reserved = None;
    }
}

impl<'a> Work<File<'a>> for Steps<'a> {
    fn begin(&mut self) {
        self.job.enter(Stage::Lock);
        if let Some(truncation) = self.truncation.take() {
            truncation.give_back(self.job);
        }
    }

    fn locked(&mut self) {
        self.job.enter(Stage::Working);
    }

    fn compare(&mut self, fd: &Fd, status: &Status, marks: Marks) -> Result<Origin, Failure> {
        evidence::compare(self.volume, self.file, fd, self.job.gfid, status, marks)
    }

    fn kept(&mut self) {
        self.volume.metrics.kept();
    }

    fn plan(&mut self, status: &Status, keep: Option<u64>) -> Result<Plan, Failure> {
        let store = self.volume.store_of(status)?;
        let whole = status.attributes.size();
        let size = match keep {
            // A plugin of the stock ABI writes the whole file or nothing.
            Some(keep) if store.can_fetch() => keep.min(whole),
            _ => whole,
        };
        let identity = Identity::of(status)?;
        let bytes = if store.can_fetch() {
            identity.data(size)
        } else {
            size
        };
        self.bytes = bytes;
        self.store = status.store().map(str::to_owned);
        self.reserved = None;
        let reserved = self.volume.allowance.budget.reserve(bytes);
        if reserved.is_none() {
            self.volume.metrics.limited(Limit::Budget);
        }
        self.reserved = Some(reserved.ok_or(Failure::OverBudget(bytes))?);
        let config = self.volume.config();
        if !config.over_limits {
            let room = self.volume.space.take(self.file, bytes, config.keep_free);
            if room.is_err() {
                self.volume.metrics.limited(Limit::Room);
            }
            self.room = room?;
        }
        self.volume.metrics.recall_started();
        Ok(Plan {
            size,
            one_write: store.can_fetch() && size <= PIECE,
        })
    }

    fn take_truncation(&mut self) -> bool {
        self.truncation = Truncation::of(self.job);
        self.truncation.is_some()
    }

    fn local(&mut self, recalled: Option<u64>) {
        let (volume, job) = (self.volume, self.job);
        job.inode.learn(volume.this, Known::Local);
        if let Some(size) = recalled {
            // Before the waiters go on, because their process may end then.
            let kind = Kind::Recalled(self.bytes);
            let file = volume.history.event(kind, || {
                listed(volume, job, self.bytes, self.store.as_deref())
            });
            job.resume();
            if let Some(file) = file {
                history::write(&Event::Recalled(file));
            }
            volume.metrics.recall_finished(size, job.started.elapsed());
        }
    }
}

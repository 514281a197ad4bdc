// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A model of one file: its bytes, marks, times and lock on a brick, its objects in the store, and what an application
//! must read from it. [`World::check`] asserts the laws; it is called after every operation.
//!
//! One assumption: an operation that is in flight when a connection breaks is carried out before the brick grants the
//! lock to another client, or never.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::CStr;

use cloudsync_format::claim::Time;
use cloudsync_format::holes::Holes;
use cloudsync_format::record::Record;
use cloudsync_format::xattr::{self, State};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::marks::Mark;
use cloudsync_logic::status::{self, Status};

use crate::client::Fault;
use crate::labels::{Label, Labels, Stub};

pub(crate) const FILE: Gfid = Gfid([7; 16]);
const OTHER: Gfid = Gfid([8; 16]);

/// Initial bytes of the file. Each write has one of them, or all.
pub(crate) const BYTES: &[u8] = b"abc";

#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    size: u64,
    atime: Time,
    mtime: Time,
    ctime: Time,
}

impl status::Attributes for Attributes {
    fn size(&self) -> u64 {
        self.size
    }
    fn blocks(&self) -> u64 {
        1
    }
    fn block_size(&self) -> u32 {
        4096
    }
    fn links(&self) -> u32 {
        1
    }
    fn is_file(&self) -> bool {
        true
    }
    fn atime(&self) -> Time {
        self.atime
    }
    fn mtime(&self) -> Time {
        self.mtime
    }
    fn ctime(&self) -> Time {
        self.ctime
    }
    fn show_cold(&mut self, size: u64) {
        self.size = size;
    }
    /// The client's clock is behind, so it takes the next possible time.
    fn access(&mut self) {
        self.access_next();
    }
    fn access_next(&mut self) {
        self.atime = self.atime.next();
    }
}

/// A state of the file that an application may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) bytes: Vec<u8>,
    /// `None`: any mtime.
    pub(crate) mtime: Option<Time>,
}

/// A change that a brick has admitted but not yet carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Straggler {
    Write,
    Truncate,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Whether the volume keeps its own times (features.ctime), which our operations do not change.
    pub(crate) own_times: bool,
    pub(crate) bytes: Vec<u8>,
    /// The bytes that survive a power loss.
    synced: Vec<u8>,
    marks: BTreeMap<Vec<u8>, Vec<u8>>,
    atime: Time,
    mtime: Time,
    ctime: Time,
    clock: i64,
    /// The brick's clock stands still while a client works.
    pub(crate) coarse: bool,
    /// A pause of a handshake is longer than a tick of that clock.
    pub(crate) pauses: bool,
    /// For reads that do not ask.
    pub(crate) labels: RefCell<Labels>,
    /// The client that holds the lock, and how many times.
    lock: Option<(usize, u32)>,
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// One of these must be read: there are several while the outcome of an application's operation is open.
    pub(crate) truth: Vec<Truth>,
    /// A truncation was carried out, but its caller has not been answered.
    truncating: bool,
    /// The bricks refuse the caller's truncation.
    pub(crate) refuses: bool,
    /// Whether times must be right. Where the volume does not keep its own, a client that dies leaves wrong ones.
    pub(crate) times_count: bool,
    pub(crate) stragglers: Vec<Straggler>,
    /// Marks are removed one by one.
    pub(crate) removes_singly: bool,
    /// Copies are compared before they are believed.
    pub(crate) is_replicated: bool,
    /// The faults of this run.
    pub(crate) trying: [Option<(usize, Fault)>; 2],
    /// The operations so far: number of the client (99: an application), and the operation.
    pub(crate) history: Vec<(usize, &'static str)>,
}

impl World {
    /// A local file.
    pub(crate) fn local(own_times: bool) -> Self {
        let time = Time {
            seconds: 1,
            nanos: 0,
        };
        let truth = Truth {
            bytes: BYTES.to_vec(),
            mtime: Some(time),
        };
        Self {
            own_times,
            bytes: BYTES.to_vec(),
            synced: BYTES.to_vec(),
            marks: BTreeMap::new(),
            atime: time,
            mtime: time,
            ctime: time,
            clock: 1,
            coarse: false,
            pauses: true,
            labels: RefCell::new(Labels::of(own_times)),
            lock: None,
            objects: BTreeMap::new(),
            truth: vec![truth],
            truncating: false,
            refuses: false,
            times_count: true,
            stragglers: Vec::new(),
            removes_singly: false,
            is_replicated: false,
            trying: [None; 2],
            history: Vec::new(),
        }
    }

    /// The same, archived.
    pub(crate) fn cold(own_times: bool) -> Self {
        let mut world = Self::local(own_times);
        world.objects.insert("key".to_owned(), BYTES.to_vec());
        world.bytes.clear();
        world.synced.clear();
        world.set_record(FILE);
        world
    }

    fn set_record(&mut self, gfid: Gfid) {
        let size = BYTES.len().to_string();
        let record = Record {
            gfid: gfid.to_string(),
            size: BYTES.len() as u64,
            mtime: self.mtime,
            checksum: None,
            holes: Holes::default(),
            store: None,
            key: Record::sum_of(b"key"),
        };
        for (name, value) in [
            (xattr::REMOTE, "key"),
            (xattr::KEY, "key"),
            (xattr::OBJECT_SIZE, &size),
            (xattr::VERSION, "etag"),
            (xattr::RECORD, &record.to_string()),
        ] {
            self.set_mark(name, value);
        }
    }

    /// A cold file with a recall that died after writing the first byte.
    pub(crate) fn half_recalled(own_times: bool) -> Self {
        let mut world = Self::cold(own_times);
        world.bytes = vec![BYTES[0], 0, 0];
        world.synced.clone_from(&world.bytes);
        let mark = Mark::new(FILE, world.ctime).to_string();
        world.set_mark(xattr::DOWNLOADING, &mark);
        world
    }

    /// A brick died in a commit: all bytes are there, but the size was removed.
    pub(crate) fn half_committed(own_times: bool) -> Self {
        let mut world = Self::cold(own_times);
        world.bytes = BYTES.to_vec();
        world.synced = BYTES.to_vec();
        world.remove_mark(xattr::OBJECT_SIZE);
        world
    }

    /// A client died in the last step of a commit: the file is local, and has marks.
    pub(crate) fn local_with_left_overs(own_times: bool) -> Self {
        let mut world = Self::half_committed(own_times);
        let size = BYTES.len().to_string();
        world.set_mark(xattr::OBJECT_SIZE, &size);
        world.remove_mark(xattr::REMOTE);
        world
    }

    /// Bytes that were written while the feature was off, or without our translator.
    pub(crate) fn written_while_off(own_times: bool) -> Self {
        let mut world = Self::cold(own_times);
        world.application(|bytes| *bytes = b"xy".to_vec());
        world
    }

    /// A copy of another file, with its marks.
    pub(crate) fn copied(own_times: bool) -> Self {
        let mut world = Self::cold(own_times);
        world.set_record(OTHER);
        world.application(|bytes| *bytes = b"xyz".to_vec());
        world
    }

    pub(crate) fn mark(&self, name: &CStr) -> Option<Vec<u8>> {
        self.marks.get(name.to_bytes()).cloned()
    }

    pub(crate) fn set_mark(&mut self, name: &CStr, value: &str) {
        self.marks
            .insert(name.to_bytes().to_vec(), value.as_bytes().to_vec());
        self.touch(false);
    }

    pub(crate) fn remove_mark(&mut self, name: &CStr) {
        self.marks.remove(name.to_bytes());
        self.touch(false);
    }

    /// One of our operations changes times, if the volume does not keep its own. Returns whether the mtime changed.
    pub(crate) fn touch(&mut self, bytes: bool) -> bool {
        if self.own_times {
            return false;
        }
        self.clock += i64::from(!self.coarse);
        self.ctime.seconds = self.clock;
        if bytes {
            self.mtime.seconds = self.clock;
        }
        bytes
    }

    /// An empty write sets the atime, forwards only.
    pub(crate) fn access(&mut self, accessed: &Attributes) {
        let labels = self.labels.borrow();
        let changes = match self.mark(xattr::REMOTE) {
            None => labels.archives_change_it,
            Some(_) => labels.recalls_change_it,
        };
        if self.own_times && changes {
            self.atime = self.atime.max(accessed.atime);
        }
    }

    /// The volume's own time of the last change becomes now.
    pub(crate) fn change(&mut self) {
        if self.own_times && self.labels.borrow().truncations_change_it {
            self.clock += 1;
            self.ctime.seconds = self.clock;
        }
    }

    /// A handshake pauses.
    pub(crate) fn pause(&mut self) {
        self.clock += i64::from(self.pauses);
    }

    /// Writes, in any state of the file.
    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) -> bool {
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self.touch(true)
    }

    /// Truncates or extends, in any state of the file.
    pub(crate) fn resize(&mut self, size: u64) -> bool {
        self.bytes.resize(usize::try_from(size).unwrap(), 0);
        self.touch(true)
    }

    pub(crate) fn set_times(&mut self, attributes: &Attributes) {
        self.atime = attributes.atime;
        self.mtime = attributes.mtime;
        self.touch(false);
    }

    pub(crate) fn sync(&mut self) {
        self.synced.clone_from(&self.bytes);
    }

    /// The brick's machine loses power: bytes that were not synced are lost, and so are all locks.
    pub(crate) fn power_loss(&mut self) {
        self.bytes.clone_from(&self.synced);
        self.lock = None;
        self.times_count &= self.own_times;
    }

    /// An application changes the file on the bricks and syncs it.
    fn application(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.bytes);
        self.clock += 1;
        self.mtime.seconds = self.clock;
        self.ctime.seconds = self.clock;
        self.sync();
        // Its times are right, whatever we did before.
        self.times_count = true;
        self.truncating = false;
        self.truth = vec![Truth {
            bytes: self.bytes.clone(),
            mtime: Some(self.mtime),
        }];
    }

    /// An application's write, which the bricks admit only if the file is local. Returns whether they did.
    pub(crate) fn application_writes(&mut self) -> bool {
        let local = self.status().state == State::Local;
        if local {
            self.history.push((99, "an application writes"));
            self.application(|bytes| {
                bytes.resize(bytes.len().max(1), 0);
                bytes[0] = b'W';
            });
        }
        local
    }

    /// The caller's truncation, which the bricks carry out in any state of the file.
    pub(crate) fn truncate_as_caller(&mut self, keep: u64) {
        let keep = usize::try_from(keep).unwrap();
        self.bytes.resize(keep, 0);
        self.clock += 1;
        self.mtime.seconds = self.clock;
        self.ctime.seconds = self.clock;
        let new = |truth: &Truth| Truth {
            bytes: truth.bytes[..keep.min(truth.bytes.len())].to_vec(),
            mtime: Some(self.mtime),
        };
        let new: Vec<_> = self.truth.iter().map(new).collect();
        // The caller's own operation changes the times, even if it is undone.
        for truth in &mut self.truth {
            truth.mtime = None;
        }
        self.truth.extend(new);
        self.truth.dedup();
        self.truncating = true;
    }

    /// The caller of a truncation has been answered with success.
    pub(crate) fn truncated(&mut self, keep: u64) {
        if std::mem::take(&mut self.truncating) {
            let keep = usize::try_from(keep).unwrap();
            self.truth.retain(|truth| truth.bytes.len() <= keep);
        }
    }

    /// Carries out operations that the bricks admitted before the mark, and that nothing waits for any longer.
    pub(crate) fn carry_out_stragglers(&mut self) {
        for straggler in std::mem::take(&mut self.stragglers) {
            self.history.push((99, "a straggler is carried out"));
            self.application(|bytes| match straggler {
                Straggler::Write => {
                    bytes.resize(bytes.len().max(1), 0);
                    bytes[0] = b'S';
                }
                Straggler::Truncate => bytes.truncate(1),
            });
        }
    }

    pub(crate) fn lock(&mut self, client: usize) -> bool {
        match &mut self.lock {
            Some((owner, times)) if *owner == client => *times += 1,
            Some(_) => return false,
            lock => *lock = Some((client, 1)),
        }
        true
    }

    /// Returns whether the client held it.
    pub(crate) fn unlock(&mut self, client: usize) -> bool {
        match &mut self.lock {
            Some((owner, times)) if *owner == client => {
                *times -= 1;
                if *times == 0 {
                    self.lock = None;
                }
                true
            }
            _ => false,
        }
    }

    /// The client's connection broke: the brick drops its locks.
    pub(crate) fn forget_locks(&mut self, client: usize) {
        if self.lock.is_some_and(|(owner, _)| owner == client) {
            self.lock = None;
        }
    }

    /// As on the bricks.
    pub(crate) fn attributes(&self) -> Attributes {
        Attributes {
            size: self.bytes.len() as u64,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
        }
    }

    pub(crate) fn status(&self) -> Status<Attributes> {
        let status = Status::of(self.attributes(), |name| self.mark(name));
        status.unwrap_or_else(|failure| panic!("{failure} {:#?}", self.history))
    }

    fn object_key(&self) -> Option<String> {
        let key = self.mark(xattr::KEY).or_else(|| self.mark(xattr::REMOTE))?;
        Some(String::from_utf8(key).unwrap())
    }

    pub(crate) fn object(&self) -> Option<&Vec<u8>> {
        self.objects.get(&self.object_key()?)
    }

    fn objects_with_its_bytes(&self) -> Vec<String> {
        let its = self
            .objects
            .iter()
            .filter(|(_, bytes)| self.is_true(bytes, None));
        its.map(|(key, _)| key.clone()).collect()
    }

    fn is_true(&self, bytes: &[u8], mtime: Option<Time>) -> bool {
        self.truth.iter().any(|truth| {
            let right = |(true_one, mtime)| true_one == mtime;
            truth.bytes == bytes && truth.mtime.zip(mtime).is_none_or(right)
        })
    }

    /// Laws 1, 2, 3, 9 and 10: an application reads the truth, now or after unfinished work has been repaired.
    pub(crate) fn check(&self) {
        // A failed assertion releases the lock, which calls this again: do not panic twice.
        if std::thread::panicking() {
            return;
        }
        let marked = |name: &CStr| self.marks.contains_key(name.to_bytes());
        let state = status::state(
            marked(xattr::REMOTE),
            marked(xattr::DOWNLOADING),
            self.bytes.len() as u64,
            marked(xattr::OBJECT_SIZE),
        );
        let mtime = self.times_count.then_some(self.mtime);
        let in_store = self
            .object()
            .is_some_and(|object| self.is_true(object, None));
        let label = Label {
            size: self.bytes.len() as u64,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
        };
        let local = state == State::Local;
        let right = self.is_true(&self.bytes, None);
        let of = (state == State::Remote && self.bytes.is_empty()).then(|| self.object_key());
        let stub = Stub {
            of: of.flatten(),
            right: self.objects_with_its_bytes(),
        };
        self.labels.borrow_mut().note(label, local, right, stub);
        let fine = match state {
            State::Local => self.is_true(&self.bytes, mtime),
            State::Downloading => self.is_true(&self.bytes, None),
            State::Remote => in_store && marked(xattr::OBJECT_SIZE),
            State::Repair => in_store || self.is_true(&self.bytes, None),
            State::Error => false,
        };
        assert!(
            fine,
            "{:?}: {state:?}, bytes {:?}, mtime {:?}, truth {:?}\n{:#?}",
            self.trying,
            String::from_utf8_lossy(&self.bytes),
            self.mtime,
            self.truth,
            self.history
        );
    }
}

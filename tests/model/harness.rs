// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Executes the steps on a volume and on the reference.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::{Backing, Bucket, Layout, Mount, MountOptions, Volume};

use crate::ops::{Op, SLOTS, Step};
use crate::reference::{Change, Reference, Side};
use crate::scene::lab;

/// What a run has done; a test that archived nothing proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) steps: u32,
    pub(crate) archived: u32,
    pub(crate) refused: u32,
    pub(crate) recalled: u32,
    pub(crate) killed: u32,
    pub(crate) lost: u32,
}

#[derive(Debug)]
pub(crate) struct Harness {
    pub(crate) volume: Volume,
    pub(crate) bucket: Bucket,
    pub(crate) reference: Reference,
    pub(crate) counts: Counts,
    /// Files that are cold on the brick, by number.
    pub(crate) cold: BTreeSet<usize>,
    /// Files that may have the mark of a killed client.
    pub(crate) marked: BTreeSet<usize>,
    /// The directory of this case; unique.
    pub(crate) dir: String,
    /// How long a client may show a state that the other one has changed.
    pub(crate) stale: Duration,
    /// Whether cloudsync is on. If it is off, nothing is archived, and failures are not ours.
    pub(crate) feature: bool,
    options: MountOptions,
    mounts: [Option<Mount>; 2],
    pub(crate) files: [[Option<File>; SLOTS]; 2],
    now: Side,
    /// When each client last waited for all changes of the other one.
    waited: [Option<Instant>; 2],
    cases: u32,
    /// Number of objects so far.
    pub(crate) keys: u32,
    /// Paths that have been used as a key.
    pub(crate) paths_used: BTreeSet<String>,
}

impl Harness {
    pub(crate) fn new(
        name: &str,
        settings: &[(&str, &str)],
        options: MountOptions,
        stale: Duration,
        feature: bool,
    ) -> Self {
        let volume = lab().volume(name, Layout::Single, Backing::Ram).unwrap();
        let bucket = lab().s3().unwrap().bucket(name).unwrap();
        if feature {
            volume.set_store(&bucket, settings).unwrap();
        } else if !settings.is_empty() {
            volume.set_all(settings).unwrap();
        }
        let mounts = [0, 1].map(|_| Some(volume.mount(&options).unwrap()));
        Self {
            volume,
            bucket,
            reference: Reference::default(),
            counts: Counts::default(),
            cold: BTreeSet::new(),
            marked: BTreeSet::new(),
            dir: String::new(),
            stale,
            feature,
            options,
            mounts,
            files: Default::default(),
            now: Side::A,
            waited: [None; 2],
            cases: 0,
            keys: 0,
            paths_used: BTreeSet::new(),
        }
    }

    /// Starts a case in a new, empty directory, with no open files. Clients that died in the last case are replaced.
    pub(crate) fn begin(&mut self) {
        self.files = Default::default();
        self.reference = Reference::default();
        self.cold.clear();
        self.marked.clear();
        self.cases += 1;
        self.dir = format!("case-{}", self.cases);
        self.now = Side::A;
        for side in Side::BOTH {
            if !self.mounts[side as usize]
                .as_ref()
                .is_some_and(Mount::alive)
            {
                drop(self.mounts[side as usize].take());
                self.mount_again(side);
            }
        }
        fs::create_dir(self.mount(Side::A).path().join(&self.dir)).unwrap();
    }

    pub(crate) fn mount(&self, side: Side) -> &Mount {
        self.mounts[side as usize].as_ref().unwrap()
    }

    pub(crate) fn take_mount(&mut self, side: Side) -> Mount {
        self.mounts[side as usize].take().unwrap()
    }

    pub(crate) fn mount_again(&mut self, side: Side) {
        self.mounts[side as usize] = Some(self.volume.mount(&self.options).unwrap());
    }

    pub(crate) fn name(&self, name: u8) -> String {
        format!("{}/f{name}", self.dir)
    }

    pub(crate) fn path(&self, side: Side, name: u8) -> PathBuf {
        self.mount(side).path().join(self.name(name))
    }

    pub(crate) fn step(&mut self, step: &Step) {
        self.counts.steps += 1;
        // An archiver does not wait until it sees all changes.
        let passing = matches!(step.op, Op::Archive { .. });
        let side = if step.other {
            self.now.other()
        } else {
            self.now
        };
        if !passing {
            self.now = side;
        }
        let touched = match step.op {
            Op::Create { name, fill } => self.create(side, name, fill),
            Op::Write { name, at, fill } => self.write(side, name, Some(at), fill),
            Op::Append { name, fill } => self.write(side, name, None, fill),
            Op::Truncate {
                name,
                size,
                by_path,
            } => self.truncate(side, name, size, by_path),
            Op::Punch { name, at, length } => self.punch(side, name, at, length),
            Op::Copy {
                from,
                to,
                at,
                length,
            } => self.copy(side, from, to, at, length),
            Op::Read { name, at, length } => self.read(side, name, at, length),
            Op::List => self.list(side),
            // md-cache answers for a name that was removed, or now means another file, while it knows the file by
            // another name. So names do not change unless its timeout is 0.
            Op::Rename { .. } | Op::Unlink { .. } | Op::Link { .. } if !self.stale.is_zero() => {
                Vec::new()
            }
            Op::Rename { from, to } => self.rename(side, from, to),
            Op::Unlink { name } => self.unlink(side, name),
            Op::Link { from, to } => self.link(side, from, to),
            Op::Chmod { name, mode } => self.chmod(side, name, mode),
            Op::Touch {
                name,
                seconds,
                nanos,
            } => self.touch(side, name, seconds, nanos),
            Op::Open { slot, name } => self.open(side, slot, name),
            Op::HeldWrite { slot, at, fill } => self.held_write(side, slot, at, fill),
            Op::HeldRead { slot, at, length } => self.held_read(side, slot, at, length),
            Op::HeldTruncate { slot, size } => self.held_truncate(side, slot, size),
            Op::Fsync { slot } => self.fsync(side, slot),
            Op::Close { slot } => self.close(side, slot),
            Op::Archive { .. } | Op::BadArchive { .. } | Op::LostObject { .. } if !self.feature => {
                Vec::new()
            }
            Op::KillInRecall { .. } | Op::KillInArchive { .. } if !self.feature => {
                self.remount(side, true)
            }
            Op::Archive { name, exact } => self.archive(side, name, exact),
            Op::BadArchive { name, bad } => self.bad_archive(side, name, bad),
            Op::LostObject { name } => self.lost_object(side, name),
            Op::Remount => self.remount(side, false),
            Op::Kill => self.remount(side, true),
            Op::KillInRecall { name, after } => self.kill_in_recall(side, name, after),
            Op::KillInArchive { name, after } => self.kill_in_archive(side, name, after),
        };
        self.check(side, &touched);
    }

    /// Waits until `side` must see all changes of the other client, without accessing anything in the meantime.
    pub(crate) fn settle(&mut self, side: Side, change: Change) {
        if !self.is_settled(side, change) {
            thread::sleep(self.stale);
            self.waited[side as usize] = Some(Instant::now());
        }
    }

    /// Whether `side` must see the change by now.
    pub(crate) fn is_settled(&self, side: Side, change: Change) -> bool {
        let waited = self.waited[side as usize];
        self.stale.is_zero() || change.is_none_or(|(by, at)| by == side || waited > Some(at))
    }

    /// Syncs the changes that `other` has made and not synced.
    pub(crate) fn sync(&mut self, inode: usize, other: Side) {
        if self.reference.inodes[inode].dirty != Some(other) {
            return;
        }
        for slot in 0..SLOTS {
            if let Some(handle) = self.reference.handle(other, slot)
                && handle.inode == inode
            {
                let synced = self.files[other as usize][slot]
                    .as_ref()
                    .unwrap()
                    .sync_all();
                assert!(
                    synced.is_ok() || self.reference.links(inode) == 0,
                    "fsync: {synced:?}"
                );
            }
        }
        self.reference.inodes[inode].dirty = None;
        self.reference.changed(other, inode);
    }

    /// The file that `name` refers to, once `side` can access it.
    pub(crate) fn ready(&mut self, side: Side, name: u8) -> Option<usize> {
        self.settle(side, self.reference.renamed.get(&name).copied());
        let inode = self.reference.inode(name)?;
        self.ready_inode(side, inode);
        Some(inode)
    }

    pub(crate) fn ready_inode(&mut self, side: Side, inode: usize) {
        self.sync(inode, side.other());
        let changed = self.reference.inodes[inode].changed;
        let Some((_, at)) = changed.filter(|(by, _)| *by != side) else {
            return;
        };
        self.settle(side, changed);
        if self.reference.inodes[inode].accessed[side as usize] > Some(at) {
            return;
        }
        // The first access finds new times, and the host makes the kernel invalidate what it has cached, including the
        // answer to that access: the kernel uses the old size until the next one. A read counts as an access, too.
        for _ in 0..2 {
            for name in self.names_of(inode) {
                fs::metadata(self.path(side, name)).unwrap();
            }
        }
        self.reference.inodes[inode].accessed[side as usize] = Some(Instant::now());
    }
}

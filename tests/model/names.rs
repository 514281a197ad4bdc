// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Steps on names and attributes, which move no bytes.

use std::collections::BTreeMap;
use std::fs::{self, FileTimes, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use crate::check::assert_errno;
use crate::harness::Harness;
use crate::ops::NAMES;
use crate::reference::Side;

impl Harness {
    /// Compares names and sizes as listed by readdirplus.
    pub(crate) fn list(&mut self, side: Side) -> Vec<u8> {
        let mut want = BTreeMap::new();
        for name in 0..NAMES {
            if let Some(inode) = self.ready(side, name) {
                want.insert(
                    format!("f{name}"),
                    self.reference.inodes[inode].bytes.len() as u64,
                );
            }
        }
        let entries = fs::read_dir(self.mount(side).path().join(&self.dir)).unwrap();
        let got: BTreeMap<_, _> = entries
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, entry.metadata().unwrap().len())
            })
            .collect();
        assert_eq!(got, want, "the directory as {side:?} lists it");
        Vec::new()
    }

    pub(crate) fn rename(&mut self, side: Side, from: u8, to: u8) -> Vec<u8> {
        let known = self.ready(side, from);
        let over = self.ready(side, to);
        let done = fs::rename(self.path(side, from), self.path(side, to));
        if known.is_none() {
            assert_errno(done, libc::ENOENT);
            return vec![from, to];
        }
        done.unwrap_or_else(|error| panic!("rename over {over:?}: {error}"));
        self.reference.rename(side, from, to);
        self.with_other_names(vec![from, to], over)
    }

    pub(crate) fn unlink(&mut self, side: Side, name: u8) -> Vec<u8> {
        let known = self.ready(side, name);
        let done = fs::remove_file(self.path(side, name));
        if known.is_none() {
            assert_errno(done, libc::ENOENT);
            return vec![name];
        }
        done.unwrap();
        self.reference.unbind(side, name);
        self.with_other_names(vec![name], known)
    }

    pub(crate) fn link(&mut self, side: Side, from: u8, to: u8) -> Vec<u8> {
        let (known, there) = (self.ready(side, from), self.ready(side, to));
        let done = fs::hard_link(self.path(side, from), self.path(side, to));
        match (known, there) {
            (None, _) => assert_errno(done, libc::ENOENT),
            (_, Some(_)) => assert_errno(done, libc::EEXIST),
            // GlusterFS returns this if the other client has renamed the file that was there, with cloudsync off, too.
            (Some(_), None) if self.was_renamed_by(side.other(), to) && done.is_err() => {
                assert_errno(done, libc::EEXIST);
            }
            (Some(inode), None) => {
                done.unwrap();
                self.reference.bind(side, to, inode);
            }
        }
        vec![from, to]
    }

    /// When a file loses a name, md-cache forgets its times and thus when the kernel's pages are outdated; with
    /// cloudsync off, too. So the file is accessed by its other names.
    fn with_other_names(&self, mut names: Vec<u8>, inode: Option<usize>) -> Vec<u8> {
        names.extend(inode.into_iter().flat_map(|inode| self.names_of(inode)));
        names
    }

    fn was_renamed_by(&self, side: Side, name: u8) -> bool {
        self.reference
            .renamed
            .get(&name)
            .is_some_and(|(by, _)| *by == side)
    }

    pub(crate) fn chmod(&mut self, side: Side, name: u8, mode: u32) -> Vec<u8> {
        let known = self.ready(side, name);
        let done = fs::set_permissions(self.path(side, name), Permissions::from_mode(mode));
        let Some(inode) = known else {
            assert_errno(done, libc::ENOENT);
            return vec![name];
        };
        done.unwrap();
        self.reference.inodes[inode].mode = mode;
        self.reference.touched(side, inode);
        vec![name]
    }

    pub(crate) fn touch(&mut self, side: Side, name: u8, seconds: u32, nanos: u32) -> Vec<u8> {
        let Some(inode) = self.ready(side, name) else {
            return vec![name];
        };
        // quick-read and the kernel take bytes for current if mtime is unchanged, and no write changes one that is in
        // the future.
        let seconds = seconds % 1_500_000_000;
        // Writes in flight would change it.
        self.sync(inode, side);
        let then = UNIX_EPOCH + Duration::new(seconds.into(), nanos);
        let file = OpenOptions::new()
            .write(true)
            .open(self.path(side, name))
            .unwrap();
        file.set_times(FileTimes::new().set_accessed(then).set_modified(then))
            .unwrap();
        let time = (seconds.into(), nanos.into());
        let inode_of = &mut self.reference.inodes[inode];
        (inode_of.mtime, inode_of.floor) = (Some(time), time);
        self.reference.touched(side, inode);
        vec![name]
    }
}

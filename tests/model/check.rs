// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Compares the volume with the reference.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use cloudsync_lab::marks::has;

use crate::harness::Harness;
use crate::ops::NAMES;
use crate::reference::Side;
use crate::scene::{self, assert_same};

/// Asserts that the result is this errno.
#[track_caller]
pub(crate) fn assert_errno<T: std::fmt::Debug>(result: io::Result<T>, want: i32) {
    match result {
        Err(error) if error.raw_os_error() == Some(want) => {}
        other => panic!(
            "{other:?} instead of {}",
            io::Error::from_raw_os_error(want)
        ),
    }
}

impl Harness {
    /// After each step: compares the attributes of the touched files as both clients show them (the active client
    /// first), and all bytes on the brick.
    pub(crate) fn check(&mut self, side: Side, touched: &[u8]) {
        self.check_brick(touched);
        for side in [side, side.other()] {
            for name in touched {
                self.check_attributes(side, *name);
            }
        }
    }

    fn check_attributes(&mut self, side: Side, name: u8) {
        let renamed = self.reference.renamed.get(&name).copied();
        if !self.is_settled(side, renamed) {
            return;
        }
        let what = format!("f{name} as {side:?} shows it");
        let Some(number) = self.reference.inode(name) else {
            assert_errno(fs::metadata(self.path(side, name)), libc::ENOENT);
            return;
        };
        let links = self.reference.links(number) as u64;
        let settled = self.is_settled(side, self.reference.inodes[number].changed);
        let inode = &self.reference.inodes[number];
        if !settled || inode.dirty == Some(side.other()) {
            return;
        }
        let found =
            fs::metadata(self.path(side, name)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(found.len(), inode.bytes.len() as u64, "size of {what}");
        assert_eq!(
            found.permissions().mode() & 0o7777,
            inode.mode,
            "mode of {what}"
        );
        assert_eq!(found.nlink(), links, "links of {what}");
        assert!(
            found.blocks() > 0 || found.len() == 0 || !self.cold.contains(&number),
            "blocks of {what}"
        );
        if inode.dirty.is_some() {
            return;
        }
        let mtime = (found.mtime(), found.mtime_nsec());
        match inode.mtime {
            Some(want) => assert_eq!(mtime, want, "mtime of {what}"),
            // The bricks never set mtime back, so one in the future stays.
            None => assert!(
                mtime >= inode.floor,
                "mtime of {what}: {mtime:?} after {:?}",
                inode.floor
            ),
        }
        self.reference.inodes[number].mtime = Some(mtime);
    }

    pub(crate) fn brick(&self, name: u8) -> PathBuf {
        self.volume.bricks()[0].join(self.name(name))
    }

    /// Whether the file is cold on the brick.
    pub(crate) fn is_cold(&self, name: u8) -> bool {
        has(&self.brick(name), "remote")
    }

    /// Whether the brick has the mark of an archive or a recall, which may be running or have died.
    pub(crate) fn is_marked(&self, name: u8) -> bool {
        has(&self.brick(name), "downloading")
    }

    /// Checks that a file is either local with all of its bytes, or cold without bytes and without a mark.
    fn check_brick(&mut self, touched: &[u8]) {
        let inodes = touched
            .iter()
            .filter_map(|name| self.reference.inode(*name));
        if inodes.into_iter().any(|inode| self.cold.contains(&inode)) {
            self.await_idle();
        }
        let mut cold = BTreeSet::new();
        for (name, number) in self.reference.names.clone() {
            let what = format!("f{name} on the brick");
            let inode = &self.reference.inodes[number];
            let is_cold = self.is_cold(name);
            if is_cold {
                cold.insert(number);
            }
            if inode.dirty.is_some() {
                // A write that was not synced may be in flight and recall the file at this moment.
                continue;
            }
            assert!(
                !self.is_marked(name) || self.marked.contains(&number),
                "mark of {what}"
            );
            if is_cold {
                let on_brick = fs::metadata(self.brick(name)).unwrap().len();
                assert_eq!(on_brick, 0, "cold {what}");
            } else {
                assert_same(&fs::read(self.brick(name)).unwrap(), &inode.bytes, &what);
            }
        }
        self.counts.recalled += self.cold.difference(&cold).count() as u32;
        self.cold = cold;
    }

    /// At the end of a case, compares everything as read through both clients.
    pub(crate) fn end(&mut self) {
        for side in Side::BOTH {
            self.list(side);
            for name in 0..NAMES {
                self.read(side, name, 0, u32::MAX >> 8);
            }
            self.check(side, &(0..NAMES).collect::<Vec<_>>());
        }
        self.await_idle();
    }

    /// Waits until both clients are idle: readers are answered before the bricks have all the bytes.
    pub(crate) fn await_idle(&self) {
        for side in Side::BOTH.into_iter().filter(|_| self.feature) {
            scene::await_idle(self.mount(side), &self.volume);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Steps on descriptors that stay open across archives, recalls, and changes by the other client.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;

use crate::check::assert_errno;
use crate::files::read_range;
use crate::harness::Harness;
use crate::ops::Fill;
use crate::reference::Side;
use crate::scene::{assert_same, pattern};

impl Harness {
    pub(crate) fn open(&mut self, side: Side, slot: usize, name: u8) -> Vec<u8> {
        self.close(side, slot);
        let known = self.ready(side, name);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(side, name));
        if known.is_none() {
            assert_errno(opened, libc::ENOENT);
            return vec![name];
        }
        self.files[side as usize][slot] = Some(opened.unwrap());
        self.reference.set_handle(side, slot, known);
        vec![name]
    }

    pub(crate) fn close(&mut self, side: Side, slot: usize) -> Vec<u8> {
        // close returns before everything is written (performance.flush-behind).
        let touched = self.fsync(side, slot);
        self.files[side as usize][slot] = None;
        self.reference.set_handle(side, slot, None);
        touched
    }

    pub(crate) fn fsync(&mut self, side: Side, slot: usize) -> Vec<u8> {
        let Some(handle) = self.reference.handle(side, slot) else {
            return Vec::new();
        };
        self.sync(handle.inode, side);
        self.names_of(handle.inode)
    }

    pub(crate) fn names_of(&self, inode: usize) -> Vec<u8> {
        let names = self.reference.names.iter().filter(|(_, of)| **of == inode);
        names.map(|(name, _)| *name).collect()
    }

    /// Runs an operation on a descriptor and returns the file if it succeeded. Once the file has no name left, an error
    /// is allowed, after which nothing is promised; wrong bytes are not.
    fn held<T>(
        &mut self,
        side: Side,
        slot: usize,
        work: impl FnOnce(&std::fs::File) -> io::Result<T>,
    ) -> Option<(usize, T)> {
        let handle = self
            .reference
            .handle(side, slot)
            .filter(|handle| !handle.lost)?;
        self.ready_inode(side, handle.inode);
        let done = work(self.files[side as usize][slot].as_ref().unwrap());
        if done.is_err() && self.reference.links(handle.inode) == 0 {
            self.counts.lost += 1;
            self.reference.lose(side, slot);
            return None;
        }
        Some((handle.inode, done.unwrap()))
    }

    pub(crate) fn held_write(&mut self, side: Side, slot: usize, at: u32, fill: Fill) -> Vec<u8> {
        let bytes = pattern(fill.seed.into(), fill.length as usize);
        let Some((inode, ())) = self.held(side, slot, |file| file.write_all_at(&bytes, at.into()))
        else {
            return Vec::new();
        };
        self.reference.inodes[inode].write(at as usize, &bytes);
        self.reference.changed(side, inode);
        self.reference.inodes[inode].dirty = Some(side);
        self.names_of(inode)
    }

    pub(crate) fn held_read(&mut self, side: Side, slot: usize, at: u32, length: u32) -> Vec<u8> {
        let Some((inode, got)) = self.held(side, slot, |file| read_range(file, at, length)) else {
            return Vec::new();
        };
        let want = self.reference.inodes[inode].range(at as usize, length as usize);
        assert_same(
            &got,
            want,
            &format!("descriptor {slot} of {side:?} from {at}"),
        );
        self.names_of(inode)
    }

    pub(crate) fn held_truncate(&mut self, side: Side, slot: usize, size: u32) -> Vec<u8> {
        let Some((inode, ())) = self.held(side, slot, |file| file.set_len(size.into())) else {
            return Vec::new();
        };
        self.reference.inodes[inode].bytes.resize(size as usize, 0);
        self.reference.changed(side, inode);
        self.reference.inodes[inode].dirty = Some(side);
        self.names_of(inode)
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the files of a case must contain: plain bytes in memory, which are never archived.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::ops::SLOTS;

/// One of the two clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    A,
    B,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Seconds and nanoseconds.
pub(crate) type Time = (i64, i64);

/// Which client changed something, and when.
pub(crate) type Change = Option<(Side, Instant)>;

#[derive(Debug, Default)]
pub(crate) struct Inode {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
    /// `None` after a change of the bytes, until the mtime was read.
    pub(crate) mtime: Option<Time>,
    /// No later mtime is earlier.
    pub(crate) floor: Time,
    /// The client that has written without syncing.
    pub(crate) dirty: Option<Side>,
    pub(crate) changed: Change,
    /// When each client last accessed the file because the other one had changed it.
    pub(crate) accessed: [Option<Instant>; 2],
    /// Whether it has or had a second name: a client that missed the other one's rename still knows the old one.
    pub(crate) renamed: bool,
}

impl Inode {
    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
    }

    pub(crate) fn punch(&mut self, at: usize, length: usize) {
        let size = self.bytes.len();
        self.bytes[at.min(size)..(at + length).min(size)].fill(0);
    }

    /// The bytes that a read returns.
    pub(crate) fn range(&self, at: usize, length: usize) -> &[u8] {
        let size = self.bytes.len();
        &self.bytes[at.min(size)..at.saturating_add(length).min(size)]
    }
}

/// An open descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    pub(crate) inode: usize,
    /// The other client removed the last name: nothing is promised any more.
    pub(crate) lost: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Reference {
    pub(crate) names: BTreeMap<u8, usize>,
    /// When names were last changed to refer to something else.
    pub(crate) renamed: BTreeMap<u8, (Side, Instant)>,
    pub(crate) inodes: Vec<Inode>,
    handles: [[Option<Handle>; SLOTS]; 2],
}

impl Reference {
    pub(crate) fn inode(&self, name: u8) -> Option<usize> {
        self.names.get(&name).copied()
    }

    pub(crate) fn handle(&self, side: Side, slot: usize) -> Option<Handle> {
        self.handles[side as usize][slot]
    }

    pub(crate) fn set_handle(&mut self, side: Side, slot: usize, inode: Option<usize>) {
        self.handles[side as usize][slot] = inode.map(|inode| Handle { inode, lost: false });
    }

    pub(crate) fn lose(&mut self, side: Side, slot: usize) {
        if let Some(handle) = &mut self.handles[side as usize][slot] {
            handle.lost = true;
        }
    }

    pub(crate) fn links(&self, inode: usize) -> usize {
        self.names.values().filter(|of| **of == inode).count()
    }

    /// A new, empty file.
    pub(crate) fn create(&mut self, side: Side, name: u8) -> usize {
        self.inodes.push(Inode {
            mode: 0o644,
            ..Inode::default()
        });
        let inode = self.inodes.len() - 1;
        self.bind(side, name, inode);
        inode
    }

    /// Records that `side` changed the bytes.
    pub(crate) fn changed(&mut self, side: Side, inode: usize) {
        let inode = &mut self.inodes[inode];
        inode.floor = inode.mtime.unwrap_or(inode.floor);
        inode.mtime = None;
        inode.changed = Some((side, Instant::now()));
    }

    /// Records that `side` changed something else.
    pub(crate) fn touched(&mut self, side: Side, inode: usize) {
        self.inodes[inode].changed = Some((side, Instant::now()));
    }

    pub(crate) fn bind(&mut self, side: Side, name: u8, inode: usize) {
        self.unbind(side, name);
        self.inodes[inode].renamed |= self.links(inode) > 0;
        self.names.insert(name, inode);
        self.touched(side, inode);
    }

    pub(crate) fn unbind(&mut self, side: Side, name: u8) {
        self.renamed.insert(name, (side, Instant::now()));
        let Some(inode) = self.names.remove(&name) else {
            return;
        };
        self.touched(side, inode);
        if self.links(inode) == 0 {
            for handle in self.handles[side.other() as usize].iter_mut().flatten() {
                handle.lost |= handle.inode == inode;
            }
        }
    }

    pub(crate) fn rename(&mut self, side: Side, from: u8, to: u8) {
        let inode = self.names[&from];
        // Two names of one file: rename does nothing (POSIX).
        if self.inode(to) != Some(inode) {
            self.bind(side, to, inode);
            self.unbind(side, from);
        }
    }
}

#[test]
fn reference_behaves_like_a_file_system() {
    let mut reference = Reference::default();
    let inode = reference.create(Side::A, 0);
    reference.inodes[inode].write(3, b"abc");
    assert_eq!(reference.inodes[inode].bytes, b"\0\0\0abc");
    reference.inodes[inode].punch(4, 100);
    assert_eq!(reference.inodes[inode].range(3, 100), b"a\0\0");
    reference.set_handle(Side::B, 0, Some(inode));
    reference.bind(Side::A, 1, inode);
    reference.rename(Side::A, 0, 1);
    assert_eq!(reference.links(inode), 2);
    reference.rename(Side::A, 0, 2);
    reference.unbind(Side::A, 1);
    assert!(!reference.handle(Side::B, 0).unwrap().lost);
    let over = reference.create(Side::A, 3);
    reference.rename(Side::A, 3, 2);
    assert_eq!(reference.inode(2), Some(over));
    assert!(reference.handle(Side::B, 0).unwrap().lost);
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Steps on files by name. Each ends with an fsync, after which the other client may access the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, copy_file_range, fallocate};

use crate::check::assert_errno;
use crate::harness::Harness;
use crate::ops::Fill;
use crate::reference::Side;
use crate::scene::{assert_same, pattern};

impl Harness {
    pub(crate) fn create(&mut self, side: Side, name: u8, fill: Fill) -> Vec<u8> {
        let known = self.ready(side, name);
        let bytes = pattern(fill.seed.into(), fill.length as usize);
        let file = File::create(self.path(side, name)).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        file.sync_all().unwrap();
        let inode = known.unwrap_or_else(|| self.reference.create(side, name));
        self.reference.inodes[inode].bytes = bytes;
        self.reference.changed(side, inode);
        self.clean_after_sync(side, inode);
        vec![name]
    }

    /// An fsync through any descriptor also covers the client's other writes to the file.
    pub(crate) fn clean_after_sync(&mut self, side: Side, inode: usize) {
        let inode = &mut self.reference.inodes[inode];
        if inode.dirty == Some(side) {
            inode.dirty = None;
        }
    }

    pub(crate) fn write(&mut self, side: Side, name: u8, at: Option<u32>, fill: Fill) -> Vec<u8> {
        let known = self.ready(side, name);
        let bytes = pattern(fill.seed.into(), fill.length as usize);
        let mut how = OpenOptions::new();
        let how = if at.is_some() {
            how.write(true)
        } else {
            how.append(true)
        };
        let opened = how.open(self.path(side, name));
        let Some(inode) = known else {
            assert_errno(opened, libc::ENOENT);
            return vec![name];
        };
        let mut file = opened.unwrap();
        let end = self.reference.inodes[inode].bytes.len();
        match at {
            Some(at) => file.write_all_at(&bytes, at.into()).unwrap(),
            None => file.write_all(&bytes).unwrap(),
        }
        file.sync_all().unwrap();
        self.reference.inodes[inode].write(at.map_or(end, |at| at as usize), &bytes);
        self.reference.changed(side, inode);
        self.clean_after_sync(side, inode);
        vec![name]
    }

    pub(crate) fn truncate(&mut self, side: Side, name: u8, size: u32, by_path: bool) -> Vec<u8> {
        let known = self.ready(side, name);
        let path = self.path(side, name);
        let done = if by_path {
            truncate(&path, size)
        } else {
            let file = OpenOptions::new().write(true).open(path);
            file.and_then(|file| file.set_len(size.into()).and_then(|()| file.sync_all()))
        };
        let Some(inode) = known else {
            assert_errno(done, libc::ENOENT);
            return vec![name];
        };
        done.unwrap();
        self.reference.inodes[inode].bytes.resize(size as usize, 0);
        self.reference.changed(side, inode);
        vec![name]
    }

    pub(crate) fn punch(&mut self, side: Side, name: u8, at: u32, length: u32) -> Vec<u8> {
        let Some(inode) = self.ready(side, name) else {
            return vec![name];
        };
        let file = OpenOptions::new()
            .write(true)
            .open(self.path(side, name))
            .unwrap();
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&file, how, at.into(), length.into()).unwrap();
        file.sync_all().unwrap();
        self.reference.inodes[inode].punch(at as usize, length as usize);
        self.reference.changed(side, inode);
        self.clean_after_sync(side, inode);
        vec![name]
    }

    pub(crate) fn copy(
        &mut self,
        side: Side,
        from: u8,
        to: u8,
        at: [u32; 2],
        length: u32,
    ) -> Vec<u8> {
        let (Some(source), Some(target)) = (self.ready(side, from), self.ready(side, to)) else {
            return vec![from, to];
        };
        if source == target {
            return vec![from];
        }
        let source = self.reference.inodes[source]
            .range(at[0] as usize, length as usize)
            .to_vec();
        let input = File::open(self.path(side, from)).unwrap();
        let output = OpenOptions::new()
            .write(true)
            .open(self.path(side, to))
            .unwrap();
        let (mut off_in, mut off_out) = (at[0].into(), at[1].into());
        let mut left = source.len();
        while left > 0 {
            let ends = (Some(&mut off_in), Some(&mut off_out));
            let copied = copy_file_range(&input, ends.0, &output, ends.1, left).unwrap();
            assert!(copied > 0, "copy_file_range ends {left} bytes too early");
            left -= copied;
        }
        output.sync_all().unwrap();
        self.reference.inodes[target].write(at[1] as usize, &source);
        self.reference.changed(side, target);
        self.clean_after_sync(side, target);
        vec![from, to]
    }

    pub(crate) fn read(&mut self, side: Side, name: u8, at: u32, length: u32) -> Vec<u8> {
        let known = self.ready(side, name);
        let opened = File::open(self.path(side, name));
        let Some(inode) = known else {
            assert_errno(opened, libc::ENOENT);
            return vec![name];
        };
        let got = read_range(&opened.unwrap(), at, length).unwrap();
        let want = self.reference.inodes[inode].range(at as usize, length as usize);
        assert_same(
            &got,
            want,
            &format!("f{name} as {side:?} reads it from {at}"),
        );
        vec![name]
    }
}

/// truncate(2), which is not in std.
fn truncate(path: &Path, size: u32) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a C string.
    match unsafe { libc::truncate(path.as_ptr(), size.into()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Up to `length` bytes; fewer only at the end of the file.
pub(crate) fn read_range(file: &File, at: u32, length: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(&mut bytes[got..], u64::from(at) + got as u64)? {
            0 => break,
            more => got += more,
        }
    }
    bytes.truncate(got);
    Ok(bytes)
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Steps that have no effect on the reference: archives that succeed and that must fail, lost objects, clients that
//! are remounted or killed.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use cloudsync_format::claim::Claim;

use crate::harness::Harness;
use crate::ops::{Bad, NAMES, SLOTS};
use crate::reference::Side;
use crate::scene::{self, assert_same};

/// Errnos of a handshake for a file that is not what was uploaded; tests/volume/archive.rs tests each case.
pub(crate) const CHANGED: [i32; 2] = [libc::EBUSY, libc::EBADMSG];
const COMPLETE: &str = "trusted.glusterfs.csou.complete";
const KEY: &str = "trusted.glusterfs.cs.key";

/// The exact form of the handshake's value.
pub(crate) fn claim(data: &Metadata, key: &str) -> String {
    Claim {
        key: Some(key.to_owned()),
        ..scene::claim(data)
    }
    .to_string()
}

pub(crate) fn complete(path: &Path, value: &str) -> io::Result<()> {
    xattr::set(path, COMPLETE, value.as_bytes())
}

impl Harness {
    /// Uploads the file as read by `side`. Returns the handshake's value.
    fn upload(&mut self, side: Side, name: u8, exact: bool) -> String {
        let path = self.path(side, name);
        self.keys += 1;
        // The path can be the key only once: a second file of that name would overwrite the first one's object.
        let key = if exact {
            format!("object-{}", self.keys)
        } else {
            self.name(name)
        };
        let data = fs::metadata(&path).unwrap();
        let cold = self.is_cold(name);
        let bytes = fs::read(&path).unwrap();
        if cold {
            self.await_idle();
        }
        self.bucket.put(&key, &bytes).unwrap();
        if exact {
            claim(&data, &key)
        } else {
            data.mtime().to_string()
        }
    }

    pub(crate) fn archive(&mut self, side: Side, name: u8, exact: bool) -> Vec<u8> {
        let Some(inode) = self.reference.inode(name) else {
            return vec![name];
        };
        // If `side` may not see the current name yet, skip it; but stale attributes and unsynced writes are tried.
        if !self.is_settled(side, self.reference.renamed.get(&name).copied()) {
            return vec![name];
        }
        let clean = self.reference.inodes[inode].dirty.is_none() && !self.is_marked(name);
        let settled = self.is_settled(side, self.reference.inodes[inode].changed);
        let one_name = !self.reference.inodes[inode].renamed;
        let plain = self.path_is_new(name) && one_name && clean && settled;
        let value = self.upload(side, name, exact || !plain);
        let was_cold = self.is_cold(name);
        match complete(&self.path(side, name), &value) {
            Ok(()) => {
                assert!(
                    !was_cold && self.is_cold(name),
                    "f{name} was archived but is not cold"
                );
                self.counts.archived += 1;
            }
            Err(error) if was_cold => assert_eq!(error.raw_os_error(), Some(libc::EALREADY)),
            Err(error) => {
                assert!(
                    !(clean && settled),
                    "f{name} did not change, but its archive is refused: {error}"
                );
                let changed = CHANGED.map(Some).contains(&error.raw_os_error());
                assert!(changed, "f{name}: {error}");
                self.counts.refused += 1;
            }
        }
        vec![name]
    }

    /// Whether the path is not yet the key of an object.
    fn path_is_new(&mut self, name: u8) -> bool {
        self.paths_used.insert(self.name(name))
    }

    pub(crate) fn bad_archive(&mut self, side: Side, name: u8, bad: Bad) -> Vec<u8> {
        let Some(inode) = self.ready(side, name) else {
            return vec![name];
        };
        self.sync(inode, side);
        if self.is_cold(name) || self.is_marked(name) {
            return vec![name];
        }
        let path = self.path(side, name);
        self.keys += 1;
        let key = format!("object-{}", self.keys);
        let data = fs::metadata(&path).unwrap();
        let mut value = claim(&data, &key);
        let bytes = &self.reference.inodes[inode].bytes;
        let want = match bad {
            Bad::Missing => [libc::ENODATA; 2],
            Bad::Short => {
                // There is no shorter object than an empty one.
                let short = bytes.split_last().map_or(&b"x"[..], |(_, short)| short);
                self.bucket.put(&key, short).unwrap();
                [libc::EBADMSG; 2]
            }
            Bad::OtherTime => {
                self.bucket.put(&key, bytes).unwrap();
                value = (data.mtime() - 1).to_string();
                CHANGED
            }
        };
        let error = complete(&path, &value).unwrap_err().raw_os_error();
        assert!(
            want.map(Some).contains(&error),
            "{bad:?}: {error:?} instead of {want:?}"
        );
        assert!(!self.is_cold(name), "f{name} was truncated");
        self.counts.refused += 1;
        vec![name]
    }

    pub(crate) fn lost_object(&mut self, side: Side, name: u8) -> Vec<u8> {
        let Some(inode) = self.ready(side, name) else {
            return vec![name];
        };
        self.sync(inode, side);
        if !self.is_cold(name) || self.reference.inodes[inode].bytes.is_empty() {
            return vec![name];
        }
        let key = xattr::get(self.brick(name), KEY).unwrap().unwrap();
        let key = String::from_utf8(key).unwrap();
        self.bucket.delete(&key).unwrap();
        match fs::read(self.path(side, name)) {
            Err(error) => {
                assert_eq!(
                    error.raw_os_error(),
                    Some(libc::ENODATA),
                    "f{name} without its object"
                );
                assert!(
                    self.is_cold(name),
                    "f{name} is not cold after a failed recall"
                );
            }
            // From a cache above.
            Ok(got) => assert_same(
                &got,
                &self.reference.inodes[inode].bytes,
                "without an object",
            ),
        }
        self.bucket
            .put(&key, &self.reference.inodes[inode].bytes)
            .unwrap();
        vec![name]
    }

    /// Syncs and closes everything that `side` has open.
    fn close_all(&mut self, side: Side) {
        for slot in 0..SLOTS {
            self.close(side, slot);
        }
    }

    pub(crate) fn remount(&mut self, side: Side, kill: bool) -> Vec<u8> {
        self.close_all(side);
        let mount = self.take_mount(side);
        if kill {
            mount.kill9().unwrap();
            self.counts.killed += 1;
        } else {
            mount.unmount().unwrap();
        }
        self.mount_again(side);
        (0..NAMES).collect()
    }

    pub(crate) fn kill_in_recall(&mut self, side: Side, name: u8, after: u64) -> Vec<u8> {
        let Some(inode) = self.ready(side, name) else {
            return vec![name];
        };
        self.close_all(side);
        let path = self.path(side, name);
        let reader = thread::spawn(move || fs::read(path));
        thread::sleep(Duration::from_millis(after));
        self.remount(side, true);
        if let Ok(got) = reader.join().unwrap() {
            assert_same(
                &got,
                &self.reference.inodes[inode].bytes,
                "read by a client that is killed",
            );
        }
        self.heal(side, name)
    }

    pub(crate) fn kill_in_archive(&mut self, side: Side, name: u8, after: u64) -> Vec<u8> {
        if self.ready(side, name).is_none() {
            return vec![name];
        }
        self.close_all(side);
        let value = self.upload(side, name, true);
        let path = self.path(side, name);
        let archiver = thread::spawn(move || complete(&path, &value));
        thread::sleep(Duration::from_millis(after));
        self.remount(side, true);
        let _ = archiver.join().unwrap();
        self.heal(side, name)
    }

    /// Traces of a killed client may stay until the bytes are needed, which for a cold file is the first read. The mark
    /// of an unfinished archive may stay longer: the bytes are local, and quick-read answers reads.
    fn heal(&mut self, side: Side, name: u8) -> Vec<u8> {
        self.read(side, name, 0, 1);
        self.await_idle();
        if self.is_marked(name)
            && let Some(inode) = self.reference.inode(name)
        {
            self.marked.insert(inode);
        }
        vec![name]
    }
}

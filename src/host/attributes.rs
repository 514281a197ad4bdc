// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Wraps a file's attributes (the host's `struct iatt`).

use std::fmt;

use cloudsync_format::claim::Time;

use crate::sys;
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::status;

/// A file's attributes, as the host passes them.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Attributes(pub(crate) sys::iatt);

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Attributes(size {}, mtime {}.{:09})",
            self.0.ia_size, self.0.ia_mtime, self.0.ia_mtime_nsec
        )
    }
}

impl Attributes {
    /// All zeros.
    #[must_use]
    pub(crate) fn blank() -> Self {
        // SAFETY: plain numbers; zero is a value of each.
        Self(unsafe { std::mem::zeroed() })
    }

    /// The size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.0.ia_size
    }

    /// The file's identity.
    #[must_use]
    pub const fn gfid(&self) -> Gfid {
        Gfid(self.0.ia_gfid)
    }

    /// The number of hard links.
    #[must_use]
    pub const fn links(&self) -> u32 {
        self.0.ia_nlink
    }

    /// Whether it is a regular file.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        self.0.ia_type == sys::ia_type_t::IA_IFREG
    }

    /// The owner's user id.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.0.ia_uid
    }

    /// The time of the last access.
    #[must_use]
    pub const fn atime(&self) -> Time {
        Time {
            seconds: self.0.ia_atime,
            nanos: self.0.ia_atime_nsec,
        }
    }

    const fn set_atime(&mut self, time: Time) {
        self.0.ia_atime = time.seconds;
        self.0.ia_atime_nsec = time.nanos;
    }

    /// The time of the last change of the bytes.
    #[must_use]
    pub const fn mtime(&self) -> Time {
        Time {
            seconds: self.0.ia_mtime,
            nanos: self.0.ia_mtime_nsec,
        }
    }

    /// The time of the last change of bytes or attributes.
    #[must_use]
    pub const fn ctime(&self) -> Time {
        Time {
            seconds: self.0.ia_ctime,
            nanos: self.0.ia_ctime_nsec,
        }
    }

    /// Changes them to those of a cold file of `size` bytes. It shows one block, because `cp` and `tar` treat a file
    /// without blocks as a hole. (The bricks' own figures are not usable: they read them into an uninitialised buffer.)
    pub const fn show_cold(&mut self, size: u64) {
        self.0.ia_size = size;
        self.0.ia_blocks = 1;
        self.0.ia_blksize = 4096;
    }
}

impl status::Attributes for Attributes {
    fn size(&self) -> u64 {
        self.size()
    }

    fn blocks(&self) -> u64 {
        self.0.ia_blocks
    }

    fn block_size(&self) -> u32 {
        self.0.ia_blksize
    }

    fn links(&self) -> u32 {
        self.links()
    }

    fn is_file(&self) -> bool {
        self.is_file()
    }

    fn atime(&self) -> Time {
        self.atime()
    }

    fn mtime(&self) -> Time {
        self.mtime()
    }

    fn ctime(&self) -> Time {
        self.ctime()
    }

    fn show_cold(&mut self, size: u64) {
        self.show_cold(size);
    }

    fn access(&mut self) {
        self.set_atime(Time::now().max(self.atime().next()));
    }

    fn access_next(&mut self) {
        self.set_atime(self.atime().next());
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Keeps a few large buffers for the next chunks. The host maps memory for each and unmaps it afterwards, so that the kernel
//! clears every page again, which takes longer than to copy the bytes.

use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::host::xlator::Xlator;
use crate::sys;
use cloudsync_logic::sizes::PIECE;

/// The spare buffers of this process.
pub static SPARES: Spares = Spares(Mutex::new(Kept {
    owners: Vec::new(),
    buffers: Vec::new(),
}));

/// How many are kept. Chunks are filled about as fast as others are given up. Each may keep a second one in memory, with which the
/// host has mapped it.
const MOST: usize = 2;

/// Buffers of the size of a chunk.
#[derive(Debug)]
pub struct Spares(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    /// The instances whose buffers are kept. The host's pool lives as long as they do.
    owners: Vec<Xlator>,
    buffers: Vec<(Xlator, NonNull<sys::iobuf>)>,
}

// SAFETY: see `Buffer`; a spare one has no other reference.
unsafe impl Send for Kept {}

impl Spares {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to keep buffers of an instance.
    pub fn open(&self, this: Xlator) {
        self.lock().owners.push(this);
    }

    /// Keeps none any more, and frees those that were kept.
    pub fn close(&self, this: Xlator) {
        let mut kept = self.lock();
        kept.owners.retain(|owner| *owner != this);
        let freed = kept.buffers.extract_if(.., |(owner, _)| *owner == this);
        let freed: Vec<_> = freed.collect();
        drop(kept);
        for (_, buffer) in freed {
            // SAFETY: the only reference.
            unsafe { sys::cs_shim_buffer_free(buffer.as_ptr()) };
        }
    }

    /// A buffer for `size` bytes, if one is kept.
    pub(super) fn take(&self, this: Xlator, size: usize) -> Option<NonNull<sys::iobuf>> {
        if !is_kept(size) {
            return None;
        }
        let mut kept = self.lock();
        let place = kept.buffers.iter().position(|(owner, _)| *owner == this)?;
        Some(kept.buffers.swap_remove(place).1)
    }

    /// Takes back a buffer for `size` bytes.
    ///
    /// # Safety
    /// `buffer` is a reference of the caller's, which is not used again.
    pub(super) unsafe fn give(&self, this: Xlator, size: usize, buffer: NonNull<sys::iobuf>) {
        // SAFETY: live by this function's contract. Nobody can take a reference if there is only ours.
        if is_kept(size) && unsafe { sys::cs_shim_buffer_is_ours(buffer.as_ptr()) } != 0 {
            let mut kept = self.lock();
            if kept.buffers.len() < MOST && kept.owners.contains(&this) {
                kept.buffers.push((this, buffer));
                return;
            }
        }
        // SAFETY: by this function's contract.
        unsafe { sys::cs_shim_buffer_free(buffer.as_ptr()) };
    }
}

/// Whether it is nearly a whole chunk. The host has no size between 256 KiB and that (`gf_iobuf_init_config`).
const fn is_kept(size: usize) -> bool {
    const NEXT: u64 = 256 << 10;
    NEXT < size as u64 && size as u64 <= PIECE
}

/// How many bytes to ask the host for: one that is kept may be used for a whole chunk.
pub(super) fn capacity(size: usize) -> usize {
    match usize::try_from(PIECE) {
        Ok(whole) if is_kept(size) => whole,
        _ => size,
    }
}

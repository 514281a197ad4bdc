// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One read by a plugin.
//!
//! The plugin answers as a translator does: by unwinding its frame, on any thread, before or after the slot has returned.
//! Until both have happened, everything that its frame refers to is kept, and the store and the instance are in use. The
//! reader does not wait for the second: its read is answered once, by the plugin, by a plugin that fails without an
//! answer, or by a cancellation.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::{Cold, Readings, lock};
use crate::host::buffer::Buffer;
use crate::host::ticket::Ticket;
use crate::host::{guard, thread};
use crate::plugin::store::LoadedStore;
use crate::sys;
use cloudsync_format::message;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::remote::{self, Asked};
use cloudsync_logic::work::busy::Running;

/// One remote read.
#[derive(Debug)]
pub(super) struct Reading {
    file: Box<Cold>,
    asked: Asked,
    /// Not 0 once the reader does not wait any more.
    cancelled: AtomicI32,
    /// Until it is answered.
    ticket: Mutex<Option<Ticket>>,
    /// The plugin has answered, or never will.
    answered: AtomicBool,
    /// How many of these have happened: the slot has returned, the plugin has answered.
    ends: AtomicU8,
    raw: AtomicPtr<sys::cs_remote_t>,
    /// Kept until both have happened. In this order: the instance must outlive its stores.
    held: Mutex<Option<(Arc<LoadedStore>, Running)>>,
    readings: Arc<Readings>,
}

impl Reading {
    /// `held`: the store, and what counts the read as work of the instance.
    pub(super) fn new(
        readings: &Arc<Readings>,
        file: Box<Cold>,
        asked: Asked,
        held: (Arc<LoadedStore>, Running),
    ) -> Arc<Self> {
        Arc::new(Self {
            file,
            asked,
            cancelled: AtomicI32::new(0),
            ticket: Mutex::default(),
            answered: AtomicBool::new(false),
            ends: AtomicU8::new(0),
            raw: AtomicPtr::default(),
            held: Mutex::new(Some(held)),
            readings: Arc::clone(readings),
        })
    }

    pub(super) fn gfid(&self) -> Gfid {
        self.file.inode.gfid()
    }

    /// Answers a read of which the file has no byte, for which the plugin is not called.
    pub(super) fn answer_nothing(&self, ticket: Ticket) {
        let empty = Buffer::new(ticket.xlator(), 1).map_err(Failure::Store);
        *lock(&self.ticket) = Some(ticket);
        self.answer(empty);
    }

    /// Calls the plugin. Blocks as long as it does.
    pub(super) fn run(self: Arc<Self>, ticket: Ticket, store: &LoadedStore) {
        let Some(raw) = self.prepare(&ticket, store) else {
            return ticket.fail(Errno::ENOMEM);
        };
        self.raw.store(raw, Ordering::Release);
        *lock(&self.ticket) = Some(ticket);
        self.readings.add(&self);
        if self.cancelled.load(Ordering::Acquire) != 0 {
            // SAFETY: the plugin is not called: this is the reference that `prepare` gave to its frame.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&self)) };
            return drop(self.free());
        }
        let mut errno = 0;
        let result = {
            let _entered = store.enter();
            // SAFETY: prepared above, and freed only after this has returned.
            unsafe { sys::cs_shim_remote_run(raw, &raw mut errno) }
        };
        if result != 0 && !self.answered.swap(true, Ordering::AcqRel) {
            self.answer(Err(Failure::Store(remote::refusal(errno))));
            // SAFETY: the plugin does not answer any more: this is the reference that `prepare` gave it.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&self)) };
            return drop(self.free());
        }
        if self.is_last() {
            drop(self.free());
        }
    }

    /// Creates the plugin's frame. It holds a reference to the reading, which [`answered`] takes.
    fn prepare(
        self: &Arc<Self>,
        ticket: &Ticket,
        store: &LoadedStore,
    ) -> Option<*mut sys::cs_remote_t> {
        let file = sys::cs_cold_t {
            inode: self.file.inode.as_ptr(),
            fd: ticket.descriptor(),
            key: self.file.identity.key.as_ptr(),
            version: self
                .file
                .identity
                .version
                .as_deref()
                .map_or(ptr::null(), CStr::as_ptr),
            uuid: self
                .file
                .uuid
                .as_ref()
                .map_or(ptr::null(), |uuid| uuid.as_ptr()),
            attributes: &raw const self.file.attributes.0,
            cancelled: self.cancelled.as_ptr(),
        };
        let cookie = Arc::into_raw(Arc::clone(self));
        let _entered = store.enter();
        // SAFETY: the proxy lives as long as the store, and the operation is not answered yet. The shim copies or
        // references everything but the version and the flag, which the reading keeps.
        let raw = unsafe {
            sys::cs_shim_remote_new(
                store.proxy.as_ptr(),
                &raw const file,
                ticket.call(),
                cookie.cast_mut().cast(),
            )
        };
        if raw.is_null() {
            // SAFETY: the reference above, which nothing else got.
            unsafe { Arc::decrement_strong_count(cookie) };
            return None;
        }
        Some(raw)
    }

    /// Counts an end. Returns whether it was the last one.
    fn is_last(&self) -> bool {
        self.ends.fetch_add(1, Ordering::AcqRel) > 0
    }

    /// Frees the plugin's frame. Returns what was kept for it.
    fn free(&self) -> Option<(Arc<LoadedStore>, Running)> {
        let raw = self.raw.swap(ptr::null_mut(), Ordering::AcqRel);
        if !raw.is_null() {
            // SAFETY: created by `prepare`, freed once; the plugin has returned and uses its frame no more.
            unsafe { sys::cs_shim_remote_free(raw) };
        }
        lock(&self.held).take()
    }

    /// Answers the read, unless it was cancelled.
    fn answer(&self, bytes: Result<Buffer, Failure>) {
        self.readings.remove(self);
        let Some(ticket) = lock(&self.ticket).take() else {
            return;
        };
        match bytes {
            Ok(buffer) => {
                ticket.answer_bytes(
                    &buffer,
                    0..buffer.bytes().len(),
                    self.asked.is_at_end(),
                    &self.file.attributes,
                );
            }
            Err(failure) => {
                log::log!(
                    failure.level(),
                    id = failure.message();
                    "{}: remote read failed, the file stays cold: {failure}",
                    self.file.inode.path()
                );
                ticket.fail(failure.errno());
            }
        }
    }

    /// Fails the read with ECANCELED. The plugin may still answer it.
    pub(super) fn cancel(&self) {
        self.cancelled.store(1, Ordering::Release);
        let waiting = lock(&self.ticket).take();
        if let Some(ticket) = waiting {
            self.readings.remove(self);
            ticket.fail(Errno::ECANCELED);
        }
    }

    /// Checks and copies the bytes of an answer. The plugin's own buffers may not outlive it.
    fn take(&self, op_ret: i32, op_errno: i32, pieces: &[sys::iovec]) -> Result<Buffer, Failure> {
        let held = pieces.iter().map(|piece| piece.iov_len as u64);
        let held = held.fold(0, u64::saturating_add);
        self.asked.check(op_ret, op_errno, held)?;
        let this = lock(&self.ticket).as_ref().map(Ticket::xlator);
        let this = this.ok_or(Failure::Cancelled)?;
        let size = usize::try_from(self.asked.due()).unwrap_or(usize::MAX);
        let mut buffer = Buffer::new(this, size).map_err(Failure::Store)?;
        for piece in pieces {
            let length = piece.iov_len.min(buffer.room());
            if length > 0 && piece.iov_base.is_null() {
                return Err(Failure::Store(Errno::EREMOTEIO));
            }
            if length > 0 {
                // SAFETY: the plugin's answer, live until its unwind returns.
                let bytes = unsafe { std::slice::from_raw_parts(piece.iov_base.cast(), length) };
                buffer.push(bytes);
            }
        }
        Ok(buffer)
    }
}

/// Called by C when the plugin has answered.
pub(crate) unsafe extern "C" fn answered(
    reading: *mut c_void,
    op_ret: c_int,
    op_errno: c_int,
    vector: *const sys::iovec,
    count: c_int,
) {
    // SAFETY: the reference that `prepare` gave to the plugin's frame, which is unwound once.
    let reading = unsafe { Arc::from_raw(reading.cast::<Reading>()) };
    if reading.answered.swap(true, Ordering::AcqRel) {
        return;
    }
    let count = usize::try_from(count).unwrap_or(0);
    // Some plugins pass an uninitialised piece along with an error.
    let pieces = if vector.is_null() || op_ret <= 0 {
        &[]
    } else {
        // SAFETY: the plugin's answer, live until its unwind returns.
        unsafe { std::slice::from_raw_parts(vector, count) }
    };
    let bytes = guard::catch(Err(Failure::Bug), || reading.take(op_ret, op_errno, pieces));
    guard::catch((), || reading.answer(bytes));
    guard::catch((), move || {
        if let Some((store, _)) = &*lock(&reading.held) {
            *lock(&store.answered) = Some(Instant::now());
        }
        if !reading.is_last() {
            return;
        }
        let Some((store, running)) = reading.free() else {
            return;
        };
        // It refers to an inode, which the instance must outlive.
        drop(reading);
        // The last reference unloads the store, which may wait for the very thread that we are on.
        if let Some(store) = Arc::into_inner(store) {
            let later = move || {
                drop(store);
                drop(running);
            };
            if thread::spawn(String::from("glfs_csfini"), later).is_err() {
                log::error!(
                    id = message::NO_THREAD;
                    "cannot start a thread to unload the store"
                );
            }
        }
    });
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Fetches a part of an object by the slot `fetch` of a plugin's second table.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;
use std::time::Instant;

use super::counted::Counted;
use super::{LoadedStore, described};
use crate::host::guard;
use crate::sys;
use cloudsync_logic::crash;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::store::{Part, Sink};
use cloudsync_metrics::labels::Request;

unsafe extern "C" fn describe(sink: *mut c_void, object: *const sys::cs_object_t) {
    guard::catch((), || {
        // SAFETY: `fetch` passed it, for the length of its call, and waits for the plugin.
        let sink = unsafe { sink.cast::<&mut dyn Sink>().as_mut() };
        // SAFETY: guaranteed by the plugin.
        let object = unsafe { object.as_ref() };
        if let Some((sink, object)) = sink.zip(object) {
            sink.describe(described(object));
        }
    });
}

unsafe extern "C" fn throttled(sink: *mut c_void) {
    guard::catch((), || {
        // SAFETY: as above.
        if let Some(sink) = unsafe { sink.cast::<&mut dyn Sink>().as_mut() } {
            sink.throttled();
        }
    });
}

unsafe extern "C" fn may_restore(sink: *mut c_void) -> c_int {
    guard::catch(0, || {
        // SAFETY: as above.
        let sink = unsafe { sink.cast::<&mut dyn Sink>().as_mut() };
        sink.is_some_and(|sink| sink.may_restore()).into()
    })
}

unsafe extern "C" fn waits(sink: *mut c_void, begins: c_int) -> c_int {
    guard::catch(0, || {
        // SAFETY: as above.
        let sink = unsafe { sink.cast::<&mut dyn Sink>().as_mut() };
        sink.is_some_and(|sink| sink.waits(begins != 0)).into()
    })
}

unsafe extern "C" fn write(sink: *mut c_void, bytes: *const c_void, length: usize) -> c_int {
    guard::catch(libc::EIO, || {
        // SAFETY: `fetch` passed it, for the length of its call, and waits for the plugin.
        let Some(sink) = (unsafe { sink.cast::<&mut dyn Sink>().as_mut() }) else {
            return libc::EINVAL;
        };
        if bytes.is_null() {
            return if length == 0 { 0 } else { libc::EINVAL };
        }
        // SAFETY: guaranteed by the plugin.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) };
        sink.write(bytes).map_or_else(Errno::get, |()| 0)
    })
}

unsafe extern "C" fn cancelled(sink: *mut c_void) -> c_int {
    guard::catch(1, || {
        // SAFETY: as above.
        let sink = unsafe { sink.cast::<&mut dyn Sink>().as_ref() };
        sink.is_none_or(|sink| sink.cancelled()).into()
    })
}

type Fetch = unsafe extern "C" fn(*mut sys::xlator_t, *mut c_void, *const sys::cs_fetch_t) -> c_int;

/// Returns the slot `fetch` of a table that may be older, and therefore smaller, than ours.
fn fetch_of(ext: NonNull<sys::store_methods_ext_t>) -> Option<Fetch> {
    const NEEDED: usize =
        std::mem::offset_of!(sys::store_methods_ext_t, fetch) + size_of::<Option<Fetch>>();
    // SAFETY: the table is a constant of the plugin and begins with its size.
    let size = unsafe { (*ext.as_ptr()).size };
    if size < NEEDED {
        return None;
    }
    // SAFETY: the table is large enough to contain the slot.
    unsafe { (*ext.as_ptr()).fetch }
}

impl LoadedStore {
    /// Whether the plugin implements both `fetch` and `head`.
    #[must_use]
    pub fn can_fetch(&self) -> bool {
        self.ext.and_then(fetch_of).is_some() && self.ext.and_then(super::head_of).is_some()
    }

    /// Makes the plugin pass the bytes of a part to `sink`, each once, in order. Blocks.
    ///
    /// # Errors
    /// The plugin's errno; EOPNOTSUPP if it does not implement `fetch`.
    pub fn fetch(&self, part: &Part<'_>, sink: &mut dyn Sink) -> Result<(), Errno> {
        let Some(fetch) = self.ext.and_then(fetch_of) else {
            return Err(Errno::EOPNOTSUPP);
        };
        let _step = crash::step("fetch");
        let _entered = self.enter();
        let started = Instant::now();
        let mut counted = Counted {
            sink,
            metrics: &self.metrics,
        };
        let mut sink: &mut dyn Sink = &mut counted;
        let what = sys::cs_fetch_t {
            key: part.key.as_ptr(),
            version: part.version.map_or(std::ptr::null(), CStr::as_ptr),
            size: part.size,
            offset: part.range.start,
            length: part.range.end - part.range.start,
            write: Some(write),
            cancelled: Some(cancelled),
            sink: (&raw mut sink).cast(),
            describe: Some(describe),
            throttled: Some(throttled),
            may_restore: Some(may_restore),
            waits: Some(waits),
        };
        // SAFETY: everything that `what` refers to outlives the call, which runs on this thread.
        let result = unsafe { fetch(self.proxy_xlator(), self.config.as_ptr(), &raw const what) };
        let failed = (result != 0).then(|| Errno::new(result));
        self.count(Request::Fetch, started, failed);
        failed.map_or(Ok(()), Err)
    }
}

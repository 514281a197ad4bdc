// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Calls a loaded plugin with its configuration. A plugin is third-party native code, called through its C table
//! `store_ops`; everything it returns is checked. [`load`] finds and starts a plugin, [`cloudsync_logic::store`] has
//! the types passed to and from it, [`part`] fetches a part, [`remote`] reads without a recall, [`counted`] counts the calls.

mod counted;
mod load;
mod part;
pub mod remote;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_format::checksum::Checksum;

pub use self::load::{LoadError, folder};
use crate::host::attributes::Attributes;
use crate::host::dict::{Dict, DictRef};
use crate::host::fd::Fd;
use crate::host::inode::Inode;
use crate::host::xlator::Xlator;
use crate::sys;
use cloudsync_logic::crash;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::store::Object;
use cloudsync_metrics::client::Client as Metrics;
use cloudsync_metrics::labels::Request;

/// A loaded and initialised store.
pub struct LoadedStore {
    name: String,
    proxy: NonNull<sys::cs_proxy_t>,
    config: NonNull<c_void>,
    ops: NonNull<sys::store_methods_t>,
    ext: Option<NonNull<sys::store_methods_ext_t>>,
    /// The options that the plugin was given, each once. It may hold pointers into all of them, as the host's own
    /// `GF_OPTION_RECONF` leaves them.
    options: Mutex<Vec<Dict>>,
    /// When it last answered a remote read on a thread of its own.
    answered: Mutex<Option<Instant>>,
    metrics: Arc<Metrics>,
    /// The name as a C string, to which the proxy points.
    _c_name: CString,
}

// SAFETY: the tables are constants of the plugin; the plugin ABI requires that its functions can be called from any
// thread and concurrently; the proxy is written by its constructor only.
unsafe impl Send for LoadedStore {}
// SAFETY: as above.
unsafe impl Sync for LoadedStore {}

impl std::fmt::Debug for LoadedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LoadedStore({})", self.name)
    }
}

/// The arguments of a download by `fop_download`.
pub struct Download<'a> {
    /// The file to write to.
    pub fd: &'a Fd,
    /// The file.
    pub inode: &'a Inode,
    /// The object's key.
    pub key: &'a CStr,
    /// The only acceptable version of the object, if it is known.
    pub version: Option<&'a CStr>,
    /// What identifies it in an archive whose names are its own.
    pub uuid: Option<&'a [u8; 16]>,
    /// The file's attributes; the size is also the object's.
    pub attributes: &'a Attributes,
    /// Not 0 once the download is cancelled.
    pub cancelled: &'a AtomicI32,
    /// Called after the plugin has returned: waits until every write is answered.
    pub after: &'a (dyn Fn() + 'a),
}

impl std::fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Download({})", self.key.to_string_lossy())
    }
}

/// Converts the plugin's metadata of an object.
fn described(raw: &sys::cs_object_t) -> Object {
    Object {
        size: raw.size,
        etag: text(&raw.etag),
        checksum: Checksum::parse(&text(&raw.checksum)),
    }
}

impl LoadedStore {
    /// The store's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Passes changed options to the plugin.
    ///
    /// # Errors
    /// EINVAL: the plugin keeps the old ones and has logged the reason.
    pub fn reconfigure(&self, options: DictRef<'_>) -> Result<(), Errno> {
        let mut given = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        let _entered = self.enter();
        // SAFETY: the table is the plugin's constant.
        let Some(reconfigure) = (unsafe { self.ops.as_ref() }).fop_reconfigure else {
            return Ok(());
        };
        let known = given.iter().position(|old| old.borrow().equals(options));
        let known = known.unwrap_or_else(|| {
            given.push(options.keep());
            given.len() - 1
        });
        // SAFETY: proxy and dictionary are live; the configuration is the plugin's own.
        let result = unsafe { reconfigure(self.proxy_xlator(), given[known].as_ptr()) };
        if result == 0 {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// Makes the plugin write the object to the file, and waits until every write is answered. Blocks.
    ///
    /// # Errors
    /// The plugin's `op_errno`; EREMOTEIO if it failed without setting one.
    pub fn download(&self, what: &Download<'_>) -> Result<(), Errno> {
        extern "C" fn after(what: *mut c_void) {
            // SAFETY: the argument of `download`, which outlives the call.
            if let Some(what) = unsafe { what.cast::<Download<'_>>().as_ref() } {
                (what.after)();
            }
        }
        let _entered = self.enter();
        let started = Instant::now();
        let file = sys::cs_cold_t {
            inode: what.inode.as_ptr(),
            fd: what.fd.as_ptr(),
            key: what.key.as_ptr(),
            version: what.version.map_or(ptr::null(), CStr::as_ptr),
            uuid: what.uuid.map_or(ptr::null(), |uuid| uuid.as_ptr()),
            attributes: &raw const what.attributes.0,
            cancelled: what.cancelled.as_ptr(),
        };
        let mut errno = 0;
        // SAFETY: everything outlives the call; the shim takes its own references to the objects that the plugin sees.
        // The plugin reads `cancelled` as a plain integer.
        let result = unsafe {
            sys::cs_shim_download(
                self.proxy.as_ptr(),
                &raw const file,
                Some(after),
                ptr::from_ref(what).cast_mut().cast(),
                &raw mut errno,
            )
        };
        let result = match (result, errno) {
            (0, _) => Ok(()),
            (_, 0) => Err(Errno::EREMOTEIO),
            (_, errno) => Err(Errno::new(errno)),
        };
        self.count(Request::Download, started, result.err());
        result
    }

    /// Queries the store for an object; `Ok(None)` if the plugin does not implement `head`.
    ///
    /// # Errors
    /// ENODATA if the object does not exist, otherwise the plugin's errno.
    pub fn head(&self, key: &CStr) -> Result<Option<Object>, Errno> {
        let Some(head) = self.ext.and_then(head_of) else {
            return Ok(None);
        };
        let _step = crash::step("ask the store");
        let _entered = self.enter();
        let started = Instant::now();
        // SAFETY: all zeros is a value of the plain struct.
        let mut object: sys::cs_object_t = unsafe { std::mem::zeroed() };
        // SAFETY: all pointers are live.
        let result = unsafe {
            head(
                self.proxy_xlator(),
                self.config.as_ptr(),
                key.as_ptr(),
                &raw mut object,
            )
        };
        let failed = (result < 0).then(|| Errno::new(result));
        self.count(Request::Head, started, failed);
        match failed {
            Some(errno) => Err(errno),
            None => Ok(Some(described(&object))),
        }
    }

    /// Tells the plugin the value of the option `cloudsync-remote-read`.
    pub fn set_remote_read(&self, on: bool) {
        // SAFETY: the proxy lives as long as the store; the field is written atomically.
        unsafe { sys::cs_shim_proxy_remote_read(self.proxy.as_ptr(), on.into()) };
    }

    /// Tells the plugin that the volume is being taken down.
    pub fn abort(&self) {
        // SAFETY: as above.
        unsafe { sys::cs_shim_proxy_abort(self.proxy.as_ptr()) };
    }

    fn proxy_xlator(&self) -> *mut sys::xlator_t {
        // SAFETY: a field of the live proxy; no reference is made.
        unsafe { &raw mut (*self.proxy.as_ptr()).proxy }
    }

    fn enter(&self) -> Option<crate::host::xlator::Entered> {
        // SAFETY: the proxy lives as long as the store.
        unsafe { Xlator::from_raw(self.proxy_xlator()) }.map(Xlator::enter)
    }
}

impl Drop for LoadedStore {
    fn drop(&mut self) {
        /// After it has answered a remote read, the plugin's thread still frees what belongs to it, and we cannot see when
        /// it is done.
        const REST: Duration = Duration::from_millis(100);
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = answered.and_then(|when| REST.checked_sub(when.elapsed())) {
            thread::sleep(left);
        }
        let entered = self.enter();
        // SAFETY: the table is the plugin's constant.
        if let Some(fini) = unsafe { self.ops.as_ref() }.fop_fini {
            // SAFETY: no call into the store is running, because every caller holds an Arc. Called once.
            unsafe { fini(self.config.as_ptr()) };
        }
        drop(entered);
        // SAFETY: created by cs_shim_proxy_new, freed once; no frame refers to it any more.
        unsafe { sys::cs_shim_proxy_free(self.proxy.as_ptr()) };
    }
}

type Head = unsafe extern "C" fn(
    *mut sys::xlator_t,
    *mut c_void,
    *const c_char,
    *mut sys::cs_object_t,
) -> c_int;

/// Returns the slot `head` of a table that may be older, and therefore smaller, than ours.
fn head_of(ext: NonNull<sys::store_methods_ext_t>) -> Option<Head> {
    const NEEDED: usize =
        std::mem::offset_of!(sys::store_methods_ext_t, head) + size_of::<Option<Head>>();
    // SAFETY: the table is a constant of the plugin and begins with its size.
    let size = unsafe { (*ext.as_ptr()).size };
    if size < NEEDED {
        return None;
    }
    // SAFETY: the table is large enough to contain the slot.
    unsafe { (*ext.as_ptr()).head }
}

fn text(buffer: &[c_char]) -> String {
    let bytes: Vec<u8> = buffer
        .iter()
        .take_while(|byte| **byte != 0)
        .map(|byte| byte.cast_unsigned())
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Exports a [`Store`] as the two C tables that the translator looks up.
//!
//! Each function of the tables converts its arguments, calls a safe function inside `guard`, and converts the result
//! for C. `fop_init` returns a box with the store; `fop_fini` takes it back.

use std::any::Any;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::{Arc, Once, PoisonError, RwLock};

use cloudsync_format::{build, message};

use crate::abi::{
    self, About, CallFrame, Dict, FetchIn, Host, ObjectOut, Part, Recall, StoreMethods,
    StoreMethodsExt, Xlator,
};
use crate::recall::{Wanted, recall};
use crate::{Level, Object, Options, Store, StoreError};

/// Exports `store_ops` and `store_ops_ext` for a type that implements [`Store`]. Use it once per cdylib.
#[macro_export]
macro_rules! export_store {
    ($store:ty) => {
        /// The plugin's table.
        #[allow(non_upper_case_globals, reason = "the name is the host's")]
        #[unsafe(no_mangle)]
        pub static store_ops: $crate::abi::StoreMethods = $crate::export::methods::<$store>();

        /// The plugin's second table.
        #[allow(non_upper_case_globals, reason = "the name is the translator's")]
        #[unsafe(no_mangle)]
        pub static store_ops_ext: $crate::abi::StoreMethodsExt =
            $crate::export::methods_ext::<$store>();
    };
}

/// What this library is: see [`cloudsync_format::build`].
static BUILD: &str = cloudsync_format::build_text!("plugin");

/// The table `store_ops` of a store.
#[must_use]
pub const fn methods<S: Store>() -> StoreMethods {
    StoreMethods {
        fop_download: Some(download::<S>),
        fop_remote_read: None,
        fop_init: Some(init::<S>),
        fop_reconfigure: Some(reconfigure::<S>),
        fop_fini: Some(fini::<S>),
    }
}

/// The table `store_ops_ext` of a store.
#[must_use]
pub const fn methods_ext<S: Store>() -> StoreMethodsExt {
    StoreMethodsExt {
        size: size_of::<StoreMethodsExt>(),
        head: Some(head::<S>),
        fetch: Some(fetch::<S>),
        host: abi::HostStamp::OURS,
    }
}

/// The configuration that `fop_init` returns: the current store. Running calls keep the store that they started with.
struct Config<S>(RwLock<Arc<S>>);

impl<S> Config<S> {
    fn store(&self) -> Arc<S> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, store: S) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(store);
    }

    /// # Safety
    /// `config` is NULL or what `init::<S>` returned, and `fini::<S>` has not been called with it.
    unsafe fn from_raw<'c>(config: *mut c_void) -> Option<&'c Self> {
        // SAFETY: the caller guarantees what the pointer is; it stays valid until fini, after which there are no calls.
        unsafe { config.cast::<Self>().as_ref() }
    }
}

/// Runs `body`; if it panics, returns `bug`. Unwinding into C would end the host's process.
fn guard<T>(bug: T, body: impl FnOnce() -> T) -> T {
    panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or(bug)
}

/// Logs panics to the host's log, because its stderr is /dev/null. The hook affects only this shared object.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|info| {
            let (file, line) = info
                .location()
                .map_or(("?", 0), |at| (at.file(), at.line()));
            abi::log_panic(
                file,
                line,
                &format!("bug: panic: {}", payload(info.payload())),
            );
        }));
    });
}

fn payload(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("(no text)")
}

/// Opens the store, or logs `consequence` and the error.
fn open<S: Store>(host: Host, options: &Options, consequence: &str) -> Option<S> {
    let opened = S::open(options);
    if let Err(error) = &opened {
        let text = format!("{consequence}: {error}");
        let about = About {
            id: message::PLUGIN_OPTIONS,
            level: Level::Error,
            errno: error.errno(),
            function: c"fop_init",
        };
        host.log(about, &text);
    }
    opened.ok()
}

unsafe extern "C" fn init<S: Store>(this: *mut Xlator) -> *mut c_void {
    guard(ptr::null_mut(), || {
        // SAFETY: the host passes a translator that outlives the call.
        let Some(host) = (unsafe { Host::from_raw(this) }) else {
            return ptr::null_mut();
        };
        let _entered = host.enter();
        if !abi::host_fits() {
            return ptr::null_mut();
        }
        log_panics();
        abi::install_log();
        let about = About {
            id: message::PLUGIN_STARTED,
            level: Level::Info,
            errno: 0,
            function: c"fop_init",
        };
        host.log(about, build::shown(BUILD));
        let store = open::<S>(host, &host.options(), "the store cannot be used");
        store.map_or(ptr::null_mut(), |store| {
            let config = Config(RwLock::new(Arc::new(store)));
            Box::into_raw(Box::new(config)).cast()
        })
    })
}

unsafe extern "C" fn reconfigure<S: Store>(this: *mut Xlator, options: *mut Dict) -> c_int {
    guard(-1, || {
        // SAFETY: the host passes a translator that outlives the call.
        let Some(host) = (unsafe { Host::from_raw(this) }) else {
            return -1;
        };
        let _entered = host.enter();
        // SAFETY: the host's private says what init returned, and no fini runs during reconfigure.
        let Some(config) = (unsafe { Config::<S>::from_raw(host.config()) }) else {
            return -1;
        };
        // SAFETY: the host passes a dictionary that it does not change during the call.
        let options = unsafe { abi::options(options) };
        let Some(store) = open::<S>(host, &options, "the store keeps its old options") else {
            return -1;
        };
        config.replace(store);
        0
    })
}

unsafe extern "C" fn fini<S: Store>(config: *mut c_void) {
    guard((), || {
        if !config.is_null() {
            // SAFETY: the box is init's, and the host guarantees that no call is running any more.
            drop(unsafe { Box::from_raw(config.cast::<Config<S>>()) });
        }
    });
}

unsafe extern "C" fn download<S: Store>(frame: *mut CallFrame, config: *mut c_void) -> c_int {
    // SAFETY: the host passes the frame of a recall, which it keeps until this returns.
    let Some(frame) = (unsafe { Recall::from_raw(frame) }) else {
        return -1;
    };
    // SAFETY: the host passes what init returned, and calls fini only after the last call returned.
    let config = unsafe { Config::<S>::from_raw(config) };
    frame.fail(libc::EIO);
    guard(-1, || {
        let (Some(host), Some(config)) = (frame.host(), config) else {
            return -1;
        };
        let _entered = host.enter();
        let key = frame.key().unwrap_or_default();
        let recalled = text(key).and_then(|key| {
            let version = frame.version().map(CStr::to_string_lossy);
            let wanted = Wanted {
                key,
                size: frame.size(),
                version: version.as_deref(),
            };
            recall(config.store().as_ref(), &frame, wanted)
        });
        match recalled {
            Ok(()) => {
                frame.fail(0);
                0
            }
            Err(error) => {
                report(host, c"fop_download", key, &error);
                frame.fail(error.errno());
                -1
            }
        }
    })
}

unsafe extern "C" fn head<S: Store>(
    this: *mut Xlator,
    config: *mut c_void,
    key: *const c_char,
    object: *mut ObjectOut,
) -> c_int {
    guard(-libc::EIO, || {
        if key.is_null() || object.is_null() {
            return -libc::EINVAL;
        }
        // SAFETY: the host passes a translator that outlives the call.
        let Some(host) = (unsafe { Host::from_raw(this) }) else {
            return -libc::EINVAL;
        };
        // SAFETY: the host passes what init returned, and calls fini only after the last call returned.
        let Some(config) = (unsafe { Config::<S>::from_raw(config) }) else {
            return -libc::EINVAL;
        };
        let _entered = host.enter();
        // SAFETY: the host passes a string that outlives the call.
        let key = unsafe { CStr::from_ptr(key) };
        let found: Result<Object, _> = text(key).and_then(|text| config.store().head(text));
        match found {
            Ok(found) => {
                // SAFETY: not NULL, and the host provides space for one.
                unsafe { object.write(ObjectOut::of(&found)) };
                0
            }
            Err(error) => {
                report(host, c"head", key, &error);
                -error.errno()
            }
        }
    })
}

unsafe extern "C" fn fetch<S: Store>(
    this: *mut Xlator,
    config: *mut c_void,
    what: *const FetchIn,
) -> c_int {
    guard(-libc::EIO, || {
        // SAFETY: the host passes a translator that outlives the call.
        let host = unsafe { Host::from_raw(this) };
        // SAFETY: the host passes what init returned, and calls fini only after the last call returned.
        let config = unsafe { Config::<S>::from_raw(config) };
        // SAFETY: the host passes a part that outlives the call.
        let part = unsafe { Part::from_raw(what) };
        let (Some(host), Some(config), Some(mut part)) = (host, config, part) else {
            return -libc::EINVAL;
        };
        let Some(range) = part.range() else {
            return -libc::EINVAL;
        };
        let _entered = host.enter();
        let key = part.key().to_owned();
        let version = part.version().map(|version| version.map(str::to_owned));
        let fetched = version
            .and_then(|etag| {
                let object = Object {
                    size: part.size(),
                    etag,
                    checksum: None,
                };
                let store = config.store();
                store.fetch(text(&key)?, &object, range, &mut part)
            })
            .and_then(|()| part.check());
        match fetched {
            Ok(()) => 0,
            Err(error) => {
                report(host, c"fetch", &key, &error);
                -error.errno()
            }
        }
    })
}

/// The key as text. Keys that are empty or not UTF-8 name no object.
fn text(key: &CStr) -> Result<&str, StoreError> {
    match key.to_str() {
        Ok("") => Err(StoreError::Missing("the file has no object key".to_owned())),
        Ok(text) => Ok(text),
        Err(_) => Err(StoreError::Missing("the key is not UTF-8 text".to_owned())),
    }
}

/// Logs a failed call.
fn report(host: Host, function: &CStr, key: &CStr, error: &StoreError) {
    let key = key.to_string_lossy();
    let about = About {
        id: error.message(),
        level: error.level(),
        errno: error.errno(),
        function,
    };
    host.log(about, &format!("object {key:?}: {error}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_answer() {
        assert_eq!(guard(-1, || panic!("a bug, on purpose")), -1);
        assert_eq!(guard(-1, || 7), 7);
    }

    #[test]
    fn a_call_keeps_the_store_that_it_began_with() {
        let config = Config(RwLock::new(Arc::new("old")));
        let call = config.store();
        config.replace("new");
        assert_eq!((*call, *config.store()), ("old", "new"));
    }

    #[test]
    fn a_key_that_is_no_text_names_no_object() {
        assert!(matches!(text(c""), Err(StoreError::Missing(_))));
        assert!(matches!(text(c"\xff"), Err(StoreError::Missing(_))));
        assert_eq!(text(c"dir/file"), Ok("dir/file"));
    }
}

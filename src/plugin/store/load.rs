// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Loads and initialises a store: finds the plugin, checks its tables, and calls its `fop_init`.

use std::ffi::{CStr, CString, c_int, c_void};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::LoadedStore;
use crate::host::dict::DictRef;
use crate::host::xlator::Xlator;
use crate::plugin::table;
use crate::sys;
use cloudsync_format::message;
use cloudsync_metrics::client::Client as Metrics;

/// Why a store cannot be loaded. The text is the log line.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The name is invalid.
    #[error("'{name}' is no store's name; installed are: {installed}")]
    Name {
        /// What was configured.
        name: String,
        /// The names that could be configured instead.
        installed: String,
    },
    /// The library cannot be loaded.
    #[error("store '{name}': cannot load {cause}; installed are: {installed}")]
    Library {
        /// What was configured.
        name: String,
        /// The dynamic linker's message, which begins with the library's path.
        cause: String,
        /// The names that could be configured instead.
        installed: String,
    },
    /// The library is not a plugin.
    #[error("store '{name}': {} is not a store plugin: {cause}", path.display())]
    NotAPlugin {
        /// What was configured.
        name: String,
        /// The library.
        path: PathBuf,
        /// What is missing or wrong.
        cause: String,
    },
    /// A library that the plugin opens itself is missing.
    #[error("store '{name}': its plugin needs {library}, which cannot be loaded: {cause}")]
    Needs {
        /// What was configured.
        name: String,
        /// The missing library.
        library: &'static str,
        /// The dynamic linker's message.
        cause: String,
    },
    /// The plugin's `fop_init` failed.
    #[error("store '{name}': its settings are invalid: see the line above")]
    Init {
        /// What was configured.
        name: String,
    },
    /// No memory.
    #[error("store '{0}': no memory")]
    NoMemory(String),
}

/// Returns the plugin folder: `../../cloudsync-plugins`, relative to our own library.
#[must_use]
pub fn folder() -> PathBuf {
    // SAFETY: all zeros is a value of the plain struct.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let here: fn() -> PathBuf = folder;
    // SAFETY: any address may be passed; the result is written to `info`.
    let found = unsafe { libc::dladdr(here as *const c_void, &raw mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return PathBuf::from("/nonexistent");
    }
    // SAFETY: the dynamic linker's own string.
    let file = unsafe { CStr::from_ptr(info.dli_fname) };
    let file = PathBuf::from(file.to_string_lossy().into_owned());
    // <folder>/xlator/features/cloudsync.so
    let root = file
        .ancestors()
        .nth(3)
        .unwrap_or_else(|| Path::new("/nonexistent"));
    root.join("cloudsync-plugins")
}

impl LoadedStore {
    /// Loads the plugin for `name` and initialises it with `options`. `remote_read`: the option `cloudsync-remote-read`. Its calls are counted in `metrics`.
    ///
    /// # Errors
    /// Why the store cannot be loaded, for the log.
    pub fn load(
        this: Xlator,
        name: &str,
        options: DictRef<'_>,
        remote_read: bool,
        metrics: &Arc<Metrics>,
    ) -> Result<Arc<Self>, LoadError> {
        let folder = folder();
        let installed = || table::installed(&folder).join(", ");
        let library = table::library(name, &folder).ok_or_else(|| LoadError::Name {
            name: name.to_owned(),
            installed: installed(),
        })?;
        let path = folder.join(library);
        if let Some(library) = table::needs(name) {
            link(Path::new(library)).map_err(|cause| LoadError::Needs {
                name: name.to_owned(),
                library,
                cause,
            })?;
        }
        let tables = open(&path).map_err(|cause| match cause {
            OpenError::Linker(cause) => LoadError::Library {
                name: name.to_owned(),
                cause,
                installed: installed(),
            },
            OpenError::Lacks(cause) => LoadError::NotAPlugin {
                name: name.to_owned(),
                path: path.clone(),
                cause,
            },
        })?;
        let store = start(this, name, &tables, options, remote_read, metrics)?;
        let file = path.file_name().unwrap_or_default();
        log::info!(id = message::STORE_UP; "store '{name}' is up ({})", file.to_string_lossy());
        Ok(store)
    }
}

enum OpenError {
    Linker(String),
    Lacks(String),
}

struct Tables {
    ops: NonNull<sys::store_methods_t>,
    ext: Option<NonNull<sys::store_methods_ext_t>>,
    /// What dlopen returned.
    handle: *mut c_void,
}

/// Loads a library and never unloads it, because its threads may still be running.
///
/// # Errors
/// The dynamic linker's message.
fn link(path: &Path) -> Result<ManuallyDrop<Library>, String> {
    // SAFETY: runs the library's initialisers. It is a plugin in a folder that only root can write to, or a system
    // library.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    library.map(ManuallyDrop::new).map_err(|error| {
        // The error itself only says that dlopen failed; its source has the reason.
        let cause = std::error::Error::source(&error);
        cause.map_or_else(|| error.to_string(), ToString::to_string)
    })
}

/// Opens a plugin and finds its tables.
fn open(path: &Path) -> Result<Tables, OpenError> {
    let library = link(path).map_err(OpenError::Linker)?;
    let find = |name: &CStr| {
        // SAFETY: only the symbol's address is taken.
        let symbol = unsafe { library.get::<*mut c_void>(name.to_bytes_with_nul()) };
        symbol
            .ok()
            .and_then(|symbol| NonNull::new(symbol.into_raw()))
    };
    let lacks = |cause: &str| OpenError::Lacks(cause.to_owned());
    let ops = find(c"store_ops").ok_or_else(|| lacks("it does not export store_ops"))?;
    check_table(ops).map_err(OpenError::Lacks)?;
    let ops = ops.cast::<sys::store_methods_t>();
    // SAFETY: the plugin ABI defines the symbol as a store_methods_t, and its size was checked.
    let table = unsafe { ops.as_ref() };
    if table.fop_download.is_none() || table.fop_init.is_none() {
        return Err(lacks("its store_ops has no fop_download or no fop_init"));
    }
    let slots = [
        table.fop_download.map(|slot| slot as *const c_void),
        table.fop_remote_read.map(|slot| slot as *const c_void),
        table.fop_init.map(|slot| slot as *const c_void),
        table.fop_reconfigure.map(|slot| slot as *const c_void),
        table.fop_fini.map(|slot| slot as *const c_void),
    ];
    if !slots.into_iter().flatten().all(is_in_a_library) {
        return Err(lacks("a slot of its store_ops is no function"));
    }
    let ext = find(c"store_ops_ext").map(NonNull::cast);
    ext.map_or(Ok(()), check_host).map_err(OpenError::Lacks)?;
    let handle = ManuallyDrop::into_inner(library).into_raw();
    Ok(Tables { ops, ext, handle })
}

/// Checks by the dynamic linker's information that a plugin's symbol is data and at least as large as our table. With a
/// table of another ABI, slots would be read from beyond its end.
fn check_table(symbol: NonNull<c_void>) -> Result<(), String> {
    /// `Elf64_Sym`.
    #[repr(C)]
    struct Symbol {
        name: u32,
        info: u8,
        other: u8,
        section: u16,
        value: u64,
        size: u64,
    }
    const OF_SYMBOL: c_int = 1;
    const DATA: u8 = 1;
    // SAFETY: all zeros is a value of the plain struct.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let mut found: *mut c_void = ptr::null_mut();
    // SAFETY: any address may be passed; the results are written to the two variables.
    let known = unsafe { libc::dladdr1(symbol.as_ptr(), &raw mut info, &raw mut found, OF_SYMBOL) };
    // SAFETY: the dynamic linker's own symbol, which lives as long as the library, which is never unloaded.
    let found = unsafe { found.cast::<Symbol>().as_ref() };
    // Without the information, accept the plugin.
    let Some(found) = found.filter(|found| known != 0 && found.size != 0) else {
        return Ok(());
    };
    let wanted = size_of::<sys::store_methods_t>() as u64;
    if found.info & 15 == DATA && found.size >= wanted {
        return Ok(());
    }
    Err(format!(
        "store_ops is not a table of {wanted} bytes; it must be compiled with this version's cloudsync-common.h"
    ))
}

/// Checks which GlusterFS a plugin was compiled for. Only plugins that record it can be checked.
fn check_host(ext: NonNull<sys::store_methods_ext_t>) -> Result<(), String> {
    const WITH_HOST: usize =
        std::mem::offset_of!(sys::store_methods_ext_t, host) + size_of::<*const u64>();
    // SAFETY: the plugin ABI defines that a table begins with its size.
    let size = unsafe { (&raw const (*ext.as_ptr()).size).read() };
    if size < WITH_HOST {
        return Ok(());
    }
    // SAFETY: the table is large enough for the field, as checked above.
    let host = unsafe { (&raw const (*ext.as_ptr()).host).read() };
    // SAFETY: the plugin ABI defines that it points to a constant or is NULL.
    let Some(theirs) = (unsafe { host.as_ref() }) else {
        return Ok(());
    };
    // SAFETY: has no preconditions.
    let ours = unsafe { sys::cs_shim_host_stamp() };
    if *theirs == ours {
        return Ok(());
    }
    let major = |stamp: u64| stamp >> 48;
    Err(format!(
        "it was built for another GlusterFS ({}) than this one ({}); install the plugin that was built for this version",
        major(*theirs),
        major(ours)
    ))
}

/// Whether an address is in any loaded library.
fn is_in_a_library(address: *const c_void) -> bool {
    // SAFETY: all zeros is a value of the plain struct.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: any address may be passed; the result is written to `info`.
    (unsafe { libc::dladdr(address, &raw mut info) }) != 0
}

fn start(
    this: Xlator,
    name: &str,
    tables: &Tables,
    options: DictRef<'_>,
    remote_read: bool,
    metrics: &Arc<Metrics>,
) -> Result<Arc<LoadedStore>, LoadError> {
    let no_memory = || LoadError::NoMemory(name.to_owned());
    let c_name = CString::new(name).map_err(|_| no_memory())?;
    // SAFETY: `this` outlives its stores: they are dropped in its fini.
    let proxy =
        NonNull::new(unsafe { sys::cs_shim_proxy_new(this.as_ptr()) }).ok_or_else(no_memory)?;
    // SAFETY: just created, and not shared.
    let raw = unsafe { &mut *proxy.as_ptr() };
    // Not those of `this`: during a reconfigure the host still has the old ones there, and a named store has its own.
    let options = options.keep();
    raw.proxy.options = options.as_ptr();
    // SAFETY: a constant of the plugin.
    let table = unsafe { tables.ops.as_ref() };
    raw.priv_.remote_read = remote_read;
    raw.store.handle = tables.handle;
    raw.store.name = c_name.as_ptr().cast_mut();
    raw.store.dlfop = table.fop_download;
    raw.store.rdfop = table.fop_remote_read;
    raw.store.init = table.fop_init;
    raw.store.reconfigure = table.fop_reconfigure;
    raw.store.fini = table.fop_fini;
    let proxy_xlator = &raw mut raw.proxy;
    // SAFETY: the proxy is live and does not move.
    let entered = unsafe { Xlator::from_raw(proxy_xlator) }.map(Xlator::enter);
    // SAFETY: calls the plugin with a live translator.
    let config = table
        .fop_init
        .and_then(|init| NonNull::new(unsafe { init(proxy_xlator) }));
    drop(entered);
    let Some(config) = config else {
        // SAFETY: created above, and not in use.
        unsafe { sys::cs_shim_proxy_free(proxy.as_ptr()) };
        return Err(LoadError::Init {
            name: name.to_owned(),
        });
    };
    raw.store.config = config.as_ptr();
    Ok(Arc::new(LoadedStore {
        name: name.to_owned(),
        proxy,
        config,
        ops: tables.ops,
        ext: tables.ext,
        options: Mutex::new(vec![options]),
        answered: Mutex::default(),
        metrics: Arc::clone(metrics),
        _c_name: c_name,
    }))
}

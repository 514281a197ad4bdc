// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Safe types for the host: its tables and translators here, a recall's frame in `recall`, a part to fetch in `part`,
//! the log in `lines`, the signal masks of threads in `signals`. Together they declare what shim.h declares; nothing
//! else calls C.

mod lines;
mod part;
mod recall;
mod signals;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::panic::Location;
use std::ptr::{self, NonNull};

use crate::{Level, Object, Options};
use cloudsync_format::message;
pub(crate) use lines::install as install_log;
pub use part::FetchIn;
pub(crate) use part::Part;
pub(crate) use recall::Recall;
pub use signals::{block_signals, with_signals_blocked};

/// The host's `xlator_t`, opaque.
#[repr(C)]
#[derive(Debug)]
pub struct Xlator([u8; 0]);
/// The host's `call_frame_t`, opaque.
#[repr(C)]
#[derive(Debug)]
pub struct CallFrame([u8; 0]);
/// The host's `dict_t`, opaque.
#[repr(C)]
#[derive(Debug)]
pub struct Dict([u8; 0]);

/// `store_methods_t` of include/cloudsync-common.h: the table `store_ops`.
#[repr(C)]
#[derive(Debug)]
pub struct StoreMethods {
    /// Recalls a file: writes its object to the frame's file.
    pub fop_download: Option<unsafe extern "C" fn(*mut CallFrame, *mut c_void) -> c_int>,
    /// Reads a part of an object; may be NULL.
    pub fop_remote_read: Option<unsafe extern "C" fn(*mut CallFrame, *mut c_void) -> c_int>,
    /// Creates the plugin's configuration, or returns NULL.
    pub fop_init: Option<unsafe extern "C" fn(*mut Xlator) -> *mut c_void>,
    /// Applies changed options; 0 on success.
    pub fop_reconfigure: Option<unsafe extern "C" fn(*mut Xlator, *mut Dict) -> c_int>,
    /// Frees the configuration.
    pub fop_fini: Option<unsafe extern "C" fn(*mut c_void)>,
}

/// `store_methods_ext_t`: the optional table `store_ops_ext`.
#[repr(C)]
#[derive(Debug)]
pub struct StoreMethodsExt {
    /// Size of this table in bytes, by which the translator knows which fields it has.
    pub size: usize,
    /// Describes an object; 0 or a negative errno.
    pub head: Option<
        unsafe extern "C" fn(*mut Xlator, *mut c_void, *const c_char, *mut ObjectOut) -> c_int,
    >,
    /// Reads a part of an object; 0 or a negative errno.
    pub fetch: Option<unsafe extern "C" fn(*mut Xlator, *mut c_void, *const FetchIn) -> c_int>,
    /// The GlusterFS that the plugin was compiled for.
    pub host: HostStamp,
}

/// The address of `CS_HOST_STAMP`, as shim.c was compiled with it.
#[repr(transparent)]
#[derive(Debug)]
pub struct HostStamp(*const u64);

impl HostStamp {
    /// Of the GlusterFS whose headers this was built with.
    pub const OURS: Self = Self(&raw const css_host);
}

// SAFETY: points to a constant.
unsafe impl Sync for HostStamp {}

/// Whether the host is of the major version that this was compiled for. Always true: the dynamic linker refuses the
/// plugin in another one, because of the function that is referenced here.
pub(crate) fn host_fits() -> bool {
    // SAFETY: has no preconditions.
    !unsafe { css_host_symbol() }.is_null()
}

/// `cs_object_t`: an object's description for the translator.
#[repr(C)]
#[derive(Debug)]
pub struct ObjectOut {
    size: u64,
    etag: [c_char; 128],
    checksum: [c_char; 128],
}

const _: () = assert!(size_of::<StoreMethods>() == 5 * size_of::<usize>());
const _: () = assert!(size_of::<ObjectOut>() == 264);

impl ObjectOut {
    pub(crate) fn of(object: &Object) -> Self {
        Self {
            size: object.size,
            etag: characters(object.etag.as_deref().unwrap_or_default()),
            checksum: characters(&object.checksum.map(|c| c.to_string()).unwrap_or_default()),
        }
    }
}

/// `text` as a C string; empty if it does not fit, because a truncated etag would be another etag.
fn characters(text: &str) -> [c_char; 128] {
    let mut characters = [0; 128];
    if text.len() < characters.len() {
        for (to, from) in characters.iter_mut().zip(text.bytes()) {
            *to = c_char::from_ne_bytes([from]);
        }
    }
    characters
}

unsafe extern "C" {
    fn css_enter(this: *mut Xlator) -> *mut Xlator;
    fn css_log(
        this: *mut Xlator,
        file: *const c_char,
        function: *const c_char,
        line: i32,
        level: c_int,
        errnum: c_int,
        id: u64,
        text: *const c_char,
    );
    static css_host: u64;
    fn css_host_symbol() -> *const c_void;
    fn css_log_level() -> c_int;
    fn css_xlator_options(this: *mut Xlator) -> *mut Dict;
    fn css_options(
        options: *mut Dict,
        found: unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char),
        data: *mut c_void,
    );
    fn css_config(this: *mut Xlator) -> *mut c_void;
}

/// The translator, for the duration of one call from the host.
#[derive(Clone, Copy)]
pub(crate) struct Host(NonNull<Xlator>);

impl Host {
    /// # Safety
    /// `this` is a translator of the host that outlives the value.
    pub(crate) unsafe fn from_raw(this: *mut Xlator) -> Option<Self> {
        NonNull::new(this).map(Self)
    }

    /// Makes this the calling thread's translator until the guard is dropped. A thread that the host did not start has
    /// another one, which would corrupt the host's memory accounting.
    pub(crate) fn enter(self) -> Entered {
        // SAFETY: `from_raw`'s caller keeps the translator alive; C only stores the pointer.
        Entered(unsafe { css_enter(self.0.as_ptr()) })
    }

    /// Writes one line to the host's log, with the caller's source location.
    #[track_caller]
    pub(crate) fn log(self, about: About<'_>, text: &str) {
        let at = Location::caller();
        log(self.0.as_ptr(), about, (at.file(), at.line()), text);
    }

    /// The options with which the volume was started.
    pub(crate) fn options(self) -> Options {
        // SAFETY: `from_raw`'s caller keeps the translator and so its options alive.
        let dict = unsafe { css_xlator_options(self.0.as_ptr()) };
        // SAFETY: as above; the dictionary may be NULL, which C takes for an empty one.
        unsafe { options(dict) }
    }

    /// The configuration that `fop_init` returned for this translator.
    pub(crate) fn config(self) -> *mut c_void {
        // SAFETY: `from_raw`'s caller keeps the translator alive; a translator that calls plugins has a cs_private_t.
        unsafe { css_config(self.0.as_ptr()) }
    }
}

/// While it lives, the calling thread belongs to a translator. Not `Send`, because it holds a raw pointer.
#[must_use]
pub(crate) struct Entered(*mut Xlator);

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: the pointer is what the thread had before; the host never frees that one while its threads run.
        unsafe { css_enter(self.0) };
    }
}

/// Logs a panic of any thread in one line.
pub(crate) fn log_panic(file: &str, line: u32, text: &str) {
    let about = About {
        id: message::PLUGIN_BUG,
        level: Level::Critical,
        errno: 0,
        function: c"panic",
    };
    log(ptr::null_mut(), about, (file, line), text);
}

/// What a line of the log has beside its text.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    /// One of [`message`].
    pub(crate) id: u64,
    pub(crate) level: Level,
    /// 0 if there is none.
    pub(crate) errno: i32,
    pub(crate) function: &'a CStr,
}

fn log(this: *mut Xlator, about: About<'_>, (file, line): (&str, u32), text: &str) {
    let About {
        id,
        level,
        errno,
        function,
    } = about;
    let text = CString::new(text.replace('\0', "\\0")).unwrap_or_default();
    let file = CString::new(file).unwrap_or_default();
    let line = i32::try_from(line).unwrap_or(0);
    let (file, function, text) = (file.as_ptr(), function.as_ptr(), text.as_ptr());
    // SAFETY: all strings outlive the call, which copies them; `this` is NULL or alive as `Host` promises.
    unsafe { css_log(this, file, function, line, level as c_int, errno, id, text) };
}

/// Copies the text options of a dictionary.
///
/// # Safety
/// `dict` is NULL or a dictionary that does not change during the call.
pub(crate) unsafe fn options(dict: *mut Dict) -> Options {
    let mut pairs: Vec<(String, String)> = Vec::new();
    // SAFETY: the caller guarantees what `dict` is; `pairs` outlives the call and is what `found_option` expects.
    unsafe { css_options(dict, found_option, (&raw mut pairs).cast()) };
    pairs.into_iter().collect()
}

unsafe extern "C" fn found_option(data: *mut c_void, name: *const c_char, value: *const c_char) {
    let text = |string| {
        // SAFETY: C gives two strings of the dictionary, which live through the call.
        unsafe { CStr::from_ptr(string) }
            .to_string_lossy()
            .into_owned()
    };
    // SAFETY: `data` is the vector that `options` passed, and nobody else uses it meanwhile.
    let pairs = unsafe { &mut *data.cast::<Vec<(String, String)>>() };
    pairs.push((text(name), text(value)));
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checksum;

    #[test]
    fn an_object_for_c_has_whole_strings_or_none() {
        let object = |etag: String| Object {
            size: 7,
            etag: Some(etag),
            checksum: Checksum::parse("crc32:y/Q5Jg=="),
        };
        let text = |characters: &[c_char]| -> String {
            characters
                .iter()
                .take_while(|c| **c != 0)
                .map(|c| char::from(c.to_ne_bytes()[0]))
                .collect()
        };
        let out = ObjectOut::of(&object("\"one\"".to_owned()));
        assert_eq!((out.size, text(&out.etag).as_str()), (7, "\"one\""));
        assert_eq!(text(&out.checksum), "crc32:y/Q5Jg==");
        assert_eq!(
            text(&ObjectOut::of(&object("e".repeat(127))).etag).len(),
            127
        );
        assert_eq!(text(&ObjectOut::of(&object("e".repeat(128))).etag), "");
    }
}

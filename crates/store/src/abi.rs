// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The host as safe types. Declares what shim.h declares; the only place that calls C.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::acks::Acks;
use crate::writer::{Buffer, Volume};
use crate::{Level, Object, Options};

/// `xlator_t`.
#[repr(C)]
#[derive(Debug)]
pub struct Xlator([u8; 0]);
/// `call_frame_t`.
#[repr(C)]
#[derive(Debug)]
pub struct CallFrame([u8; 0]);
/// `dict_t`.
#[repr(C)]
#[derive(Debug)]
pub struct Dict([u8; 0]);
#[repr(C)]
struct IoBuf([u8; 0]);

/// `store_methods_t`.
#[repr(C)]
#[derive(Debug)]
pub struct StoreMethods {
    /// Brings an object into a file.
    pub fop_download: Option<unsafe extern "C" fn(*mut CallFrame, *mut c_void) -> c_int>,
    /// Reads a part of an object; may be NULL.
    pub fop_remote_read: Option<unsafe extern "C" fn(*mut CallFrame, *mut c_void) -> c_int>,
    /// Makes the configuration.
    pub fop_init: Option<unsafe extern "C" fn(*mut Xlator) -> *mut c_void>,
    /// Changes the configuration.
    pub fop_reconfigure: Option<unsafe extern "C" fn(*mut Xlator, *mut Dict) -> c_int>,
    /// Frees the configuration.
    pub fop_fini: Option<unsafe extern "C" fn(*mut c_void)>,
}

/// `store_methods_ext_t`.
#[repr(C)]
#[derive(Debug)]
pub struct StoreMethodsExt {
    /// Of this table, in bytes.
    pub size: usize,
    /// Describes an object.
    pub head: Option<
        unsafe extern "C" fn(*mut Xlator, *mut c_void, *const c_char, *mut ObjectOut) -> c_int,
    >,
}

/// `cs_object_t`.
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

/// `text` as a C string; empty when it does not fit, since half an etag is another etag.
fn characters(text: &str) -> [c_char; 128] {
    let mut characters = [0; 128];
    if text.len() < characters.len() {
        for (to, from) in characters.iter_mut().zip(text.bytes()) {
            *to = c_char::from_ne_bytes([from]);
        }
    }
    characters
}

/// `struct css_write`: what C knows of a write on its way.
#[repr(C)]
struct WriteHead {
    done: unsafe extern "C" fn(*mut Self, i32, i32),
}

/// A write on its way. Begins with its head, so that a pointer to the one is a pointer to the other.
#[repr(C)]
struct Write {
    head: WriteHead,
    size: usize,
    acks: Arc<Acks>,
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
        text: *const c_char,
    );
    fn css_xlator_options(this: *mut Xlator) -> *mut Dict;
    fn css_options(
        options: *mut Dict,
        found: unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char),
        data: *mut c_void,
    );
    fn css_config(this: *mut Xlator) -> *mut c_void;
    fn css_frame_xlator(frame: *mut CallFrame) -> *mut Xlator;
    fn css_frame_key(frame: *mut CallFrame) -> *const c_char;
    fn css_frame_version(frame: *mut CallFrame) -> *const c_char;
    fn css_frame_size(frame: *mut CallFrame) -> u64;
    fn css_frame_cancelled(frame: *mut CallFrame) -> c_int;
    fn css_frame_fail(frame: *mut CallFrame, op_errno: c_int);
    fn css_buffer_new(this: *mut Xlator, size: usize) -> *mut IoBuf;
    fn css_buffer_bytes(buffer: *mut IoBuf) -> *mut c_void;
    fn css_buffer_free(buffer: *mut IoBuf);
    fn css_frame_writev(
        frame: *mut CallFrame,
        buffer: *mut IoBuf,
        size: usize,
        offset: libc::off_t,
        write: *mut WriteHead,
    ) -> c_int;
}

/// The translator, for the time of one call from the host.
#[derive(Clone, Copy)]
pub(crate) struct Host(NonNull<Xlator>);

impl Host {
    /// # Safety
    /// `this` is a translator of the host that outlives the value.
    pub(crate) unsafe fn from_raw(this: *mut Xlator) -> Option<Self> {
        NonNull::new(this).map(Self)
    }

    /// Makes this the calling thread's translator until the guard is dropped. A thread that the host did not start
    /// has another one, and the host's accounting of memory would go wrong.
    pub(crate) fn enter(self) -> Entered {
        // SAFETY: `from_raw`'s caller keeps the translator alive; C only stores the pointer.
        Entered(unsafe { css_enter(self.0.as_ptr()) })
    }

    /// One line in the host's log, with the caller's place in the source.
    #[track_caller]
    pub(crate) fn log(self, level: Level, errno: i32, function: &CStr, text: &str) {
        let at = Location::caller();
        log(
            self.0.as_ptr(),
            level,
            errno,
            (at.file(), at.line()),
            function,
            text,
        );
    }

    /// The options that the volume was started with.
    pub(crate) fn options(self) -> Options {
        // SAFETY: `from_raw`'s caller keeps the translator and so its options alive.
        let dict = unsafe { css_xlator_options(self.0.as_ptr()) };
        // SAFETY: as above; the dictionary may be NULL, which C takes for an empty one.
        unsafe { options(dict) }
    }

    /// What `fop_init` returned for this translator.
    pub(crate) fn config(self) -> *mut c_void {
        // SAFETY: `from_raw`'s caller keeps the translator alive; a translator that calls plugins has a cs_private_t.
        unsafe { css_config(self.0.as_ptr()) }
    }
}

/// While it lives, the calling thread belongs to a translator. Not for other threads: holds a raw pointer.
#[must_use]
pub(crate) struct Entered(*mut Xlator);

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: the pointer is what the thread had before; the host never frees that one while its threads run.
        unsafe { css_enter(self.0) };
    }
}

/// One line in the log for a panic, from whatever thread it is on.
pub(crate) fn log_panic(file: &str, line: u32, text: &str) {
    log(
        ptr::null_mut(),
        Level::Critical,
        0,
        (file, line),
        c"panic",
        text,
    );
}

fn log(
    this: *mut Xlator,
    level: Level,
    errno: i32,
    (file, line): (&str, u32),
    function: &CStr,
    text: &str,
) {
    let text = CString::new(text.replace('\0', "\\0")).unwrap_or_default();
    let file = CString::new(file).unwrap_or_default();
    let line = i32::try_from(line).unwrap_or(0);
    let (file, function, text) = (file.as_ptr(), function.as_ptr(), text.as_ptr());
    // SAFETY: all strings outlive the call, which copies them; `this` is NULL or alive as `Host` promises.
    unsafe { css_log(this, file, function, line, level as c_int, errno, text) };
}

/// # Safety
/// `dict` is NULL or a dictionary that nobody changes during the call.
pub(crate) unsafe fn options(dict: *mut Dict) -> Options {
    let mut pairs: Vec<(String, String)> = Vec::new();
    // SAFETY: the caller vouches for `dict`; `pairs` outlives the call and is what `found_option` expects.
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

/// The frame of a recall.
pub(crate) struct Recall(NonNull<CallFrame>);

impl Recall {
    /// # Safety
    /// `frame` is what a translator passed to `fop_download`, used on the calling thread until that returns.
    pub(crate) unsafe fn from_raw(frame: *mut CallFrame) -> Option<Self> {
        NonNull::new(frame).map(Self)
    }

    /// The translator that asks.
    pub(crate) fn host(&self) -> Option<Host> {
        // SAFETY: `from_raw`'s caller keeps the frame alive, and the frame's translator outlives it.
        unsafe { Host::from_raw(css_frame_xlator(self.0.as_ptr())) }
    }

    /// The object's key.
    pub(crate) fn key(&self) -> Option<&CStr> {
        // SAFETY: `from_raw`'s caller keeps the frame alive, and with it the cs_local_t that it carries.
        let key = unsafe { css_frame_key(self.0.as_ptr()) };
        // SAFETY: it is a string of the cs_local_t, or NULL.
        unsafe { self.string(key) }
    }

    /// The version of the object that the file is, if it is known.
    pub(crate) fn version(&self) -> Option<&CStr> {
        // SAFETY: as in `key`.
        let version = unsafe { css_frame_version(self.0.as_ptr()) };
        // SAFETY: it is a string of the cs_local_t, or NULL.
        unsafe { self.string(version) }
    }

    /// # Safety
    /// `string` is NULL or lives as long as the frame.
    unsafe fn string(&self, string: *const c_char) -> Option<&CStr> {
        // SAFETY: the caller vouches for the string, which the borrow of `self` does not outlive.
        (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) })
    }

    /// The size that the file must get.
    pub(crate) fn size(&self) -> u64 {
        // SAFETY: as in `key`.
        unsafe { css_frame_size(self.0.as_ptr()) }
    }

    /// Sets the errno of the waiting operation.
    pub(crate) fn fail(&self, errno: i32) {
        // SAFETY: as in `key`.
        unsafe { css_frame_fail(self.0.as_ptr(), errno) };
    }
}

impl Volume for Recall {
    type Buffer = HostBuffer;

    fn buffer(&self, size: usize) -> Result<HostBuffer, i32> {
        let host = self.host().ok_or(libc::EINVAL)?;
        // SAFETY: the translator is alive and its ctx has a pool of buffers.
        let buffer = unsafe { css_buffer_new(host.0.as_ptr(), size) };
        NonNull::new(buffer)
            .map(|iobuf| HostBuffer { iobuf, size })
            .ok_or(libc::ENOMEM)
    }

    fn write(
        &self,
        buffer: HostBuffer,
        size: usize,
        offset: u64,
        acks: &Arc<Acks>,
    ) -> Result<(), i32> {
        let offset = libc::off_t::try_from(offset).map_err(|_| libc::EFBIG)?;
        let size = size.min(buffer.size);
        // The life of this pointer: C calls `written` with it once, which frees it; or C returns an error and it is ours.
        let write = Box::into_raw(Box::new(Write {
            head: WriteHead { done: written },
            size,
            acks: Arc::clone(acks),
        }));
        // SAFETY: `from_raw`'s caller keeps the frame alive; the buffer has `size` bytes, and C takes a reference of its own.
        let errno = unsafe {
            css_frame_writev(
                self.0.as_ptr(),
                buffer.iobuf.as_ptr(),
                size,
                offset,
                write.cast(),
            )
        };
        if errno != 0 {
            // SAFETY: an error says that C did not pass the pointer on.
            drop(unsafe { Box::from_raw(write) });
            return Err(errno);
        }
        Ok(())
    }

    fn cancelled(&self) -> bool {
        // SAFETY: as in `key`.
        (unsafe { css_frame_cancelled(self.0.as_ptr()) }) != 0
    }
}

unsafe extern "C" fn written(write: *mut WriteHead, op_ret: i32, op_errno: i32) {
    // SAFETY: `Recall::write` gave this box to C, which calls back once.
    let write = unsafe { Box::from_raw(write.cast::<Write>()) };
    write.acks.end(match usize::try_from(op_ret) {
        Ok(size) if size == write.size => Ok(()),
        // Half a write is no write: the file would have a hole.
        Ok(_) => Err(libc::EIO),
        Err(_) => Err(if op_errno > 0 { op_errno } else { libc::EIO }),
    });
}

/// An iobuf of the host that nobody else has yet.
pub(crate) struct HostBuffer {
    iobuf: NonNull<IoBuf>,
    size: usize,
}

impl Buffer for HostBuffer {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        assert!(
            at.checked_add(bytes.len())
                .is_some_and(|end| end <= self.size),
            "buffer too small"
        );
        // SAFETY: the reference that this value holds keeps the iobuf alive.
        let start = unsafe { css_buffer_bytes(self.iobuf.as_ptr()) }.cast::<u8>();
        // SAFETY: the iobuf has at least `size` bytes, and the assertion keeps `at` within them.
        let to = unsafe { start.add(at) };
        // SAFETY: there is room for `bytes` as asserted, nobody else uses the new iobuf, and it cannot overlap a slice.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        // SAFETY: gives back the reference that css_buffer_new returned.
        unsafe { css_buffer_free(self.iobuf.as_ptr()) };
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

/// The signals that stay with the threads that the host chose for them: all but those that a fault raises, and CONT.
/// As the host's own threads have it.
fn blocked_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the whole set.
    let mut set = unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGSYS,
        libc::SIGFPE,
        libc::SIGABRT,
        libc::SIGCONT,
    ] {
        // SAFETY: the set is initialised and the signal's number valid.
        unsafe { libc::sigdelset(&raw mut set, signal) };
    }
    set
}

/// Keeps the host's signals away from the calling thread. Every thread that a plugin starts calls this first.
pub fn block_signals() {
    let set = blocked_signals();
    // SAFETY: the set is initialised, and nobody asks for the old one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
}

/// Runs `start` with the host's signals blocked, so that the threads it starts never see one.
pub fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the set is the one that the thread had before.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut());
            };
        }
    }
    let (set, mut before) = (blocked_signals(), blocked_signals());
    // SAFETY: both sets are initialised; the call overwrites the second.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) };
    let _restore = Restore(before);
    start()
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

    #[test]
    fn signals_are_kept_away_only_while_threads_start() {
        let blocked = || {
            let mut set = blocked_signals();
            // SAFETY: with no new set, the call only fills in the old one.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut set) };
            // SAFETY: the set is initialised.
            (unsafe { libc::sigismember(&raw const set, libc::SIGTERM) }) == 1
        };
        let before = blocked();
        assert!(with_signals_blocked(blocked));
        assert_eq!(blocked(), before);
    }
}

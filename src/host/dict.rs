// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The host's dictionaries: extended attributes, the extra data of requests and answers, options.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::host::attributes::Attributes;
use crate::sys;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::gfid::Gfid;

/// A dictionary that somebody else keeps alive for `'a`.
#[derive(Clone, Copy, Debug)]
pub struct DictRef<'a> {
    raw: NonNull<sys::dict_t>,
    life: PhantomData<&'a sys::dict_t>,
}

impl DictRef<'_> {
    /// # Safety
    /// `raw` is NULL or a dictionary that lives for the handle's lifetime.
    pub(crate) unsafe fn from_raw(raw: *mut sys::dict_t) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self {
            raw,
            life: PhantomData,
        })
    }

    pub(crate) const fn as_ptr(self) -> *mut sys::dict_t {
        self.raw.as_ptr()
    }

    /// A whole number; numbers that came over the wire are text or binary, the host knows which.
    #[must_use]
    pub fn number(self, key: &CStr) -> Option<u64> {
        let mut value = 0;
        // SAFETY: live by the handle's lifetime; `value` is written on success only.
        let found = unsafe {
            sys::dict_get_uint64(self.raw.as_ptr(), key.as_ptr().cast_mut(), &raw mut value)
        };
        (found == 0).then_some(value)
    }

    /// The value's bytes, without the NUL that ends a string.
    #[must_use]
    pub fn bytes(self, key: &CStr) -> Option<Vec<u8>> {
        let mut data = ptr::null_mut();
        let mut length = 0;
        // SAFETY: live by the handle's lifetime; both out-parameters are written on success only.
        let found = unsafe {
            sys::dict_get_ptr_and_len(
                self.raw.as_ptr(),
                key.as_ptr().cast_mut(),
                &raw mut data,
                &raw mut length,
            )
        };
        let length = usize::try_from(length).ok()?;
        if found != 0 || data.is_null() {
            return None;
        }
        // SAFETY: the host says that the value has so many bytes; they are copied while the dictionary lives.
        let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) };
        Some(bytes.strip_suffix(&[0]).unwrap_or(bytes).to_vec())
    }

    /// The value as the identity of a file.
    #[must_use]
    pub fn gfid(self, key: &CStr) -> Option<Gfid> {
        let mut bytes = self.bytes(key)?;
        // It was taken for a NUL that ends a string.
        bytes.resize(self.length(key)?, 0);
        bytes.try_into().ok().map(Gfid)
    }

    /// How many bytes the value has.
    #[must_use]
    pub fn length(self, key: &CStr) -> Option<usize> {
        // SAFETY: live by the handle's lifetime.
        let data = unsafe { sys::dict_get(self.raw.as_ptr(), key.as_ptr().cast_mut()) };
        // SAFETY: NULL, or a value that lives as long as the dictionary holds it.
        unsafe { data.as_ref() }.and_then(|data| usize::try_from(data.len).ok())
    }

    /// The value as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(self, key: &CStr) -> Option<String> {
        self.bytes(key)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether there is a value.
    #[must_use]
    pub fn has(self, key: &CStr) -> bool {
        self.length(key).is_some()
    }

    /// Takes a value out.
    pub fn remove(self, key: &CStr) {
        // SAFETY: live; the host's dictionaries lock themselves.
        unsafe { sys::cs_shim_dict_remove(self.raw.as_ptr(), key.as_ptr()) };
    }

    /// Takes out every value whose key fits `pattern` (of fnmatch). Returns how many there were.
    pub fn remove_matching(self, pattern: &CStr) -> usize {
        // SAFETY: live; the host's own function takes each pair out, and its walk allows for that.
        let removed = unsafe {
            sys::dict_foreach_fnmatch(
                self.raw.as_ptr(),
                pattern.as_ptr().cast_mut(),
                Some(sys::dict_remove_foreach_fn),
                ptr::null_mut(),
            )
        };
        usize::try_from(removed).unwrap_or(0)
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(self) -> bool {
        // SAFETY: live; a number that its owner alone changes now.
        unsafe { (*self.raw.as_ptr()).count == 0 }
    }

    /// Sets `key` to a copy of `value`.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn set_bytes(self, key: &CStr, value: &[u8]) -> Result<(), Errno> {
        // SAFETY: live; the shim copies the value.
        let done = unsafe {
            sys::cs_shim_dict_set(
                self.as_ptr(),
                key.as_ptr(),
                value.as_ptr().cast(),
                value.len(),
            )
        };
        if done == 0 {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    /// Runs `change` on the file attributes that the value holds, if it holds some: in place.
    pub fn with_attributes(self, key: &CStr, change: impl FnOnce(&mut Attributes)) {
        // SAFETY: live by the handle's lifetime.
        let data = unsafe { sys::dict_get(self.raw.as_ptr(), key.as_ptr().cast_mut()) };
        // SAFETY: NULL, or a value that lives as long as the dictionary holds it.
        let Some(data) = (unsafe { data.as_ref() }) else {
            return;
        };
        let held = data.data.cast::<Attributes>();
        if usize::try_from(data.len) != Ok(size_of::<Attributes>()) || !held.is_aligned() {
            return;
        }
        // SAFETY: NULL or so many bytes as an iatt has, in which every bit pattern is one but for its type, which the
        // host has put there. The answer that the dictionary belongs to is ours: nobody else looks at it meanwhile.
        if let Some(attributes) = unsafe { held.as_mut() } {
            change(attributes);
        }
    }

    /// Sets `key` to something, the form of all request keys: nobody looks at what.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn ask(self, key: &CStr) -> Result<(), Errno> {
        // A text that lives for ever: the host would print a number into memory of its own first.
        const YES: &CStr = c"1";
        let length = i32::try_from(key.count_bytes()).map_err(|_| Errno::ENOMEM)?;
        // SAFETY: live; the key is copied, the value is never freed.
        let done = unsafe {
            sys::dict_set_nstrn(
                self.raw.as_ptr(),
                key.as_ptr().cast_mut(),
                length,
                YES.as_ptr().cast_mut(),
                1,
            )
        };
        if done == 0 {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }
}

/// A dictionary of ours.
#[derive(Debug)]
pub struct Dict(NonNull<sys::dict_t>);

impl Dict {
    /// An empty dictionary.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new() -> Result<Self, Errno> {
        // SAFETY: no precondition.
        NonNull::new(unsafe { sys::dict_new() })
            .map(Self)
            .ok_or(Errno::ENOMEM)
    }

    /// A dictionary with request keys.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn asking(keys: &[&CStr]) -> Result<Self, Errno> {
        let dict = Self::new()?;
        keys.iter().try_for_each(|key| dict.borrow().ask(key))?;
        Ok(dict)
    }

    /// # Safety
    /// `raw` is NULL or a dictionary whose reference becomes ours.
    pub(crate) unsafe fn from_raw(raw: *mut sys::dict_t) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    /// Sets `key` to a text, without a NUL at its end: what ends up in an attribute is the text.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn set_text(&self, key: &CStr, value: &str) -> Result<(), Errno> {
        self.borrow().set_bytes(key, value.as_bytes())
    }

    /// Sets `key` to 1 as a number of one byte, which is another type than [`DictRef::ask`]'s.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn set_flag(&self, key: &CStr) -> Result<(), Errno> {
        // SAFETY: the dictionary is ours; the value is copied.
        let done = unsafe { sys::dict_set_int8(self.as_ptr(), key.as_ptr().cast_mut(), 1) };
        if done == 0 {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    /// Sets `key` to a file's attributes.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn set_attributes(&self, key: &CStr, value: &Attributes) -> Result<(), Errno> {
        // SAFETY: the dictionary is ours; the shim copies the value.
        let done =
            unsafe { sys::cs_shim_dict_set_iatt(self.as_ptr(), key.as_ptr(), &raw const value.0) };
        if done == 0 {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    /// To read from.
    #[must_use]
    pub fn borrow(&self) -> DictRef<'_> {
        DictRef {
            raw: self.0,
            life: PhantomData,
        }
    }

    pub(crate) const fn as_ptr(&self) -> *mut sys::dict_t {
        self.0.as_ptr()
    }

    /// Gives the reference away.
    pub(crate) fn into_raw(self) -> *mut sys::dict_t {
        let raw = self.as_ptr();
        // The reference goes with the pointer; `forget` is denied, so the drop is disarmed this way.
        let _ = std::mem::ManuallyDrop::new(self);
        raw
    }
}

impl Drop for Dict {
    fn drop(&mut self) {
        // SAFETY: our reference, given back once.
        unsafe { sys::dict_unref(self.as_ptr()) };
    }
}

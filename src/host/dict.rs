// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Wraps the host's dictionaries, which hold extended attributes, the xdata of requests and answers, and options.

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::host::attributes::Attributes;
use crate::sys;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::gfid::Gfid;

/// A borrowed dictionary, live for `'a`.
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

    /// The value as an unsigned integer. Over the wire, numbers arrive as text or binary; the host converts them.
    #[must_use]
    pub fn number(self, key: &CStr) -> Option<u64> {
        let mut value = 0;
        // SAFETY: live by the handle's lifetime; `value` is written on success only.
        let found = unsafe {
            sys::dict_get_uint64(self.raw.as_ptr(), key.as_ptr().cast_mut(), &raw mut value)
        };
        (found == 0).then_some(value)
    }

    /// The value's bytes, without a final NUL.
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
        // SAFETY: the value has `length` bytes according to the host; they are copied while the dictionary is live.
        let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) };
        Some(bytes.strip_suffix(&[0]).unwrap_or(bytes).to_vec())
    }

    /// All of the value's bytes.
    #[must_use]
    pub fn exact_bytes(self, key: &CStr) -> Option<Vec<u8>> {
        let mut bytes = self.bytes(key)?;
        // A final zero byte was removed as if it ended a string.
        bytes.resize(self.length(key)?, 0);
        Some(bytes)
    }

    /// The value as a gfid.
    #[must_use]
    pub fn gfid(self, key: &CStr) -> Option<Gfid> {
        self.exact_bytes(key)?.try_into().ok().map(Gfid)
    }

    /// The value's length in bytes.
    #[must_use]
    pub fn length(self, key: &CStr) -> Option<usize> {
        // SAFETY: live by the handle's lifetime.
        let data = unsafe { sys::dict_get(self.raw.as_ptr(), key.as_ptr().cast_mut()) };
        // SAFETY: NULL, or a value that lives as long as the dictionary holds it.
        unsafe { data.as_ref() }.and_then(|data| usize::try_from(data.len).ok())
    }

    /// The value as text; invalid UTF-8 is replaced.
    #[must_use]
    pub fn text(self, key: &CStr) -> Option<String> {
        self.bytes(key)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether the key is present.
    #[must_use]
    pub fn has(self, key: &CStr) -> bool {
        self.length(key).is_some()
    }

    /// Removes a key.
    pub fn remove(self, key: &CStr) {
        // SAFETY: live; the host's dictionaries lock themselves.
        unsafe { sys::cs_shim_dict_remove(self.raw.as_ptr(), key.as_ptr()) };
    }

    /// Removes every key that matches `pattern` (as fnmatch does). Returns how many there were.
    pub fn remove_matching(self, pattern: &CStr) -> usize {
        // SAFETY: live; the host's own function removes each pair, which the host's iteration permits.
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

    /// Takes a reference of its own.
    #[must_use]
    pub fn keep(self) -> Dict {
        // SAFETY: live; the reference is the handle's.
        unsafe { sys::dict_ref(self.as_ptr()) };
        Dict(self.raw)
    }

    /// Another dictionary with the same keys and values.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn copy(self) -> Result<Dict, Errno> {
        // SAFETY: live; the host creates the copy, whose reference is the handle's.
        let copy = unsafe { sys::dict_copy_with_ref(self.as_ptr(), ptr::null_mut()) };
        NonNull::new(copy).map(Dict).ok_or(Errno::ENOMEM)
    }

    /// Whether both have the same keys with the same values.
    #[must_use]
    pub fn equals(self, other: DictRef<'_>) -> bool {
        // SAFETY: both are live.
        unsafe { sys::cs_shim_dict_equals(self.as_ptr(), other.as_ptr()) != 0 }
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(self) -> bool {
        // SAFETY: live; only the dictionary's owner changes the number.
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

    /// Changes the file attributes in the value in place, if it holds any.
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
        // SAFETY: NULL or as many bytes as an iatt. Every bit pattern is valid for it except in the type, which the
        // host has written. The dictionary is part of an answer that only we use now.
        if let Some(attributes) = unsafe { held.as_mut() } {
            change(attributes);
        }
    }

    /// Adds a request key. Its value is ignored by the bricks.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn ask(self, key: &CStr) -> Result<(), Errno> {
        // A static string, because for a number the host would allocate memory.
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

/// An owned reference to a dictionary.
#[derive(Debug)]
pub struct Dict(NonNull<sys::dict_t>);

impl Dict {
    /// Creates an empty dictionary.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new() -> Result<Self, Errno> {
        // SAFETY: no precondition.
        NonNull::new(unsafe { sys::dict_new() })
            .map(Self)
            .ok_or(Errno::ENOMEM)
    }

    /// Creates a dictionary with request keys.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn asking(keys: &[&CStr]) -> Result<Self, Errno> {
        let dict = Self::new()?;
        keys.iter().try_for_each(|key| dict.borrow().ask(key))?;
        Ok(dict)
    }

    /// # Safety
    /// `raw` is NULL or a reference to a dictionary, which is transferred to the handle.
    pub(crate) unsafe fn from_raw(raw: *mut sys::dict_t) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    /// Sets `key` to a text without a final NUL, as it is to be stored in an extended attribute.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn set_text(&self, key: &CStr, value: &str) -> Result<(), Errno> {
        self.borrow().set_bytes(key, value.as_bytes())
    }

    /// Sets `key` to a text as the host's options are: as a C string.
    ///
    /// # Errors
    /// ENOMEM; EINVAL if the text has a NUL.
    pub fn set_option(&self, key: &CStr, value: &str) -> Result<(), Errno> {
        let value = CString::new(value).map_err(|_| Errno::EINVAL)?;
        let (key, value) = (key.as_ptr().cast_mut(), value.as_ptr());
        // SAFETY: the dictionary is ours; the host copies key and value.
        let done = unsafe { sys::dict_set_dynstr_with_alloc(self.as_ptr(), key, value) };
        if done == 0 {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    /// Sets `key` to 1 as a one-byte integer, unlike [`DictRef::ask`], which sets a string.
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

    /// Returns a borrowed handle.
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

    /// Transfers the reference to the caller.
    pub(crate) fn into_raw(self) -> *mut sys::dict_t {
        let raw = self.as_ptr();
        // Prevents the drop: the caller now owns the reference. (`mem::forget` is denied by our lints.)
        let _ = std::mem::ManuallyDrop::new(self);
        raw
    }
}

impl Drop for Dict {
    fn drop(&mut self) {
        // SAFETY: releases our reference, once.
        unsafe { sys::dict_unref(self.as_ptr()) };
    }
}

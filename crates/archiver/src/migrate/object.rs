// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An object in one store as the source of an upload to another.

use std::io;
use std::sync::Mutex;
use std::thread;

use cloudsync_store::{Archive, Object, Sink, Source, StoreError};

use crate::interrupt::interrupted;
use crate::parallel::lock;

/// The object. Each read is a request: uploads read whole parts.
pub(super) struct Elsewhere<'a> {
    store: &'a dyn Archive,
    key: &'a str,
    object: &'a Object,
    /// The store's error, which an upload knows only as text.
    failed: Mutex<Option<StoreError>>,
}

impl<'a> Elsewhere<'a> {
    pub(super) fn new(store: &'a dyn Archive, key: &'a str, object: &'a Object) -> Self {
        Self {
            store,
            key,
            object,
            failed: Mutex::default(),
        }
    }

    /// Why the object could not be read, if that failed.
    pub(super) fn failure(&self) -> Option<StoreError> {
        lock(&self.failed).take()
    }
}

impl Source for Elsewhere<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let range = offset..offset + buffer.len() as u64;
        let mut filling = Filling { left: buffer };
        // An upload reads on a thread that drives its requests; on that, another store's cannot be waited for.
        let fetched = thread::scope(|scope| {
            let fetch = || self.store.fetch(self.key, self.object, range, &mut filling);
            let fetched = scope.spawn(fetch).join();
            fetched.unwrap_or_else(|_| Err(StoreError::Other("a thread has panicked".to_owned())))
        });
        match fetched {
            Ok(()) if filling.left.is_empty() => Ok(()),
            Ok(()) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => {
                let text = error.to_string();
                lock(&self.failed).get_or_insert(error);
                Err(io::Error::other(text))
            }
        }
    }
}

/// A buffer that is being filled.
struct Filling<'a> {
    left: &'a mut [u8],
}

impl Sink for Filling<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let left = std::mem::take(&mut self.left);
        let Some((now, rest)) = left.split_at_mut_checked(bytes.len()) else {
            let why = "the store sends more bytes than were asked for";
            return Err(StoreError::Corrupt(why.to_owned()));
        };
        now.copy_from_slice(bytes);
        self.left = rest;
        Ok(())
    }

    fn cancelled(&self) -> bool {
        interrupted()
    }

    /// The administrator asks for that, with `cloudsync restore`.
    fn may_restore(&mut self) -> bool {
        false
    }
}

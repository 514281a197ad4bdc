// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An object in one store as the source of an upload to another.

use std::io;
use std::sync::Mutex;
use std::thread;

use cloudsync_store::{Archive, Object, Sink, Source, StoreError};

use crate::interrupt::interrupted;
use crate::parallel::lock;

/// What is fetched at once, for a reader of less.
const PIECE: usize = 4 << 20;

/// The object.
pub(super) struct Elsewhere<'a> {
    store: &'a dyn Archive,
    key: &'a str,
    object: &'a Object,
    /// The piece that was fetched last, and where it begins.
    piece: Mutex<(u64, Vec<u8>)>,
    /// The store's error, which an upload knows only as text.
    failed: Mutex<Option<StoreError>>,
}

impl<'a> Elsewhere<'a> {
    pub(super) fn new(store: &'a dyn Archive, key: &'a str, object: &'a Object) -> Self {
        Self {
            store,
            key,
            object,
            piece: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Why the object could not be read, if that failed.
    pub(super) fn failure(&self) -> Option<StoreError> {
        lock(&self.failed).take()
    }

    fn fetch(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let range = offset..offset + buffer.len() as u64;
        let mut filling = Filling { left: buffer };
        // An upload reads on a thread that drives its requests; on that, another store's cannot be waited for.
        let fetched = thread::scope(|scope| {
            let fetch = || self.store.fetch(self.key, self.object, range, &mut filling);
            let fetched = thread::Builder::new().spawn_scoped(scope, fetch)?.join();
            let panicked = || StoreError::Other("a thread has panicked".to_owned());
            io::Result::Ok(fetched.unwrap_or_else(|_| Err(panicked())))
        });
        match fetched? {
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

impl Source for Elsewhere<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if buffer.len() >= PIECE {
            return self.fetch(buffer, offset);
        }
        let mut piece = lock(&self.piece);
        let (mut buffer, mut offset) = (buffer, offset);
        while !buffer.is_empty() {
            let begin = offset / PIECE as u64 * PIECE as u64;
            if piece.0 != begin || piece.1.is_empty() {
                let left = self.object.size.saturating_sub(begin);
                let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                let mut bytes = std::mem::take(&mut piece.1);
                bytes.resize(size, 0);
                self.fetch(&mut bytes, begin)?;
                *piece = (begin, bytes);
            }
            let at = usize::try_from(offset - begin).map_err(io::Error::other)?;
            let there = piece.1.get(at..).filter(|there| !there.is_empty());
            let there = there.ok_or(io::ErrorKind::UnexpectedEof)?;
            let count = there.len().min(buffer.len());
            let (now, rest) = buffer.split_at_mut(count);
            now.copy_from_slice(&there[..count]);
            (buffer, offset) = (rest, offset + count as u64);
        }
        Ok(())
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

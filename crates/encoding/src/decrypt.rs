// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Decrypts a file of age, given piece by piece, from its beginning or from one of its chunks.
//!
//! The format (age-encryption.org/v1): a header, which ends with the line `--- MAC` and has the file's key for each
//! recipient; 16 bytes; then chunks of [`CHUNK`] bytes, encrypted one by one. The crate reads from something that can seek;
//! here the bytes arrive, so it reads from a window that holds one chunk at a time.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use age::stream::StreamReader;
use age::{DecryptError, Decryptor, Identity};
use cloudsync_store::StoreError;

use crate::keys::Identities;
use crate::step::{Next, Stop};

/// Plain bytes of a chunk; the last one may have fewer.
pub(crate) const CHUNK: u64 = 64 << 10;
/// A chunk as it is stored.
pub(crate) const STORED_CHUNK: u64 = CHUNK + TAG;
/// What authenticates a chunk.
pub(crate) const TAG: u64 = 16;

/// The longest header that is looked for: of several hundred recipients.
pub(crate) const LONGEST_HEADER: usize = 64 << 10;
const NONCE: usize = 16;

/// The length of the header and the nonce behind it; `None` if the bytes end before that is known.
pub(crate) fn header_length(bytes: &[u8]) -> Option<usize> {
    const LAST_LINE: &[u8] = b"\n--- ";
    let found = |pattern: &[u8], from: usize| {
        let rest = bytes.get(from..)?;
        let at = rest
            .windows(pattern.len())
            .position(|part| part == pattern)?;
        Some(from + at + pattern.len())
    };
    let end = found(b"\n", found(LAST_LINE, 0)?)? + NONCE;
    (end <= bytes.len()).then_some(end)
}

/// What the crate reads: the header, and one chunk.
#[derive(Debug, Default)]
struct Window {
    header: Vec<u8>,
    chunk: Vec<u8>,
    /// Where the chunk begins in the object.
    chunk_at: u64,
    /// Where the crate reads next.
    at: u64,
}

#[derive(Clone, Debug, Default)]
struct Shared(Rc<RefCell<Window>>);

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut window = self.0.borrow_mut();
        let (bytes, begin) = match window.at < window.header.len() as u64 {
            true => (&window.header, 0),
            false => (&window.chunk, window.chunk_at),
        };
        let skip = window.at.checked_sub(begin).map(usize::try_from);
        let Some(Ok(skip)) = skip else { return Ok(0) };
        let part = bytes.get(skip..).unwrap_or_default();
        let length = part.len().min(buffer.len());
        buffer[..length].copy_from_slice(&part[..length]);
        window.at += length as u64;
        Ok(length)
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut window = self.0.borrow_mut();
        match to {
            SeekFrom::Start(at) => window.at = at,
            SeekFrom::Current(0) => {}
            // The end is not here.
            SeekFrom::Current(_) | SeekFrom::End(_) => {
                return Err(io::ErrorKind::Unsupported.into());
            }
        }
        Ok(window.at)
    }
}

/// The state of the decryption.
pub(crate) struct Decrypt<'a> {
    identities: &'a Identities,
    window: Shared,
    reader: Option<StreamReader<Shared>>,
    /// The chunk to begin with.
    first: u64,
    /// The reader must be sent to it.
    seek: bool,
    piece: Box<[u8]>,
}

impl fmt::Debug for Decrypt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypt").finish_non_exhaustive()
    }
}

impl<'a> Decrypt<'a> {
    /// Decrypts an object from its beginning.
    pub(crate) fn whole(identities: &'a Identities) -> Self {
        Self {
            identities,
            window: Shared::default(),
            reader: None,
            first: 0,
            seek: false,
            piece: vec![0; usize::try_from(CHUNK).unwrap_or(0)].into(),
        }
    }

    /// Decrypts an object whose header is known, from a chunk on.
    pub(crate) fn from_chunk(
        identities: &'a Identities,
        header: &[u8],
        first: u64,
    ) -> Result<Self, StoreError> {
        let mut decrypt = Self {
            first,
            seek: first > 0,
            ..Self::whole(identities)
        };
        decrypt.open(header.to_vec())?;
        Ok(decrypt)
    }

    /// Finds the object's key with one of the identities.
    fn open(&mut self, header: Vec<u8>) -> Result<(), StoreError> {
        let begin = header.len() as u64;
        {
            let mut window = self.window.0.borrow_mut();
            window.header = header;
            window.chunk_at = begin + self.first * STORED_CHUNK;
        }
        let identities = self.identities.iter().map(|one| &**one as &dyn Identity);
        let decryptor = Decryptor::new(self.window.clone()).map_err(refused)?;
        self.reader = Some(decryptor.decrypt(identities).map_err(refused)?);
        Ok(())
    }

    /// Takes the next bytes and passes on what they are when they are decrypted.
    pub(crate) fn push(&mut self, mut bytes: &[u8], next: &mut Next<'_>) -> Result<(), Stop> {
        if self.reader.is_none() {
            let mut window = self.window.0.borrow_mut();
            let before = window.header.len();
            window.header.extend_from_slice(bytes);
            let Some(length) = header_length(&window.header) else {
                return match window.header.len() > LONGEST_HEADER {
                    true => Err(damaged("it has no header of age").into()),
                    false => Ok(()),
                };
            };
            // The end of the header is within these bytes, or it would have been found before.
            bytes = &bytes[length.saturating_sub(before)..];
            window.header.truncate(length);
            let header = std::mem::take(&mut window.header);
            drop(window);
            self.open(header)?;
        }
        while !bytes.is_empty() {
            let full = {
                let chunk = &mut self.window.0.borrow_mut().chunk;
                let room = usize::try_from(STORED_CHUNK).unwrap_or(0) - chunk.len();
                let (now, later) = bytes.split_at(room.min(bytes.len()));
                chunk.extend_from_slice(now);
                bytes = later;
                room == now.len()
            };
            if full {
                self.decrypt(next)?;
            }
        }
        Ok(())
    }

    /// Passes on the last chunk, if it is a short one.
    pub(crate) fn finish(&mut self, next: &mut Next<'_>) -> Result<(), Stop> {
        if self.reader.is_none() {
            return Err(damaged("it ends within its header").into());
        }
        let short = !self.window.0.borrow().chunk.is_empty();
        if short { self.decrypt(next) } else { Ok(()) }
    }

    /// Decrypts the chunk in the window.
    fn decrypt(&mut self, next: &mut Next<'_>) -> Result<(), Stop> {
        let failed = |error: io::Error| damaged(&format!("it cannot be decrypted: {error}"));
        let Some(reader) = &mut self.reader else {
            return Err(damaged("it has no header").into());
        };
        let length = self.window.0.borrow().chunk.len() as u64;
        let mut left = length
            .checked_sub(TAG)
            .ok_or_else(|| damaged("it ends within a chunk"))?;
        if std::mem::take(&mut self.seek) {
            // To the chunk's second byte first, and then back: on its way to the first byte of a chunk the crate looks at
            // the object's end, which is not here.
            let at = self.first * CHUNK;
            reader.seek(SeekFrom::Start(at + 1)).map_err(failed)?;
            reader.seek(SeekFrom::Start(at)).map_err(failed)?;
        }
        while left > 0 {
            let got = reader.read(&mut self.piece).map_err(failed)?;
            if got == 0 {
                return Err(damaged("it ends within a chunk").into());
            }
            left = left.saturating_sub(got as u64);
            next(&self.piece[..got])?;
        }
        let mut window = self.window.0.borrow_mut();
        window.chunk.clear();
        window.chunk_at += STORED_CHUNK;
        Ok(())
    }
}

fn damaged(why: &str) -> StoreError {
    StoreError::Corrupt(why.to_owned())
}

fn refused(error: DecryptError) -> StoreError {
    match error {
        DecryptError::NoMatchingKeys => {
            StoreError::Encrypted("it is for other recipients than those in identity=".to_owned())
        }
        other => damaged(&format!("it cannot be decrypted: {other}")),
    }
}

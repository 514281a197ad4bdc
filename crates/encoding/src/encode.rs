// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Makes an object of a file: decides whether it is worth compressing, compresses and encrypts it.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;

use age::stream::StreamWriter;
use age::{Encryptor, Recipient};
use cloudsync_store::{Source, StoreError, Upload};
use zeekstd::{EncodeOptions, Encoder, FrameSizePolicy};
use zstd_safe::{CCtx, CParameter, get_error_name};

use crate::keys::Recipients;
use crate::spool::{Spool, Spooled};

/// Plain bytes of a compressed frame: to read any byte of the file, all of its frame is fetched. A file of age has a block of
/// 64 KiB for that; more compresses better.
pub(crate) const FRAME: u32 = 1 << 20;
/// The file is read in pieces of this size.
const PIECE: usize = 1 << 20;
/// A file is compressed if its first [`PIECE`] shrinks to this many hundredths, or to less.
const WORTH: usize = 90;

/// Whether compressing the file would save at least a tenth, by a trial of its beginning.
pub(crate) fn is_worth_compressing(upload: &Upload<'_>, level: i32) -> Result<bool, StoreError> {
    let length = usize::try_from(upload.size).map_or(PIECE, |size| size.min(PIECE));
    let mut first = vec![0; length];
    read(upload, &mut first, 0)?;
    let mut sample = Vec::new();
    let mut encoder = frames(&mut sample, level)?;
    encoder.write_all(&first).map_err(|error| failed(&error))?;
    encoder.finish().map_err(of_zstd)?;
    Ok(sample.len() * 100 <= length * WORTH)
}

/// Encodes the file: compressed with `level`, encrypted for `recipients`.
///
/// # Errors
/// [`StoreError::Corrupt`] if the file's bytes are not those of the upload's checksum: it has changed.
pub(crate) fn encode(
    upload: &Upload<'_>,
    level: Option<i32>,
    recipients: Option<&Recipients>,
) -> Result<Spooled, StoreError> {
    let full = Rc::default();
    encode_to(To::new(recipients, &full)?, upload, level).map_err(|error| match error {
        // A run stops: the next file would not find any room, either.
        StoreError::Source(text) if full.get() => StoreError::Settings(text),
        error => error,
    })
}

fn encode_to(mut to: To, upload: &Upload<'_>, level: Option<i32>) -> Result<Spooled, StoreError> {
    match level {
        None => copy(upload, &mut to)?,
        Some(level) => {
            let mut encoder = frames(&mut to, level)?;
            copy(upload, &mut encoder)?;
            encoder.finish().map_err(of_zstd)?;
        }
    }
    to.finish().map_err(|error| failed(&error))
}

/// Compresses what is written into frames, and writes the table of them at the end. A larger window than a frame would be
/// memory for nothing, here and where it is decompressed.
fn frames<W: Write>(to: W, level: i32) -> Result<Encoder<'static, W>, StoreError> {
    let mut context = CCtx::create();
    let window = context.set_parameter(CParameter::WindowLog(FRAME.ilog2()));
    window.map_err(|code| failed(&io::Error::other(get_error_name(code))))?;
    let options = EncodeOptions::with_cctx(context)
        .frame_size_policy(FrameSizePolicy::Uncompressed(FRAME))
        .checksum_flag(true)
        .compression_level(level);
    Encoder::with_opts(to, options).map_err(of_zstd)
}

/// Writes the file's bytes, and compares their checksum.
fn copy(upload: &Upload<'_>, to: &mut dyn Write) -> Result<(), StoreError> {
    let mut sum = upload.checksum.verify();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < upload.size {
        let length = usize::try_from(upload.size - at).map_or(PIECE, |left| left.min(PIECE));
        let bytes = &mut piece[..length];
        read(upload, bytes, at)?;
        sum.update(bytes);
        to.write_all(bytes).map_err(|error| failed(&error))?;
        at += length as u64;
    }
    sum.finish()
        .map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn read(upload: &Upload<'_>, bytes: &mut [u8], at: u64) -> Result<(), StoreError> {
    let source: &dyn Source = upload.source;
    let done = source.read_exact_at(bytes, at);
    done.map_err(|error| StoreError::Source(error.to_string()))
}

/// Where the object's bytes go.
enum To {
    Spool(Spool),
    Age(StreamWriter<Spool>),
}

impl To {
    fn new(recipients: Option<&Recipients>, full: &Rc<Cell<bool>>) -> Result<Self, StoreError> {
        let Some(recipients) = recipients else {
            return Ok(Self::Spool(Spool::new(full)));
        };
        let recipients = recipients.iter().map(|one| one as &dyn Recipient);
        let encryptor = Encryptor::with_recipients(recipients);
        let encryptor = encryptor.map_err(|error| {
            StoreError::Settings(format!("the recipients of encrypt=: {error}"))
        })?;
        let writer = encryptor.wrap_output(Spool::new(full));
        writer.map(Self::Age).map_err(|error| failed(&error))
    }

    fn finish(self) -> io::Result<Spooled> {
        match self {
            Self::Spool(spool) => spool.finish(),
            Self::Age(writer) => writer.finish()?.finish(),
        }
    }
}

impl Write for To {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Spool(spool) => spool.write(bytes),
            Self::Age(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Spool(spool) => spool.flush(),
            Self::Age(writer) => writer.flush(),
        }
    }
}

fn of_zstd(error: zeekstd::Error) -> StoreError {
    failed(&io::Error::other(error))
}

/// The error of writing or reading the temporary file.
pub(crate) fn failed(error: &io::Error) -> StoreError {
    let folder = std::env::temp_dir();
    let text = format!(
        "it cannot be encoded in a temporary file in {} (TMPDIR): {error}",
        folder.display()
    );
    StoreError::Source(text)
}

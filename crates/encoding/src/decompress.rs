// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Decompresses frames of Zstandard, given piece by piece. The table at an object's end is a frame that decompresses to
//! nothing.

use std::fmt;

use cloudsync_store::StoreError;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use crate::step::{Next, Stop};

/// Plain bytes are passed on in pieces of this size.
const PIECE: usize = 128 << 10;
/// The binary logarithm of the largest window, which is memory that each read takes: eight times ours. A damaged object, or
/// somebody else's, may ask for more.
const LARGEST_WINDOW: u32 = 23;

/// The state of the decompression.
pub(crate) struct Decompress {
    context: DCtx<'static>,
    piece: Box<[u8]>,
}

impl fmt::Debug for Decompress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompress").finish_non_exhaustive()
    }
}

impl Decompress {
    /// Begins at the begin of a frame.
    pub(crate) fn new() -> Self {
        let mut context = DCtx::create();
        // It is a number that the library knows.
        let _set = context.set_parameter(DParameter::WindowLogMax(LARGEST_WINDOW));
        Self {
            context,
            piece: vec![0; PIECE].into(),
        }
    }

    /// Takes the next bytes and passes on what they decompress to.
    pub(crate) fn push(&mut self, bytes: &[u8], next: &mut Next<'_>) -> Result<(), Stop> {
        let mut from = InBuffer::around(bytes);
        loop {
            let mut to = OutBuffer::around(&mut *self.piece);
            self.context
                .decompress_stream(&mut to, &mut from)
                .map_err(|code| {
                    let why = get_error_name(code);
                    StoreError::Corrupt(format!("it cannot be decompressed: {why}"))
                })?;
            let (passed, full) = (to.pos(), to.pos() == PIECE);
            next(&self.piece[..passed])?;
            // A full piece may leave some of its frame inside the context.
            if from.pos() == bytes.len() && !full {
                return Ok(());
            }
        }
    }
}

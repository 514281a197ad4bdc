// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What an object's bytes go through on their way to the sink: decrypted, cut, decompressed, cut.

use cloudsync_format::encoding::Encoding;
use cloudsync_store::{Object, Sink, StoreError};

use crate::decompress::Decompress;
use crate::decrypt::Decrypt;
use crate::index::Plan;
use crate::keys::Identities;
use crate::step::{Cut, Stop};

/// The steps, and the sink behind them.
pub(crate) struct Pipe<'a> {
    decrypt: Option<Decrypt<'a>>,
    /// Of the compressed bytes; everything if the whole object is read.
    compressed: Cut,
    decompress: Option<Decompress>,
    plain: Cut,
    sink: &'a mut dyn Sink,
    /// The sink has everything: what follows need not be decoded.
    done: bool,
}

impl std::fmt::Debug for Pipe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipe")
            .field("plain", &self.plain)
            .finish_non_exhaustive()
    }
}

impl<'a> Pipe<'a> {
    /// For the bytes of a plan. `identities`: if the object is encrypted. `header`: of age, if the plan does not begin with
    /// it.
    ///
    /// # Errors
    /// [`StoreError::Encrypted`] if no identity is of the header's recipients.
    pub(crate) fn new(
        encoding: Encoding,
        identities: Option<&'a Identities>,
        header: Option<&[u8]>,
        plan: &Plan,
        sink: &'a mut dyn Sink,
    ) -> Result<Self, StoreError> {
        let decrypt = identities.map(|identities| match header {
            Some(header) => Decrypt::from_chunk(identities, header, plan.chunk),
            None => Ok(Decrypt::whole(identities)),
        });
        Ok(Self {
            decrypt: decrypt.transpose()?,
            compressed: plan.compressed,
            decompress: encoding.zstd.then(Decompress::new),
            plain: plan.plain,
            sink,
            done: false,
        })
    }

    /// Gives `bytes` to the first step, or has it pass on what it holds if there are no more.
    fn push(&mut self, bytes: Option<&[u8]>) -> Result<(), StoreError> {
        if self.done {
            return Ok(());
        }
        let Self {
            decrypt,
            compressed,
            decompress,
            plain,
            sink,
            ..
        } = self;
        let mut to_sink = |bytes: &[u8]| {
            match plain.of(bytes) {
                [] if sink.cancelled() => return Err(StoreError::Cancelled.into()),
                [] => {}
                wanted => sink.write(wanted)?,
            }
            match plain.take {
                0 => Err(Stop::Enough),
                _ => Ok(()),
            }
        };
        let mut after_decrypt = |bytes: &[u8]| {
            let bytes = compressed.of(bytes);
            match decompress {
                Some(decompress) => decompress.push(bytes, &mut to_sink),
                None => to_sink(bytes),
            }
        };
        let pushed = match (decrypt, bytes) {
            (Some(decrypt), Some(bytes)) => decrypt.push(bytes, &mut after_decrypt),
            (Some(decrypt), None) => decrypt.finish(&mut after_decrypt),
            (None, Some(bytes)) => after_decrypt(bytes),
            (None, None) => Ok(()),
        };
        match pushed {
            Ok(()) => Ok(()),
            Err(Stop::Enough) => {
                self.done = true;
                Ok(())
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// The object's bytes have all been written.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        self.push(None)?;
        match self.plain.take {
            0 => Ok(()),
            left => Err(StoreError::Corrupt(format!(
                "{left} of its bytes are missing after it was decoded"
            ))),
        }
    }
}

impl Sink for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.push(Some(bytes))
    }

    fn cancelled(&self) -> bool {
        self.sink.cancelled()
    }

    /// What the inner store says is of the encoded object, and of no use to the sink.
    fn describe(&mut self, _: &Object) {}

    fn throttled(&mut self) {
        self.sink.throttled();
    }

    fn may_restore(&mut self) -> bool {
        self.sink.may_restore()
    }

    fn waits(&mut self, begins: bool) -> bool {
        self.sink.waits(begins)
    }
}

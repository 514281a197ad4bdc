// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Gathers the writes of a plugin of the stock ABI, which writes what its HTTP library hands it, some 16 KiB at a time. The
//! bricks need almost as long for such a write as for one of a whole chunk.

#![forbid(unsafe_code)]

use crate::errno::Errno;
use crate::host::{Buffer as _, Host};
use crate::objects::chunk::Chunk;
use crate::objects::limits::{LIMITS, Lease};

/// Bytes that are to be written, and where.
pub type Piece<H> = (u64, Chunk<<H as Host>::Buffer>);

/// The bytes of writes that follow each other.
#[derive(Debug)]
pub struct Gather<H: Host> {
    this: H::Instance,
    /// The file's size.
    size: u64,
    gathered: Option<Gathered<H>>,
}

#[derive(Debug)]
struct Gathered<H: Host> {
    at: u64,
    buffer: H::Buffer,
    lease: Lease<'static>,
}

impl<H: Host> Gathered<H> {
    fn end(&self) -> u64 {
        self.at.saturating_add(self.buffer.bytes().len() as u64)
    }
}

impl<H: Host> Gather<H> {
    /// Starts without bytes. `this`: the instance that allocates the buffers. `size`: the file's.
    #[must_use]
    pub const fn new(this: H::Instance, size: u64) -> Self {
        Self {
            this,
            size,
            gathered: None,
        }
    }

    /// Adds a write. Puts what is to be sent now into `ready`. Blocks until there is memory.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn add(
        &mut self,
        mut at: u64,
        mut bytes: &[u8],
        ready: &mut Vec<Piece<H>>,
    ) -> Result<(), Errno> {
        while !bytes.is_empty() {
            if self
                .gathered
                .as_ref()
                .is_some_and(|so_far| so_far.end() != at)
            {
                ready.extend(self.take());
            }
            let mut so_far = match self.gathered.take() {
                Some(so_far) => so_far,
                None => self.begin(at)?,
            };
            let (now, later) = bytes.split_at(bytes.len().min(so_far.buffer.room()));
            so_far.buffer.push(now);
            at = so_far.end();
            bytes = later;
            let is_full = so_far.buffer.room() == 0;
            self.gathered = Some(so_far);
            if is_full {
                ready.extend(self.take());
            }
        }
        Ok(())
    }

    fn begin(&self, at: u64) -> Result<Gathered<H>, Errno> {
        // The first chunk ends where the others begin, so that a brick writes whole ones.
        let size = (H::PIECE - at % H::PIECE)
            .min(self.size.saturating_sub(at))
            .max(1);
        let lease = LIMITS.memory(size);
        let size = usize::try_from(size).map_err(|_| Errno::ENOMEM)?;
        let buffer = H::Buffer::new(self.this, size)?;
        Ok(Gathered { at, buffer, lease })
    }

    /// Takes what was gathered.
    pub fn take(&mut self) -> Option<Piece<H>> {
        let Gathered { at, buffer, lease } = self.gathered.take()?;
        Some((at, Chunk::new(buffer, lease)))
    }
}

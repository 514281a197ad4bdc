// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the steps of decoding have in common: each passes its bytes on to the next one; and the simplest of them.

use cloudsync_store::StoreError;

/// Takes the bytes that a step has made.
pub(crate) type Next<'a> = dyn FnMut(&[u8]) -> Result<(), Stop> + 'a;

/// Why no more bytes are wanted.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The range is complete.
    Enough,
    /// A step or the sink failed.
    Failed(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Leaves out what is before and after a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// How many bytes are before it.
    pub(crate) skip: u64,
    /// How many it has.
    pub(crate) take: u64,
}

impl Cut {
    /// The part of the next bytes that is in the range.
    pub(crate) fn of<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let length = bytes.len() as u64;
        let skip = self.skip.min(length);
        let take = self.take.min(length - skip);
        self.skip -= skip;
        self.take -= take;
        let at = |at: u64| usize::try_from(at).unwrap_or(bytes.len());
        &bytes[at(skip)..at(skip + take)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_out_of_pieces() {
        let mut cut = Cut { skip: 5, take: 4 };
        let pieces = [&b"0123"[..], b"45", b"", b"678901", b"23"];
        let cut: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| cut.of(piece).to_vec())
            .collect();
        assert_eq!(cut, b"5678");
    }
}

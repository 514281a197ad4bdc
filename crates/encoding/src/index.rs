// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Where the parts of an encoded object are: the header of age, and the table of compressed frames. With them any range of
//! the file is read from those bytes of the object that hold it. They are fetched once for each object, and kept.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloudsync_store::StoreError;
use lru::LruCache;
use zeekstd::{BytesWrapper, SeekTable};

use crate::decrypt::{CHUNK, STORED_CHUNK, TAG};
use crate::encode::FRAME;
use crate::step::Cut;

/// How much memory the indexes of all objects of a store may take, in bytes.
const MEMORY: usize = 32 << 20;
/// A row of the table: the sizes of a frame, compressed and not.
const ROW: u64 = 8;
/// What is around the rows.
const AROUND: u64 = 8 + 9;

/// The index of an object.
#[derive(Debug)]
pub(crate) struct Index {
    /// The header of age, and what else is before the first chunk.
    pub(crate) header: Option<Vec<u8>>,
    frames: Option<SeekTable>,
}

/// Which bytes to fetch for a range, and what to do with them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The bytes of the object.
    pub(crate) stored: Range<u64>,
    /// The first chunk of age among them.
    pub(crate) chunk: u64,
    /// The frames in the chunks.
    pub(crate) compressed: Cut,
    /// The range in the frames.
    pub(crate) plain: Cut,
}

impl Plan {
    /// Reads an object from its beginning to its end, of which `range` is wanted.
    pub(crate) const fn whole(stored: u64, range: &Range<u64>) -> Self {
        Self {
            stored: 0..stored,
            chunk: 0,
            compressed: Cut {
                skip: 0,
                take: u64::MAX,
            },
            plain: Cut {
                skip: range.start,
                take: range.end - range.start,
            },
        }
    }
}

impl Index {
    /// Of an object that is not compressed, or whose table is not read yet. `header`: if it is encrypted.
    pub(crate) const fn new(header: Option<Vec<u8>>) -> Self {
        Self {
            header,
            frames: None,
        }
    }

    /// The size of the compressed bytes, or of the plain ones if they are not compressed, in an object of `stored` bytes.
    fn decrypted(&self, stored: u64) -> Option<u64> {
        let Some(header) = &self.header else {
            return Some(stored);
        };
        let chunks = stored.checked_sub(header.len() as u64)?;
        chunks.checked_sub(chunks.div_ceil(STORED_CHUNK) * TAG)
    }

    /// Which bytes of the object hold these of what is decrypted from it.
    fn chunks(&self, stored: u64, range: &Range<u64>) -> Plan {
        let take = range.end - range.start;
        let plain = Cut { skip: 0, take };
        let Some(header) = &self.header else {
            let (chunk, compressed) = (0, plain);
            return Plan {
                stored: range.clone(),
                chunk,
                compressed,
                plain,
            };
        };
        let begin = header.len() as u64;
        let (first, end) = (range.start / CHUNK, range.end.div_ceil(CHUNK));
        Plan {
            stored: begin + first * STORED_CHUNK..(begin + end * STORED_CHUNK).min(stored),
            chunk: first,
            compressed: Cut {
                skip: range.start - first * CHUNK,
                take,
            },
            plain,
        }
    }

    /// Where the table of frames is, in an object of `stored` bytes made of a file of `size`. It may begin before that.
    pub(crate) fn table(&self, stored: u64, size: u64) -> Result<Plan, StoreError> {
        let all = self.decrypted(stored).ok_or_else(too_short)?;
        // One more row than there are frames of the usual size.
        let length = (size.div_ceil(u64::from(FRAME)) + 1) * ROW + AROUND;
        Ok(self.chunks(stored, &(all.saturating_sub(length)..all)))
    }

    /// Reads the table from the end of the decrypted bytes, in an object of `stored` bytes made of a file of `size`.
    pub(crate) fn read_table(
        &mut self,
        end: &[u8],
        stored: u64,
        size: u64,
    ) -> Result<(), StoreError> {
        let wrong = |why: String| StoreError::Corrupt(format!("its table of frames: {why}"));
        // The library reserves memory for as many rows as the last bytes say.
        let rows = end
            .len()
            .checked_sub(9)
            .and_then(|at| end[at..at + 4].try_into().ok());
        let rows = rows.map_or(0, u32::from_le_bytes);
        let length = u64::from(rows) * ROW + AROUND;
        if length > end.len() as u64 {
            return Err(wrong(format!("it has no room for {rows} frames")));
        }
        let table = SeekTable::from_seekable(&mut BytesWrapper::new(end))
            .map_err(|error| wrong(error.to_string()))?;
        let has = table.size_decomp();
        if has != size {
            return Err(wrong(format!("it has {has} bytes, and the file {size}")));
        }
        if Some(table.size_comp() + length) != self.decrypted(stored) {
            return Err(wrong("it does not end where the frames do".to_owned()));
        }
        self.frames = Some(table);
        Ok(())
    }

    /// How to read these bytes of the file. `range` is not empty.
    pub(crate) fn plan(&self, stored: u64, range: &Range<u64>) -> Result<Plan, StoreError> {
        let Some(table) = &self.frames else {
            return Ok(self.chunks(stored, range));
        };
        let wrong = |error| StoreError::Corrupt(format!("its table of frames: {error}"));
        let first = table.frame_index_decomp(range.start);
        let last = table.frame_index_decomp(range.end - 1);
        let begin = table.frame_start_comp(first).map_err(wrong)?;
        let end = table.frame_end_comp(last).map_err(wrong)?;
        let before = table.frame_start_decomp(first).map_err(wrong)?;
        let all = self.decrypted(stored).ok_or_else(too_short)?;
        if end > all || begin > end || before > range.start {
            return Err(too_short());
        }
        Ok(Plan {
            plain: Cut {
                skip: range.start - before,
                take: range.end - range.start,
            },
            ..self.chunks(stored, &(begin..end))
        })
    }

    /// About how many bytes of memory it takes.
    fn memory(&self) -> usize {
        let rows = self.frames.as_ref().map_or(0, SeekTable::num_frames);
        let header = self.header.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + header + 16 * usize::try_from(rows).unwrap_or(usize::MAX / 32)
    }
}

fn too_short() -> StoreError {
    StoreError::Corrupt("it is shorter than what it should hold".to_owned())
}

/// What an index is of: the object's key and version.
type Of = (String, String);

/// An index, once somebody has made it. Others wait meanwhile.
type Slot = Arc<Mutex<Option<Arc<Index>>>>;

/// The indexes used last.
#[derive(Debug)]
pub(crate) struct Indexes(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    slots: LruCache<Of, (Slot, usize)>,
    memory: usize,
}

impl Default for Indexes {
    fn default() -> Self {
        Self(Mutex::new(Kept {
            slots: LruCache::unbounded(),
            memory: 0,
        }))
    }
}

impl Indexes {
    /// The index of an object; `make` makes it if it is not here. May wait for another thread that makes it.
    pub(crate) fn get(
        &self,
        of: Of,
        make: impl FnOnce() -> Result<Index, StoreError>,
    ) -> Result<Arc<Index>, StoreError> {
        let slot = self.slot(&of);
        let mut made = lock(&slot);
        if let Some(index) = &*made {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(make()?);
        *made = Some(Arc::clone(&index));
        drop(made);
        lock(&self.0).count(&of, index.memory());
        Ok(index)
    }

    fn slot(&self, of: &Of) -> Slot {
        let mut kept = lock(&self.0);
        if let Some((slot, _)) = kept.slots.get(of) {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        // What the key and the list take.
        let memory = of.0.len() + of.1.len() + 256;
        kept.slots.put(of.clone(), (Arc::clone(&slot), memory));
        kept.memory += memory;
        slot
    }
}

impl Kept {
    /// An index has been made, and takes so much memory: forgets those used least recently, but not the only one.
    fn count(&mut self, of: &Of, memory: usize) {
        if let Some((_, counted)) = self.slots.get_mut(of) {
            *counted += memory;
            self.memory += memory;
        }
        while self.memory > MEMORY
            && self.slots.len() > 1
            && let Some((_, (_, counted))) = self.slots.pop_lru()
        {
            self.memory -= counted;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

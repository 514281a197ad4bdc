// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a file must contain. Each change of a file has a number, its version. A byte is a function of the seed, the
//! file's number, the version that wrote it, and its offset: so a wrong byte tells where it comes from. Only the versions
//! of the ranges are kept, not the bytes.

use std::collections::BTreeSet;

use crate::random::mixed;

/// A page of the kernel's cache.
const PAGE: u64 = 4096;

/// The bytes of a file that one version wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    length: u64,
    /// 0: zeros, by which a truncation has made the file longer.
    version: u32,
}

/// What a file must contain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    /// One after the other from the file's beginning.
    ranges: Vec<Range>,
    /// Whether a truncation has ever made it longer: only then may an older state have zeros.
    had_zeros: bool,
    /// The sizes that it has had: only they may be an older state's.
    sizes: BTreeSet<u64>,
}

/// How what was read differs from what must be there.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) why: String,
    /// An older state of the file, as another client's cache may show for a moment. Anything else never may.
    pub(crate) is_older: bool,
}

/// The bytes that a version of a file writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern(Option<u64>);

impl Pattern {
    pub(crate) fn new(seed: u64, file: usize, version: u32) -> Self {
        let number = ((file as u64) << 32) | u64::from(version);
        Self((version > 0).then(|| mixed(seed ^ mixed(number))))
    }

    /// The eight bytes at this multiple of eight.
    fn word(self, at: u64) -> [u8; 8] {
        self.0
            .map_or([0; 8], |key| mixed(key ^ (at / 8)).to_le_bytes())
    }

    /// Appends the bytes of a range to `to`.
    pub(crate) fn write(self, offset: u64, length: u64, to: &mut Vec<u8>) {
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let word = self.word(at);
            let from = at % 8;
            let take = (8 - from).min(end - at);
            to.extend_from_slice(&word[from as usize..(from + take) as usize]);
            at += take;
        }
    }

    /// The bytes of a range.
    pub(crate) fn bytes(self, offset: u64, length: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length as usize + 8);
        self.write(offset, length, &mut bytes);
        bytes
    }

    /// Whether these bytes at `offset` are this version's.
    fn is(self, offset: u64, bytes: &[u8]) -> bool {
        self.bytes(offset, bytes.len() as u64) == bytes
    }
}

impl Content {
    /// The file's size.
    pub(crate) fn size(&self) -> u64 {
        self.ranges.iter().map(|range| range.length).sum()
    }

    /// The file is truncated to this size, or made longer by zeros.
    pub(crate) fn truncate(&mut self, size: u64) {
        self.sizes.insert(self.size());
        let mut left = size;
        for range in &mut self.ranges {
            range.length = range.length.min(left);
            left -= range.length;
        }
        self.ranges.retain(|range| range.length > 0);
        self.had_zeros |= left > 0;
        self.push(left, 0);
    }

    fn push(&mut self, length: u64, version: u32) {
        match self.ranges.last_mut() {
            _ if length == 0 => {}
            Some(last) if last.version == version => last.length += length,
            _ => self.ranges.push(Range { length, version }),
        }
    }

    /// A version writes a range.
    pub(crate) fn write(&mut self, offset: u64, length: u64, version: u32) {
        let before = self.clone();
        self.sizes.insert(self.size());
        self.ranges.clear();
        for range in before.part(0, offset) {
            self.push(range.length, range.version);
        }
        self.push(offset.saturating_sub(self.size()), 0);
        self.push(length, version);
        for range in before.part(offset + length, u64::MAX) {
            self.push(range.length, range.version);
        }
    }

    /// A version becomes the whole content.
    pub(crate) fn replace(&mut self, length: u64, version: u32) {
        self.sizes.insert(self.size());
        self.ranges.clear();
        self.push(length, version);
    }

    /// The ranges between two offsets.
    fn part(&self, from: u64, to: u64) -> impl Iterator<Item = Range> {
        let mut start = 0;
        self.ranges.iter().filter_map(move |range| {
            let (begin, end) = (start.max(from), (start + range.length).min(to));
            start += range.length;
            let version = range.version;
            (begin < end).then(|| Range {
                length: end - begin,
                version,
            })
        })
    }

    /// The bytes that a read of this range must return: fewer at the end of the file.
    fn read(&self, seed: u64, file: usize, offset: u64, length: u64) -> Vec<u8> {
        let end = self.size().min(offset.saturating_add(length));
        let mut bytes = Vec::with_capacity(end.saturating_sub(offset) as usize + 8);
        let mut at = offset;
        for range in self.part(offset, end) {
            Pattern::new(seed, file, range.version).write(at, range.length, &mut bytes);
            at += range.length;
        }
        bytes
    }

    /// The version that wrote the byte at this offset.
    fn version(&self, offset: u64) -> Option<u32> {
        Some(self.part(offset, offset + 1).next()?.version)
    }

    /// Compares what a read of `length` bytes at `offset` returned. `newest` are the newest versions of all files, by
    /// their number: a wrong byte may come from any of them.
    ///
    /// # Errors
    /// Where it differs, and from what.
    pub(crate) fn compare(
        &self,
        seed: u64,
        file: usize,
        (offset, length): (u64, u64),
        got: &[u8],
        newest: &[u32],
    ) -> Result<(), Difference> {
        let want = self.read(seed, file, offset, length);
        if got == want {
            return Ok(());
        }
        let differs = got.iter().zip(&want).position(|(one, other)| one != other);
        let Some(first) = differs else {
            let why = format!(
                "{} bytes at offset {offset} instead of {}; the file has {}",
                got.len(),
                want.len(),
                self.size()
            );
            let is_older = self.is_older_end(offset, length, got, want.len());
            return Err(Difference { why, is_older });
        };
        let at = offset + first as u64;
        let count = got.iter().zip(&want).filter(|(one, other)| one != other);
        let shown = &got[first..got.len().min(first + 8)];
        let (source, is_older) = match source(seed, file, at, shown, newest) {
            Source::Zeros => ("zeros".to_owned(), self.had_zeros),
            Source::File(other, version) => {
                (format!("of file {other}, version {version}"), other == file)
            }
            Source::Unknown => ("of no version of any file".to_owned(), false),
        };
        let why = format!(
            "the byte at offset {at} is not that of version {} but {source} ({shown:02x?}); {} of {} bytes differ, {} were expected",
            self.version(at).unwrap_or_default(),
            count.count(),
            got.len(),
            want.len()
        );
        Err(Difference { why, is_older })
    }
}

impl Content {
    /// Whether a read that ends elsewhere than it should ends as one of an older state may.
    fn is_older_end(&self, offset: u64, length: u64, got: &[u8], want: usize) -> bool {
        let end = |size: u64| (size.clamp(offset, offset.saturating_add(length)) - offset) as usize;
        let mut older = self.sizes.iter().copied();
        // A kernel that still believes an older size fills a page with zeros to its end, with the feature off, too.
        let is_padded = |size: u64| {
            let at_page = (offset + got.len() as u64).is_multiple_of(PAGE);
            let padding = got.get(want..).unwrap_or_default();
            let is_longer = (want + 1..=end(size)).contains(&got.len());
            at_page && is_longer && padding.iter().all(|byte| *byte == 0)
        };
        older.any(|size| end(size) == got.len() || is_padded(size))
    }
}

/// Where bytes come from.
enum Source {
    Zeros,
    /// A file and its version.
    File(usize, u32),
    Unknown,
}

/// Which version of which file wrote these bytes.
fn source(seed: u64, file: usize, offset: u64, bytes: &[u8], newest: &[u32]) -> Source {
    if bytes.iter().all(|byte| *byte == 0) {
        return Source::Zeros;
    }
    // Its own versions first, also if only some bytes are one's: another version may begin right after them.
    for length in (1..=bytes.len()).rev() {
        for version in 1..=newest[file] {
            if Pattern::new(seed, file, version).is(offset, &bytes[..length]) {
                return Source::File(file, version);
            }
        }
        if length < 4 {
            continue;
        }
        for (other, newest) in newest.iter().enumerate() {
            for version in 1..=*newest {
                if Pattern::new(seed, other, version).is(offset, &bytes[..length]) {
                    return Source::File(other, version);
                }
            }
        }
    }
    Source::Unknown
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Fetches an object in parts, several at once, and writes them to the bricks as they come.
//!
//! Each part is one request of the plugin's, on a thread of its own; a small file is one part on the thread of its job.
//! The parts' checksums add up to the object's.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::CStr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cloudsync_format::checksum::{Algorithm, Checksum, Computing};

use crate::errno::{Errno, Failure};
use crate::host::buffer::Buffer;
use crate::host::child::{Child, Fd};
use crate::host::inode::Loc;
use crate::host::thread;
use crate::instance::Instance;
use crate::plugin::store::{LoadedStore, Object, Part, Sink};
use crate::recall::engine::Job;
use crate::recall::tracker::Tracker;

/// Bytes of a part: what S3's clients agree on. Larger, and a broken connection costs more; smaller, and each costs a
/// round trip.
const PART: u64 = 8 << 20;
/// Bytes of a write, as large as GlusterFS's transports carry without splitting.
const WRITE: usize = 1 << 20;

/// The object that a file is.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// Its key.
    pub key: &'a CStr,
    /// Its only version that will do, if that is known.
    pub version: Option<&'a CStr>,
    /// Its size in bytes, which is the file's.
    pub size: u64,
}

/// Brings the first bytes of an object to the bricks, as many as `tracker` expects.
///
/// # Errors
/// Why not. What was written until then is worth nothing.
pub fn fetch(
    instance: &Instance,
    store: &LoadedStore,
    whole: &Whole<'_>,
    fd: &Fd,
    tracker: &Tracker,
    job: &Job,
    ranges: usize,
) -> Result<(), Failure> {
    let object = check(store, whole)?;
    let wanted = tracker.size();
    // A part's checksum says nothing without the others.
    let expected = object.checksum.filter(|_| wanted == whole.size);
    let version = std::ffi::CString::new(object.etag.as_str()).unwrap_or_default();
    let fetching = Fetching {
        store,
        whole,
        version: (!version.is_empty()).then_some(version.as_c_str()),
        fd,
        instance,
        job,
        tracker,
        algorithm: expected.map(Checksum::algorithm),
        stopped: AtomicBool::new(false),
        state: Mutex::new(State {
            left: parts(wanted),
            sums: Vec::new(),
            failed: None,
        }),
    };
    let threads = ranges.min(fetching.lock().left.len());
    std::thread::scope(|scope| {
        for number in 1..threads {
            // Fewer threads are slower, and no error.
            if thread::spawn_scoped(scope, format!("glfs_cspart{number}"), || fetching.run())
                .is_err()
            {
                break;
            }
        }
        fetching.run();
    });
    let state = fetching
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = state.failed {
        return Err(failure);
    }
    match expected {
        Some(expected) => compare(whole, expected, state.sums),
        None => Ok(()),
    }
}

/// Asks the store what the object is, and whether that is the file.
fn check(store: &LoadedStore, whole: &Whole<'_>) -> Result<Object, Failure> {
    let other = |why: String, errno| Failure::Object {
        key: whole.key.to_string_lossy().into_owned(),
        why,
        errno,
    };
    let object = store
        .head(whole.key)
        .map_err(Failure::Store)?
        .ok_or(Failure::Store(Errno::EOPNOTSUPP))?;
    let version = whole.version.map(CStr::to_string_lossy);
    if let Some(version) =
        version.filter(|version| !object.etag.is_empty() && *version != object.etag)
    {
        let now = &object.etag;
        let why = format!("it is version {now} in the store, the file was archived as {version}");
        return Err(other(why, Errno::ESTALE));
    }
    if object.size != whole.size {
        let (stored, size) = (object.size, whole.size);
        let why = format!("it has {stored} bytes in the store, the file has {size}");
        return Err(other(why, Errno::EBADMSG));
    }
    Ok(object)
}

fn parts(size: u64) -> VecDeque<Range<u64>> {
    (0..size.div_ceil(PART))
        .map(|number| number * PART..size.min((number + 1) * PART))
        .collect()
}

fn compare(
    whole: &Whole<'_>,
    expected: Checksum,
    mut sums: Vec<(Range<u64>, Checksum)>,
) -> Result<(), Failure> {
    sums.sort_by_key(|(range, _)| range.start);
    let empty = expected.algorithm().of(&[]);
    let found = sums.into_iter().fold(empty, |sum, (range, next)| {
        sum.then(next, range.end - range.start)
    });
    if found == expected {
        return Ok(());
    }
    Err(Failure::Object {
        key: whole.key.to_string_lossy().into_owned(),
        why: format!("checksum {found}, should be {expected}"),
        errno: Errno::EBADMSG,
    })
}

/// What the threads of one recall share.
struct Fetching<'a> {
    store: &'a LoadedStore,
    whole: &'a Whole<'a>,
    version: Option<&'a CStr>,
    fd: &'a Fd,
    instance: &'a Instance,
    job: &'a Job,
    tracker: &'a Tracker,
    algorithm: Option<Algorithm>,
    /// One part failed: the others need not go on.
    stopped: AtomicBool,
    state: Mutex<State>,
}

struct State {
    left: VecDeque<Range<u64>>,
    sums: Vec<(Range<u64>, Checksum)>,
    failed: Option<Failure>,
}

impl Fetching<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches parts until none is left or one failed.
    fn run(&self) {
        let _entered = self.instance.this.enter();
        loop {
            let next = {
                let mut state = self.lock();
                if state.failed.is_some() {
                    return;
                }
                state.left.pop_front()
            };
            let Some(range) = next else {
                return;
            };
            if let Err(failure) = self.part(range) {
                self.stopped.store(true, Ordering::Release);
                self.lock().failed.get_or_insert(failure);
                return;
            }
        }
    }

    /// A brick went away: writing goes on if the lock is still ours.
    fn make_sure(&self) -> Result<(), Errno> {
        let Self { instance, job, .. } = self;
        let child = Child::enter(instance.this, std::ptr::from_ref(*job).cast());
        let (child, loc) = child
            .zip(Loc::of(&job.inode, job.gfid))
            .ok_or(Errno::ENOMEM)?;
        loop {
            if let Err(failure) = job.lease.check(&instance.bricks, &child, &loc) {
                self.tracker.lose();
                return Err(failure.errno());
            }
            self.tracker.trust();
            // If a brick went away in between, that it did has just been wiped out.
            if job.lease.is_sure(&instance.bricks) {
                return Ok(());
            }
            self.tracker.distrust();
        }
    }

    fn part(&self, range: Range<u64>) -> Result<(), Failure> {
        let mut writer = Writer {
            fetching: self,
            filling: None,
            sum: self.algorithm.map(Algorithm::compute),
            at: range.start,
            end: range.end,
        };
        let part = Part {
            key: self.whole.key,
            version: self.version,
            size: self.whole.size,
            range: range.clone(),
        };
        self.store
            .fetch(&part, &mut writer)
            .map_err(Failure::Store)?;
        if writer.at != range.end {
            return Err(Failure::Incomplete {
                got: writer.at - range.start,
                want: range.end - range.start,
            });
        }
        if let Some(sum) = writer.sum {
            self.lock().sums.push((range, sum.finish()));
        }
        Ok(())
    }
}

/// From chunks as the network has them to writes as the bricks like them.
struct Writer<'a> {
    fetching: &'a Fetching<'a>,
    /// A buffer, how much of it is filled, and how much of it will be.
    filling: Option<(Buffer, usize, usize)>,
    sum: Option<Computing>,
    at: u64,
    end: u64,
}

impl Sink for Writer<'_> {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        if self.cancelled() {
            return Err(Errno::ECANCELED);
        }
        if bytes.len() as u64 > self.end - self.at {
            return Err(Errno::EBADMSG);
        }
        if let Some(sum) = &mut self.sum {
            sum.update(bytes);
        }
        let Fetching { instance, fd, .. } = self.fetching;
        while !bytes.is_empty() {
            let (mut buffer, filled, size) = match self.filling.take() {
                Some(filling) => filling,
                None => {
                    let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
                    let size = left.min(WRITE);
                    (Buffer::new(instance.this, size)?, 0, size)
                }
            };
            let (now, later) = bytes.split_at(bytes.len().min(size - filled));
            buffer.put(filled, now);
            self.at += now.len() as u64;
            bytes = later;
            if filled + now.len() == size {
                let offset = self.at - size as u64;
                loop {
                    match buffer.write(instance.this, fd, size, offset) {
                        Err(_) if self.fetching.tracker.is_distrusted() => {
                            self.fetching.make_sure()?;
                        }
                        result => break result?,
                    }
                }
            } else {
                self.filling = Some((buffer, filled + now.len(), size));
            }
        }
        Ok(())
    }

    fn cancelled(&self) -> bool {
        // A lock that may be lost is looked at here too: the next write may be long in coming.
        let Fetching { instance, job, .. } = self.fetching;
        if !job.lease.is_sure(&instance.bricks) && self.fetching.make_sure().is_err() {
            return true;
        }
        self.fetching.stopped.load(Ordering::Acquire)
            || self.fetching.job.cancelled.load(Ordering::Acquire) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole_and_no_larger_than_a_part() {
        for size in [0, 1, PART - 1, PART, PART + 1, 5 * PART + 7] {
            let parts = parts(size);
            let mut at = 0;
            for part in &parts {
                assert_eq!(part.start, at);
                assert!(part.end > at && part.end - at <= PART);
                at = part.end;
            }
            assert_eq!(at, size);
        }
    }

    #[test]
    fn sums_of_parts_are_compared_in_order_of_the_file() {
        let bytes = b"a file in three parts";
        let sum = |range: Range<usize>| Algorithm::Crc32c.of(&bytes[range]);
        let whole = Whole {
            key: c"key",
            version: None,
            size: bytes.len() as u64,
        };
        let of = |range: Range<usize>| (range.start as u64..range.end as u64, sum(range));
        let expected = Algorithm::Crc32c.of(bytes);
        let sums = vec![of(9..14), of(0..9), of(14..bytes.len())];
        assert!(compare(&whole, expected, sums).is_ok());
        let sums = vec![of(9..14), of(0..8), of(14..bytes.len())];
        let failure = compare(&whole, expected, sums).unwrap_err();
        assert_eq!(failure.errno(), Errno::EBADMSG);
    }
}

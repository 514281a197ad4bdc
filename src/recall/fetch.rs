// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Writes an object to the bricks in parts, several at once; parts that readers wait for come first.
//!
//! Each part is streamed on a thread of its own; a small file is one part on its job's thread. The parts' checksums are
//! combined into the object's.
//!
//! The holes that the file's record knows are neither fetched nor written: the file has been extended, and has only zeros.
//! That they were holes is proven by the checksum of the whole file, in which they count as zeros, and by nothing else: if it
//! is not the object's, they are fetched like any other bytes.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use cloudsync_format::checksum::{Algorithm, Checksum};

use crate::bricks::space;
use crate::host::buffer::How;
use crate::host::fd::Fd;
use crate::host::thread;
use crate::objects::Chunk;
use crate::objects::Object;
use crate::recall::job::Job;
use crate::recall::tracker::Tracker;
use crate::volume::Volume;
use cloudsync_format::message;
use cloudsync_logic::budget::Reservation;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::objects::depths::{DEPTHS, File, Stream};
use cloudsync_logic::objects::limits::{LIMITS, Use};
use cloudsync_logic::objects::source;
use cloudsync_logic::queue::Parts;

/// The destination of a recall, and its settings.
#[derive(Debug)]
pub struct Target<'a> {
    /// The volume.
    pub volume: &'a Volume,
    /// The job.
    pub job: &'a Job,
    /// The file to write to.
    pub fd: &'a Fd,
    /// Counts the writes.
    pub tracker: &'a Arc<Tracker>,
    /// Whether to cancel the recall when no operation waits for it.
    pub give_up: bool,
    /// What it may still fetch of the budget.
    pub reserved: Option<&'a Reservation>,
}

/// Writes `parts` of an object to the bricks: together with `holes`, they are its first bytes, as many as the tracker
/// expects. `holes`: see [`Identity::provable_holes`](cloudsync_logic::objects::identity::Identity::provable_holes).
///
/// # Errors
/// Why the recall failed. The bytes written must then be discarded.
pub fn fetch(
    object: &Arc<Object>,
    parts: &Parts,
    holes: Vec<Range<u64>>,
    target: &Target<'_>,
) -> Result<(), Failure> {
    // The parts' checksums can be compared only if all are fetched; a single piece was compared on arrival.
    let whole =
        target.tracker.size() == object.source.identity.size && !object.source.is_one_piece();
    let expected = if whole {
        object.source.checksum()?
    } else {
        None
    };
    let large = !object.source.is_one_piece() && parts.left(2) > 1;
    let file = large.then(|| DEPTHS.file());
    let fetching = Fetching {
        object,
        parts,
        target,
        algorithm: expected.map(Checksum::algorithm),
        begun: AtomicBool::new(false),
        stopped: AtomicBool::new(false),
        checked: Mutex::new(Instant::now()),
        done: Mutex::default(),
        file: file.as_ref(),
        threads: AtomicUsize::new(1),
    };
    fetching.all()?;
    let Some(expected) = expected else {
        return Ok(());
    };
    let compare = |sums| source::compare(object.source.key(), expected, add_up(expected, sums));
    let sums = fetching.done().sums.clone();
    let zeros = holes.iter().map(|hole| {
        let zeros = expected.algorithm().of_zeros(hole.end - hole.start);
        (hole.clone(), zeros)
    });
    match compare(sums.into_iter().chain(zeros).collect()) {
        Ok(()) => {
            target.tracker.need_no_write(&holes);
            Ok(())
        }
        Err(failure) if holes.is_empty() => Err(failure),
        Err(failure) => {
            log::warn!(
                id = message::HOLES_DIFFER;
                "{failure}, with zeros for the holes that the file's record has: they are fetched, too"
            );
            parts.add(&holes);
            fetching.all()?;
            compare(std::mem::take(&mut fetching.done().sums))
        }
    }
}

fn add_up(expected: Checksum, mut sums: Vec<(Range<u64>, Checksum)>) -> Checksum {
    sums.sort_by_key(|(range, _)| range.start);
    let empty = expected.algorithm().of(&[]);
    sums.into_iter().fold(empty, |sum, (range, next)| {
        sum.then(next, range.end - range.start)
    })
}

/// The state shared by the threads of one recall.
struct Fetching<'a> {
    object: &'a Arc<Object>,
    parts: &'a Parts,
    target: &'a Target<'a>,
    algorithm: Option<Algorithm>,
    /// The first bytes have come.
    begun: AtomicBool,
    /// A part failed: the other threads stop.
    stopped: AtomicBool,
    /// When the free space was last checked.
    checked: Mutex<Instant>,
    done: Mutex<Done>,
    /// What a file of several parts shares the process's parts with others by.
    file: Option<&'a File<'a>>,
    /// Numbers thread names.
    threads: AtomicUsize,
}

#[derive(Default)]
struct Done {
    sums: Vec<(Range<u64>, Checksum)>,
    failed: Option<Failure>,
}

impl Fetching<'_> {
    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches all parts.
    fn all(&self) -> Result<(), Failure> {
        std::thread::scope(|scope| self.run(scope, None));
        self.done().failed.take().map_or(Ok(()), Err)
    }

    /// Fetches parts until none is left or one failed, or until `stream`, which is `None` for the job's own thread, is not
    /// wanted any more.
    fn run<'s>(&'s self, scope: &'s Scope<'s, '_>, stream: Option<&Stream<'_>>) {
        let _entered = self.object.source.this.enter();
        while !self.stopped.load(Ordering::Acquire)
            && !stream.is_some_and(Stream::should_end)
            && let Some(range) = self.parts.next()
        {
            self.grow(scope);
            let purpose = match stream {
                Some(_) => Use::More,
                None => Use::Recall,
            };
            if let Err(failure) = self.part(range, purpose, scope) {
                // In this order, because the threads that this stops fail too, and must not be recorded as the first
                // failure.
                self.done().failed.get_or_insert(failure);
                self.stopped.store(true, Ordering::Release);
            }
        }
    }

    /// Starts one more thread if there is work for it, the store can use it and memory is left.
    fn grow<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        if self.parts.left(1) == 0 {
            return;
        }
        let Some(stream) = self.file.and_then(File::more) else {
            return;
        };
        let Some(memory) = LIMITS.more() else {
            return;
        };
        let number = self.threads.fetch_add(1, Ordering::Relaxed);
        // With fewer threads the recall is slower, which is not an error.
        let _started = thread::spawn_scoped(scope, format!("glfs_cspart{number}"), move || {
            self.run(scope, Some(&stream));
            drop((stream, memory));
        });
    }

    fn keep_going(&self) -> Result<(), Failure> {
        let Target { job, tracker, .. } = self.target;
        // Checked here too, because it may be long until the next write.
        if tracker.is_paused() {
            self.verify_lock()?;
        }
        if self.stopped.load(Ordering::Acquire) || job.cancelled.load(Ordering::Acquire) != 0 {
            return Err(Failure::Cancelled);
        }
        Ok(())
    }

    /// Called after a brick disconnected: resumes the writes if the lock is still ours.
    fn verify_lock(&self) -> Result<(), Failure> {
        let Target {
            volume,
            job,
            tracker,
            ..
        } = self.target;
        let file = volume.file(&job.inode, job.gfid, *job)?;
        loop {
            job.lease.check(&file)?;
            tracker.trust();
            // Otherwise, a disconnect between the check and `trust` would go unnoticed.
            if job.lease.is_sure(volume.bricks.disconnects()) {
                return Ok(());
            }
            tracker.lose();
        }
    }

    /// Checks the free space at most once a second, because others write to the bricks too.
    fn check_space(&self) -> Result<(), Failure> {
        const INTERVAL: Duration = Duration::from_secs(1);
        let Target { volume, job, .. } = self.target;
        let config = volume.config();
        if config.over_limits {
            return Ok(());
        }
        {
            let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
            if checked.elapsed() < INTERVAL {
                return Ok(());
            }
            *checked = Instant::now();
        }
        let file = volume.file(&job.inode, job.gfid, *job)?;
        space::recheck(&file, config.keep_free)
    }

    /// Writes the bytes `which` of a chunk at offset `at`.
    fn write(&self, at: u64, chunk: &Arc<Chunk>, which: Range<usize>) -> Result<(), Failure> {
        let Target {
            volume,
            job,
            fd,
            tracker,
            ..
        } = self.target;
        let is_first = !self.begun.swap(true, Ordering::Relaxed);
        if is_first {
            volume.metrics.first_bytes(job.started.elapsed());
        }
        if self.object.source.is_one_piece() {
            job.serve_readers();
        }
        let urgent = job.is_wanted();
        if !urgent && self.target.give_up {
            return Err(Failure::Cancelled);
        }
        let (buffer, this) = (chunk.buffer(), self.object.source.this);
        // One write is enough to tell the bricks the time of the access.
        let how = How {
            urgent,
            accesses: is_first,
        };
        tracker.hold(at, chunk);
        let written = loop {
            let sent = tracker
                .begin(at, which.len() as u64)
                .and_then(|slot| buffer.write(this, fd, which.clone(), at, how, Box::new(slot)));
            match sent {
                Err(_) if tracker.is_paused() => self.verify_lock()?,
                written => break written,
            }
        };
        written.map_err(|errno| match errno {
            Errno::ECANCELED => Failure::Cancelled,
            errno => Failure::Brick {
                step: "write",
                errno,
            },
        })
    }

    fn part<'s>(
        &'s self,
        range: Range<u64>,
        purpose: Use,
        scope: &'s Scope<'s, '_>,
    ) -> Result<(), Failure> {
        self.check_space()?;
        let mut sum = self.algorithm.map(Algorithm::compute);
        self.object.stream(
            range.clone(),
            purpose,
            &|| self.keep_going(),
            &mut |at, chunk, which| {
                if let Some(sum) = &mut sum {
                    sum.update(&chunk.buffer().bytes()[which.clone()]);
                }
                let bytes = which.len();
                if let Some(reserved) = self.target.reserved {
                    reserved.arrived(bytes as u64);
                }
                self.write(at, chunk, which)?;
                if let Some(file) = self.file {
                    file.did(bytes, self.parts.left(1) > 0);
                    self.grow(scope);
                }
                Ok(())
            },
        )?;
        if let Some(sum) = sum {
            self.done().sums.push((range, sum.finish()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_parts_are_compared_in_order_of_the_file() {
        let bytes = b"a file in three parts";
        let of = |range: Range<usize>| {
            let sum = Algorithm::Crc32c.of(&bytes[range.clone()]);
            (range.start as u64..range.end as u64, sum)
        };
        let expected = Algorithm::Crc32c.of(bytes);
        let sums = vec![of(9..14), of(0..9), of(14..bytes.len())];
        let found = add_up(expected, sums);
        assert!(source::compare(c"key", expected, found).is_ok());
        let sums = vec![of(9..14), of(0..8), of(14..bytes.len())];
        let failure = source::compare(c"key", expected, add_up(expected, sums)).unwrap_err();
        assert_eq!(failure.errno(), Errno::EBADMSG);
    }
}

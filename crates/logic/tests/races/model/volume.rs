// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A volume with one file. Its recall makes three writes through the tracker, each answered by a separate thread, the
//! second one only after the first.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::recall::job::Job;
use cloudsync_logic::recall::recalls::{Checked, Recalls};
use cloudsync_logic::recall::tracker::Tracker;
use cloudsync_logic::recall::written::WriteError;
use cloudsync_logic::sync::Arc;
use cloudsync_logic::work::busy::Busy;
use cloudsync_logic::work::task::Home;

use crate::model::host::{Chunk, Host};

/// The file.
pub(crate) const FILE: Gfid = Gfid([1; 16]);

const WRITE: u64 = 10;
const SIZE: u64 = 3 * WRITE;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Volume {
    /// Counts running work.
    pub(crate) busy: Arc<Busy>,
    /// Whether the file is local.
    pub(crate) local: AtomicBool,
    /// Whether its store fails.
    pub(crate) store_fails: bool,
    /// How often it was recalled.
    pub(crate) recalls: AtomicUsize,
    /// Number of writes started.
    pub(crate) writes: AtomicUsize,
    /// Number of jobs running on the file.
    pub(crate) at_work: AtomicUsize,
}

impl Home for Volume {
    type Entered = ();

    fn enter(&self) {}

    fn busy(&self) -> &Arc<Busy> {
        &self.busy
    }
}

impl Recalls for Volume {
    type Host = Host;

    fn recalls(&self) -> usize {
        4
    }

    fn can_serve(&self) -> bool {
        true
    }

    fn failed(&self, _: &Job<Self::Host>, _: &Failure) {}

    fn check(&self, _: &Job<Host>) -> Result<Checked, Failure> {
        shuttle::thread::yield_now();
        let local = self.local.load(Ordering::SeqCst);
        Ok(if local { Checked::Done } else { Checked::Small })
    }

    fn run(self: &Arc<Self>, job: &Job<Host>) -> Result<(), Failure> {
        // The lock on the file is the host's.
        assert_eq!(self.at_work.fetch_add(1, Ordering::SeqCst), 0, "two jobs");
        let tracker = Tracker::<Chunk>::open(SIZE, WRITE);
        job.follow(&tracker);
        for number in 0..3 {
            let Ok(slot) = tracker.begin(number * WRITE, WRITE) else {
                break;
            };
            self.writes.fetch_add(1, Ordering::SeqCst);
            let result = match (self.store_fails, number) {
                (true, 1) => Err(Errno::EIO),
                _ => Ok(WRITE),
            };
            shuttle::thread::spawn(move || slot.end(result, false));
            // Nothing can serve them, so they keep waiting.
            job.serve_readers();
        }
        tracker.drain();
        let written = tracker.written();
        assert!(tracker.begin(0, WRITE).is_err(), "it is drained");
        self.at_work.fetch_sub(1, Ordering::SeqCst);
        match written.error {
            Some(WriteError::Cancelled) => Err(Failure::Cancelled),
            Some(_) => Err(Failure::Store(Errno::EIO)),
            None if job.cancelled.load(Ordering::Acquire) != 0 => Err(Failure::Cancelled),
            None => {
                assert!(written.complete, "neither an error nor complete");
                self.recalls.fetch_add(1, Ordering::SeqCst);
                self.local.store(true, Ordering::SeqCst);
                // As the translator does before it cleans up.
                job.resume();
                shuttle::thread::yield_now();
                Ok(())
            }
        }
    }
}

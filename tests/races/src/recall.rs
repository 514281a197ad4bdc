// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The engine, and a stand-in for a job's steps.

#[path = "../../../src/recall/engine.rs"]
pub mod engine;
#[path = "../../../src/recall/job.rs"]
pub mod job;
#[path = "../../../src/recall/tracker.rs"]
pub mod tracker;

/// In place of src/recall/steps.rs: three writes through the tracker, answered by threads of their own, the second only
/// after the first.
pub mod steps {
    use std::sync::atomic::Ordering;

    use cloudsync_logic::sync::Arc;

    use super::job::Job;
    use super::tracker;
    use crate::volume::Volume;
    use cloudsync_logic::errno::{Errno, Failure};

    const WRITE: u64 = 10;
    const SIZE: u64 = 3 * WRITE;

    /// As in the real one.
    #[derive(Clone, Copy, Debug)]
    pub enum Looked {
        /// Nothing is left to do.
        Done,
        /// It needs no store.
        NoStore,
        /// A small file.
        Small,
        /// A large one.
        Large,
    }

    /// Whether the file is local.
    ///
    /// # Errors
    /// None.
    pub fn look(volume: &Volume, _: &Job) -> Result<Looked, Failure> {
        shuttle::thread::yield_now();
        let local = volume.local.load(Ordering::SeqCst);
        Ok(if local { Looked::Done } else { Looked::Small })
    }

    /// Recalls it.
    ///
    /// # Errors
    /// When the store fails, and when it is cancelled.
    pub fn run(volume: &Arc<Volume>, job: &Job) -> Result<(), Failure> {
        // The lock on the file is the host's.
        assert_eq!(volume.at_work.fetch_add(1, Ordering::SeqCst), 0, "two jobs");
        let descriptor = std::ptr::from_ref(volume).addr();
        let tracker = tracker::open(descriptor, SIZE, WRITE);
        job.follow(&tracker);
        for number in 0..3 {
            let Ok(slot) = tracker::begin(descriptor, number * WRITE, WRITE) else {
                break;
            };
            volume.writes.fetch_add(1, Ordering::SeqCst);
            let result = match (volume.store_fails, number) {
                (true, 1) => Err(Errno::EIO),
                _ => Ok(WRITE),
            };
            shuttle::thread::spawn(move || slot.end(result, false));
            // There is nothing to serve them with: they go on waiting.
            job.serve_readers();
        }
        tracker.drain();
        let written = tracker.written();
        assert!(
            tracker::begin(descriptor, 0, WRITE).is_err(),
            "it is drained"
        );
        volume.at_work.fetch_sub(1, Ordering::SeqCst);
        match written.error {
            Some(tracker::WriteError::Cancelled) => Err(Failure::Cancelled),
            Some(_) => Err(Failure::Store(Errno::EIO)),
            None if job.cancelled.load(Ordering::Acquire) != 0 => Err(Failure::Cancelled),
            None => {
                assert!(written.complete, "no error, and not complete");
                volume.recalls.fetch_add(1, Ordering::SeqCst);
                volume.local.store(true, Ordering::SeqCst);
                // As the real one does before it tidies up.
                job.resume();
                shuttle::thread::yield_now();
                Ok(())
            }
        }
    }
}

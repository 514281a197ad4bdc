// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Writes that are started, answered, drained and cancelled, in thousands of orders.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use crate::orders;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::recall::written::WriteError;
use shuttle::thread;

const WRITE: u64 = 10;

type Tracker = cloudsync_logic::recall::tracker::Tracker<()>;

/// Explores the default number of orders.
fn explore(body: impl Fn() + Send + Sync + Clone + 'static) {
    orders::explore(2000, body);
}

/// Counts a tracker's writes in flight.
struct Flying {
    tracker: Arc<Tracker>,
    now: AtomicU64,
    most: AtomicU64,
    answered: AtomicU64,
}

impl Flying {
    fn of(tracker: &Arc<Tracker>) -> Arc<Self> {
        Arc::new(Self {
            tracker: Arc::clone(tracker),
            now: AtomicU64::default(),
            most: AtomicU64::default(),
            answered: AtomicU64::default(),
        })
    }
}

/// A plugin's thread: one write after the other, each answered by a thread of the host. Returns the first error.
fn write(flying: &Arc<Flying>, numbers: std::ops::Range<u64>) -> Option<Errno> {
    for number in numbers {
        let slot = match flying.tracker.begin(number * WRITE, WRITE) {
            Ok(slot) => slot,
            Err(errno) => return Some(errno),
        };
        flying
            .most
            .fetch_max(flying.now.fetch_add(1, SeqCst) + 1, SeqCst);
        let flying = Arc::clone(flying);
        thread::spawn(move || {
            thread::yield_now();
            flying.now.fetch_sub(1, SeqCst);
            flying.answered.fetch_add(1, SeqCst);
            slot.end(Ok(WRITE), false);
        });
    }
    None
}

#[test]
fn window_is_never_exceeded_and_no_write_is_lost() {
    explore(|| {
        let tracker = Tracker::open(6 * WRITE, 2 * WRITE);
        let flying = Flying::of(&tracker);
        let writers = [0..3, 3..6].map(|numbers| {
            let flying = Arc::clone(&flying);
            thread::spawn(move || write(&flying, numbers))
        });
        for writer in writers {
            assert_eq!(writer.join().unwrap(), None);
        }
        tracker.drain();
        let written = tracker.written();
        assert!(written.complete && written.error.is_none(), "{written:?}");
        assert_eq!(
            flying.now.load(SeqCst),
            0,
            "drained, but a write is in flight"
        );
        assert!(flying.most.load(SeqCst) <= 2, "more than the window");
    });
}

/// A plugin that returned before its writes were answered.
#[test]
fn after_drain_no_write_is_in_flight_or_starts() {
    explore(|| {
        let tracker = Tracker::open(4 * WRITE, WRITE);
        let flying = Flying::of(&tracker);
        let writer = {
            let flying = Arc::clone(&flying);
            thread::spawn(move || write(&flying, 0..4))
        };
        tracker.drain();
        let answered = flying.answered.load(SeqCst);
        assert_eq!(tracker.written().bytes, answered * WRITE);
        assert_eq!(tracker.begin(0, WRITE).unwrap_err(), Errno::ESTALE);
        let ended = writer.join().unwrap();
        assert!(matches!(ended, None | Some(Errno::ESTALE)), "{ended:?}");
        assert_eq!(
            flying.answered.load(SeqCst),
            answered,
            "a write after the drain"
        );
        assert_eq!(tracker.written().complete, ended.is_none());
    });
}

#[test]
fn cancelling_wakes_writers_and_is_remembered() {
    explore(|| {
        let tracker = Tracker::open(4 * WRITE, WRITE);
        let flying = Flying::of(&tracker);
        let writers = [0..2, 2..4].map(|numbers| {
            let flying = Arc::clone(&flying);
            thread::spawn(move || write(&flying, numbers))
        });
        tracker.cancel();
        for writer in writers {
            let ended = writer.join().unwrap();
            assert!(matches!(ended, None | Some(Errno::ECANCELED)), "{ended:?}");
        }
        tracker.drain();
        assert_eq!(tracker.written().error, Some(WriteError::Cancelled));
    });
}

/// The bricks may take long to answer the writes in flight.
#[test]
fn cancelling_wakes_a_writer_without_an_answer() {
    explore(|| {
        let tracker = Tracker::open(4 * WRITE, WRITE);
        let slot = tracker.begin(0, WRITE).unwrap();
        let flying = Flying::of(&tracker);
        let writer = thread::spawn(move || write(&flying, 1..4));
        tracker.cancel();
        assert_eq!(writer.join().unwrap(), Some(Errno::ECANCELED));
        slot.end(Ok(WRITE), false);
        tracker.drain();
        assert_eq!(tracker.written().bytes, WRITE);
    });
}

#[test]
fn first_refusal_ends_all_writers() {
    explore(|| {
        let tracker = Tracker::open(4 * WRITE, WRITE);
        let other = Arc::clone(&tracker);
        let refused = thread::spawn(move || {
            if let Ok(slot) = other.begin(0, WRITE) {
                slot.end(Err(Errno::ENODATA), false);
            }
        });
        let flying = Flying::of(&tracker);
        let writer = {
            let flying = Arc::clone(&flying);
            thread::spawn(move || write(&flying, 1..4))
        };
        refused.join().unwrap();
        writer.join().unwrap();
        tracker.drain();
        let written = tracker.written();
        assert_eq!(written.error, Some(WriteError::Brick(Errno::ENODATA)));
        assert!(!written.complete);
    });
}

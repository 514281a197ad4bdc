// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Writes that are started, refused, acknowledged and drained.

use super::*;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

type Tracker = super::Tracker<()>;

#[test]
fn file_is_complete_only_with_all_bytes_acknowledged() {
    let tracker = Tracker::open(100, 1000);
    let first = tracker.begin(0, 60).unwrap();
    let second = tracker.begin(60, 40).unwrap();
    first.end(Ok(60), false);
    assert!(!tracker.written().complete);
    second.end(Ok(40), true);
    tracker.drain();
    let written = tracker.written();
    assert!(written.complete && written.moved_mtime);
    assert_eq!((written.bytes, written.error), (100, None));
}

#[test]
fn late_writes_are_refused() {
    let tracker = Tracker::open(10, 10);
    tracker.drain();
    assert_eq!(tracker.begin(0, 1).unwrap_err(), Errno::ESTALE);
}

#[test]
fn write_past_the_end_fails_the_recall() {
    let tracker = Tracker::open(10, 100);
    assert_eq!(tracker.begin(5, 6).unwrap_err(), Errno::EBADMSG);
    assert_eq!(
        tracker.begin(0, 5).unwrap_err(),
        Errno::EBADMSG,
        "nothing is written after it"
    );
    tracker.drain();
    assert_eq!(tracker.written().error, Some(WriteError::TooLong));
}

#[test]
fn first_error_is_kept_and_short_writes_are_errors() {
    let tracker = Tracker::open(10, 100);
    let (one, two) = (tracker.begin(0, 5).unwrap(), tracker.begin(5, 5).unwrap());
    one.end(Err(Errno::new(libc::ENOSPC)), false);
    two.end(Ok(3), false);
    tracker.drain();
    let written = tracker.written();
    assert_eq!(
        written.error,
        Some(WriteError::Brick(Errno::new(libc::ENOSPC)))
    );
    assert_eq!(written.bytes, 0);
}

#[test]
fn full_window_blocks_the_writer_until_an_answer() {
    let tracker = Tracker::open(100, 10);
    let first = tracker.begin(0, 10).unwrap();
    let (sender, receiver) = mpsc::channel();
    let other = Arc::clone(&tracker);
    let writer = thread::spawn(move || {
        let slot = other.begin(10, 10).unwrap();
        sender.send(()).unwrap();
        slot.end(Ok(10), false);
    });
    assert!(
        receiver.recv_timeout(Duration::from_millis(50)).is_err(),
        "the window is full"
    );
    first.end(Ok(10), false);
    receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    writer.join().unwrap();
    tracker.drain();
    assert_eq!(tracker.written().bytes, 20);
}

#[test]
fn reads_need_written_bytes_and_truncation_waits_for_them() {
    let tracker = Tracker::open(10, 10);
    let attributes = ();
    assert!(tracker.read(0..1, &attributes).is_none());
    tracker.begin(0, 5).unwrap().end(Ok(5), false);
    assert!(tracker.read(4..6, &attributes).is_none());
    assert!(tracker.read(5..5, &attributes).is_none());
    let reading = tracker.read(0..5, &attributes).unwrap();
    let (sender, receiver) = mpsc::channel();
    let other = Arc::clone(&tracker);
    let truncation = thread::spawn(move || {
        other.end_reading();
        sender.send(()).unwrap();
    });
    let early = receiver.recv_timeout(Duration::from_millis(50));
    assert!(early.is_err(), "a read is on the bricks");
    drop(reading);
    receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    truncation.join().unwrap();
    assert!(tracker.read(0..5, &attributes).is_none());
    tracker.drain();
}

#[test]
fn no_reads_while_the_lock_may_be_lost() {
    let tracker = Tracker::open(10, 10);
    let attributes = ();
    tracker.begin(0, 5).unwrap().end(Ok(5), false);
    let reading = tracker.read(0..5, &attributes).unwrap();
    assert!(reading.is_sure());
    tracker.lose();
    assert!(tracker.read(0..5, &attributes).is_none());
    assert!(!reading.is_sure());
    drop(reading);
    tracker.drain();
}

#[test]
fn no_writes_while_the_lock_may_be_lost() {
    let tracker = Tracker::open(100, 10);
    let first = tracker.begin(0, 10).unwrap();
    let other = Arc::clone(&tracker);
    let writer = thread::spawn(move || other.begin(10, 10).map(drop).unwrap_err());
    tracker.lose();
    assert_eq!(writer.join().unwrap(), Errno::EAGAIN, "the writer wakes up");
    first.end(Ok(10), false);
    assert_eq!(tracker.begin(10, 10).unwrap_err(), Errno::EAGAIN);
    tracker.trust();
    tracker.begin(10, 90).unwrap().end(Ok(90), false);
    tracker.drain();
    let written = tracker.written();
    assert!(written.complete && written.lost && written.error.is_none());
}

#[test]
fn cancelling_wakes_a_blocked_writer() {
    let tracker = Tracker::open(100, 10);
    let first = tracker.begin(0, 10).unwrap();
    let other = Arc::clone(&tracker);
    let writer = thread::spawn(move || other.begin(10, 10).map(drop).unwrap_err());
    tracker.cancel();
    assert_eq!(writer.join().unwrap(), Errno::ECANCELED);
    first.end(Ok(10), false);
    tracker.drain();
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Memory, connections and bytes in a second: who waits, and for what.

use super::*;
use std::sync::mpsc;

fn limits(memory: u64, connections: usize) -> Arc<Limits> {
    let limits = Limits::default();
    limits.set(&Config {
        memory,
        connections,
        ..Config::default()
    });
    Arc::new(limits)
}

#[test]
fn who_takes_too_much_waits_until_it_is_given_back() {
    let limits = limits(10, 1);
    let first = limits.memory(100);
    let (said, heard) = mpsc::channel();
    let other = Arc::clone(&limits);
    let waiter = thread::spawn(move || {
        let _lease = other.memory(1);
        said.send(()).unwrap();
    });
    let early = heard.recv_timeout(Duration::from_millis(50));
    assert!(early.is_err(), "all is taken");
    drop(first);
    heard.recv_timeout(Duration::from_secs(20)).unwrap();
    waiter.join().unwrap();
    assert_eq!(limits.used().0, 0);
}

#[test]
fn a_reader_finds_a_connection_when_recalls_have_theirs() {
    let limits = limits(10, 4);
    let recalls: Vec<_> = (0..3).map(|_| limits.connection(Use::Recall, 1)).collect();
    let _reader = limits.connection(Use::Read, 1);
    assert_eq!(limits.used().1, 4);
    let (said, heard) = mpsc::channel();
    let other = Arc::clone(&limits);
    let waiter = thread::spawn(move || {
        let _connection = other.connection(Use::Recall, 1);
        said.send(()).unwrap();
    });
    let early = heard.recv_timeout(Duration::from_millis(50));
    assert!(early.is_err(), "recalls have three of four");
    drop(recalls);
    heard.recv_timeout(Duration::from_secs(20)).unwrap();
    waiter.join().unwrap();
}

#[test]
fn more_connections_need_memory_and_the_first_does_not() {
    let limits = limits(8 * BUFFER, 64);
    let more: Vec<_> = (0..3).map(|_| limits.more().unwrap()).collect();
    let used: Vec<_> = (0..3)
        .map(|_| limits.connection(Use::More, 8 * BUFFER))
        .collect();
    assert_eq!(limits.used(), (3 * BUFFER, 3));
    assert!(limits.more().is_none(), "they have their part of it");
    // These have none.
    let _recall = limits.connection(Use::Recall, BUFFER);
    let _reader = limits.connection(Use::Read, BUFFER);
    // What came has the other half.
    let came = limits.memory(4 * BUFFER);
    drop((more, used, came));
    assert!(limits.more().is_some());
    assert_eq!(limits.used(), (2 * BUFFER, 2));
}

#[test]
fn a_rate_is_kept_and_idle_time_is_not_saved_up() {
    let mut rate = Rate {
        limit: 1000,
        paid: None,
    };
    let now = Instant::now();
    assert_eq!(rate.pause(500, now), Duration::from_millis(500));
    assert_eq!(rate.pause(500, now), Duration::from_secs(1));
    let later = now + Duration::from_secs(10);
    assert_eq!(rate.pause(100, later), Duration::from_millis(100));
    rate.limit = 0;
    assert_eq!(rate.pause(100, later), Duration::ZERO);
}

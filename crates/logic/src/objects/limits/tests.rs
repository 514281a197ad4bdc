// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Memory, connections and bytes per second: what blocks, and until when.

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
fn request_over_the_budget_waits_for_a_release() {
    let limits = limits(10, 1);
    let first = limits.memory(100);
    let (sender, receiver) = mpsc::channel();
    let other = Arc::clone(&limits);
    let waiter = thread::spawn(move || {
        let _lease = other.memory(1);
        sender.send(()).unwrap();
    });
    let early = receiver.recv_timeout(Duration::from_millis(50));
    assert!(early.is_err(), "all memory is taken");
    drop(first);
    receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    waiter.join().unwrap();
    assert_eq!(limits.used().0, 0);
}

#[test]
fn reader_gets_a_connection_while_recalls_use_theirs() {
    let limits = limits(10, 4);
    let recalls: Vec<_> = (0..3).map(|_| limits.connection(Use::Recall, 1)).collect();
    let _reader = limits.connection(Use::Read, 1);
    assert_eq!(limits.used().1, 4);
    let (sender, receiver) = mpsc::channel();
    let other = Arc::clone(&limits);
    let waiter = thread::spawn(move || {
        let _connection = other.connection(Use::Recall, 1);
        sender.send(()).unwrap();
    });
    let early = receiver.recv_timeout(Duration::from_millis(50));
    assert!(early.is_err(), "recalls have three of four");
    drop(recalls);
    receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    waiter.join().unwrap();
}

#[test]
fn only_additional_connections_need_memory() {
    let limits = limits(8 * BUFFER, 64);
    let more: Vec<_> = (0..3).map(|_| limits.more().unwrap()).collect();
    let used: Vec<_> = (0..3)
        .map(|_| limits.connection(Use::More, 8 * BUFFER))
        .collect();
    assert_eq!(limits.used(), (3 * BUFFER, 3));
    assert!(limits.more().is_none(), "they have their share");
    // These transfers have no connection yet, so they get one.
    let _recall = limits.connection(Use::Recall, BUFFER);
    let _reader = limits.connection(Use::Read, BUFFER);
    // Received bytes use the other half.
    let arrived = limits.memory(4 * BUFFER);
    drop((more, used, arrived));
    assert!(limits.more().is_some());
    assert_eq!(limits.used(), (2 * BUFFER, 2));
}

#[test]
fn rate_is_kept_without_saving_up_idle_time() {
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

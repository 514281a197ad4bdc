// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A plugin's writes of any sizes, in any order, become writes of whole chunks where they follow each other.

use cloudsync_logic::host::{Buffer as _, Host as _};
use cloudsync_logic::objects::limits::LIMITS;
use cloudsync_logic::recall::gather::Gather;
use cloudsync_logic::sync::new_execution;
use shuttle::rand::{Rng as _, thread_rng};

use crate::model::host::Host;
use crate::object::limits;

const SIZE: u64 = 23;
const CHUNK: u64 = Host::PIECE;

/// Repeats what chooses at random. There is only one thread.
fn many_times(body: impl Fn() + Send + Sync + 'static) {
    let body = move || {
        new_execution();
        body();
    };
    shuttle::check_random(body, 2000);
}

/// Writes the ranges, each byte with its offset. Returns what is sent.
fn gathered(writes: &[(u64, u64)]) -> Vec<(u64, Vec<u8>)> {
    let mut gather = Gather::<Host>::new((), SIZE);
    let mut sent = Vec::new();
    for (start, end) in writes {
        let bytes: Vec<u8> = (*start..*end).map(|at| at as u8).collect();
        gather.add(*start, &bytes, &mut sent).unwrap();
    }
    sent.extend(gather.take());
    let plain =
        |(at, chunk): &(u64, crate::model::host::Chunk)| (*at, chunk.buffer().bytes().to_vec());
    sent.iter().map(plain).collect()
}

#[test]
fn writes_that_follow_each_other_become_chunks() {
    many_times(|| {
        LIMITS.set(&limits());
        let mut writes = Vec::new();
        let mut at = 0;
        while at < SIZE {
            let end = (at + thread_rng().gen_range(1..7)).min(SIZE);
            writes.push((at, end));
            at = end;
        }
        let sent = gathered(&writes);
        let starts: Vec<u64> = sent.iter().map(|(at, _)| *at).collect();
        let expected: Vec<u64> = (0..SIZE).step_by(CHUNK as usize).collect();
        assert_eq!(starts, expected, "{writes:?}");
        let all: Vec<u8> = sent.into_iter().flat_map(|(_, bytes)| bytes).collect();
        assert_eq!(all, (0..SIZE as u8).collect::<Vec<_>>());
    });
}

#[test]
fn writes_in_any_order_all_reach_their_place() {
    many_times(|| {
        LIMITS.set(&limits());
        let mut file = [None; SIZE as usize];
        let mut writes = Vec::new();
        for _ in 0..8 {
            let start = thread_rng().gen_range(0..SIZE);
            writes.push((start, (start + thread_rng().gen_range(1..9)).min(SIZE)));
        }
        for (at, bytes) in gathered(&writes) {
            assert!(at % CHUNK + bytes.len() as u64 <= CHUNK, "{at} {bytes:?}");
            for (place, byte) in (at..).zip(bytes) {
                assert_eq!(u64::from(byte), place);
                file[place as usize] = Some(byte);
            }
        }
        let written = |at| {
            writes
                .iter()
                .any(|(start, end)| (*start..*end).contains(&at))
        };
        for at in 0..SIZE {
            assert_eq!(file[at as usize].is_some(), written(at), "{at} {writes:?}");
        }
    });
}

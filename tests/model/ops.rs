// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The possible steps and their frequencies.

use proptest::collection::vec;
use proptest::prelude::*;

/// Names in a case's directory.
pub(crate) const NAMES: u8 = 6;
/// Descriptors that each client may hold.
pub(crate) const SLOTS: usize = 3;
/// No file grows much beyond twice this size.
const LARGEST: u32 = 200_000;

/// Bytes to write: [`crate::scene::pattern`] of the seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) seed: u16,
    pub(crate) length: u32,
}

/// How an upload fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bad {
    /// There is no object.
    Missing,
    /// The object is one byte too short.
    Short,
    /// The archiver's mtime differs from the file's.
    OtherTime,
}

/// A step by the same client as the step before or by the other one.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) other: bool,
    pub(crate) op: Op,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// O_CREAT and O_TRUNC.
    Create {
        name: u8,
        fill: Fill,
    },
    Write {
        name: u8,
        at: u32,
        fill: Fill,
    },
    Append {
        name: u8,
        fill: Fill,
    },
    Truncate {
        name: u8,
        size: u32,
        by_path: bool,
    },
    Punch {
        name: u8,
        at: u32,
        length: u32,
    },
    /// copy_file_range.
    Copy {
        from: u8,
        to: u8,
        at: [u32; 2],
        length: u32,
    },
    Read {
        name: u8,
        at: u32,
        length: u32,
    },
    /// Names and sizes, by readdirplus.
    List,
    Rename {
        from: u8,
        to: u8,
    },
    Unlink {
        name: u8,
    },
    Link {
        from: u8,
        to: u8,
    },
    Chmod {
        name: u8,
        mode: u32,
    },
    /// utimens.
    Touch {
        name: u8,
        seconds: u32,
        nanos: u32,
    },
    /// Opens a descriptor that is held across other steps.
    Open {
        slot: usize,
        name: u8,
    },
    /// Not synced: the write may wait in the client's write-behind.
    HeldWrite {
        slot: usize,
        at: u32,
        fill: Fill,
    },
    HeldRead {
        slot: usize,
        at: u32,
        length: u32,
    },
    HeldTruncate {
        slot: usize,
        size: u32,
    },
    Fsync {
        slot: usize,
    },
    Close {
        slot: usize,
    },
    Archive {
        name: u8,
        exact: bool,
    },
    BadArchive {
        name: u8,
        bad: Bad,
    },
    /// The object is missing when the file is read, and is then restored.
    LostObject {
        name: u8,
    },
    Remount,
    Kill,
    /// kill -9, this number of milliseconds after a read of the file started.
    KillInRecall {
        name: u8,
        after: u64,
    },
    /// kill -9, this number of milliseconds after the handshake started.
    KillInArchive {
        name: u8,
        after: u64,
    },
}

fn length() -> impl Strategy<Value = u32> {
    prop_oneof![
        3 => 0..5000u32,
        2 => (0..12u32, 0..3u32).prop_map(|(page, off)| (page * 4096 + off).saturating_sub(1)),
        2 => 0..LARGEST,
    ]
}

fn fill() -> impl Strategy<Value = Fill> {
    (any::<u16>(), length()).prop_map(|(seed, length)| Fill { seed, length })
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES;
    let slot = || 0..SLOTS;
    let at = length;
    let bad = prop_oneof![Just(Bad::Missing), Just(Bad::Short), Just(Bad::OtherTime)];
    let bytes = prop_oneof![
        6 => (name(), fill()).prop_map(|(name, fill)| Op::Create { name, fill }),
        8 => (name(), at(), fill()).prop_map(|(name, at, fill)| Op::Write { name, at, fill }),
        5 => (name(), fill()).prop_map(|(name, fill)| Op::Append { name, fill }),
        5 => (name(), length(), any::<bool>())
            .prop_map(|(name, size, by_path)| Op::Truncate { name, size, by_path }),
        2 => (name(), at(), 1..50_000u32).prop_map(|(name, at, length)| Op::Punch { name, at, length }),
        2 => (name(), name(), [at(), at()], length())
            .prop_map(|(from, to, at, length)| Op::Copy { from, to, at, length }),
        14 => (name(), at(), length()).prop_map(|(name, at, length)| Op::Read { name, at, length }),
    ];
    let names = prop_oneof![
        2 => Just(Op::List),
        4 => (name(), name()).prop_map(|(from, to)| Op::Rename { from, to }),
        2 => name().prop_map(|name| Op::Unlink { name }),
        3 => (name(), name()).prop_map(|(from, to)| Op::Link { from, to }),
        3 => (name(), 0..0o1000u32).prop_map(|(name, mode)| Op::Chmod { name, mode }),
        4 => (name(), 1..3_000_000_000u32, 0..1_000_000_000u32)
            .prop_map(|(name, seconds, nanos)| Op::Touch { name, seconds, nanos }),
    ];
    let held = prop_oneof![
        5 => (slot(), name()).prop_map(|(slot, name)| Op::Open { slot, name }),
        8 => (slot(), at(), fill()).prop_map(|(slot, at, fill)| Op::HeldWrite { slot, at, fill }),
        6 => (slot(), at(), length()).prop_map(|(slot, at, length)| Op::HeldRead { slot, at, length }),
        3 => (slot(), length()).prop_map(|(slot, size)| Op::HeldTruncate { slot, size }),
        3 => slot().prop_map(|slot| Op::Fsync { slot }),
        2 => slot().prop_map(|slot| Op::Close { slot }),
    ];
    let cold = prop_oneof![
        84 => (name(), any::<bool>()).prop_map(|(name, exact)| Op::Archive { name, exact }),
        8 => (name(), bad).prop_map(|(name, bad)| Op::BadArchive { name, bad }),
        5 => name().prop_map(|name| Op::LostObject { name }),
        1 => Just(Op::Remount),
        1 => Just(Op::Kill),
        1 => (name(), 0..30u64).prop_map(|(name, after)| Op::KillInRecall { name, after }),
        1 => (name(), 0..60u64).prop_map(|(name, after)| Op::KillInArchive { name, after }),
    ];
    prop_oneof![44 => bytes, 20 => names, 26 => held, 10 => cold]
}

/// This number of steps; `switches` percent of them change to the other client.
pub(crate) fn steps(number: usize, switches: u32) -> impl Strategy<Value = Vec<Step>> {
    let other = prop_oneof![switches => Just(true), 100 - switches => Just(false)];
    let step = (other, op()).prop_map(|(other, op)| Step { other, op });
    vec(step, number..=number)
}

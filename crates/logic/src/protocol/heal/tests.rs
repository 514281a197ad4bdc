// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Conclusions from marks, times and failed comparisons.

use super::*;
use cloudsync_format::claim::Time;
use cloudsync_format::holes::Holes;
use cloudsync_format::record::Record;

const GFID: Gfid = Gfid([7; 16]);
const EPOCH: Time = Time {
    seconds: 0,
    nanos: 0,
};

/// Attributes of a file of 100 bytes.
#[derive(Clone, Copy, Debug)]
struct Plain;

impl Attributes for Plain {
    fn size(&self) -> u64 {
        100
    }
    fn blocks(&self) -> u64 {
        1
    }
    fn block_size(&self) -> u32 {
        4096
    }
    fn links(&self) -> u32 {
        1
    }
    fn is_file(&self) -> bool {
        true
    }
    fn atime(&self) -> Time {
        EPOCH
    }
    fn mtime(&self) -> Time {
        EPOCH
    }
    fn ctime(&self) -> Time {
        EPOCH
    }
    fn show_cold(&mut self, _: u64) {}
    fn access(&mut self) {}
    fn access_next(&mut self) {}
}

fn status(on_bricks: u64, mark: Option<String>, record: Option<Gfid>) -> Status<Plain> {
    Status {
        state: State::Repair,
        attributes: Plain,
        on_bricks,
        remote: Some(b"key".to_vec()),
        key: None,
        archived_by_us: true,
        mark: mark.map(String::into_bytes),
        version: None,
        record: record.map(|gfid| Record {
            gfid: gfid.to_string(),
            size: 100,
            mtime: EPOCH,
            checksum: None,
            holes: Holes::default(),
            store: None,
            key: String::new(),
        }),
        archive_uuid: None,
        sharded_size: None,
        has_left_overs: true,
    }
}

fn mark(gfid: Gfid, seconds: i64) -> Option<String> {
    Some(Mark::new(gfid, Time { seconds, nanos: 0 }).to_string())
}

const OTHER: Gfid = Gfid([8; 16]);
const STORE_AWAY: Failure = Failure::Store(Errno::EREMOTEIO);
const NO_OBJECT: Failure = Failure::Store(Errno::ENODATA);

#[test]
fn bytes_are_explained_only_by_our_recall_of_this_file() {
    let old = Some("1-0123456789abcdef-7".to_owned());
    for (bytes, mark, record, want) in [
        (0, None, Some(GFID), false),
        (50, mark(GFID, 0), Some(GFID), false),
        (50, mark(GFID, 0), None, false),
        (50, mark(GFID, 1), Some(GFID), true),
        (50, mark(OTHER, 0), Some(GFID), true),
        (50, mark(GFID, 0), Some(OTHER), true),
        (50, None, Some(GFID), true),
        (50, old, Some(GFID), true),
    ] {
        let status = status(bytes, mark, record);
        assert_eq!(is_unexplained(&status, GFID), want, "{status:?}");
    }
}

#[test]
fn failed_comparison_keeps_bytes_that_may_be_foreign() {
    let decide = |bytes, mark, record, failure: &Failure| {
        let status = status(bytes, mark, record);
        without_comparison(&status, Marks::of(&status, GFID), true, failure)
    };
    for (bytes, mark, record, failure) in [
        (50, None, Some(GFID), STORE_AWAY),
        (50, mark(GFID, 0), Some(GFID), STORE_AWAY),
        (50, mark(GFID, 0), Some(GFID), NO_OBJECT),
        (100, mark(GFID, 1), Some(GFID), NO_OBJECT),
        (50, None, Some(GFID), NO_OBJECT),
        (50, mark(OTHER, 0), Some(OTHER), NO_OBJECT),
    ] {
        let conclusion = decide(bytes, mark, record, &failure);
        assert_eq!(conclusion, None, "{bytes} {record:?} {failure}");
    }
    for (bytes, record, failure) in [
        (50, Some(OTHER), STORE_AWAY),
        (50, Some(OTHER), NO_OBJECT),
        (100, Some(GFID), NO_OBJECT),
        (100, None, NO_OBJECT),
    ] {
        let conclusion = decide(bytes, None, record, &failure);
        assert!(
            matches!(conclusion, Some(Origin::Foreign(_))),
            "{bytes} {record:?}"
        );
    }
}

/// Fragments that do not agree read as bytes that nobody wrote.
#[test]
fn different_bytes_of_an_interrupted_recall_are_not_the_file_on_fragments() {
    let decide = |mark, mtime, own_times, coded| {
        let mut status = status(50, mark, Some(GFID));
        if let Some(record) = &mut status.record {
            record.mtime.seconds = mtime;
        }
        let volume = Volume { own_times, coded };
        conclude(Ok(false), &status, Marks::of(&status, GFID), volume)
    };
    // (ctime in the mark, mtime in the record; the file's are 0), own times, erasure-coded
    for (mark, mtime, own_times, coded, want) in [
        (mark(GFID, 0), 0, true, true, Some(Origin::Ours)),
        // Touched since, but not written.
        (mark(GFID, 1), 0, true, true, Some(Origin::Ours)),
        (mark(GFID, 1), 7, true, true, Some(DIFFERENT)),
        (mark(GFID, 1), 7, false, true, None),
        // No recall began, or it is another file's mark.
        (None, 0, true, true, Some(DIFFERENT)),
        (mark(OTHER, 0), 0, true, true, Some(DIFFERENT)),
        (mark(GFID, 0), 0, true, false, Some(DIFFERENT)),
        (mark(GFID, 1), 7, false, false, Some(DIFFERENT)),
    ] {
        let concluded = decide(mark.clone(), mtime, own_times, coded);
        match want {
            Some(origin) => assert_eq!(concluded.unwrap(), origin, "{mark:?} {mtime} {own_times}"),
            None => assert!(matches!(concluded, Err(Failure::Damaged(_)))),
        }
    }
}

#[test]
fn plugin_without_ranges_loses_no_foreign_bytes() {
    let decide = |bytes, mark, record, own_times| {
        let mut status = status(bytes, mark, record);
        if let Some(record) = &mut status.record {
            record.mtime.seconds = 7;
        }
        without_parts(&status, Marks::of(&status, GFID), own_times)
    };
    let ours = decide(50, mark(GFID, 0), Some(GFID), false);
    assert!(matches!(ours, Ok(Origin::Ours)));
    let written = decide(50, mark(GFID, 0), Some(GFID), true);
    assert!(matches!(written, Ok(Origin::Foreign(_))));
    assert!(decide(100, mark(GFID, 0), Some(GFID), true).is_err());
    assert!(matches!(
        decide(50, None, None, true),
        Ok(Origin::Foreign(_))
    ));
    assert!(matches!(
        decide(50, mark(GFID, 0), None, true),
        Ok(Origin::Ours)
    ));
    let copied = decide(50, mark(GFID, 0), Some(OTHER), false);
    assert!(matches!(copied, Ok(Origin::Foreign(_))));
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of the operations of recalls. Each function tests one requirement, stated by its name.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_store::{Options, Store, StoreError};

use crate::memory::assert_same;
use crate::{Memory, Subject, pattern};

const MIB: usize = 1 << 20;
/// Longer than any store needs to notice a condition.
const SOON: Duration = Duration::from_secs(20);

fn fetch<S: Store>(
    store: &S,
    key: &str,
    range: Range<usize>,
    sink: &mut Memory,
) -> Result<(), StoreError> {
    let object = store.head(key)?;
    let range = range.start as u64..range.end as u64;
    store.fetch(key, &object, range, sink)?;
    if let Some(described) = &sink.described {
        assert_eq!(*described, object, "{key}: described while it was fetched");
    }
    Ok(())
}

/// Fetches the whole object.
pub(crate) fn whole<S: Store>(store: &S, key: &str) -> Result<Vec<u8>, StoreError> {
    let mut sink = Memory::default();
    let size = store.head(key)?.size;
    fetch(store, key, 0..usize::try_from(size).unwrap(), &mut sink)?;
    Ok(sink.bytes)
}

/// Any range returns its bytes: at both ends, across the store's internal pieces, single bytes, and an empty range.
pub fn any_range_is_those_bytes<S: Subject>(subject: &S) {
    let bytes = pattern(1, 5 * MIB + 12345);
    let key = "any_range/object";
    subject.place(key, &bytes);
    let store = subject.open();
    let end = bytes.len();
    for range in [
        0..end,
        0..1,
        end - 1..end,
        MIB - 1..MIB + 1,
        MIB..2 * MIB,
        100..100,
        3 * MIB + 17..end,
        end..end,
    ] {
        let mut sink = Memory::default();
        fetch(&store, key, range.clone(), &mut sink).unwrap();
        assert_same(&sink.bytes, &bytes[range.clone()], &format!("{range:?}"));
    }
}

/// Objects of any size are described with that size and arrive whole, including an empty one.
pub fn objects_of_any_size_arrive_whole<S: Subject>(subject: &S) {
    let store = subject.open();
    for size in [0, 1, 511, 4096, 65_537, MIB, 3 * MIB + 1] {
        let (key, bytes) = (format!("any_size/{size}"), pattern(size as u64, size));
        subject.place(&key, &bytes);
        let object = store.head(&key).unwrap();
        assert_eq!(object.size, size as u64);
        assert_same(&whole(&store, &key).unwrap(), &bytes, &key);
    }
}

/// A key is plain text of any characters, and different keys are different objects.
pub fn keys_are_encoded_exactly<S: Subject>(subject: &S) {
    let long = format!("keys/{}", "long/".repeat(40));
    let mut keys = vec![
        "keys/plain",
        "keys/Plain",
        "keys/dir/deeper/file.txt",
        "keys/-_.~",
        &long,
    ];
    keys[4] = long.trim_end_matches('/');
    keys.extend([
        "keys/with space",
        "keys/100%",
        "keys/%41",
        "keys/A",
        "keys/a+b",
        "keys/what?x=1&y",
        "keys/a#b",
        "keys/\u{e4}\u{20ac}\u{1f600}",
        "keys/'quoted' \"twice\"",
        "keys/back\\slash",
    ]);
    let (keys, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| subject.can_name(key));
    for (n, key) in keys.iter().enumerate() {
        subject.place(key, &pattern(n as u64, 1000 + n));
    }
    let store = subject.open();
    for (n, key) in keys.iter().enumerate() {
        let bytes = whole(&store, key).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_same(&bytes, &pattern(n as u64, 1000 + n), key);
    }
    for key in others {
        let error = store.head(key).unwrap_err();
        assert!(matches!(error, StoreError::Missing(_)), "{key}: {error:?}");
    }
}

/// A missing object is reported as missing, not as empty or unreachable, even if its key is a prefix of another or has
/// one.
pub fn a_missing_object_is_missing<S: Subject>(subject: &S) {
    subject.place("missing/there", b"bytes");
    let store = subject.open();
    for key in [
        "missing/nothing",
        "missing",
        "missing/there/below",
        "missing/ther",
    ] {
        let error = store.head(key).unwrap_err();
        assert!(matches!(error, StoreError::Missing(_)), "{key}: {error:?}");
        assert!(!error.to_string().is_empty());
    }
    // Removed after it was described and before it is read.
    let object = store.head("missing/there").unwrap();
    subject.remove("missing/there");
    let mut sink = Memory::default();
    let error = store
        .fetch("missing/there", &object, 0..5, &mut sink)
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Missing(_) | StoreError::Changed(_)),
        "{error:?}"
    );
    assert!(sink.bytes.is_empty());
}

/// An object that may not be read is reported as such, and not as missing.
pub fn an_object_may_not_be_readable<S: Subject>(subject: &S) {
    let key = "forbidden/object";
    subject.place(key, b"bytes");
    let Some(options) = subject.forbidden(key) else {
        return;
    };
    let error = whole(&S::Store::open(&options).unwrap(), key).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::PermissionDenied(_)
                | StoreError::BadCredentials(_)
                | StoreError::Encrypted(_)
        ),
        "{error:?}"
    );
}

/// A store whose back-end is down can be opened (a mount must not fail), and then reports that it is unreachable.
pub fn a_store_that_is_away_is_unreachable<S: Subject>(subject: &S) {
    let begun = Instant::now();
    let store = S::Store::open(&subject.away()).unwrap();
    let error = store.head("away/object").unwrap_err();
    assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
    assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
}

/// Wrong settings are refused when the store is opened, and the text names them.
pub fn wrong_settings_are_refused_by_name<S: Subject>(subject: &S) {
    let wrong = subject.wrong();
    assert!(!wrong.is_empty(), "every store has settings that are wrong");
    for (options, word) in wrong {
        match S::Store::open(&options) {
            Err(StoreError::Settings(text)) => assert!(text.contains(word), "{word}: {text}"),
            Err(error) => panic!("{word}: {error:?}"),
            Ok(_) => panic!("{word}: the settings were accepted"),
        }
    }
    assert!(
        S::Store::open(&Options::default()).is_err(),
        "no settings at all"
    );
}

/// An object that was replaced after it was described is not read.
pub fn an_object_that_changed_is_not_read<S: Subject>(subject: &S) {
    let key = "changed/object";
    subject.place(key, &pattern(1, 100_000));
    let store = subject.open();
    let object = store.head(key).unwrap();
    assert!(
        object.etag.is_some(),
        "without a version no change can be detected"
    );
    subject.place(key, &pattern(2, 100_000));
    let mut sink = Memory::default();
    let error = store
        .fetch(key, &object, 0..100_000, &mut sink)
        .unwrap_err();
    assert!(matches!(error, StoreError::Changed(_)), "{error:?}");
    assert!(sink.bytes.is_empty(), "{} bytes arrived", sink.bytes.len());
    assert_ne!(store.head(key).unwrap().etag, object.etag);
}

/// An object that is replaced during a read gives all of the old version, or an error, but never bytes of both.
pub fn bytes_of_two_versions_are_never_mixed<S: Subject>(subject: &S) {
    let key = "mixed/object";
    let (old, new) = (pattern(1, 12 * MIB), pattern(2, 12 * MIB));
    subject.place(key, &old);
    let store = subject.open();
    let object = store.head(key).unwrap();
    let replaced = AtomicBool::new(false);
    thread::scope(|scope| {
        let (go, wait) = std::sync::mpsc::channel();
        let (done, replaced_it) = std::sync::mpsc::channel();
        scope.spawn(|| {
            let (wait, done) = (wait, done);
            wait.recv().unwrap();
            subject.place(key, &new);
            replaced.store(true, Ordering::SeqCst);
            done.send(()).unwrap();
        });
        let mut sink = Memory {
            after_first: Some(Box::new(move || {
                go.send(()).unwrap();
                replaced_it.recv().unwrap();
            })),
            ..Memory::default()
        };
        match store.fetch(key, &object, 0..object.size, &mut sink) {
            Ok(()) => assert_same(&sink.bytes, &old, "what was read"),
            Err(StoreError::Changed(_)) => {
                let same = old.starts_with(&sink.bytes);
                assert!(same, "bytes of the new version arrived before the error");
            }
            Err(error) => panic!("{error:?}"),
        }
    });
    assert!(replaced.load(Ordering::SeqCst));
}

/// An object that is removed during a read gives all of its bytes, or an error.
pub fn an_object_that_goes_while_it_is_read_is_whole_or_an_error<S: Subject>(subject: &S) {
    let key = "goes/object";
    let bytes = pattern(3, 12 * MIB);
    subject.place(key, &bytes);
    let store = subject.open();
    let object = store.head(key).unwrap();
    thread::scope(|scope| {
        let (go, wait) = std::sync::mpsc::channel();
        let (done, removed) = std::sync::mpsc::channel();
        scope.spawn(|| {
            let (wait, done) = (wait, done);
            wait.recv().unwrap();
            subject.remove(key);
            done.send(()).unwrap();
        });
        let mut sink = Memory {
            after_first: Some(Box::new(move || {
                go.send(()).unwrap();
                removed.recv().unwrap();
            })),
            ..Memory::default()
        };
        if store.fetch(key, &object, 0..object.size, &mut sink).is_ok() {
            assert_same(&sink.bytes, &bytes, "what was read");
        }
    });
}

/// A cancelled read ends soon, and writes no more bytes.
pub fn who_does_not_want_the_bytes_gets_no_more<S: Subject>(subject: &S) {
    let key = "cancel/object";
    subject.place(key, &pattern(4, 8 * MIB));
    let store = subject.open();
    for enough in [0, 100_000] {
        let mut sink = Memory {
            enough: Some(enough),
            ..Memory::default()
        };
        let begun = Instant::now();
        let error = fetch(&store, key, 0..8 * MIB, &mut sink).unwrap_err();
        assert_eq!(error, StoreError::Cancelled);
        assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
        assert!(
            sink.bytes.len() <= enough + 2 * MIB,
            "{} bytes",
            sink.bytes.len()
        );
        assert_eq!(sink.calls_after_error, 0);
    }
}

/// The error of a sink is the error of the fetch, unchanged and at once, without a retry.
pub fn what_the_sink_says_is_handed_on<S: Subject>(subject: &S) {
    let key = "full/object";
    subject.place(key, &pattern(5, 4 * MIB));
    let store = subject.open();
    for full in [0, 2 * MIB] {
        let mut sink = Memory {
            full: Some(full),
            ..Memory::default()
        };
        let error = fetch(&store, key, 0..4 * MIB, &mut sink).unwrap_err();
        assert_eq!(error, StoreError::Sink(28));
        assert_eq!(sink.calls_after_error, 0);
    }
}

/// A volume that is slower than the store does not make a fetch fail.
pub fn a_slow_sink_gets_everything<S: Subject>(subject: &S) {
    let key = "slow/object";
    let bytes = pattern(6, 8 * MIB);
    subject.place(key, &bytes);
    let mut sink = Memory {
        pause: Duration::from_millis(2500),
        ..Memory::default()
    };
    fetch(&subject.open(), key, 0..8 * MIB, &mut sink).unwrap();
    assert_same(&sink.bytes, &bytes, key);
}

/// Many concurrent readers of one store, of the same object and of different ones.
pub fn many_readers_at_once<S: Subject>(subject: &S) {
    for n in 0..4 {
        subject.place(&format!("many/{n}"), &pattern(n, MIB + 7));
    }
    let store = subject.open();
    thread::scope(|scope| {
        for reader in 0..12 {
            let store = &store;
            scope.spawn(move || {
                let n = reader % 4;
                let got = whole(store, &format!("many/{n}")).unwrap();
                assert_same(&got, &pattern(n, MIB + 7), "what was read");
            });
        }
    });
}

/// As with `gluster volume set` during recalls: every reader keeps its store, while new stores are opened and old ones
/// dropped, with valid settings and invalid ones.
pub fn settings_change_while_reads_run<S: Subject>(subject: &S) {
    let key = "settings/object";
    let bytes = pattern(7, 4 * MIB);
    subject.place(key, &bytes);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let changes = scope.spawn(|| {
            let mut opened = 0;
            while !done.load(Ordering::SeqCst) {
                drop(subject.open());
                for (options, _) in subject.wrong() {
                    assert!(S::Store::open(&options).is_err());
                }
                opened += 1;
                thread::sleep(Duration::from_millis(5));
            }
            opened
        });
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..4 {
                        let got = whole(&subject.open(), key).unwrap();
                        assert_same(&got, &bytes, "what was read");
                    }
                })
            })
            .collect();
        let ended: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        done.store(true, Ordering::SeqCst);
        assert!(changes.join().unwrap() > 0);
        assert!(ended.iter().all(Result::is_ok));
    });
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of the archiver's operations. Each function tests one requirement, stated by its name.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, SystemTime};

use cloudsync_store::{Archive, Store, StoreError};

use crate::memory::assert_same;
use crate::reads::whole;
use crate::{Bytes, Subject, pattern};

const MIB: usize = 1 << 20;

fn listed<S: Archive>(store: &S, prefix: &str) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut each = |listed: cloudsync_store::Listed| {
        let before = found.insert(listed.key.clone(), listed.size);
        assert_eq!(before, None, "{} is listed twice", listed.key);
        ControlFlow::Continue(())
    };
    store.list(prefix, &mut each).unwrap();
    found
}

fn assert_missing<S: Store>(store: &S, key: &str) {
    let error = store.head(key).unwrap_err();
    assert!(matches!(error, StoreError::Missing(_)), "{key}: {error:?}");
}

/// An object that was put exists: described as `put` returned it, with its checksum, for this client and for another.
pub fn what_is_put_is_there<S: Subject<Store: Archive>>(subject: &S) {
    let (store, key) = (subject.open(), "put/there/1");
    assert_missing(&store, key);
    let bytes = pattern(1, 2 * MIB + 5);
    let source = Bytes::new(bytes.clone());
    let object = store.put(key, &source.upload()).unwrap();
    assert_eq!(object.size, bytes.len() as u64);
    assert_eq!(object.checksum, Some(source.checksum()));
    assert!(object.etag.is_some());
    for client in [store, subject.open()] {
        assert_eq!(client.head(key).unwrap(), object);
        assert_same(&whole(&client, key).unwrap(), &bytes, key);
    }
}

/// Objects of any size are put whole, including an empty one and one of several parts.
pub fn objects_of_any_size_are_put_whole<S: Subject<Store: Archive>>(subject: &S) {
    let store = subject.open();
    for size in [0, 1, 65_537, MIB, 8 * MIB, 20 * MIB + 1] {
        let (key, bytes) = (format!("put/size/{size}"), pattern(size as u64, size));
        let object = store
            .put(&key, &Bytes::new(bytes.clone()).upload())
            .unwrap();
        assert_eq!(store.head(&key).unwrap(), object);
        assert_same(&whole(&store, &key).unwrap(), &bytes, &key);
    }
}

/// Any key can be put, names one object, and is listed unchanged.
pub fn any_key_can_be_put_and_is_listed<S: Subject<Store: Archive>>(subject: &S) {
    let store = subject.open();
    let long = format!("put/keys/{}", "x".repeat(600));
    let mut keys = vec![
        "put/keys/a",
        "put/keys/A",
        "put/keys/a/b",
        "put/keys/a.b-_~",
        &long,
    ];
    keys.extend([
        "put/keys/with space",
        "put/keys/%41",
        "put/keys/a+b",
        "put/keys/q?x=1&y#z",
        "put/keys/\u{e4}\u{1f600}",
        "put/keys/<&'\">",
        "put/keys/back\\slash",
    ]);
    keys.retain(|key| subject.can_name(key));
    for (n, key) in keys.iter().enumerate() {
        let source = Bytes::new(pattern(n as u64, 100 + n));
        store
            .put(key, &source.upload())
            .unwrap_or_else(|error| panic!("{key}: {error}"));
    }
    for (n, key) in keys.iter().enumerate() {
        assert_same(
            &whole(&store, key).unwrap(),
            &pattern(n as u64, 100 + n),
            key,
        );
    }
    let wanted: BTreeMap<_, _> = keys
        .iter()
        .enumerate()
        .map(|(n, key)| ((*key).to_owned(), 100 + n as u64))
        .collect();
    assert_eq!(listed(&store, "put/keys/"), wanted);
    for key in &keys {
        store.delete(key).unwrap();
        assert_missing(&store, key);
    }
    assert_eq!(listed(&store, "put/keys/"), BTreeMap::new());
}

/// An object's metadata is returned unchanged, whatever text it is.
pub fn what_is_kept_beside_an_object_comes_back<S: Subject<Store: Archive>>(subject: &S) {
    let store = subject.open();
    let key = "put/kept";
    let source = Bytes::new(pattern(3, 1000))
        .keeping("path", "/dir/\u{e4} with space/100%/=?UTF-8?B?x?=")
        .keeping("mtime", "1700000000.000000005")
        .keeping("empty", "")
        .keeping("blanks", "  around  ")
        .keeping("lines", "one\ntwo");
    let object = store.put(key, &source.upload()).unwrap();
    let (described, kept) = store.describe(key).unwrap();
    assert_eq!(described, object);
    assert_eq!(&kept, source.upload().metadata);
    let error = store.describe("put/kept/nothing").unwrap_err();
    assert!(matches!(error, StoreError::Missing(_)), "{error:?}");
}

/// Law 8: an object is never overwritten.
pub fn an_object_is_never_overwritten<S: Subject<Store: Archive>>(subject: &S) {
    let (store, key) = (subject.open(), "put/once");
    let first = pattern(4, 10_000);
    let object = store.put(key, &Bytes::new(first.clone()).upload()).unwrap();
    for (seed, size) in [(5, 10_000), (4, 10_000), (5, 9 * MIB)] {
        match store.put(key, &Bytes::new(pattern(seed, size)).upload()) {
            Err(StoreError::Exists(_)) => {}
            // A request whose answer was lost is sent again, and then finds the bytes that it sent.
            Ok(found) if seed == 4 => assert_eq!(found, object),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.head(key).unwrap(), object);
    assert_same(&whole(&store, key).unwrap(), &first, key);
}

/// Of many concurrent puts of one key exactly one succeeds, and the object is its.
pub fn of_many_that_put_the_same_key_one_wins<S: Subject<Store: Archive>>(subject: &S) {
    for round in 0..3 {
        let key = format!("put/race/{round}");
        let results: Vec<_> = thread::scope(|scope| {
            let put = |n: u64| {
                let key = &key;
                scope.spawn(move || {
                    let source = Bytes::new(pattern(n, 300_000));
                    subject.open().put(key, &source.upload())
                })
            };
            let running: Vec<_> = (0..6).map(put).collect();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let winners: Vec<_> = (0..6).filter(|n| results[*n].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
        }
        let store = subject.open();
        assert_eq!(Ok(store.head(&key).unwrap()), results[winners[0]]);
        assert_same(
            &whole(&store, &key).unwrap(),
            &pattern(winners[0] as u64, 300_000),
            &key,
        );
    }
}

/// Bytes that do not match the checksum do not become an object.
pub fn bytes_of_another_checksum_are_refused<S: Subject<Store: Archive>>(subject: &S) {
    let (store, key) = (subject.open(), "put/corrupt");
    for size in [1000, 9 * MIB] {
        let source = Bytes::new(pattern(6, size)).with_checksum_of(&pattern(7, size));
        let error = store.put(key, &source.upload()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        assert_missing(&store, key);
    }
}

/// A source that cannot be read ends the upload, and nothing of it is visible.
pub fn a_source_that_fails_leaves_nothing<S: Subject<Store: Archive>>(subject: &S) {
    let (store, key) = (subject.open(), "put/broken");
    for (size, broken_from) in [
        (1000, 0),
        (3 * MIB, 2 * MIB as u64),
        (20 * MIB, 19 * MIB as u64),
    ] {
        let mut source = Bytes::new(pattern(8, size));
        source.broken_from = Some(broken_from);
        let error = store.put(key, &source.upload()).unwrap_err();
        assert!(matches!(error, StoreError::Source(_)), "{error:?}");
        assert_missing(&store, key);
    }
    assert_eq!(listed(&store, key), BTreeMap::new());
}

/// A listing includes exactly the objects whose keys begin with the prefix, with their size and approximate time.
pub fn a_listing_shows_what_begins_with_a_prefix<S: Subject<Store: Archive>>(subject: &S) {
    let store = subject.open();
    for key in [
        "put/list/a/1",
        "put/list/a/2",
        "put/list/ab",
        "put/list/b/1",
        "put/lis",
    ] {
        store
            .put(key, &Bytes::new(pattern(9, key.len())).upload())
            .unwrap();
    }
    let keys = |prefix: &str| -> Vec<String> { listed(&store, prefix).into_keys().collect() };
    assert_eq!(keys("put/list/a/"), ["put/list/a/1", "put/list/a/2"]);
    assert_eq!(
        keys("put/list/a"),
        ["put/list/a/1", "put/list/a/2", "put/list/ab"]
    );
    assert_eq!(keys("put/list/").len(), 4);
    assert_eq!(keys("put/list/none"), Vec::<String>::new());
    assert_eq!(listed(&store, "put/list/ab")["put/list/ab"], 11);
    let mut modified = None;
    let mut each = |one: cloudsync_store::Listed| {
        modified = Some(one.modified);
        ControlFlow::Continue(())
    };
    store.list("put/list/ab", &mut each).unwrap();
    let (modified, now) = (modified.unwrap(), SystemTime::now());
    let hour = Duration::from_secs(3600);
    assert!(
        modified > now - hour && modified < now + hour,
        "{modified:?}"
    );
}

/// A listing ends when `each` breaks.
pub fn a_listing_ends_when_it_is_told_to<S: Subject<Store: Archive>>(subject: &S) {
    let store = subject.open();
    for n in 0..5 {
        store
            .put(&format!("put/end/{n}"), &Bytes::new(vec![0; 10]).upload())
            .unwrap();
    }
    let mut seen = 0;
    let mut each = |_| {
        seen += 1;
        if seen == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    store.list("put/end/", &mut each).unwrap();
    assert_eq!(seen, 2);
}

/// A removed object is missing for every client; removing it again succeeds, and other objects stay.
pub fn what_is_removed_is_gone<S: Subject<Store: Archive>>(subject: &S) {
    let (store, other) = (subject.open(), subject.open());
    for key in ["put/remove/a", "put/remove/ab", "put/remove/a/b"] {
        store
            .put(key, &Bytes::new(pattern(10, 1000)).upload())
            .unwrap();
    }
    store.delete("put/remove/a").unwrap();
    assert_missing(&store, "put/remove/a");
    assert_missing(&other, "put/remove/a");
    store.delete("put/remove/a").unwrap();
    store.delete("put/remove/never").unwrap();
    assert!(other.head("put/remove/ab").is_ok() && other.head("put/remove/a/b").is_ok());
}

/// A removed key can be put again, and then has another version.
pub fn a_key_can_be_put_again_after_it_was_removed<S: Subject<Store: Archive>>(subject: &S) {
    let (store, key) = (subject.open(), "put/again");
    let before = store
        .put(key, &Bytes::new(pattern(11, 5000)).upload())
        .unwrap();
    store.delete(key).unwrap();
    let after = store
        .put(key, &Bytes::new(pattern(12, 5000)).upload())
        .unwrap();
    assert_ne!(before.etag, after.etag);
    assert_same(&whole(&store, key).unwrap(), &pattern(12, 5000), key);
}

/// A failed upload is cleaned up, and a completed one is not listed as unfinished.
pub fn what_failed_is_not_left_unfinished<S: Subject<Store: Archive>>(subject: &S) {
    let store = subject.open();
    store
        .put("put/left/good", &Bytes::new(pattern(13, 9 * MIB)).upload())
        .unwrap();
    let mut source = Bytes::new(pattern(14, 20 * MIB));
    source.broken_from = Some(19 * MIB as u64);
    store.put("put/left/bad", &source.upload()).unwrap_err();
    let left = store
        .unfinished("put/left/", Duration::ZERO, false)
        .unwrap();
    assert_eq!(left, Vec::<String>::new());
    assert!(store.head("put/left/good").is_ok());
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests an object that needs more than one request.

use super::*;

const SIZE: usize = (40 << 20) + 17;

pub(crate) fn multipart_upload<S>(subject: &S, place: impl Fn(&str, &[u8]))
where
    S: Subject<Store: Archive>,
{
    let (store, key) = (subject.open(), "large/one");
    let bytes = pattern(1, SIZE);
    let source = Bytes::new(bytes.clone()).keeping("path", "/dir/\u{e4}");
    let object = store.put(key, &source.upload()).unwrap();
    assert_eq!(store.describe(key).unwrap().0, object);
    assert_eq!(&store.describe(key).unwrap().1, source.upload().metadata);
    let mut memory = Memory::default();
    store
        .fetch(key, &object, 0..object.size, &mut memory)
        .unwrap();
    assert!(memory.bytes == bytes);
    // Law 8, whether the other object is found before the upload or after.
    let error = store.put(key, &source.upload()).unwrap_err();
    assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
    // Each with bytes of its own: an object with the same ones would be taken for one's own, if the answer to an attempt has
    // been lost (on a busy machine).
    let racers = [2, 3, 4].map(|seed| Bytes::new(pattern(seed, SIZE)));
    let results: Vec<_> = thread::scope(|scope| {
        let put = |racer: &Bytes| subject.open().put("large/race", &racer.upload());
        let running = racers
            .each_ref()
            .map(|racer| scope.spawn(move || put(racer)));
        running.map(|one| one.join().unwrap()).into()
    });
    let won = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(won, 1, "{results:?}");
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
    }
    // Nothing of a failed upload is visible.
    let mut broken = source.clone();
    broken.broken_from = Some(SIZE as u64 - 1);
    let wrong = Bytes::new(bytes.clone()).with_checksum_of(b"other");
    for source in [broken, wrong] {
        store.put("large/bad", &source.upload()).unwrap_err();
        let error = store.head("large/bad").unwrap_err();
        assert!(matches!(error, StoreError::Missing(_)), "{error:?}");
    }
    let left = |remove| store.unfinished("large/", Duration::ZERO, remove).unwrap();
    assert_eq!(left(false), Vec::<String>::new());
    // An upload abandoned by a dead client is not an object, but is found.
    place(".uploads/0123/large/dead", b"torso");
    let mut seen = Vec::new();
    let mut each = |one: Listed| {
        seen.push(one.key);
        ControlFlow::Continue(())
    };
    store.list("", &mut each).unwrap();
    assert!(seen.iter().all(|key| !key.contains("dead")), "{seen:?}");
    let hour = Duration::from_secs(3600);
    assert_eq!(
        store.unfinished("", hour, true).unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(left(true), ["large/dead"]);
    assert_eq!(left(true), Vec::<String>::new());
    let hidden = store.head(".uploads/0123/large/dead").unwrap_err();
    assert!(matches!(hidden, StoreError::Missing(_)), "{hidden:?}");
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Any range of a file is read from those bytes of the object that hold it.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloudsync_directory::Directory;
use cloudsync_encoding::Encoded;
use cloudsync_store::{
    Archive, Listed, Metadata, Object, Options, Sink, Store, StoreError, Upload,
};
use cloudsync_store_conformance::{Bytes, Memory, pattern};
use tempfile::TempDir;

use crate::keys::Keys;
use crate::programs::text;

/// The store `directory`, which counts what is fetched.
struct Counting(Directory);

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

impl Store for Counting {
    fn open(options: &Options) -> Result<Self, StoreError> {
        Directory::open(options).map(Self)
    }

    fn head(&self, key: &str) -> Result<Object, StoreError> {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        self.0.head(key)
    }

    fn fetch(
        &self,
        key: &str,
        object: &Object,
        range: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(range.end - range.start, Ordering::Relaxed);
        self.0.fetch(key, object, range, sink)
    }
}

impl Archive for Counting {
    fn put(&self, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError> {
        self.0.put(key, upload)
    }

    fn describe(&self, key: &str) -> Result<(Object, Metadata), StoreError> {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        self.0.describe(key)
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.0.list(prefix, each)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.0.delete(key)
    }

    fn unfinished(
        &self,
        prefix: &str,
        age: Duration,
        remove: bool,
    ) -> Result<Vec<String>, StoreError> {
        self.0.unfinished(prefix, age, remove)
    }
}

struct Read {
    bytes: Vec<u8>,
    requests: u64,
    fetched: u64,
}

fn read(store: &Encoded<Counting>, object: &Object, range: Range<u64>) -> Read {
    let before = (
        REQUESTS.load(Ordering::Relaxed),
        BYTES.load(Ordering::Relaxed),
    );
    let mut sink = Memory::default();
    // What a client knows of a cold file: size and version.
    let known = Object {
        checksum: None,
        ..object.clone()
    };
    store
        .fetch("key", &known, range.clone(), &mut sink)
        .unwrap();
    assert_eq!(sink.described, None, "of the encoded object");
    Read {
        bytes: sink.bytes,
        requests: REQUESTS.load(Ordering::Relaxed) - before.0,
        fetched: BYTES.load(Ordering::Relaxed) - before.1,
    }
}

// One test, because it counts requests.
#[test]
fn a_range_costs_little_more_than_its_bytes() {
    const MIB: u64 = 1 << 20;
    let keys = Keys::new();
    for (settings, encoding, around) in [
        ("compress=zstd".to_owned(), "zstd:", MIB),
        (keys.settings(), "age:", 132 << 10),
        (
            format!("compress=zstd,{}", keys.settings()),
            "zstd+age:",
            MIB,
        ),
    ] {
        for size in [1, 65_536, 65_537, 3 << 20, 4 * 65_536 * 16, 9_000_001] {
            let folder = TempDir::new().unwrap();
            let list = format!("path={},{settings}", folder.path().display());
            let options: Options = [("cloudsync-store-id", list)].into_iter().collect();
            let store = Encoded::<Counting>::open(&options).unwrap();
            let bytes = text(size);
            let object = store
                .put("key", &Bytes::new(bytes.clone()).upload())
                .unwrap();
            let etag = object.etag.clone().unwrap();
            assert!(etag.starts_with(encoding) || size == 1, "{size}: {etag}");
            let end = size as u64;
            // All of it takes one request, unless it is so large that a recall asks for parts of it.
            let all = read(&store, &object, 0..end);
            let most = if end > 8 * MIB { 3 } else { 1 };
            assert!(
                all.bytes == bytes && all.requests <= most,
                "{encoding} {size}: {} requests",
                all.requests
            );
            let mut ranges = vec![0..1, end - 1..end, end / 2..end, 0..end / 2 + 1];
            for seed in 0..40 {
                let noise = pattern(seed, 16);
                let number = |at: usize| u64::from_le_bytes(noise[at..at + 8].try_into().unwrap());
                let start = number(0) % end;
                let most = [1, 4096, 128 << 10, end][usize::try_from(seed % 4).unwrap()];
                let length = 1 + number(8) % (end - start).min(most);
                ranges.push(start..start + length);
            }
            for (nth, range) in ranges.into_iter().enumerate() {
                let found = read(&store, &object, range.clone());
                let at = |at: u64| usize::try_from(at).unwrap();
                let wanted = &bytes[at(range.start)..at(range.end)];
                assert!(found.bytes == wanted, "{encoding} {size} {range:?}");
                let length = range.end - range.start;
                assert!(
                    found.fetched <= length + around + 8192 * u64::from(nth == 0),
                    "{encoding} {size} {range:?}: {} bytes fetched",
                    found.fetched
                );
                // The index is fetched once.
                assert!(
                    found.requests == 1 || nth == 0,
                    "{encoding} {size} {range:?}: {} requests",
                    found.requests
                );
            }
        }
    }
}

/// What does not shrink is stored as it is.
#[test]
fn noise_is_not_compressed() {
    let folder = TempDir::new().unwrap();
    let list = format!("path={},compress=zstd", folder.path().display());
    let options: Options = [("cloudsync-store-id", list)].into_iter().collect();
    let store = Encoded::<Directory>::open(&options).unwrap();
    let noise = store.put("noise", &Bytes::new(pattern(1, 100_000)).upload());
    let text = store.put("text", &Bytes::new(text(100_000)).upload());
    assert!(!noise.unwrap().etag.unwrap().starts_with("zstd:"));
    assert!(text.unwrap().etag.unwrap().starts_with("zstd:"));
}

/// A damaged object is an error, wherever it is damaged.
#[test]
fn a_damaged_object_is_never_read_as_another_file() {
    let keys = Keys::new();
    for settings in [
        "compress=zstd".to_owned(),
        format!("compress=zstd,{}", keys.settings()),
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().display();
        let options: Options = [("cloudsync-store-id", format!("path={path},{settings}"))]
            .into_iter()
            .collect();
        let inner: Options = [("cloudsync-store-id", format!("path={path}"))]
            .into_iter()
            .collect();
        let inner = Directory::open(&inner).unwrap();
        let store = Encoded::<Directory>::open(&options).unwrap();
        let bytes = text(2_000_000);
        store
            .put("key", &Bytes::new(bytes.clone()).upload())
            .unwrap();
        let (object, metadata) = inner.describe("key").unwrap();
        let mut whole = Memory::default();
        inner
            .fetch("key", &object, 0..object.size, &mut whole)
            .unwrap();
        for seed in 0..60_u64 {
            let mut damaged = whole.bytes.clone();
            let at = usize::try_from(object.size * seed / 60).unwrap();
            damaged[at] ^= 1 << (seed % 8);
            let key = format!("damaged/{seed}");
            let mut source = Bytes::new(damaged);
            for (name, value) in &metadata {
                source = source.keeping(name, value);
            }
            let put = inner.put(&key, &source.upload()).unwrap();
            // The store's own checksum shows it. If it has none, or the damage comes later, the bytes do.
            let error = store.head(&key).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
            let encoding = if settings.contains("encrypt=") {
                "zstd+age"
            } else {
                "zstd"
            };
            let found = Object {
                size: bytes.len() as u64,
                etag: Some(format!("{encoding}:{}:{}", put.size, put.etag.unwrap())),
                checksum: None,
            };
            for range in [0..found.size, 900_000..1_100_000] {
                let mut sink = Memory::default();
                let read = store.fetch(&key, &found, range.clone(), &mut sink);
                let at = |at: u64| usize::try_from(at).unwrap();
                let wanted = &bytes[at(range.start)..at(range.end)];
                // What is damaged elsewhere need not be noticed.
                match read {
                    Ok(()) => assert!(sink.bytes == wanted, "{settings} {seed} {range:?}"),
                    Err(error) => {
                        let known = matches!(error, StoreError::Corrupt(_));
                        let header = matches!(error, StoreError::Encrypted(_)) && seed == 0;
                        assert!(known || header, "{error:?}");
                    }
                }
            }
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The prototype of docs/design/packing.md: small files as objects of their own, and as members of one tar, put and read
//! again, near and 40 ms away. Only the store's part: nothing is done to a volume.
//!
//! ```text
//! cargo run --release -p cloudsync-archiver --example pack -- [FILES]
//! ```
//!
//! FILES of 16 KiB (2000), 64 requests at once, three runs, medians.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement may end here"
)]

use std::ops::Range;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use amazons3::S3;
use cloudsync_lab::far::{Distance, Far};
use cloudsync_lab::{Lab, Options};
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Archive, Metadata, Object, Sink, Store, StoreError, Upload};

const SIZE: usize = 16 << 10;
/// tar's header, and its unit.
const HEADER: usize = 512;
const AT_ONCE: usize = 64;
const RUNS: usize = 3;

fn main() {
    let files = std::env::args().nth(1);
    let files: usize = files.map_or(2000, |text| text.parse().unwrap());
    let lab = Lab::start(Options::default()).unwrap();
    let server = lab.s3().unwrap();
    let bucket = server.bucket("pack").unwrap();
    let distance = Distance {
        delay: Duration::from_millis(40),
        rate: 60_000_000,
    };
    let far = Far::new(&lab, server.http_port(), distance).unwrap();
    let pack = Arc::new(pack(files));
    println!(
        "{files} files of {SIZE} bytes, {AT_ONCE} requests at once; files/s, medians of {RUNS}\n"
    );
    println!("| | near | 40 ms away |\n|---|---|---|");
    let mut columns = Vec::new();
    for (place, url) in [
        ("near", server.http_url()),
        ("far", format!("http://{}", far.address())),
    ] {
        let options: cloudsync_store::Options = bucket
            .at(url)
            .settings()
            .into_iter()
            .map(|(name, value)| (name.trim_start_matches("features.").to_owned(), value))
            .collect();
        let pack = Arc::clone(&pack);
        let work = move || measure(&S3::open(&options).unwrap(), place, files, &pack);
        columns.push(lab.in_network(work).unwrap());
    }
    for ((name, near), (_, far)) in columns[0].iter().zip(&columns[1]) {
        println!("| {name} | {near:.0} | {far:.0} |");
    }
}

/// A tar with so many files, made by tar.
fn pack(files: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..files {
        let bytes: Vec<u8> = (0..SIZE).map(|_| fastrand::u8(..)).collect();
        std::fs::write(folder.path().join(format!("{number:06}")), bytes).unwrap();
    }
    let output = Command::new("tar")
        .args(["--create", "--format=ustar", "--sort=name", "--directory"])
        .arg(folder.path())
        .arg(".")
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

/// The bytes of a member: behind the header of the folder, and those of it and the ones before.
fn member(number: usize) -> Range<u64> {
    let start = HEADER + number * (HEADER + SIZE) + HEADER;
    start as u64..(start + SIZE) as u64
}

fn measure(store: &S3, place: &str, files: usize, pack: &[u8]) -> Vec<(&'static str, f64)> {
    let mut figures: Vec<(&'static str, Vec<f64>)> = [
        "put, each an object",
        "put, one tar",
        "read, each an object",
        "read, members of the tar",
        "read, the whole tar",
    ]
    .map(|name| (name, Vec::new()))
    .to_vec();
    for run in 0..RUNS {
        let key = |number: usize| format!("{place}/{run}/{number}");
        let whole = format!("{place}/{run}/tar");
        let seconds = [
            at_once(files, |number| {
                put(store, &key(number), &pack[index(&member(number))]);
            }),
            at_once(1, |_| put(store, &whole, pack)),
            at_once(files, |number| {
                // What a client knows of a cold file's object without asking.
                let object = Object {
                    size: SIZE as u64,
                    ..Object::default()
                };
                let bytes = get(store, &key(number), &object, 0..SIZE as u64);
                assert!(bytes == pack[index(&member(number))]);
            }),
            {
                let object = store.head(&whole).unwrap();
                at_once(files, |number| {
                    let bytes = get(store, &whole, &object, member(number));
                    assert!(bytes == pack[index(&member(number))]);
                })
            },
            at_once(1, |_| {
                let object = store.head(&whole).unwrap();
                assert!(get(store, &whole, &object, 0..object.size) == pack);
            }),
        ];
        for ((_, figures), seconds) in figures.iter_mut().zip(seconds) {
            figures.push(files as f64 / seconds);
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let figures = figures.into_iter();
    figures
        .map(|(name, values)| (name, median(values)))
        .collect()
}

fn index(range: &Range<u64>) -> Range<usize> {
    usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
}

/// Seconds that `work` takes for all numbers below `count`.
fn at_once(count: usize, work: impl Fn(usize) + Sync) -> f64 {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(count) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    work(number);
                }
            });
        }
    });
    begun.elapsed().as_secs_f64()
}

fn put(store: &S3, key: &str, bytes: &[u8]) {
    let upload = Upload {
        size: bytes.len() as u64,
        checksum: Algorithm::Crc64Nvme.of(bytes),
        metadata: &Metadata::new(),
        source: &bytes,
        rate: None,
        resumable: true,
    };
    store.put(key, &upload).unwrap();
}

struct Collect(Vec<u8>);

impl Sink for Collect {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn cancelled(&self) -> bool {
        false
    }
}

fn get(store: &S3, key: &str, object: &Object, range: Range<u64>) -> Vec<u8> {
    let mut sink = Collect(Vec::new());
    store.fetch(key, object, range, &mut sink).unwrap();
    sink.0
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Store failures: a proxy in front of the real S3 server breaks, delays and falsifies its responses. Every read ends in
//! the file's bytes or in the errno documented in README.md, within a time stated here, and meanwhile the mount serves
//! everything else.

mod proxy;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cloudsync_lab::{Mount, MountOptions, until};

use crate::scene::{PATIENCE, Scene, assert_same, errno, lab, pattern};
use proxy::{End, Fault, Proxy, STALL};

const LENGTH: usize = 600_000;

/// Short timeouts and few retries, so that giving up takes seconds.
const SHORT: &str = "retries=3,connect-timeout=1s,read-timeout=1s,stall-timeout=1s";

/// Tolerance of all time limits below, for a busy machine.
const BUSY: Duration = Duration::from_secs(8);

/// With [`SHORT`]: a request without progress is tried four times, each at most 1 s to connect, 1 s for a response and
/// 1 s of stall, with pauses of at most 0.1, 0.2 and 0.4 s.
const REQUEST: Duration = Duration::from_millis(4 * 3000 + 700);

/// A recall sends two requests, HEAD and GET, and GET makes progress at most twice here. A read through the kernel's page
/// cache may cause two recalls: the kernel reads ahead, and retries the range that failed.
const LONGEST: Duration = Duration::from_millis(2 * (2 + 2) * REQUEST.as_millis() as u64);

/// Permanent failures are not retried.
const NO_RETRY: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Bytes,
    Errno(i32),
    /// The bytes, with one wrong bit: see the row.
    WrongBit,
}
use Outcome::{Bytes, Errno, WrongBit};

/// A fault, whether the object has a checksum, how a read ends, and its time limit.
type Row = (&'static str, Fault, bool, Outcome, Duration);

const ALWAYS: u32 = u32::MAX;

#[rustfmt::skip]
const ROWS: [Row; 32] = [
    // Transient faults.
    ("busy-once", Fault::Refused(2, 503, "SlowDown"), false, Bytes, LONGEST),
    ("error-once", Fault::Refused(2, 500, "InternalError"), false, Bytes, LONGEST),
    ("reset", Fault::Breaks(3, 100_000, End::Reset), true, Bytes, LONGEST),
    ("truncated", Fault::Breaks(3, 100_000, End::Close), true, Bytes, LONGEST),
    ("headers-only", Fault::Breaks(2, 0, End::Close), true, Bytes, LONGEST),
    ("stall", Fault::Stalls(1, 100_000), true, Bytes, LONGEST),
    ("silent-once", Fault::Silent(1), true, Bytes, LONGEST),
    ("noise-once", Fault::Noise(1), true, Bytes, LONGEST),
    ("whole", Fault::Whole, true, Bytes, LONGEST),
    ("no-length", Fault::NoLength, true, Bytes, LONGEST),
    // Permanent faults.
    ("busy", Fault::Refused(ALWAYS, 503, "SlowDown"), false, Errno(libc::EBUSY), LONGEST),
    ("error", Fault::Refused(ALWAYS, 500, "InternalError"), false, Errno(libc::EHOSTUNREACH), LONGEST),
    ("reset-always", Fault::Breaks(ALWAYS, 1000, End::Reset), true, Errno(libc::EHOSTUNREACH), LONGEST),
    ("truncated-always", Fault::Breaks(ALWAYS, 1000, End::Close), true, Errno(libc::EHOSTUNREACH), LONGEST),
    ("stall-always", Fault::Stalls(ALWAYS, 1000), true, Errno(libc::EHOSTUNREACH), LONGEST),
    ("trickle", Fault::Trickles, true, Errno(libc::EHOSTUNREACH), LONGEST),
    ("silent", Fault::Silent(ALWAYS), false, Errno(libc::EHOSTUNREACH), LONGEST),
    ("noise", Fault::Noise(ALWAYS), false, Errno(libc::EHOSTUNREACH), LONGEST),
    // Falsified responses.
    ("flipped", Fault::Flipped(300_001), true, Errno(libc::EBADMSG), NO_RETRY),
    ("flipped-unnoticed", Fault::Flipped(300_001), false, WrongBit, NO_RETRY),
    ("head-longer", Fault::HeadLength(1), false, Errno(libc::EBADMSG), NO_RETRY),
    ("head-shorter", Fault::HeadLength(-1), false, Errno(libc::EBADMSG), NO_RETRY),
    ("longer", Fault::GetLength(1), false, Errno(libc::EREMOTEIO), NO_RETRY),
    ("shorter", Fault::GetLength(-1), false, Errno(libc::EREMOTEIO), NO_RETRY),
    ("names-another-range", Fault::NamesAnotherRange, false, Errno(libc::EREMOTEIO), NO_RETRY),
    ("names-another-total", Fault::NamesAnotherTotal, false, Errno(libc::EREMOTEIO), NO_RETRY),
    ("sends-another-range", Fault::SendsAnotherRange, true, Errno(libc::EBADMSG), NO_RETRY),
    ("another-version", Fault::AnotherVersion, false, Errno(libc::ESTALE), NO_RETRY),
    // Refusals.
    ("expired", Fault::Refused(ALWAYS, 403, "ExpiredToken"), false, Errno(libc::EKEYREJECTED), NO_RETRY),
    ("expired-in-between", Fault::GetRefused(ALWAYS, 403, "ExpiredToken"), false, Errno(libc::EKEYREJECTED), NO_RETRY),
    ("clock", Fault::Refused(ALWAYS, 403, "RequestTimeTooSkewed"), false, Errno(libc::EKEYREJECTED), NO_RETRY),
    ("page", Fault::Page, false, Errno(libc::EACCES), NO_RETRY),
];

/// CRC-32 of the whole object, as in the user metadata `cloudsync-checksum`, computed bit by bit, independently of the code
/// under test.
fn checksum(bytes: &[u8]) -> String {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let bytes = (!crc).to_be_bytes().map(u64::from);
    let bits = bytes.iter().fold(0, |bits, byte| bits << 8 | byte) << 4;
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |place: u32| char::from(alphabet[(bits >> (6 * place) & 63) as usize]);
    let digits: String = (0..6).rev().map(digit).collect();
    format!("crc32:{digits}==")
}

fn option(key: &str, value: &str) -> String {
    format!("--xlator-option=*cloudsync.{key}={value}")
}

/// Archives a file, with or without a checksum in its object's metadata.
fn archive(scene: &Scene, name: &str, bytes: &[u8], with_checksum: bool) {
    scene.write(name, bytes);
    let sum = checksum(bytes);
    let headers = [("x-amz-meta-cloudsync-checksum", sum.as_str())];
    let headers = if with_checksum { &headers[..] } else { &[] };
    scene.bucket.put_with(name, bytes, headers).unwrap();
    scene.handshake(name).unwrap();
    assert!(scene.is_cold(name), "{name}");
}

/// Stats one file and reads another, all the time; panics when the mount is slow.
struct Bystander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u32, Duration)>,
}

/// As many checks are made at least.
const CHECKS: u32 = 10;

/// A busy mount answers within this time.
const LATE: Duration = Duration::from_secs(5);

impl Bystander {
    /// On a mount with a local file `local` and a cold file `bystander`.
    fn start(root: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut times, mut longest) = (0, Duration::ZERO);
            // A slow machine takes longer for as many checks.
            while !stopped.load(Ordering::Relaxed) || times <= CHECKS {
                let started = Instant::now();
                assert_eq!(fs::read(root.join("local")).unwrap(), b"local");
                let length = fs::metadata(root.join("bystander")).unwrap().len();
                assert_eq!(length, LENGTH as u64);
                (times, longest) = (times + 1, longest.max(started.elapsed()));
                thread::sleep(Duration::from_millis(20));
            }
            (times, longest)
        });
        Self { stop, thread }
    }

    /// How often it checked, and how long that took at most.
    #[track_caller]
    fn end(self) -> (u32, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let (times, longest) = self.thread.join().unwrap();
        assert!(longest < LATE, "another file took {longest:?}");
        (times, longest)
    }
}

/// The result of a read, and how long it took.
type Read = (io::Result<Vec<u8>>, Duration);

/// Reads these files concurrently, each on its own thread.
fn read_all(mount: &Mount, patience: Duration, names: &[&str]) -> Vec<Read> {
    let root = mount.path();
    let read = |path: PathBuf| {
        move || {
            let started = Instant::now();
            (fs::read(path), started.elapsed())
        }
    };
    let paths: Vec<_> = names.iter().map(|name| root.join(name)).collect();
    mount.within(patience, "the reads", move || {
        let threads: Vec<_> = paths
            .into_iter()
            .map(|path| thread::spawn(read(path)))
            .collect();
        let reads = threads.into_iter().map(|thread| thread.join().unwrap());
        reads.collect()
    })
}

#[test]
fn every_store_fault_ends_in_bytes_or_its_errno_in_time() {
    let (proxy, mut scene) = (Proxy::new(), Scene::new("faults"));
    let bytes = pattern(1, LENGTH);
    scene.write("local", b"local");
    archive(&scene, "bystander", &bytes, true);
    for (name, fault, with_checksum, ..) in ROWS {
        archive(&scene, name, &bytes, with_checksum);
        proxy.set(name, fault);
    }
    let options = MountOptions::default()
        .arg(option("s3plugin-hostname", proxy.url()))
        .arg(option("cloudsync-store-id", SHORT))
        .arg(option("cloudsync-product-id", "recalls=64"));
    let mount = scene.volume.mount(&options).unwrap();
    let bystander = Bystander::start(mount.path());
    let names = ROWS.map(|row| row.0);
    let reads = read_all(&mount, LONGEST + BUSY, &names);
    let (checks, longest) = bystander.end();

    let mut wrong = Vec::new();
    for ((name, _, _, expected, limit), (read, took)) in ROWS.iter().zip(&reads) {
        let hits = proxy.hits(name);
        let got = match read {
            Ok(read) if *read == bytes => Bytes,
            Ok(read) => {
                let differ = read.iter().zip(&bytes).filter(|(a, b)| a != b);
                assert_eq!(
                    (read.len(), differ.count()),
                    (LENGTH, 1),
                    "{name}: wrong bytes"
                );
                WrongBit
            }
            Err(error) => Errno(error.raw_os_error().unwrap()),
        };
        let shown = match read {
            Ok(_) if got == WrongBit => "bytes, one bit wrong".to_owned(),
            Ok(_) => "bytes".to_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("| {name} | {shown} after {took:.1?}, {hits} faults injected |");
        let state = if matches!(got, Errno(_)) {
            scene.is_cold(name)
        } else {
            scene.is_local(name)
        };
        if got != *expected || *took > *limit + BUSY || hits == 0 || !state {
            wrong.push(format!(
                "{name}: {got:?} instead of {expected:?}, {took:?}, {hits}, {}",
                scene.marks(name)
            ));
        }
    }
    eprintln!("| operations on other files meanwhile | {checks}, in {longest:.1?} at most |");
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", mount.log());

    // Once the faults are over, every file reads.
    drop(mount);
    proxy.clear_faults();
    scene.remount();
    for (name, .., expected, _) in ROWS {
        if expected != WrongBit {
            assert_same(&scene.read(name).unwrap(), &bytes, name);
        }
    }
    scene.assert_idle();
}

/// One request of ten is refused, with the default settings.
#[test]
fn reads_succeed_if_one_request_in_ten_is_refused() {
    let (proxy, scene) = (Proxy::new(), Scene::new("slow-down"));
    let names: Vec<_> = (0..60).map(|number| format!("file-{number}")).collect();
    let bytes = pattern(2, 50_000);
    for name in &names {
        archive(&scene, name, &bytes, false);
        proxy.set(name, Fault::SlowDown(10));
    }
    let options = MountOptions::default().arg(option("s3plugin-hostname", proxy.url()));
    let mount = scene.volume.mount(&options).unwrap();
    let words: Vec<_> = names.iter().map(String::as_str).collect();
    let reads = read_all(&mount, PATIENCE, &words);
    let refused: u32 = names.iter().map(|name| proxy.hits(name)).sum();
    let longest = reads.iter().map(|read| read.1).max().unwrap();
    for (name, (read, _)) in names.iter().zip(reads) {
        assert_same(&read.unwrap(), &bytes, name);
    }
    eprintln!(
        "| one request in ten refused | {refused} of {}; a read took {longest:.1?} at most |",
        proxy.requests()
    );
    assert!(refused >= 3, "{refused} of {}", proxy.requests());
}

/// EBUSY would mean that the file changed.
#[test]
fn throttling_is_not_reported_as_a_changed_file() {
    let (proxy, scene) = (Proxy::new(), Scene::new("throttles"));
    scene.write("file", &pattern(2, 5000));
    scene.bucket.put("file", &pattern(2, 5000)).unwrap();
    proxy.set("file", Fault::SlowDown(100));
    let url = proxy.url();
    let settings = [
        ("features.s3plugin-hostname", url),
        ("features.cloudsync-store-id", "retries=1"),
    ];
    scene.volume.set_all(&settings).unwrap();
    let busy = || errno(scene.handshake("file")) == libc::ETIMEDOUT;
    until(PATIENCE, "the client to use its new settings", || {
        busy().then_some(())
    })
    .unwrap();
    assert!(proxy.hits("file") > 0 && !scene.is_cold("file"));
    proxy.clear_faults();
    scene.handshake("file").unwrap();
    assert!(scene.is_cold("file"));
}

/// With the default settings, a connection that delivers nothing for 10 s is dropped.
#[test]
fn a_stall_of_a_minute_delays_a_read_by_ten_seconds() {
    let (proxy, scene) = (Proxy::new(), Scene::new("stall"));
    let bytes = pattern(3, LENGTH);
    scene.write("local", b"local");
    archive(&scene, "bystander", &bytes, true);
    archive(&scene, "stall", &bytes, false);
    proxy.set("stall", Fault::Stalls(1, 100_000));
    let options = MountOptions::default().arg(option("s3plugin-hostname", proxy.url()));
    let mount = scene.volume.mount(&options).unwrap();
    let bystander = Bystander::start(mount.path());
    let (read, took) = read_all(&mount, PATIENCE, &["stall"]).remove(0);
    bystander.end();
    assert_same(&read.unwrap(), &bytes, "stall");
    assert_eq!(proxy.hits("stall"), 1);
    eprintln!("| a stall of {STALL:?} | delayed the read by {took:.1?} |");
    let expected = Duration::from_secs(10);
    assert!(took >= expected && took < expected + BUSY, "{took:?}");
}

/// The object is overwritten with one of the same size between two requests of a recall.
#[test]
fn an_object_replaced_during_a_recall_is_refused() {
    let (proxy, scene) = (Proxy::new(), Scene::new("replaced"));
    let bytes = pattern(4, LENGTH);
    archive(&scene, "file", &bytes, false);
    proxy.set("file", Fault::Stalls(1, 300_000));
    let options = MountOptions::default()
        .arg(option("s3plugin-hostname", proxy.url()))
        .arg(option("cloudsync-store-id", SHORT));
    let mount = scene.volume.mount(&options).unwrap();
    let path = mount.path().join("file");
    let reader = thread::spawn(move || fs::read(path));
    until(PATIENCE, "the stall", || {
        (proxy.hits("file") > 0).then_some(())
    })
    .unwrap();
    scene.bucket.put("file", &pattern(5, LENGTH)).unwrap();
    let read = mount.within(LONGEST + BUSY, "the read", move || reader.join().unwrap());
    assert_eq!(read.unwrap_err().raw_os_error(), Some(libc::ESTALE));
    assert!(scene.is_cold("file"), "{}", scene.marks("file"));
}

/// The store cannot be reached, for reasons that no server reports.
#[test]
fn an_unreachable_store_fails_reads_in_time() {
    let scene = Scene::new("no-way");
    let bytes = pattern(6, LENGTH);
    scene.write("local", b"local");
    archive(&scene, "bystander", &bytes, false);
    for name in ["file", "good"] {
        archive(&scene, name, &bytes, false);
    }
    let s3 = lab().s3().unwrap();
    let (http, https) = (s3.http_url(), s3.https_url());
    let other = |url: &str| match url.split_once("://").unwrap() {
        ("http", rest) => format!("https://{rest}"),
        (_, rest) => format!("http://{rest}"),
    };
    let ca = format!(",ca={}", s3.ca_pem().display());
    let unreachable = Errno(libc::EHOSTUNREACH);
    for (what, name, url, more, expected, limit) in [
        (
            "no such name",
            "file",
            "http://store.invalid".to_owned(),
            "",
            unreachable,
            LONGEST,
        ),
        (
            "connection refused",
            "file",
            "http://10.99.0.1:1".to_owned(),
            "",
            unreachable,
            LONGEST,
        ),
        (
            "an untrusted certificate authority",
            "file",
            https.clone(),
            "",
            unreachable,
            NO_RETRY,
        ),
        (
            "TLS to a plain HTTP port",
            "file",
            other(&http),
            "",
            unreachable,
            LONGEST,
        ),
        (
            "plain HTTP to a TLS port",
            "file",
            other(&https),
            "",
            unreachable,
            LONGEST,
        ),
        (
            "a trusted certificate authority",
            "good",
            https,
            ca.as_str(),
            Bytes,
            LONGEST,
        ),
    ] {
        let options = MountOptions::default()
            .arg(option("s3plugin-hostname", &url))
            .arg(option("cloudsync-store-id", &format!("{SHORT}{more}")));
        let mount = scene.volume.mount(&options).unwrap();
        let bystander = Bystander::start(mount.path());
        let (read, took) = read_all(&mount, LONGEST + BUSY, &[name]).remove(0);
        thread::sleep(Duration::from_millis(300));
        bystander.end();
        let got = match &read {
            Ok(read) => {
                assert_same(read, &bytes, what);
                Bytes
            }
            Err(error) => Errno(error.raw_os_error().unwrap()),
        };
        eprintln!("| {what} | {got:?} after {took:.1?} |");
        assert_eq!(got, expected, "{what}\n{}", mount.log());
        assert!(took < limit + BUSY, "{what}: {took:?}");
        assert!(scene.is_cold("file"));
    }
}

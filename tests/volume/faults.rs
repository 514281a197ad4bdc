// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A store on its bad days: a proxy in front of the real S3 server breaks, delays and falsifies its answers. Every read
//! ends in the file's bytes or in the errno of README.md, within a time that is stated here, and meanwhile the mount
//! answers for everything else.

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

/// Short times, so that giving up takes seconds.
const SHORT: &str = "retries=3,connect-timeout=1s,read-timeout=1s,stall-timeout=1s";

/// What a machine with too much to do may add to any of the times below.
const BUSY: Duration = Duration::from_secs(8);

/// With [`SHORT`]: a request that gets nowhere is tried four times, each at most 1 s to connect, 1 s for an answer and
/// 1 s of stall, with pauses of at most 0.1, 0.2 and 0.4 s.
const REQUEST: Duration = Duration::from_millis(4 * 3000 + 700);

/// A recall asks twice, HEAD and GET, and GET gets somewhere at most twice here. An application that reads through the
/// kernel's page cache may have two recalls tried: the kernel reads ahead, and asks again for what that did not bring.
const LONGEST: Duration = Duration::from_millis(2 * (2 + 2) * REQUEST.as_millis() as u64);

/// What does not pass is not tried again.
const AT_ONCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Bytes,
    Errno(i32),
    /// The bytes but for the one bit: see the row.
    WrongBit,
}
use Ends::{Bytes, Errno, WrongBit};

/// A fault, whether the object has a checksum, how a read ends, and after how long at the latest.
type Row = (&'static str, Fault, bool, Ends, Duration);

const ALWAYS: u32 = u32::MAX;

#[rustfmt::skip]
const ROWS: [Row; 32] = [
    // What passes.
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
    // What does not.
    ("busy", Fault::Refused(ALWAYS, 503, "SlowDown"), false, Errno(libc::EBUSY), LONGEST),
    ("error", Fault::Refused(ALWAYS, 500, "InternalError"), false, Errno(libc::EHOSTUNREACH), LONGEST),
    ("reset-always", Fault::Breaks(ALWAYS, 1000, End::Reset), true, Errno(libc::EHOSTUNREACH), LONGEST),
    ("truncated-always", Fault::Breaks(ALWAYS, 1000, End::Close), true, Errno(libc::EHOSTUNREACH), LONGEST),
    ("stall-always", Fault::Stalls(ALWAYS, 1000), true, Errno(libc::EHOSTUNREACH), LONGEST),
    ("trickle", Fault::Trickles, true, Errno(libc::EHOSTUNREACH), LONGEST),
    ("silent", Fault::Silent(ALWAYS), false, Errno(libc::EHOSTUNREACH), LONGEST),
    ("noise", Fault::Noise(ALWAYS), false, Errno(libc::EHOSTUNREACH), LONGEST),
    // Lies.
    ("flipped", Fault::Flipped(300_001), true, Errno(libc::EBADMSG), AT_ONCE),
    ("flipped-unnoticed", Fault::Flipped(300_001), false, WrongBit, AT_ONCE),
    ("head-longer", Fault::HeadLength(1), false, Errno(libc::EBADMSG), AT_ONCE),
    ("head-shorter", Fault::HeadLength(-1), false, Errno(libc::EBADMSG), AT_ONCE),
    ("longer", Fault::GetLength(1), false, Errno(libc::EREMOTEIO), AT_ONCE),
    ("shorter", Fault::GetLength(-1), false, Errno(libc::EREMOTEIO), AT_ONCE),
    ("names-another-range", Fault::NamesAnotherRange, false, Errno(libc::EREMOTEIO), AT_ONCE),
    ("names-another-total", Fault::NamesAnotherTotal, false, Errno(libc::EREMOTEIO), AT_ONCE),
    ("sends-another-range", Fault::SendsAnotherRange, true, Errno(libc::EBADMSG), AT_ONCE),
    ("another-version", Fault::AnotherVersion, false, Errno(libc::ESTALE), AT_ONCE),
    // Refusals.
    ("expired", Fault::Refused(ALWAYS, 403, "ExpiredToken"), false, Errno(libc::EKEYREJECTED), AT_ONCE),
    ("expired-in-between", Fault::GetRefused(ALWAYS, 403, "ExpiredToken"), false, Errno(libc::EKEYREJECTED), AT_ONCE),
    ("clock", Fault::Refused(ALWAYS, 403, "RequestTimeTooSkewed"), false, Errno(libc::EKEYREJECTED), AT_ONCE),
    ("page", Fault::Page, false, Errno(libc::EACCES), AT_ONCE),
];

/// CRC-32 of the whole object, as the user metadata `cloudsync-checksum` has it: bit by bit, not by what is tested.
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

/// Archives a file, with or without a checksum at its object.
fn archive(scene: &Scene, name: &str, bytes: &[u8], with_checksum: bool) {
    scene.write(name, bytes);
    let sum = checksum(bytes);
    let headers = [("x-amz-meta-cloudsync-checksum", sum.as_str())];
    let headers = if with_checksum { &headers[..] } else { &[] };
    scene.bucket.put_with(name, bytes, headers).unwrap();
    scene.cut(name).unwrap();
    assert!(scene.is_cold(name), "{name}");
}

/// Looks at other files, all the time, and reads one; panics when the mount is late.
struct Bystander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u32, Duration)>,
}

/// A mount that is busy answers within this.
const LATE: Duration = Duration::from_secs(5);

impl Bystander {
    /// Of a mount with the files `local` and, cold, `bystander`.
    fn start(root: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut times, mut longest) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert_eq!(fs::read(root.join("local")).unwrap(), b"local");
                let length = fs::metadata(root.join("bystander")).unwrap().len();
                assert_eq!(length, LENGTH as u64);
                (times, longest) = (times + 1, longest.max(begun.elapsed()));
                thread::sleep(Duration::from_millis(20));
            }
            (times, longest)
        });
        Self { stop, thread }
    }

    /// How often it looked, and how long that took at most.
    #[track_caller]
    fn end(self) -> (u32, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let (times, longest) = self.thread.join().unwrap();
        assert!(times > 10, "it looked {times} times only");
        assert!(longest < LATE, "another file took {longest:?}");
        (times, longest)
    }
}

/// What a read gave, and when.
type Read = (io::Result<Vec<u8>>, Duration);

/// Reads these files at once, each on a thread of its own.
fn read_all(mount: &Mount, patience: Duration, names: &[&str]) -> Vec<Read> {
    let root = mount.path();
    let read = |path: PathBuf| {
        move || {
            let begun = Instant::now();
            (fs::read(path), begun.elapsed())
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
fn each_fault_ends_in_the_bytes_or_its_errno_and_in_time() {
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
    let (looks, longest) = bystander.end();

    let mut wrong = Vec::new();
    for ((name, _, _, ends, limit), (read, took)) in ROWS.iter().zip(&reads) {
        let struck = proxy.struck(name);
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
        let said = match read {
            Ok(_) if got == WrongBit => "bytes, one bit wrong".to_owned(),
            Ok(_) => "bytes".to_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("{name}: {said} after {took:.1?}, struck {struck} times");
        let state = if matches!(got, Errno(_)) {
            scene.is_cold(name)
        } else {
            scene.is_plain(name)
        };
        if got != *ends || *took > *limit + BUSY || struck == 0 || !state {
            wrong.push(format!(
                "{name}: {got:?} and not {ends:?}, {took:?}, {struck}, {}",
                scene.marks(name)
            ));
        }
    }
    eprintln!("meanwhile other files were looked at {looks} times, in {longest:.1?} at most");
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", mount.log());

    // When all goes well again, so do they.
    drop(mount);
    proxy.mend();
    scene.remount();
    for (name, .., ends, _) in ROWS {
        if ends != WrongBit {
            assert_same(&scene.read(name).unwrap(), &bytes, name);
        }
    }
    scene.assert_idle();
}

/// One request of ten is refused, with the default settings.
#[test]
fn a_store_that_refuses_one_request_of_ten_costs_nobody_an_error() {
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
    let refused: u32 = names.iter().map(|name| proxy.struck(name)).sum();
    let longest = reads.iter().map(|read| read.1).max().unwrap();
    for (name, (read, _)) in names.iter().zip(reads) {
        assert_same(&read.unwrap(), &bytes, name);
    }
    eprintln!(
        "{refused} of {} requests were refused; {longest:.1?} at most",
        proxy.requests()
    );
    assert!(refused >= 3, "{refused} of {}", proxy.requests());
}

/// EBUSY would say that the file changed.
#[test]
fn a_store_that_throttles_is_not_taken_for_a_file_that_changed() {
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
    let busy = || errno(scene.cut("file")) == libc::ETIMEDOUT;
    until(PATIENCE, "the client to go by its new settings", || {
        busy().then_some(())
    })
    .unwrap();
    assert!(proxy.struck("file") > 0 && !scene.is_cold("file"));
    proxy.mend();
    scene.cut("file").unwrap();
    assert!(scene.is_cold("file"));
}

/// The default settings drop a connection that delivers nothing for 10 s.
#[test]
fn a_stall_of_a_minute_costs_ten_seconds() {
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
    assert_eq!(proxy.struck("stall"), 1);
    eprintln!("a stall of {STALL:?} cost {took:.1?}");
    let expected = Duration::from_secs(10);
    assert!(took >= expected && took < expected + BUSY, "{took:?}");
}

/// The object is overwritten with one of the same size between two requests of a recall.
#[test]
fn an_object_that_is_replaced_on_the_way_is_refused() {
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
        (proxy.struck("file") > 0).then_some(())
    })
    .unwrap();
    scene.bucket.put("file", &pattern(5, LENGTH)).unwrap();
    let read = mount.within(LONGEST + BUSY, "the read", move || reader.join().unwrap());
    assert_eq!(read.unwrap_err().raw_os_error(), Some(libc::ESTALE));
    assert!(scene.is_cold("file"), "{}", scene.marks("file"));
}

/// A store that cannot be reached, in ways in which a server says nothing.
#[test]
fn no_address_no_trust_and_no_tls_end_in_time() {
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
    for (what, name, url, more, ends, limit) in [
        (
            "no such name",
            "file",
            "http://store.invalid".to_owned(),
            "",
            unreachable,
            LONGEST,
        ),
        (
            "nobody listens",
            "file",
            "http://10.99.0.1:1".to_owned(),
            "",
            unreachable,
            LONGEST,
        ),
        (
            "an authority that is not trusted",
            "file",
            https.clone(),
            "",
            unreachable,
            AT_ONCE,
        ),
        (
            "TLS where there is none",
            "file",
            other(&http),
            "",
            unreachable,
            LONGEST,
        ),
        (
            "none where there is TLS",
            "file",
            other(&https),
            "",
            unreachable,
            LONGEST,
        ),
        (
            "an authority that is trusted",
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
        eprintln!("{what}: {got:?} after {took:.1?}");
        assert_eq!(got, ends, "{what}\n{}", mount.log());
        assert!(took < limit + BUSY, "{what}: {took:?}");
        assert!(scene.is_cold("file"));
    }
}

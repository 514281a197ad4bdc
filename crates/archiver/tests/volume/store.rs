// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests stores that fail: midway, because they are full, or because they are throttled.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cloudsync_lab::http::Request;
use cloudsync_lab::{ADDRESS, Relay, until};

use crate::scene::{PATIENCE, Scene, archive, lab, number, pattern};

fn files(scene: &Scene, count: u64, size: usize) {
    let path = scene.mount().path();
    scene.within("write", move || {
        for n in 0..count {
            std::fs::write(path.join(format!("f{n}")), pattern(n, size)).unwrap();
        }
    });
}

/// A relay to the store, and its URL. `watch` sees the data for the store before it is forwarded.
pub(crate) fn relay_to_store(watch: impl Fn(&[u8]) + Send + Sync + 'static) -> (Relay, String) {
    let (relay, port) = (Relay::default(), lab().s3().unwrap().http_port());
    let listening = relay.to(lab(), move || Ok(port), watch).unwrap();
    (relay, format!("http://{listening}"))
}

#[test]
fn store_failing_midway_fails_the_run_but_no_file() {
    let scene = Scene::new("half-way");
    files(&scene, 100, 2000);
    let brick = scene.brick(0);
    let (relay, hostname) = relay_to_store(|_| {});
    let hostname = format!("--hostname={hostname}");
    let mut args = vec![
        "archive",
        "--older-than=0s",
        "--files-per-second=30",
        &hostname,
    ];
    args.extend(["--store-id=retries=1,connect-timeout=1s", &brick]);
    let mut run = scene.start(&args);
    until(PATIENCE, "the first cold file", || {
        (0..100)
            .any(|n| scene.is_cold(&format!("f{n}")))
            .then_some(())
    })
    .unwrap();
    relay.reset();
    assert_eq!(run.wait().unwrap().code(), Some(4));
    let cold = (0..100).filter(|n| scene.is_cold(&format!("f{n}"))).count();
    assert!((1..100).contains(&cold), "{cold}");
    scene.done(&archive(&brick));
    scene.done(&["verify", &brick]);
    for n in 0..100 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 2000), "f{n}");
    }
}

/// A server that answers a request with a status that depends on its method, or not at all.
pub(crate) fn server(answer: fn(&str) -> Option<&'static str>) -> String {
    let listening = lab().listen(move |client| answer_all(&client, answer));
    format!("http://{}", listening.unwrap())
}

fn answer_all(mut client: &TcpStream, answer: fn(&str) -> Option<&'static str>) -> io::Result<()> {
    let mut from = BufReader::new(client);
    loop {
        let Some(status) = answer(&Request::read(&mut from)?.method) else {
            thread::sleep(PATIENCE * 5);
            return Ok(());
        };
        client.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())?;
    }
}

/// A store without objects that answers uploads with this status.
const fn answer_put(method: &str, answer: Option<&'static str>) -> Option<&'static str> {
    if matches!(method.as_bytes(), b"PUT") {
        answer
    } else {
        Some("404 Not Found")
    }
}

/// Checks that the run stops early, reports the store and the error, and leaves the files unchanged.
fn assert_stops_early(scene: &Scene, more: &[&str], expected: &[&str]) {
    let brick = scene.brick(0);
    let mut args = archive(&brick).to_vec();
    args.extend(more);
    let outcome = scene.cloudsync(&args);
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    let text = outcome.text();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let stopped = last["stopped"].as_str().unwrap_or_default();
    for words in expected {
        assert!(stopped.contains(words), "{words}: {stopped}");
    }
    // Some files still fit into the directory, while others fail.
    assert!(number(&text, "failed") < 100, "{outcome}");
    println!("{stopped}; {:.1} s", outcome.took.as_secs_f64());
}

#[test]
fn full_store_stops_the_run_and_is_reported() {
    let scene = Scene::new("full");
    files(&scene, 100, 100_000);
    let hostname = format!(
        "--hostname={}",
        server(|method| answer_put(method, Some("507 Insufficient Storage")))
    );
    assert_stops_early(
        &scene,
        &[&hostname],
        &["the store is full", "HTTP 507", "bucket full-", ADDRESS],
    );
    // A directory on a file system that is too small.
    let folder = lab().scratch("full-store").display().to_string();
    lab()
        .sh(&format!(
            "mkdir {folder}; mount -t tmpfs -o size=3m,mode=700 none {folder}"
        ))
        .unwrap();
    let settings = [
        ("features.cloudsync-storetype", "directory"),
        ("features.cloudsync-store-id", &format!("path={folder}")),
    ];
    scene.volume.set_all(&settings).unwrap();
    assert_stops_early(
        &scene,
        &[],
        &["the store is full", "No space left on device", &folder],
    );
    let cold = (0..100).filter(|n| scene.is_cold(&format!("f{n}"))).count();
    assert!((5..40).contains(&cold), "{cold}");
    for n in 0..100 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 100_000), "f{n}");
    }
}

#[test]
fn throttling_is_not_mistaken_for_a_changed_file() {
    let scene = Scene::new("throttled");
    files(&scene, 100, 100);
    let throttles = server(|_| Some("503 Slow Down"));
    let hostname = format!("--hostname={throttles}");
    let args = [hostname.as_str(), "--store-id=retries=0"];
    assert_stops_early(&scene, &args, &["times in a row", "HTTP 503"]);
    // The archiver's uploads succeed, but the translator is throttled.
    let takes = server(|method| answer_put(method, Some("200 OK\r\netag: \"x\"")));
    let brick = scene.brick(0);
    let settings = [
        ("features.s3plugin-hostname", throttles.as_str()),
        ("features.cloudsync-store-id", "retries=0"),
    ];
    scene.volume.set_all(&settings).unwrap();
    let hostname = format!("--hostname={takes}");
    let outcome = scene.cloudsync(&["archive", "--older-than=0s", "--json", &hostname, &brick]);
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    let text = outcome.text();
    assert!(text.contains("the store asks for fewer requests"), "{text}");
    assert_eq!(number(&text, "changed"), 0, "{text}");
    assert!((0..100).all(|n| !scene.is_cold(&format!("f{n}"))));
}

/// Waits for half a minute, so it runs only on request.
#[test]
fn unresponsive_store_stops_the_run_and_is_reported() {
    if std::env::var_os("CLOUDSYNC_TEST_SECONDS").is_none() {
        return;
    }
    let scene = Scene::new("silent");
    files(&scene, 100, 100);
    let hostname = format!("--hostname={}", server(|method| answer_put(method, None)));
    let args = [hostname.as_str(), "--store-id=retries=8"];
    assert_stops_early(
        &scene,
        &args,
        &["times in a row", "no answer in time", ADDRESS],
    );
}

#[test]
fn missing_bucket_is_reported_once() {
    let scene = Scene::new("no-bucket");
    files(&scene, 60, 100);
    let args = ["archive", "--older-than=0s", "--bucket=nosuch"];
    let outcome = scene.cloudsync(&[&args[..], &[&scene.brick(0)]].concat());
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    let output = outcome.to_string();
    assert_eq!(output.matches("cloudsync: failed").count(), 1, "{output}");
    assert!(
        output.contains("STOPPED: no explanation (NoSuchBucket"),
        "{output}"
    );
    assert!((0..60).all(|n| !scene.is_cold(&format!("f{n}"))));
}

/// As `archive` does: once the store is gone, every other object would fail the same way.
#[test]
fn verify_stops_when_the_store_is_gone() {
    let scene = Scene::new("gone");
    files(&scene, 100, 100);
    let brick = scene.brick(0);
    scene.done(&archive(&brick));
    let args = [
        "verify",
        "--hostname=http://127.0.0.1:1",
        "--store-id=retries=1",
        &brick,
    ];
    let outcome = scene.cloudsync(&args);
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    let output = outcome.to_string();
    let stopped = output.split("STOPPED: ").nth(1).unwrap_or_default();
    assert!(
        stopped.starts_with("16 times in a row: store unreachable"),
        "{output}"
    );
    // Those in flight fail for the same reason, which need not be said again.
    let lines = output.matches("not checked ").count();
    assert_eq!(lines, 16, "{output}");
    println!("{lines} lines; {:.1} s", outcome.took.as_secs_f64());
    let wrong = ["verify", "--bucket=nosuch", &brick];
    let outcome = scene.cloudsync(&wrong);
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    let output = outcome.to_string();
    assert_eq!(output.matches("not checked ").count(), 1, "{output}");
    assert!(output.contains("STOPPED: "), "{output}");
}

#[test]
fn rate_holds_within_a_fetched_object() {
    let scene = Scene::new("rate");
    files(&scene, 1, 300_000);
    let brick = scene.brick(0);
    scene.done(&archive(&brick));
    let args = ["verify", "--deep", "--bytes-per-second=100000", &brick];
    let outcome = scene.cloudsync(&args);
    assert!(outcome.success(), "{outcome}");
    // A burst of half a second is allowed at the beginning, and the last piece is not waited for.
    assert!(outcome.took.as_secs_f64() >= 1.0, "{outcome}");
    println!(
        "300,000 bytes at 100,000 bytes/s: {:.1} s",
        outcome.took.as_secs_f64()
    );
}

/// A run that is killed in the middle of a large file leaves its parts in the store, and the next one sends the others.
#[test]
fn interrupted_upload_is_resumed() {
    const PARTS: usize = 6;
    const SIZE: usize = PARTS * (16 << 20);
    let scene = Scene::new("resume");
    scene.write("f", &pattern(7, SIZE));
    let brick = scene.brick(0);
    // The first run gets no further than three parts.
    let sent = Arc::new(AtomicUsize::new(0));
    let (count, most) = (Arc::clone(&sent), Arc::new(AtomicUsize::new(3)));
    let allowed = Arc::clone(&most);
    let (_, hostname) = relay_to_store(move |bytes| {
        if bytes.starts_with(b"PUT ") && contains(bytes, b"partNumber=") {
            let before = count.fetch_add(1, Ordering::Relaxed);
            while before >= allowed.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
            }
        }
    });
    let hostname = format!("--hostname={hostname}");
    let args = [
        "archive",
        "--older-than=0s",
        "--store-id=stall-timeout=1d",
        &hostname,
        &brick,
    ];
    let mut run = scene.start(&args);
    let parts = || {
        let listed = scene.bucket.aws([
            "s3api",
            "list-multipart-uploads",
            "--bucket",
            scene.bucket.name(),
        ]);
        let text = listed.unwrap().text();
        let uploads: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let upload = &uploads["Uploads"][0];
        let (key, id) = (upload["Key"].as_str()?, upload["UploadId"].as_str()?);
        let bucket = scene.bucket.name();
        let args = [
            "s3api",
            "list-parts",
            "--bucket",
            bucket,
            "--key",
            key,
            "--upload-id",
            id,
        ];
        let text = scene.bucket.aws(args).unwrap().text();
        let parts: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        parts["Parts"]
            .as_array()
            .map(Vec::len)
            .filter(|parts| *parts == 3)
    };
    let there = until(PATIENCE, "three parts in the store", parts).unwrap();
    assert!(scene.signal("KILL"));
    run.wait().unwrap();
    sent.store(0, Ordering::Relaxed);
    most.store(usize::MAX, Ordering::Relaxed);
    let output = scene.done(&["archive", "--older-than=0s", "--json", &hostname, &brick]);
    assert_eq!(
        (number(&output, "uploaded"), number(&output, "failed")),
        (1, 0),
        "{output}"
    );
    let sent = sent.load(Ordering::Relaxed);
    println!("{there} of {PARTS} parts were there, {sent} were sent");
    // Not those that were there. One more may have arrived after the run was killed.
    assert!((1..=PARTS - 3).contains(&sent), "{sent}");
    assert!(scene.is_cold("f") && scene.read("f") == pattern(7, SIZE));
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// Counts, for a run of `args`, the lines with `what`. The store's connections are reset from the first HEAD on: lists work,
/// and the rest does not.
fn lines_without_heads(scene: &Scene, args: &[&str], what: &str) -> usize {
    let relay = Relay::default();
    let breaking = relay.clone();
    let port = lab().s3().unwrap().http_port();
    let watch = move |bytes: &[u8]| {
        if bytes.starts_with(b"HEAD ") {
            breaking.reset();
        }
    };
    let listening = relay.to(lab(), move || Ok(port), watch).unwrap();
    let hostname = format!("--hostname=http://{listening}");
    let more = ["--store-id=retries=0,connect-timeout=1s", &hostname];
    let outcome = scene.cloudsync(&[args, &more].concat());
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    let output = outcome.to_string();
    assert!(
        output.contains("STOPPED: 16 times in a row: store unreachable"),
        "{output}"
    );
    output.matches(what).count()
}

#[test]
fn gc_and_rebuild_stop_when_the_store_is_gone() {
    let scene = Scene::new("gc-gone");
    files(&scene, 60, 2000);
    let brick = scene.brick(0);
    scene.done(&archive(&brick));
    let path = scene.mount().path();
    scene.within("recall", move || {
        for n in 0..60 {
            std::fs::read(path.join(format!("f{n}"))).unwrap();
        }
    });
    for n in 0..60 {
        scene
            .volume
            .await_local(&format!("f{n}"), "the end of a recall");
    }
    // Whether the objects are those of the local files, only their metadata tells.
    let lines = lines_without_heads(&scene, &["gc", "--grace=0s", &brick], "cannot judge ");
    // It stops after 16 in a row; those in flight report, too.
    assert!((16..60).contains(&lines), "{lines}");
    let path = scene.mount().path();
    scene.within("remove", move || {
        for n in 0..60 {
            std::fs::remove_file(path.join(format!("f{n}"))).unwrap();
        }
    });
    let from = format!("--from={}", crate::leave::volume_id(&scene));
    let lines = lines_without_heads(&scene, &["rebuild", &from, &brick], "failed ");
    // It stops after 16 in a row; those in flight report, too.
    assert!((16..60).contains(&lines), "{lines}");
}

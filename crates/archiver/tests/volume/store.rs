// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests stores that fail: half-way, because they are full, or because they are throttled.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use cloudsync_lab::{ADDRESS, until};

use crate::scene::{PATIENCE, Scene, lab, number, pattern};

fn archive(target: &str) -> [&str; 4] {
    ["archive", "--older-than=0s", "--json", target]
}

fn files(scene: &Scene, count: u64, size: usize) {
    let path = scene.mount().path();
    scene.within("write", move || {
        for n in 0..count {
            std::fs::write(path.join(format!("f{n}")), pattern(n, size)).unwrap();
        }
    });
}

/// A proxy to the store. `pass` sees the bytes sent there; when it returns false, the connection is cut.
pub(crate) fn detour(pass: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    let pass = Arc::new(pass);
    let serve = move || {
        let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        for client in listener.incoming().map_while(Result::ok) {
            if !pass(b"") {
                return;
            }
            let store = TcpStream::connect((ADDRESS, 7480)).unwrap();
            for (from, to, there) in [(&client, &store, true), (&store, &client, false)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let pass = Arc::clone(&pass);
                thread::spawn(move || {
                    let mut buffer = [0; 8192];
                    while let Ok(read @ 1..) = from.read(&mut buffer) {
                        let bytes = &buffer[..read];
                        if !pass(if there { bytes } else { b"" }) || to.write_all(bytes).is_err() {
                            break;
                        }
                    }
                    let _ = from.shutdown(std::net::Shutdown::Both);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    };
    thread::spawn(move || lab().in_network(serve));
    format!("http://{}", told.recv().unwrap())
}

#[test]
fn a_store_that_fails_half_way_fails_the_run_and_no_file() {
    let scene = Scene::new("half-way");
    files(&scene, 100, 2000);
    let brick = scene.brick(0);
    let open = Arc::new(AtomicBool::new(true));
    let way = Arc::clone(&open);
    let hostname = detour(move |_| way.load(Ordering::Relaxed));
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
    open.store(false, Ordering::Relaxed);
    assert_eq!(run.wait().unwrap().code(), Some(4));
    let cold = (0..100).filter(|n| scene.is_cold(&format!("f{n}"))).count();
    assert!((1..100).contains(&cold), "{cold}");
    scene.done(&archive(&brick));
    scene.done(&["verify", &brick]);
    for n in 0..100 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 2000), "f{n}");
    }
}

/// A server that answers a request, depending on its method, with this status, or not at all.
fn server(answer: fn(&str) -> Option<&'static str>) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    let serve = move || {
        let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer_all(&client, answer));
        }
    };
    thread::spawn(move || lab().in_network(serve));
    format!("http://{}", told.recv().unwrap())
}

fn answer_all(client: &TcpStream, answer: fn(&str) -> Option<&'static str>) -> io::Result<()> {
    let mut from = BufReader::new(client);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        from.read_exact(&mut vec![0; length])?;
        let Some(status) = answer(head.split(' ').next().unwrap_or_default()) else {
            thread::sleep(PATIENCE * 5);
            return Ok(());
        };
        let mut to = client;
        to.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())?;
    }
}

/// A store without objects that answers uploads with this status.
const fn putting(method: &str, answer: Option<&'static str>) -> Option<&'static str> {
    if matches!(method.as_bytes(), b"PUT") {
        answer
    } else {
        Some("404 Not Found")
    }
}

/// The run must stop early, report the store and the error, and leave the files unchanged.
fn ends_early(scene: &Scene, more: &[&str], said: &[&str]) {
    let brick = scene.brick(0);
    let mut args = archive(&brick).to_vec();
    args.extend(more);
    let outcome = scene.cloudsync(&args);
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    let text = outcome.text();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let stopped = last["stopped"].as_str().unwrap_or_default();
    for words in said {
        assert!(stopped.contains(words), "{words}: {stopped}");
    }
    // Some files still fit into a folder, while others fail.
    assert!(number(&text, "failed") < 100, "{outcome}");
    println!("{stopped}; {:.1} s", outcome.took.as_secs_f64());
}

#[test]
fn a_store_that_is_full_ends_the_run_and_says_so() {
    let scene = Scene::new("full");
    files(&scene, 100, 100_000);
    let hostname = format!(
        "--hostname={}",
        server(|method| putting(method, Some("507 Insufficient Storage")))
    );
    ends_early(
        &scene,
        &[&hostname],
        &["the store is full", "HTTP 507", "bucket full-", ADDRESS],
    );
    // A folder on a file system that is too small.
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
    ends_early(
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
fn a_store_that_throttles_is_not_taken_for_a_file_that_changed() {
    let scene = Scene::new("throttled");
    files(&scene, 100, 100);
    let throttles = server(|_| Some("503 Slow Down"));
    let hostname = format!("--hostname={throttles}");
    let args = [hostname.as_str(), "--store-id=retries=0"];
    ends_early(&scene, &args, &["times in a row", "HTTP 503"]);
    // The archiver's uploads succeed, but the translator is throttled.
    let takes = server(|method| putting(method, Some("200 OK\r\netag: \"x\"")));
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
fn a_store_that_does_not_answer_ends_the_run_and_says_so() {
    if std::env::var_os("CLOUDSYNC_TEST_SECONDS").is_none() {
        return;
    }
    let scene = Scene::new("silent");
    files(&scene, 100, 100);
    let hostname = format!("--hostname={}", server(|method| putting(method, None)));
    let args = [hostname.as_str(), "--store-id=retries=8"];
    ends_early(
        &scene,
        &args,
        &["times in a row", "no answer in time", ADDRESS],
    );
}

#[test]
fn a_bucket_that_is_not_there_is_said_once() {
    let scene = Scene::new("no-bucket");
    files(&scene, 60, 100);
    let args = ["archive", "--older-than=0s", "--bucket=nosuch"];
    let outcome = scene.cloudsync(&[&args[..], &[&scene.brick(0)]].concat());
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    let said = outcome.to_string();
    assert_eq!(said.matches("cloudsync: failed").count(), 1, "{said}");
    assert!(
        said.contains("STOPPED: no explanation (NoSuchBucket"),
        "{said}"
    );
    assert!((0..60).all(|n| !scene.is_cold(&format!("f{n}"))));
}

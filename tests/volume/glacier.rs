// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Objects that must be restored before they can be read, which costs money and takes hours. The real S3 server has no
//! such class: a proxy in front of it refuses the objects below `cold/` until a restore was asked for and has ended.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;

use cloudsync_lab::relay::Exchange;
use cloudsync_lab::until;

use crate::gate::store_proxy;
use crate::scene::{PATIENCE, Scene, assert_same, errno, pattern};

const LENGTH: usize = 100_000;
const FILES: usize = 6;

/// The restores that were asked for, by the request's path.
#[derive(Debug, Default)]
struct Restores {
    asked: BTreeSet<String>,
    /// They have ended.
    done: bool,
}

/// Cold files in `cold/`, and one elsewhere that needs no restore.
fn scene(name: &str, settings: &[(&str, &str)]) -> (Scene, Arc<Mutex<Restores>>) {
    let mut scene = Scene::new(name);
    for number in 0..FILES {
        let name = file(number);
        scene.write(&name, &pattern(number as u64, LENGTH));
        scene.archive(&name);
    }
    scene.write("standard", &pattern(99, LENGTH));
    scene.archive("standard");
    let restores = Arc::new(Mutex::new(Restores::default()));
    let serving = Arc::clone(&restores);
    let url = store_proxy(move |exchange| answer(exchange, &serving));
    scene
        .volume
        .set("features.s3plugin-hostname", &url)
        .unwrap();
    for (key, value) in settings {
        scene.volume.set(key, value).unwrap();
    }
    scene.remount();
    (scene, restores)
}

fn file(number: usize) -> String {
    format!("cold/{number}")
}

fn answer(exchange: Exchange<'_>, restores: &Mutex<Restores>) -> io::Result<()> {
    let method = exchange.request.method.as_str();
    let path = exchange
        .request
        .target
        .split('?')
        .next()
        .unwrap_or_default();
    let length = exchange.length();
    let mut body = exchange.server.take(length);
    let (asked, done) = {
        let mut restores = restores.lock().unwrap();
        if method == "POST" {
            restores.asked.insert(path.to_owned());
        }
        (restores.asked.contains(path), restores.done)
    };
    if !path.contains("/cold/") || (asked && done && method == "GET") {
        exchange.client.write_all(exchange.answer.as_bytes())?;
        return io::copy(&mut body, exchange.client).map(drop);
    }
    io::copy(&mut body, &mut io::sink())?;
    let answer = match method {
        "POST" => "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HEAD" if asked => {
            let head = exchange.answer.trim_end();
            format!(
                "{head}\r\nx-amz-restore: ongoing-request=\"{}\"\r\n\r\n",
                !done
            )
        }
        "HEAD" => exchange.answer,
        _ => {
            let error = "<Error><Code>InvalidObjectState</Code></Error>";
            let length = error.len();
            format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\n\r\n{error}")
        }
    };
    exchange.client.write_all(answer.as_bytes())
}

#[test]
fn reads_of_many_files_ask_for_as_many_restores_as_the_guard_allows() {
    let (scene, restores) = scene(
        "restore-guard",
        &[
            ("features.cloudsync-store-id", "restore=bulk"),
            (
                "features.cloudsync-product-id",
                "guard-files=2,guard-window=1h",
            ),
        ],
    );
    for number in 0..FILES {
        assert_eq!(errno(scene.read(&file(number))), libc::EBUSY, "{number}");
    }
    let asked = restores.lock().unwrap().asked.len();
    assert!((1..=2).contains(&asked), "{asked} restores");
    let log = scene.mount().log();
    assert!(
        log.contains("guard-files and guard-bytes allow no more restores"),
        "{log}"
    );
    assert_same(
        &scene.read("standard").unwrap(),
        &pattern(99, LENGTH),
        "standard",
    );
}

#[test]
fn files_that_wait_for_a_restore_take_no_place_of_others() {
    let (scene, restores) = scene(
        "restore-wait",
        &[
            (
                "features.cloudsync-store-id",
                "restore=bulk,restore-wait=1h",
            ),
            ("features.cloudsync-product-id", "recalls=2,connections=2"),
        ],
    );
    let readers: Vec<_> = (0..FILES)
        .map(|number| {
            let path = scene.path(&file(number));
            thread::spawn(move || fs::read(path))
        })
        .collect();
    until(PATIENCE, "a restore of each file", || {
        (restores.lock().unwrap().asked.len() == FILES).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", scene.mount().report()));
    assert_same(
        &scene.read("standard").unwrap(),
        &pattern(99, LENGTH),
        "meanwhile",
    );
    restores.lock().unwrap().done = true;
    let read = scene.within("the readers", move || {
        let ended = readers.into_iter().map(|reader| reader.join().unwrap());
        ended.collect::<Vec<_>>()
    });
    for (number, bytes) in read.into_iter().enumerate() {
        assert_same(&bytes.unwrap(), &pattern(number as u64, LENGTH), "restored");
    }
    scene.assert_idle();
}

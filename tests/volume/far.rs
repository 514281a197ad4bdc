// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A store that is far away: how many requests are in flight is found by itself, within the settings.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cloudsync_lab::far::{Distance, Far};
use cloudsync_lab::relay::Exchange;
use cloudsync_lab::until;

use crate::control::command;
use crate::gate::store_proxy;
use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

const HOST: &str = "features.s3plugin-hostname";
const SETTINGS: &str = "features.cloudsync-product-id";
const DISTANCE: Distance = Distance {
    delay: Duration::from_millis(60),
    rate: 8_000_000,
};
const PART: usize = 8 << 20;

/// A cold file, and a client to which its store is far away.
fn far(name: &str, settings: &str, size: usize) -> (Scene, Far) {
    let mut scene = Scene::new(name);
    scene.write("file", &pattern(1, size));
    scene.archive("file");
    let port = lab().s3().unwrap().http_port();
    let far = Far::new(lab(), port, DISTANCE).unwrap();
    let url = format!("http://{}", far.address());
    scene.volume.set(HOST, &url).unwrap();
    if !settings.is_empty() {
        scene.volume.set(SETTINGS, settings).unwrap();
    }
    scene.remount();
    (scene, far)
}

fn recall(scene: &Scene) {
    command(scene, "file", "recall").unwrap();
    scene.await_local("file");
}

#[test]
fn a_far_store_gets_more_requests_at_once() {
    let size = 20 * PART + 5;
    let (scene, far) = far("far", "", size);
    assert_same(&scene.read("file").unwrap(), &pattern(1, size), "far");
    scene.await_local("file");
    assert!(scene.counter("depth-of-parts") > 4);
    let most = far.most_connections();
    assert!(most > 8, "{most} connections");
}

#[test]
fn the_settings_are_ceilings_with_a_far_store_too() {
    let size = 6 * PART;
    let (scene, far) = far("far-few", "ranges=2,recalls=1", size);
    recall(&scene);
    let most = far.most_connections();
    // And the request for the object's metadata; and the HTTP client may open one that it does not need in the end.
    assert!(most <= 5, "{most} connections");
}

#[test]
fn a_recall_that_needs_more_memory_says_so() {
    let size = 12 * PART;
    let (scene, _far) = far("far-memory", "memory=16M", size);
    recall(&scene);
    assert!(scene.counter("connections-without-memory") > 0);
    let log = scene.mount().log();
    assert!(
        log.contains("they may get faster with a larger memory="),
        "{log}"
    );
}

#[test]
fn a_store_that_asks_for_fewer_requests_gets_fewer() {
    const MOST: usize = 3;
    let size = 20 * PART;
    let mut scene = Scene::new("far-busy");
    scene.write("file", &pattern(2, size));
    scene.archive("file");
    let flying = AtomicUsize::new(0);
    let url = store_proxy(move |exchange| {
        let others = flying.fetch_add(1, Ordering::SeqCst);
        let answered = answer(exchange, others < MOST);
        flying.fetch_sub(1, Ordering::SeqCst);
        answered
    });
    scene.volume.set(HOST, &url).unwrap();
    scene.remount();
    // A far store, as which this one counts, begins with 16. The slower its answers, the longer until less is tried: one
    // recall may be too short.
    let fewer = || {
        recall(&scene);
        let depth = scene.counter("depth-of-parts");
        if depth > 8 {
            scene.archive("file");
        }
        (depth <= 8).then_some(())
    };
    until(PATIENCE, "fewer requests", fewer).unwrap();
    assert_same(&scene.read("file").unwrap(), &pattern(2, size), "busy");
}

/// Forwards an answer, late enough that others overlap, or refuses instead.
fn answer(exchange: Exchange<'_>, serve: bool) -> io::Result<()> {
    const LATE: Duration = Duration::from_millis(50);
    const REFUSAL: &[u8] = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 36\r\n\r\n\
        <Error><Code>SlowDown</Code></Error>";
    let length = exchange.length();
    let mut body = exchange.server.take(length);
    if serve || exchange.request.method == "HEAD" {
        thread::sleep(LATE);
        exchange.client.write_all(exchange.answer.as_bytes())?;
        io::copy(&mut body, exchange.client)?;
    } else {
        io::copy(&mut body, &mut io::sink())?;
        exchange.client.write_all(REFUSAL)?;
    }
    Ok(())
}

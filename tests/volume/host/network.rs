// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The network between a client and its bricks is cut in mid-recall.

use std::time::Duration;

use cloudsync_lab::Layout;

use super::held::{Reader, assert_under_way, await_bytes, bytes, scene};
use super::wire::{Wire, await_connection};
use crate::gate::Gate;
use crate::scene::{PATIENCE, assert_same};

fn cut(stem: &str, what: &str, allowed: &[Option<i32>], cut: impl FnOnce(&Wire, &Gate)) {
    let (scene, gate) = scene(stem, Layout::Single, &["held/file"]);
    let wire = Wire::new(&scene);
    let mount = wire.mount(&scene, |text| text);
    gate.hold();
    let reader = Reader::start(mount.path().join("held/file"));
    await_bytes(&scene, "held/file");
    assert_under_way(&scene, "held/file");
    cut(&wire, &gate);
    let came = reader.end(&mount, what);
    assert!(allowed.contains(&came), "{came:?}");
    assert!(wire.relay.struck() > 0, "nothing was cut");
    // Another client gets the file meanwhile, as soon as the brick knows that the first is gone.
    gate.open();
    wire.relay.open();
    await_connection(&mount, &scene, true);
    let path = mount.path().join("held/file");
    let read = mount.within(PATIENCE, "read", move || std::fs::read(path));
    assert_same(&read.unwrap(), &bytes(), what);
    // Silence may fall when the reader has all its bytes and the brick has not. What it reads again then comes from its
    // own cache; who reads through another client brings the file back.
    scene.volume.await_tidied("held/file", what, || {
        assert_same(&scene.read("held/file").unwrap(), &bytes(), what);
    });
}

#[test]
fn a_reset_in_mid_recall_ends_in_an_errno_and_the_next_read_in_bytes() {
    cut(
        "host-reset",
        "the connection to the brick is reset",
        &[Some(libc::ENOTCONN)],
        |wire, _| wire.relay.cut(),
    );
}

/// Nothing comes and nothing says so: the client gives up after ping-timeout.
#[test]
fn a_silent_network_in_mid_recall_ends_in_an_errno_after_the_ping_timeout() {
    cut(
        "host-silent",
        "the network to the brick falls silent",
        // What was in memory by then, or on its way there, may be all of it.
        &[Some(libc::ENOTCONN), None],
        |wire, gate| {
            wire.relay.silence();
            // Silence is noticed by who waits for an answer.
            gate.open();
        },
    );
}

/// Shorter than the ping timeout: nobody notices, and the lock is still there.
#[test]
fn a_short_silence_costs_a_recall_nothing() {
    let (scene, gate) = scene("host-short", Layout::Single, &["held/file"]);
    let wire = Wire::new(&scene);
    // Long enough for a slow machine, too.
    let patient = |text: String| text.replace("ping-timeout 2", "ping-timeout 20");
    let mount = wire.mount(&scene, patient);
    gate.hold();
    let reader = Reader::start(mount.path().join("held/file"));
    await_bytes(&scene, "held/file");
    wire.relay.silence();
    gate.open();
    std::thread::sleep(Duration::from_millis(700));
    assert_under_way(&scene, "held/file");
    wire.relay.open();
    let came = reader.end(&mount, "the network is silent for 0.7 s");
    assert_eq!(came, None);
    assert!(wire.relay.struck() > 0, "nothing was silent");
}

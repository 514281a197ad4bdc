// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The network between a client and its bricks fails during a recall.

use std::time::Duration;

use cloudsync_lab::Layout;

use super::held::{Reader, assert_recalling, await_bytes, bytes, scene};
use super::wire::Wire;
use crate::gate::Gate;
use crate::scene::{PATIENCE, assert_same, await_connection};

fn interrupt(stem: &str, what: &str, allowed: &[Option<i32>], fail: impl FnOnce(&Wire, &Gate)) {
    let (scene, gate) = scene(stem, Layout::Single, &["held/file"]);
    let wire = Wire::new(&scene);
    let mount = wire.mount(&scene, |text| text);
    gate.hold();
    let reader = Reader::start(mount.path().join("held/file"));
    await_bytes(&scene, "held/file");
    assert_recalling(&scene, "held/file");
    fail(&wire, &gate);
    let errno = reader.end(&mount, what);
    assert!(allowed.contains(&errno), "{errno:?}");
    assert!(wire.relay.interrupted() > 0, "no connection was affected");
    // Once connected again, the client can read the file.
    gate.open();
    wire.relay.open();
    await_connection(&mount, &scene, true);
    let path = mount.path().join("held/file");
    let read = mount.within(PATIENCE, "read", move || std::fs::read(path));
    assert_same(&read.unwrap(), &bytes(), what);
    // The reader may have had all bytes before the brick did. It then reads from its own cache; a read through another
    // client completes the recall.
    scene.volume.await_cleanup("held/file", what, || {
        assert_same(&scene.read("held/file").unwrap(), &bytes(), what);
    });
}

#[test]
fn a_connection_reset_during_a_recall_fails_only_that_read() {
    interrupt(
        "host-reset",
        "the connection to the brick is reset",
        &[Some(libc::ENOTCONN)],
        |wire, _| wire.relay.reset(),
    );
}

/// No error is reported: the client gives up after the ping timeout.
#[test]
fn a_silent_network_fails_a_read_after_the_ping_timeout() {
    interrupt(
        "host-silent",
        "the network to the brick is silent",
        // All the bytes may have been in memory already.
        &[Some(libc::ENOTCONN), None],
        |wire, gate| {
            wire.relay.silence();
            // Only a client that waits for a reply notices the silence.
            gate.open();
        },
    );
}

/// Shorter than the ping timeout: nothing notices, and the lock is kept.
#[test]
fn a_recall_survives_a_short_network_silence() {
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
    assert_recalling(&scene, "held/file");
    wire.relay.open();
    let errno = reader.end(&mount, "the network is silent for 0.7 s");
    assert_eq!(errno, None);
    assert!(wire.relay.interrupted() > 0, "no connection was affected");
}

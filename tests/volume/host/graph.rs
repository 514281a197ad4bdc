// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The volume is changed during a recall: its graph, its options, and whether it runs.

use std::thread;
use std::time::Duration;

use cloudsync_lab::{ADDRESS, Layout, until};

use super::held::{LENGTH, Reader, assert_recalling, read_again, scene, start_recall};
use crate::scene::{PATIENCE, Scene, lab};

/// How many graphs the client has switched to.
fn graphs(scene: &Scene) -> usize {
    scene.mount().log().matches("switched to graph").count()
}

fn await_graph(scene: &Scene, before: usize) {
    until(PATIENCE, "the new graph", || {
        (graphs(scene) > before).then_some(())
    })
    .unwrap();
}

/// Graph switches that keep the feature on: readers from before and after the switch get the bytes.
#[test]
fn a_graph_switch_during_a_recall_loses_nothing() {
    let (scene, gate) = scene("host-graph", Layout::Single, &["held/file", "held/other"]);
    let before = graphs(&scene);
    let reader = start_recall(&scene, &gate, "held/file");
    assert_recalling(&scene, "held/file");
    scene.volume.set("performance.write-behind", "off").unwrap();
    // The kernel's next request makes the client switch graphs.
    scene.write("local", b"local");
    await_graph(&scene, before);
    // In the new graph, while the old one's recall runs.
    let second = Reader::start(scene.path("held/file"));
    let other = Reader::start(scene.path("held/other"));
    thread::sleep(Duration::from_millis(300));
    gate.open();
    for (reader, what) in [
        (reader, "the graph is switched: a reader from before"),
        (second, "the graph is switched: a reader from after"),
        (other, "the graph is switched: another file"),
    ] {
        let errno = reader.end(scene.mount(), what);
        assert!(matches!(errno, None | Some(libc::ECANCELED)), "{errno:?}");
    }
    read_again(&scene, "held/file");
    assert_eq!(scene.stat("held/file").len(), LENGTH as u64);
}

#[test]
fn adding_a_brick_during_a_recall_loses_nothing() {
    let (scene, gate) = scene("host-add", Layout::Single, &["held/file", "held/other"]);
    let before = graphs(&scene);
    let reader = start_recall(&scene, &gate, "held/file");
    assert_recalling(&scene, "held/file");
    let name = scene.volume.name();
    let brick = lab().inner(&scene.volume.bricks()[0]);
    let added = brick.parent().unwrap().with_file_name("added");
    let brick = format!("{ADDRESS}:{}", added.display());
    lab()
        .gluster(["volume", "add-brick", name, &brick, "force"])
        .unwrap();
    scene.write("local", b"local");
    await_graph(&scene, before);
    let other = Reader::start(scene.path("held/other"));
    thread::sleep(Duration::from_millis(300));
    gate.open();
    for (reader, what) in [
        (reader, "a brick is added: a reader from before"),
        (other, "a brick is added: another file"),
    ] {
        let errno = reader.end(scene.mount(), what);
        assert!(matches!(errno, None | Some(libc::ECANCELED)), "{errno:?}");
    }
    read_again(&scene, "held/file");
}

/// With the feature off, clients do not know about cold files: the promise is only that nothing is lost.
#[test]
fn the_feature_is_switched_off_and_on_during_a_recall() {
    let (mut scene, gate) = scene("host-off", Layout::Single, &["held/file", "held/other"]);
    let before = graphs(&scene);
    let reader = start_recall(&scene, &gate, "held/file");
    assert_recalling(&scene, "held/file");
    scene.volume.set("features.cloudsync", "off").unwrap();
    scene.write("local", b"local");
    await_graph(&scene, before);
    scene.volume.set("features.cloudsync", "on").unwrap();
    scene.write("local", b"again");
    await_graph(&scene, before + 1);
    gate.open();
    let errno = reader.end(scene.mount(), "the feature is switched off and on");
    assert!(matches!(errno, None | Some(libc::ECANCELED)), "{errno:?}");
    scene.remount();
    for name in ["held/file", "held/other"] {
        read_again(&scene, name);
        scene.await_local(name);
    }
}

#[test]
fn the_volume_is_restarted_during_a_recall() {
    let (scene, gate) = scene("host-stop", Layout::Single, &["held/file"]);
    let reader = start_recall(&scene, &gate, "held/file");
    assert_recalling(&scene, "held/file");
    scene.volume.stop().unwrap();
    let errno = reader.end(scene.mount(), "the volume is stopped");
    assert_eq!(errno, Some(libc::ENOTCONN));
    gate.open();
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    read_again(&scene, "held/file");
    scene.await_local("held/file");
    scene.assert_idle();
}

/// Two changes, the second while the client may still be applying the first, during a recall that uses the settings.
#[test]
fn options_change_twice_during_a_recall() {
    let (scene, gate) = scene("host-options", Layout::Single, &["held/file", "held/other"]);
    let reader = start_recall(&scene, &gate, "held/file");
    assert_recalling(&scene, "held/file");
    for (id, product) in [
        ("retries=1", "recalls=1"),
        ("retries=2,stall-timeout=5s", "recalls=3,window=2MB"),
    ] {
        scene
            .volume
            .set_all(&[
                ("features.cloudsync-store-id", id),
                ("features.cloudsync-product-id", product),
            ])
            .unwrap();
    }
    // One change removes the store and the next one restores it.
    scene
        .volume
        .set("features.cloudsync-storetype", "directory")
        .ok();
    scene
        .volume
        .set("features.cloudsync-storetype", "amazons3")
        .unwrap();
    assert_recalling(&scene, "held/file");
    gate.open();
    let errno = reader.end(scene.mount(), "options are changed twice");
    assert_eq!(errno, None);
    read_again(&scene, "held/other");
    scene.assert_idle();
}

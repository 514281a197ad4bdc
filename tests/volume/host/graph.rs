// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The volume is changed in mid-recall: its graph, its options, its being there.

use std::thread;
use std::time::Duration;

use cloudsync_lab::{ADDRESS, Layout, until};

use super::held::{LENGTH, Reader, assert_under_way, begin, read_again, scene};
use crate::scene::{PATIENCE, Scene, lab};

/// How many graphs the client has gone through.
fn graphs(scene: &Scene) -> usize {
    scene.mount().log().matches("switched to graph").count()
}

fn await_graph(scene: &Scene, before: usize) {
    until(PATIENCE, "the new graph", || {
        (graphs(scene) > before).then_some(())
    })
    .unwrap();
}

/// Graph switches that keep the feature: readers get the bytes, the one that waits and the ones that come.
#[test]
fn a_graph_switch_in_mid_recall_costs_nobody_anything() {
    let (scene, gate) = scene("host-graph", Layout::Single, &["held/file", "held/other"]);
    let before = graphs(&scene);
    let reader = begin(&scene, &gate, "held/file");
    assert_under_way(&scene, "held/file");
    scene.volume.set("performance.write-behind", "off").unwrap();
    // The kernel's next request makes the client change.
    scene.write("local", b"local");
    await_graph(&scene, before);
    // In the new graph, beside the old one's recall.
    let second = Reader::start(scene.path("held/file"));
    let other = Reader::start(scene.path("held/other"));
    thread::sleep(Duration::from_millis(300));
    gate.open();
    for (reader, what) in [
        (reader, "the graph is switched: the reader from before"),
        (second, "the graph is switched: a reader from after"),
        (other, "the graph is switched: another file"),
    ] {
        let came = reader.end(scene.mount(), what);
        assert!(matches!(came, None | Some(libc::ECANCELED)), "{came:?}");
    }
    read_again(&scene, "held/file");
    assert_eq!(scene.stat("held/file").len(), LENGTH as u64);
}

#[test]
fn a_brick_that_is_added_in_mid_recall_costs_nobody_anything() {
    let (scene, gate) = scene("host-add", Layout::Single, &["held/file", "held/other"]);
    let before = graphs(&scene);
    let reader = begin(&scene, &gate, "held/file");
    assert_under_way(&scene, "held/file");
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
        (reader, "a brick is added: the reader from before"),
        (other, "a brick is added: another file"),
    ] {
        let came = reader.end(scene.mount(), what);
        assert!(matches!(came, None | Some(libc::ECANCELED)), "{came:?}");
    }
    read_again(&scene, "held/file");
}

/// Off means that clients know nothing of cold files: what is promised is that nothing is lost by it.
#[test]
fn the_feature_is_switched_off_and_on_in_mid_recall() {
    let (mut scene, gate) = scene("host-off", Layout::Single, &["held/file", "held/other"]);
    let before = graphs(&scene);
    let reader = begin(&scene, &gate, "held/file");
    assert_under_way(&scene, "held/file");
    scene.volume.set("features.cloudsync", "off").unwrap();
    scene.write("local", b"local");
    await_graph(&scene, before);
    scene.volume.set("features.cloudsync", "on").unwrap();
    scene.write("local", b"again");
    await_graph(&scene, before + 1);
    gate.open();
    let came = reader.end(scene.mount(), "the feature is switched off and on");
    assert!(matches!(came, None | Some(libc::ECANCELED)), "{came:?}");
    scene.remount();
    for name in ["held/file", "held/other"] {
        read_again(&scene, name);
        scene.await_plain(name);
    }
}

#[test]
fn the_volume_is_stopped_in_mid_recall_and_started_again() {
    let (scene, gate) = scene("host-stop", Layout::Single, &["held/file"]);
    let reader = begin(&scene, &gate, "held/file");
    assert_under_way(&scene, "held/file");
    scene.volume.stop().unwrap();
    let came = reader.end(scene.mount(), "the volume is stopped");
    assert_eq!(came, Some(libc::ENOTCONN));
    gate.open();
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    read_again(&scene, "held/file");
    scene.await_plain("held/file");
    scene.assert_idle();
}

/// Two changes, the second while the client may still be taking up the first, beside a recall that uses the settings.
#[test]
fn options_change_twice_in_mid_recall() {
    let (scene, gate) = scene("host-options", Layout::Single, &["held/file", "held/other"]);
    let reader = begin(&scene, &gate, "held/file");
    assert_under_way(&scene, "held/file");
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
    // One of them takes the store away and gives it back.
    scene
        .volume
        .set("features.cloudsync-storetype", "directory")
        .ok();
    scene
        .volume
        .set("features.cloudsync-storetype", "amazons3")
        .unwrap();
    assert_under_way(&scene, "held/file");
    gate.open();
    let came = reader.end(scene.mount(), "options are changed twice");
    assert_eq!(came, None);
    read_again(&scene, "held/other");
    scene.assert_idle();
}

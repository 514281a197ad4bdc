// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Volume options, and the messages that administrators get.

use cloudsync_lab::{Backing, Layout, MountOptions};

use crate::scene::{Scene, assert_same, errno, lab, pattern};

#[test]
fn glusterd_refuses_an_unknown_store_and_names_valid_ones() {
    let scene = Scene::new("bogus");
    for wrong in ["bogus", "../amazons3", "amazons"] {
        let refusal = format!(
            "{:?}",
            scene
                .volume
                .set("features.cloudsync-storetype", wrong)
                .unwrap_err()
        );
        assert!(refusal.contains("possible options are"), "{refusal}");
        assert!(refusal.contains("amazons3"), "{refusal}");
    }
    for right in ["cloudsyncs3", "amazons3"] {
        scene
            .volume
            .set("features.cloudsync-storetype", right)
            .unwrap();
    }
    let refusal = format!(
        "{:?}",
        scene
            .volume
            .set("features.cloudsync-remote-read", "maybe")
            .unwrap_err()
    );
    assert!(refusal.contains("maybe"), "{refusal}");
}

#[test]
fn the_log_has_the_versions_of_translator_and_plugin() {
    let scene = Scene::new("versions");
    let log = scene.mount().log();
    for kind in ["translator", "plugin"] {
        let version = env!("CARGO_PKG_VERSION");
        let line = format!("cloudsync {kind} {version} for GlusterFS 1");
        assert!(log.contains(&line), "{line}: {log}");
    }
}

#[test]
fn local_files_and_options_work_without_a_store() {
    let lab = lab();
    let volume = lab.volume("bare", Layout::Single, Backing::Ram).unwrap();
    volume.set("features.cloudsync", "on").unwrap();
    let mount = volume.mount(&MountOptions::default()).unwrap();
    let file = mount.path().join("file");
    std::fs::write(&file, "bytes").unwrap();
    for (key, value) in [
        ("features.cloudsync-product-id", "recalls=4"),
        ("features.s3plugin-bucketid", "bucket"),
        ("features.cloudsync-remote-read", "off"),
        ("features.s3plugin-hostname", "localhost"),
    ] {
        volume.set(key, value).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"bytes", "after {key}");
    }
    assert!(mount.alive());
    assert!(mount.log().contains("no store"), "{}", mount.log());
}

#[test]
fn a_store_that_cannot_start_does_not_fail_the_mount() {
    let mut scene = Scene::new("broken");
    scene.write("cold", &pattern(1, 100_000));
    scene.write("local", b"local");
    scene.archive("cold");
    scene
        .volume
        .set("features.s3plugin-hostname", "http://")
        .unwrap();
    scene.remount();
    assert_eq!(scene.read("local").unwrap(), b"local");
    assert_eq!(errno(scene.read("cold")), libc::EREMOTE);
    assert!(
        scene
            .mount()
            .log()
            .contains("local files work, cold ones answer"),
        "{}",
        scene.mount().log()
    );
    // The next valid setting starts the store, without a remount.
    let url = lab().s3().unwrap().http_url();
    scene
        .volume
        .set("features.s3plugin-hostname", &url)
        .unwrap();
    scene.await_log("store 'amazons3' is up");
    assert_same(&scene.read("cold").unwrap(), &pattern(1, 100_000), "cold");
}

#[test]
fn an_invalid_setting_is_logged_and_ignored() {
    let scene = Scene::new("bad");
    scene.write("cold", &pattern(2, 100_000));
    scene.archive("cold");
    scene
        .volume
        .set("features.cloudsync-product-id", "recals=9")
        .unwrap();
    scene.await_log("unknown setting 'recals'");
    scene
        .volume
        .set("features.cloudsync-store-id", "regoin=x")
        .unwrap();
    scene.await_log("unknown setting 'regoin'");
    assert_same(&scene.read("cold").unwrap(), &pattern(2, 100_000), "cold");
}

#[test]
fn https_works_with_a_private_certificate_authority() {
    let mut scene = Scene::new("https");
    scene.write("cold", &pattern(3, 3 << 20));
    scene.archive("cold");
    let s3 = lab().s3().unwrap();
    scene
        .volume
        .set("features.s3plugin-hostname", &s3.https_url())
        .unwrap();
    scene.remount();
    assert_eq!(
        errno(scene.read("cold")),
        libc::EHOSTUNREACH,
        "the authority is not configured yet"
    );
    let ca = format!("ca={}", s3.ca_pem().display());
    scene
        .volume
        .set("features.cloudsync-store-id", &ca)
        .unwrap();
    scene.remount();
    assert_same(&scene.read("cold").unwrap(), &pattern(3, 3 << 20), "cold");
}

#[test]
fn the_feature_can_be_switched_while_mounted() {
    let lab = lab();
    let volume = lab.volume("switch", Layout::Single, Backing::Ram).unwrap();
    let bucket = lab.s3().unwrap().bucket("switch").unwrap();
    let mount = volume.mount(&MountOptions::default()).unwrap();
    let file = mount.path().join("file");
    std::fs::write(&file, pattern(4, 10_000)).unwrap();
    for round in 0..2 {
        for (key, value) in bucket.settings() {
            volume.set(key, &value).unwrap();
        }
        assert_same(
            &std::fs::read(&file).unwrap(),
            &pattern(4, 10_000),
            &format!("on, round {round}"),
        );
        volume.set("features.cloudsync", "off").unwrap();
        assert_same(
            &std::fs::read(&file).unwrap(),
            &pattern(4, 10_000),
            &format!("off, round {round}"),
        );
    }
    assert!(mount.alive());
}

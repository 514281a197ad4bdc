// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of `prepare-off`, and of glusterd's hooks that turn the feature back on.

use std::fs;
use std::thread;
use std::time::Duration;

use cloudsync_lab::until;

use crate::scene::{PATIENCE, PROGRAM, Scene, lab, number, pattern};

const HOOK: &str = include_str!("../../../../packaging/hooks/S30cloudsync.sh.in");

/// Installs the hooks as `make install` does.
fn hooks() {
    let program = std::path::Path::new(PROGRAM);
    let text = HOOK
        .replace(
            "@sbindir@",
            &program.parent().unwrap().display().to_string(),
        )
        .replace("@prefix@", "")
        .replace("@exec_prefix@", "");
    for event in ["set", "reset"] {
        let folder = format!("/var/lib/glusterd/hooks/1/{event}/post");
        lab().sh(&format!("mkdir -p {folder}")).unwrap();
        let path = format!("{folder}/S30cloudsync.sh");
        fs::write(lab().outer(&path), &text).unwrap();
        lab().sh(&format!("chmod 755 {path}")).unwrap();
    }
}

fn is_on(scene: &Scene) -> bool {
    let info = scene.volume.info().unwrap();
    info.lines()
        .any(|line| line.trim() == "features.cloudsync: on")
}

fn crit_log(scene: &Scene) -> String {
    let path = format!(
        "/var/log/glusterfs/cloudsync-{}.crit.log",
        scene.volume.name()
    );
    fs::read_to_string(lab().outer(path)).unwrap_or_default()
}

#[test]
fn hook_turns_feature_back_on_while_files_are_cold() {
    let mut scene = Scene::new("leave");
    hooks();
    let names = ["dir/a", "b", "c"];
    for (seed, name) in names.iter().enumerate() {
        scene.write(name, &pattern(seed as u64, 5000));
    }
    let brick = scene.brick(0);
    scene.done(&["archive", "--older-than=0s", &brick]);
    let volume = scene.volume.name().to_owned();
    // Resetting another option has no effect.
    scene
        .volume
        .set("performance.io-thread-count", "8")
        .unwrap();
    scene.volume.set("features.cloudsync", "off").unwrap();
    until(PATIENCE, "the feature after off", || {
        is_on(&scene).then_some(())
    })
    .unwrap();
    let logged = crit_log(&scene);
    assert!(
        logged.contains("was turned off while files are cold") && logged.contains("prepare-off"),
        "{logged}"
    );
    scene.volume.reset("features.cloudsync").unwrap();
    until(PATIENCE, "the feature after a reset", || {
        is_on(&scene).then_some(())
    })
    .unwrap();
    assert!(crit_log(&scene).lines().count() >= 2);
    // Cold files are listed, and recalled.
    let output = scene.cloudsync(&["prepare-off", "--json", &volume]);
    let text = output.text();
    assert_eq!(output.code(), Some(1), "{output}");
    assert_eq!(
        (number(&text, "cold_files"), number(&text, "cold_bytes")),
        (3, 15_000),
        "{output}"
    );
    assert!(text.contains("\"dir/a\""), "{output}");
    let output = scene.done(&["prepare-off", "--recall", "--json", &scene.inside("")]);
    assert_eq!(
        (number(&output, "cold_files"), number(&output, "recalled")),
        (0, 3),
        "{output}"
    );
    let before = crit_log(&scene);
    scene.volume.set("features.cloudsync", "off").unwrap();
    thread::sleep(Duration::from_secs(5));
    assert!(!is_on(&scene) && crit_log(&scene) == before);
    scene.remount();
    for (seed, name) in names.iter().enumerate() {
        assert!(scene.read(name) == pattern(seed as u64, 5000), "{name}");
    }
}

#[test]
fn accepted_loss_lets_the_feature_be_turned_off() {
    let scene = Scene::new("loss");
    hooks();
    scene.write("f", &pattern(1, 5000));
    let brick = scene.brick(0);
    scene.done(&["archive", "--older-than=0s", &brick]);
    let volume = scene.volume.name().to_owned();
    let output = scene.done(&["prepare-off", "--accept-loss", &volume]);
    assert!(output.contains("1 files are cold"), "{output}");
    scene.volume.set("features.cloudsync", "off").unwrap();
    thread::sleep(Duration::from_secs(5));
    assert!(!is_on(&scene));
    // Turning the feature on by hand ends the acceptance: the next off is reverted.
    scene.volume.set("features.cloudsync", "on").unwrap();
    let folder = format!("/var/lib/cloudsync/{}", volume_id(&scene));
    until(PATIENCE, "the end of the acceptance", || {
        (!lab().outer(&folder).join("leaving").exists()).then_some(())
    })
    .unwrap();
    scene.volume.set("features.cloudsync", "off").unwrap();
    until(PATIENCE, "the feature", || is_on(&scene).then_some(())).unwrap();
    assert!(scene.read("f") == pattern(1, 5000));
}

#[test]
fn volume_reset_leaves_no_file_empty() {
    let mut scene = Scene::new("reset");
    hooks();
    scene.write("f", &pattern(1, 5000));
    let brick = scene.brick(0);
    scene.done(&["archive", "--older-than=0s", &brick]);
    lab()
        .gluster(["volume", "reset", scene.volume.name()])
        .unwrap();
    until(PATIENCE, "the feature", || is_on(&scene).then_some(())).unwrap();
    assert!(crit_log(&scene).contains("set the store's options again"));
    scene.remount();
    // The store's options are not set: reading fails instead of returning an empty file.
    let path = scene.path("f");
    let read = scene.within("read", move || fs::read(path));
    assert!(read.is_err(), "{read:?}");
}

pub(crate) fn volume_id(scene: &Scene) -> String {
    let info = scene.volume.info().unwrap();
    let mut ids = info
        .lines()
        .filter_map(|line| line.strip_prefix("Volume ID: "));
    ids.next().unwrap().to_owned()
}

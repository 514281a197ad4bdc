// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests `cloudsync restore` with a store that refuses to read objects until they have been restored.

use cloudsync_lab::glacier::Glacier;
use cloudsync_lab::{ADDRESS, until};

use crate::scene::{PATIENCE, PROGRAM, Scene, lab, number, pattern};

const FILES: u64 = 20;

/// Objects below `cold/`, and one that needs no restore. Returns the option for the store's address.
fn scene(name: &str) -> (Scene, Glacier, String) {
    let mut scene = Scene::new(name);
    for n in 0..FILES {
        scene.write(&format!("cold/{n}"), &pattern(n, 5000));
    }
    scene.write("standard", &pattern(99, 5000));
    scene.write("local", &pattern(98, 5000));
    scene.remount();
    let archive = ["archive", "--older-than=0s", "--key-layout=path"];
    scene.done(&[&archive[..], &["--exclude=local", &scene.brick(0)]].concat());
    let (glacier, url) = Glacier::start(lab()).unwrap();
    (scene, glacier, format!("--hostname={url}"))
}

#[track_caller]
fn assert_counts(output: &str, counts: [(&str, u64); 5]) {
    for (name, count) in counts {
        assert_eq!(number(output, name), count, "{name}: {output}");
    }
}

#[test]
fn restores_of_a_tree_are_asked_for_once_and_waited_for() {
    let (mut scene, restores, hostname) = scene("restore");
    let root = scene.inside("");
    let all = |more: &[&str]| {
        let args = ["restore", "--json", &hostname, "--tier=bulk", "--days=3"];
        scene.done(&[&args[..], more, &[&root]].concat())
    };
    let cold = ("cold", FILES + 1);
    let output = all(&["--dry-run"]);
    assert!(output.contains("would ask for"), "{output}");
    let [not_needed, none] = [("not_needed", 1), ("failed", 0)];
    assert_counts(
        &output,
        [cold, ("asked", FILES), ("under_way", 0), not_needed, none],
    );
    assert!(restores.asked() == 0);

    let output = all(&[]);
    assert_counts(
        &output,
        [cold, ("asked", FILES), ("back", 0), not_needed, none],
    );
    assert_eq!(number(&output, "asked_bytes"), FILES * 5000);
    let bodies = restores.bodies();
    let right =
        |body: &String| body.contains("<Tier>Bulk</Tier>") && body.contains("<Days>3</Days>");
    assert!(
        bodies.len() as u64 == FILES && bodies.iter().all(right),
        "{bodies:?}"
    );

    let output = all(&[]);
    assert_counts(
        &output,
        [cold, ("asked", 0), ("under_way", FILES), not_needed, none],
    );

    // A brick, and one file of it.
    let file = format!("{}/cold/7", scene.brick(0));
    let mut waiting = scene.start(&["restore", &hostname, "--wait", &file]);
    assert!(waiting.try_wait().unwrap().is_none());
    restores.end();
    assert!(waiting.wait().unwrap().success());

    let output = all(&["--wait", "-v"]);
    assert!(output.contains("\"event\":\"back\""), "{output}");
    assert_counts(
        &output,
        [cold, ("asked", 0), ("back", FILES), not_needed, none],
    );
    assert_eq!(restores.bodies().len() as u64, FILES);

    let url = hostname.trim_start_matches("--hostname=");
    scene.volume.set("features.s3plugin-hostname", url).unwrap();
    scene.remount();
    scene.done(&["recall", "--recursive", "--wait", &scene.inside("")]);
    for n in 0..FILES {
        assert!(scene.read(&format!("cold/{n}")) == pattern(n, 5000), "{n}");
    }
}

#[test]
fn waiting_for_restores_ends_with_a_signal() {
    let (scene, restores, hostname) = scene("restore-signal");
    let mut run = scene.start(&["restore", "--wait", &hostname, &scene.inside("cold")]);
    until(PATIENCE, "all restores", || {
        (restores.asked() as u64 == FILES).then_some(())
    })
    .unwrap();
    // Its id in the lab is another one than here.
    let script = format!(
        "for p in /proc/[0-9]*; do \
           tr '\\0' ' ' < $p/cmdline | grep -q '^{PROGRAM} restore --wait {hostname} ' && kill -INT ${{p#/proc/}}; \
         done 2>/dev/null; true"
    );
    lab().sh(&script).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
}

#[test]
fn a_run_of_restores_stops_when_the_store_is_gone() {
    let (scene, restores, _) = scene("restore-gone");
    let nobody = format!("--hostname=http://{ADDRESS}:1");
    let settings = "--store-id=retries=0,connect-timeout=1s";
    let args = ["restore", "--json", &nobody, settings, &scene.inside("")];
    let outcome = scene.cloudsync(&args);
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    assert!(outcome.text().contains("times in a row"), "{outcome}");
    assert!(restores.asked() == 0);
    // A folder has no objects that must be restored.
    let args = [
        "restore",
        "--store-type=directory",
        "--store-id=path=/",
        &scene.inside(""),
    ];
    let outcome = scene.cloudsync(&args);
    assert_eq!(outcome.code(), Some(3), "{outcome}");
}

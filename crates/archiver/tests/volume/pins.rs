// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Pins of files and folders: set through a mount by root and by others, respected on mounts and bricks.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use cloudsync_lab::Outcome;
use serde_json::Value;

use crate::scene::{PROGRAM, Scene, lab, patience, pattern};

const USER: u32 = 1234;

/// Runs the program as an ordinary user.
fn as_user(args: &[&str]) -> Outcome {
    let user = format!("--reuid={USER}");
    let words = [&["--clear-groups", &user, PROGRAM][..], args].concat();
    lab()
        .run_with(patience(), "setpriv", words, |_| {})
        .unwrap()
}

fn would(scene: &Scene, target: &str, flags: &[&str]) -> Value {
    let args = [&["--json", "archive", "--dry-run"][..], flags, &[target]].concat();
    let text = scene.done(&args);
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// The worked example of docs/ARCHIVER.md.
#[test]
fn pins_are_respected() {
    let scene = Scene::new("pins");
    for name in [
        "project/a",
        "project/raw/b",
        "project/raw/done/c",
        "other/d",
    ] {
        scene.write(name, &pattern(1, 5000));
    }
    let path = |name: &str| scene.inside(name);
    let root = scene.path("");
    scene.within("hand over", move || {
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["project", "project/raw", "project/raw/done", "other"] {
            chown(root.join(name), Some(USER), None).unwrap();
        }
    });
    let targets = || [scene.brick(0), scene.inside("")];
    let archived = |flags: &[&str], files: u64, pinned: u64| {
        for target in targets() {
            let summary = would(&scene, &target, flags);
            assert_eq!(summary["archived"], files, "{target} {flags:?}: {summary}");
            assert_eq!(summary["pinned"], pinned, "{target} {flags:?}: {summary}");
        }
    };
    let now = "--older-than=0s";
    archived(&[now], 4, 0);
    // A user's pin of a folder holds for all below it, but for what has one of its own.
    as_user(&["pin", "never-archive", &path("project")])
        .check()
        .unwrap();
    archived(&[now], 1, 3);
    as_user(&["pin", "archive-soon", &path("project/raw/done")])
        .check()
        .unwrap();
    archived(&[now], 2, 2);
    // It need not be old.
    archived(&[], 1, 2);
    let text = scene.done(&["pins", &path("")]);
    for line in [
        format!("{} never-archive (owner)\n", path("project")),
        format!("{} archive-soon (owner)\n", path("project/raw/done")),
    ] {
        assert!(text.contains(&line), "{text}");
    }
    // Root's takes precedence, and can be the only one that counts.
    scene.done(&["pin", "never-archive", &path("project/raw/done")]);
    archived(&[now], 1, 3);
    archived(&[now, "--pins=root"], 3, 1);
    archived(&[now, "--pins=none"], 4, 0);
    let config = lab().scratch("pins.toml");
    let text = format!(
        "[[rule]]\nname = 'r'\ntargets = ['{}']\nolder-than = '0s'\npins = 'owners'\n",
        scene.brick(0)
    );
    fs::write(lab().outer(&config), text).unwrap();
    let config = config.display().to_string();
    let explained = scene.done(&["run", "--config", &config, "--explain", &path("project/a")]);
    assert!(explained.contains("  no  pin never-archive"), "{explained}");
    // Others cannot touch it, nor what is not theirs.
    assert!(!as_user(&["pin", "archive-soon", &path("")]).success());
    as_user(&["unpin", &path("project/raw/done")])
        .check()
        .unwrap();
    archived(&[now, "--pins=root"], 3, 1);
    scene.done(&["unpin", &path("project/raw/done"), &path("project")]);
    archived(&[now], 4, 0);
    assert_eq!(scene.done(&["pins", &path("")]), "");
    // Elsewhere nobody would look at them.
    let outcome = scene.cloudsync(&["pin", "never-archive", "/tmp"]);
    assert_eq!(outcome.code(), Some(3), "{outcome}");
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of `cloudsync undelete`: removed files come back as themselves, and earlier ones as copies.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::thread;
use std::time::{Duration, SystemTime};

use cloudsync_lab::Layout;

use crate::scene::{Scene, archive, number, pattern};

fn archived(scene: &mut Scene, files: u64) {
    // Closes the files, also on the bricks.
    scene.remount();
    let output = scene.done(&archive(&scene.inside("")));
    assert_eq!(number(&output, "archived"), files, "{output}");
}

fn undelete(scene: &Scene, args: &[&str], name: &str) -> String {
    let path = scene.inside(name);
    scene.done(&[&["undelete", "--json"], args, &[&path]].concat())
}

/// Owner, mode, time and number of a file.
fn identity(scene: &Scene, name: &str) -> (u32, u32, i64, i64, u64) {
    let path = scene.path(name);
    let data = scene.within("stat", move || fs::metadata(path)).unwrap();
    let (modified, nanoseconds) = (data.mtime(), data.mtime_nsec());
    // Its number is made from its gfid.
    (data.uid(), data.mode(), modified, nanoseconds, data.ino())
}

fn removed_files_come_back(mut scene: Scene) {
    let names = ["project/one", "project/sub/two", "other"];
    for (seed, name) in names.iter().enumerate() {
        scene.write(name, &pattern(seed as u64, 100_000 * (seed + 1)));
    }
    scene.write("project/moved", &pattern(8, 1000));
    let path = scene.path("project/one");
    scene.within("attributes", move || {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::chown(&path, Some(1234), Some(5678)).unwrap();
    });
    archived(&mut scene, 4);
    let before = names.map(|name| identity(&scene, name));
    scene.write("project/local", b"never archived");
    let (folder, other) = (scene.path("project"), scene.path("other"));
    scene.within("remove", move || {
        fs::rename(folder.join("moved"), folder.with_file_name("moved")).unwrap();
        fs::remove_dir_all(folder).unwrap();
        fs::remove_file(other).unwrap();
    });

    let output = undelete(&scene, &["-n"], "project");
    assert_eq!(
        ["created", "there_already", "not_selected"].map(|key| number(&output, key)),
        [2, 1, 1],
        "{output}"
    );
    assert!(!scene.path("project").exists());
    let output = undelete(&scene, &[], "project");
    assert_eq!(
        ["created", "there_already", "failed"].map(|key| number(&output, key)),
        [2, 1, 0],
        "{output}"
    );
    for name in &names[..2] {
        assert!(scene.is_cold(name), "{}", scene.marks(name));
    }
    assert!(!scene.path("other").exists() && !scene.path("project/local").exists());
    let output = undelete(&scene, &[], "other");
    assert_eq!(number(&output, "created"), 1, "{output}");
    assert_eq!(names.map(|name| identity(&scene, name)), before);
    let output = undelete(&scene, &[], "");
    assert_eq!(
        ["created", "there_already"].map(|key| number(&output, key)),
        [0, 4],
        "{output}"
    );
    assert!(!scene.path(".cloudsync-rebuild").exists());

    // Every object is in use again.
    let output = scene.done(&["gc", "--json", "--grace=0s", "--delete", &scene.inside("")]);
    assert_eq!(number(&output, "deleted"), 0, "{output}");
    scene.remount();
    for (seed, name) in names.iter().enumerate() {
        assert!(
            scene.recall(name) == pattern(seed as u64, 100_000 * (seed + 1)),
            "{name}"
        );
    }
    assert!(scene.recall("moved") == pattern(8, 1000));
}

#[test]
fn removed_files_come_back_on_one_brick() {
    removed_files_come_back(Scene::new("undelete"));
}

#[test]
fn removed_files_come_back_on_a_distributed_volume() {
    removed_files_come_back(Scene::on("undelete-dht", Layout::Distribute(3), &[]));
}

#[test]
fn removed_files_come_back_on_a_replicated_volume() {
    removed_files_come_back(Scene::on("undelete-replica", Layout::Replica(3), &[]));
}

#[test]
fn removed_files_come_back_on_an_erasure_coded_volume() {
    let layout = Layout::Disperse {
        bricks: 3,
        redundancy: 1,
    };
    removed_files_come_back(Scene::on("undelete-coded", layout, &[]));
}

#[test]
fn what_files_were_at_some_time_comes_back_as_a_copy() {
    let mut scene = Scene::new("as-of");
    scene.write("project/paper", &pattern(1, 200_000));
    archived(&mut scene, 1);
    let pause = || thread::sleep(Duration::from_millis(1100));
    pause();
    let then = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    pause();
    scene.write("project/paper", &pattern(2, 300_000));
    scene.write("project/later", &pattern(3, 1000));
    archived(&mut scene, 2);
    let folder = scene.path("then");
    scene
        .within("mkdir", move || fs::create_dir(folder))
        .unwrap();

    let to = format!("--to={}", scene.inside("then"));
    let as_of = format!("--as-of={then}");
    let output = undelete(&scene, &[&as_of, &to], "project");
    assert_eq!(number(&output, "created"), 1, "{output}");
    // One file, not a folder.
    let output = undelete(&scene, &[&to], "project/later");
    assert_eq!(number(&output, "created"), 1, "{output}");
    // The other version of the file is in the way of this one, and stays.
    let paper = scene.inside("project/paper");
    let outcome = scene.cloudsync(&["undelete", &to, &paper]);
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    let printed = outcome.to_string();
    assert!(
        printed.contains("then/paper: another file exists at this path"),
        "{printed}"
    );

    let output = scene.done(&["gc", "--json", "--grace=0s", "--delete", &scene.inside("")]);
    assert_eq!(number(&output, "deleted"), 0, "{output}");
    scene.remount();
    for (name, bytes) in [
        ("then/paper", pattern(1, 200_000)),
        ("then/later", pattern(3, 1000)),
        ("project/paper", pattern(2, 300_000)),
    ] {
        assert!(scene.is_cold(name), "{}", scene.marks(name));
        assert!(scene.recall(name) == bytes, "{name}");
    }
}

#[test]
fn undelete_replaces_nothing_and_explains_itself() {
    let mut scene = Scene::new("undelete-in-the-way");
    scene.write("file", &pattern(1, 1000));
    archived(&mut scene, 1);
    let path = scene.path("file");
    scene.within("replace", move || {
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"another").unwrap();
    });
    let file = scene.inside("file");
    for (args, code, text) in [
        (&["undelete", &file][..], 1, "file: another file exists"),
        (&["undelete", "/etc/nothing"], 3, "neither in a brick"),
        (&["undelete", "--to=/etc", &file], 3, "neither in a brick"),
        (
            &["undelete", &format!("--to={file}"), &file],
            2,
            "not a folder",
        ),
        (&["undelete", "--as-of=once", &file], 2, "expected a day"),
    ] {
        let outcome = scene.cloudsync(args);
        let printed = outcome.to_string();
        assert_eq!(outcome.code(), Some(code), "{printed}");
        assert!(printed.contains(text), "{text}: {printed}");
    }
    assert_eq!(scene.read("file"), b"another");
}

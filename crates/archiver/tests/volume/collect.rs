// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of `gc`: which references keep an object, the grace period, and the reasons to refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Layout, Outcome};

use crate::scene::{Scene, lab, number, pattern};

const REMOTE: &str = "trusted.glusterfs.cs.remote";
const KEY: &str = "trusted.glusterfs.cs.key";
const KEPT: &str = "trusted.cloudsync.kept";

fn archive(scene: &Scene, bricks: usize) {
    for brick in 0..bricks {
        scene.done(&["archive", "--older-than=0s", &scene.brick(brick)]);
    }
}

/// The path on the brick of the file with that name.
fn on_brick(scene: &Scene, name: &str) -> PathBuf {
    let bricks = scene.volume.bricks();
    let mut copies = bricks.iter().map(|brick| brick.join(name));
    copies.find(|path| path.exists()).unwrap()
}

fn key(scene: &Scene, name: &str) -> String {
    let key = xattr::get(on_brick(scene, name), KEY).unwrap().unwrap();
    String::from_utf8(key).unwrap()
}

fn remove(scene: &Scene, name: &str) {
    let path = scene.path(name);
    scene
        .within("remove", move || fs::remove_file(path))
        .unwrap();
}

fn objects(scene: &Scene) -> usize {
    scene.bucket.list("").unwrap().len()
}

fn gc(scene: &Scene, target: &str, more: &[&str]) -> Outcome {
    let args = [&["gc", "--json"], more, &[target]].concat();
    scene.cloudsync(&args)
}

/// The output of `gc --grace=0s --delete`, which must succeed.
#[track_caller]
fn deleted(scene: &Scene, target: &str, more: &[&str]) -> u64 {
    let output = gc(scene, target, &[&["--grace=0s", "--delete"], more].concat());
    assert!(output.success(), "{output}");
    number(&output.text(), "deleted")
}

#[test]
fn gc_keeps_objects_named_by_any_file() {
    for (name, layout, bricks) in [
        ("gc-any", Layout::Single, 1),
        ("gc-any-of-two", Layout::Distribute(2), 2),
    ] {
        let scene = Scene::on(name, layout, &[]);
        let names = ["by-remote", "by-key", "by-kept", "by-nobody"];
        for (seed, name) in names.iter().enumerate() {
            scene.write(name, &pattern(seed as u64, 3000));
        }
        // Eight files, so that both bricks have some.
        for n in 0..8 {
            scene.write(&format!("dir/holder{n}"), b"");
        }
        archive(&scene, bricks);
        // Marks of other files, as on a copy or a restored brick, each on a different brick.
        let holder = |n: usize| on_brick(&scene, &format!("dir/holder{n}"));
        let keys = names.map(|name| key(&scene, name));
        xattr::set(holder(0), REMOTE, format!("/{}", keys[0]).as_bytes()).unwrap();
        xattr::set(holder(1), KEY, keys[1].as_bytes()).unwrap();
        let kept = format!("7 size=1 key=x/y/z\n8 size=3000 key={}", keys[2]);
        xattr::set(holder(2), KEPT, kept.as_bytes()).unwrap();
        for name in names {
            remove(&scene, name);
        }
        // `gc` finds the same references wherever it is started.
        for target in [scene.inside(""), scene.brick(bricks - 1)] {
            let output = gc(&scene, &target, &["--grace=0s"]);
            assert_eq!(number(&output.text(), "unreferenced"), 1, "{output}");
        }
        // With bricks on another host, the volume is crawled through the mount.
        let path = gluster(
            "far",
            "*'volume info'*",
            "PATH=${PATH#*:}; gluster \"$@\" | sed 's/: 10.99.0.1:/: 192.0.2.1:/'; exit",
        );
        let args = ["gc", "--json", "--grace=0s", &scene.brick(0)];
        let output = scene.cloudsync_with_path(&path, &args);
        assert_eq!(number(&output.text(), "unreferenced"), 1, "{output}");
        assert_eq!(deleted(&scene, &scene.brick(0), &[]), 1);
        let mut left = scene.bucket.list("").unwrap();
        left.sort();
        let mut expected = keys[..3].to_vec();
        expected.sort();
        assert_eq!(left, expected);
        // Without the marks no file names the objects.
        for (n, mark) in [REMOTE, KEY, KEPT].into_iter().enumerate() {
            xattr::remove(holder(n), mark).unwrap();
        }
        assert_eq!(deleted(&scene, &scene.inside(""), &[]), 3);
        assert_eq!(objects(&scene), 0);
    }
}

#[test]
fn grace_period_starts_when_gc_first_finds_the_object() {
    let scene = Scene::new("gc-grace");
    for n in 0..2 {
        scene.write(&format!("f{n}"), &pattern(n, 1000));
    }
    archive(&scene, 1);
    let brick = scene.brick(0);
    // The objects are older than the grace period when their file is removed.
    thread::sleep(Duration::from_secs(5));
    let gone = key(&scene, "f0");
    remove(&scene, "f0");
    let collect = || {
        let output = gc(&scene, &brick, &["--grace=4s", "--delete"]);
        assert!(output.success(), "{output}");
        let text = output.text();
        (number(&text, "waiting"), number(&text, "deleted"))
    };
    assert_eq!(collect(), (1, 0));
    assert_eq!(objects(&scene), 2);
    let state = lab().sh("cat /var/lib/cloudsync/*/unreferenced").unwrap();
    assert!(state.contains(&gone), "{state}");
    thread::sleep(Duration::from_secs(5));
    // Referenced again: its time starts over.
    let holder = on_brick(&scene, "f1");
    xattr::set(&holder, KEPT, format!("8 size=1000 key={gone}").as_bytes()).unwrap();
    assert_eq!(collect(), (0, 0));
    xattr::remove(&holder, KEPT).unwrap();
    assert_eq!(collect(), (1, 0));
    thread::sleep(Duration::from_secs(5));
    assert_eq!(collect(), (0, 1));
    assert_eq!(objects(&scene), 1);
}

#[test]
fn gc_without_state_file_deletes_nothing() {
    let scene = Scene::new("gc-state");
    scene.write("f", b"bytes");
    archive(&scene, 1);
    remove(&scene, "f");
    let file = lab().scratch("no-folder");
    fs::write(lab().outer(&file), b"").unwrap();
    let folder = format!("--state-dir={}", file.join("x").display());
    let output = gc(
        &scene,
        &scene.brick(0),
        &["--grace=0s", "--delete", &folder],
    );
    assert_eq!(output.code(), Some(3), "{output}");
    let output = output.to_string();
    assert!(
        output.contains("no-folder/x/unreferenced: Not a directory"),
        "{output}"
    );
    assert_eq!(objects(&scene), 1);
}

#[test]
fn gc_keeps_objects_referenced_from_other_roots() {
    let scene = Scene::new("gc-also");
    scene.write("dir/saved", &pattern(1, 2000));
    scene.write("lost", &pattern(2, 2000));
    archive(&scene, 1);
    // A backup of the brick's files, with their marks.
    let backup = lab().scratch("backup").display().to_string();
    let brick = scene.brick(0);
    lab()
        .sh(&format!("mkdir {backup}; cp -a {brick}/dir {backup}/"))
        .unwrap();
    remove(&scene, "dir/saved");
    remove(&scene, "lost");
    for (path, text) in [
        ("/does/not/exist", "/does/not/exist: No such file"),
        ("/proc/self/mem", "Not a directory"),
        ("/run/empty", "is it mounted?"),
    ] {
        lab().sh("mkdir -p /run/empty").unwrap();
        let also = format!("--also={path}");
        let output = gc(&scene, &brick, &["--grace=0s", "--delete", &also]);
        assert!(
            !output.success() && output.to_string().contains(text),
            "{output}"
        );
        assert_eq!(objects(&scene), 2);
    }
    let also = format!("--also={backup}");
    assert_eq!(deleted(&scene, &brick, &[&also]), 1);
    assert_eq!(objects(&scene), 1);
    assert_eq!(deleted(&scene, &brick, &[]), 1);
}

/// Restores after a disaster from a backup of the brick and a bucket in which `gc` kept all objects that the backup
/// needs.
#[test]
fn restored_brick_has_its_cold_files() {
    let mut scene = Scene::new("gc-restored");
    scene.write("dir/f", &pattern(1, 30_000));
    scene.write("g", &pattern(2, 500));
    archive(&scene, 1);
    let (brick, backup) = (scene.brick(0), lab().scratch("saved-brick"));
    let backup = backup.display().to_string();
    lab().sh(&format!("cp -a {brick} {backup}")).unwrap();
    remove(&scene, "dir/f");
    remove(&scene, "g");
    let also = format!("--also={backup}");
    assert_eq!(deleted(&scene, &brick, &[&also]), 0);
    // Restores a single file: its object is found by the key on the saved stub.
    let stub = lab().outer(&backup).join("g");
    let key = String::from_utf8(xattr::get(stub, KEY).unwrap().unwrap()).unwrap();
    assert!(scene.bucket.get(&key).unwrap() == pattern(2, 500));
    // Restores the whole brick.
    scene.volume.stop().unwrap();
    lab()
        .sh(&format!(
            "find {brick} -mindepth 1 -delete; cp -a {backup}/. {brick}/"
        ))
        .unwrap();
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    scene.remount();
    assert!(scene.read("dir/f") == pattern(1, 30_000));
    assert!(scene.read("g") == pattern(2, 500));
    scene.done(&["verify", "--deep", &brick]);
}

/// Creates a directory with a `gluster` that gives `answer` to some commands and runs the real one for the others.
fn gluster(name: &str, commands: &str, answer: &str) -> String {
    let folder = lab().scratch(name);
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in {commands}) {answer} ;; esac\nPATH=${{PATH#*:}} exec gluster \"$@\"\n"
    );
    let outer = lab().outer(&folder);
    fs::create_dir_all(&outer).unwrap();
    fs::write(outer.join("gluster"), script).unwrap();
    let inside = folder.display().to_string();
    lab().sh(&format!("chmod 755 {inside}/gluster")).unwrap();
    inside
}

#[test]
fn gc_refuses_when_snapshots_are_unaccounted_for() {
    let scene = Scene::new("gc-snapshot");
    scene.write("f", b"bytes");
    archive(&scene, 1);
    let brick = scene.brick(0);
    // A mounted snapshot with earlier files of the volume.
    let snapshot = lab().scratch("daily").display().to_string();
    lab()
        .sh(&format!("mkdir {snapshot}; cp -a {brick}/f {snapshot}/"))
        .unwrap();
    remove(&scene, "f");
    let collect = |answer: &str, more: &[&str]| {
        let path = gluster("snapshots", "*'snapshot list'*", answer);
        let args = [&["gc", "--json", "--grace=0s", "--delete"], more, &[&brick]].concat();
        scene.cloudsync_with_path(&path, &args)
    };
    let two = "printf 'daily\\nweekly\\n'; exit 0";
    let output = collect(two, &[]);
    assert_eq!(output.code(), Some(3), "{output}");
    let output = output.to_string();
    assert!(
        output.contains("daily, weekly") && output.contains("--also SNAPSHOT=PATH"),
        "{output}"
    );
    let also = format!("--also=daily={snapshot}");
    let output = collect(two, &[&also]);
    assert!(
        output.code() == Some(3) && output.to_string().contains(": weekly;"),
        "{output}"
    );
    let output = collect("echo broken >&2; exit 1", &[]);
    assert_eq!(output.code(), Some(3), "{output}");
    assert!(
        output.to_string().contains("cannot list the snapshots"),
        "{output}"
    );
    assert_eq!(objects(&scene), 1);
    // Both snapshots are accounted for: the mounted one still needs the object.
    let output = collect(two, &[&also, "--ignore-snapshot=weekly"]);
    assert!(output.success() && objects(&scene) == 1, "{output}");
    let output = collect("echo 'No snapshots present'; exit 0", &[]);
    assert!(output.success() && objects(&scene) == 0, "{output}");
    let output = collect("echo broken >&2; exit 1", &["--ignore-snapshot=all"]);
    assert!(output.success(), "{output}");
    assert!(Path::new(&lab().outer(snapshot)).exists());
}

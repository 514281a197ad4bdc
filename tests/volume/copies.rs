// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Copies of cold files, made as root with all extended attributes by common tools: each copy has the bytes and none of
//! the marks, and stays readable when its source and the source's object are deleted.

mod marks;
mod tools;

use std::fs;
use std::time::Duration;

use cloudsync_lab::Backing;

use crate::scene::{Scene, lab, pattern};

/// Name and size; the last file is never archived.
const FILES: [(&str, usize); 4] = [
    ("small", 700),
    ("dir/middle", 200_000),
    ("dir/large", 3_000_000),
    ("dir/local", 5_000),
];

fn bytes(number: usize) -> Vec<u8> {
    pattern(number as u64 + 1, FILES[number].1)
}

/// A program that copies or moves the content of one directory to another.
struct Tool {
    /// For bash, with $from, $to (an empty directory) and $scratch.
    script: &'static str,
    moves: bool,
}

/// Reports the copies below `folder` that do not read back correctly.
fn unreadable(scene: &Scene, folder: &str, when: &str) -> Vec<String> {
    let mut unreadable = Vec::new();
    for (number, (name, _)) in FILES.iter().enumerate() {
        let name = format!("{folder}/{name}");
        match scene.read(&name) {
            Ok(read) if read == bytes(number) => {}
            Ok(read) => unreadable.push(format!("{name}, {when}: {} wrong bytes", read.len())),
            Err(error) => unreadable.push(format!("{name}, {when}: {error}")),
        }
    }
    unreadable
}

/// Reports the copies whose files on the bricks have marks.
fn marked(scene: &Scene, folder: &str) -> Vec<String> {
    let names = FILES.iter().map(|(name, _)| format!("{folder}/{name}"));
    let of = |name: String| {
        let marks = cloudsync_lab::marks::all(&scene.brick(&name));
        (!marks.is_empty()).then(|| {
            format!(
                "{name} has marks: {:?}",
                marks.iter().map(|m| &m.0).collect::<Vec<_>>()
            )
        })
    };
    names.filter_map(of).collect()
}

/// Copies a tree of cold files to another volume and another tree within its own volume; checks the copies right away,
/// after the sources and their objects are deleted, and after the copies themselves were archived.
#[track_caller]
fn check_copies(name: &str, remote_read: bool, tool: &Tool) {
    let on = [("features.cloudsync-remote-read", "on")];
    let settings = if remote_read { &on[..] } else { &[] };
    let mut here = Scene::with(&format!("{name}-here"), settings, Backing::Ram);
    let mut there = Scene::with(&format!("{name}-there"), settings, Backing::Ram);
    for (number, (file, _)) in FILES.iter().enumerate() {
        if number + 1 == FILES.len() {
            here.archive_all("");
        }
        for tree in ["one", "two"] {
            here.write(&format!("{tree}/{file}"), &bytes(number));
        }
    }
    here.remount();

    let mut found = Vec::new();
    for (tree, to) in [("one", &there), ("two", &here)] {
        fs::create_dir(to.path("copy")).unwrap();
        let script = format!(
            "set -e -o pipefail\nfrom={} to={} scratch={}\n{}",
            here.mount().inside().join(tree).display(),
            to.mount().inside().join("copy").display(),
            lab()
                .scratch(&format!("{name}-{remote_read}-{tree}"))
                .display(),
            tool.script
        );
        let ran = lab().run_with(Duration::from_secs(100), "bash", ["-c", &script], |_| {});
        let ran = ran.unwrap();
        if !ran.success() {
            found.push(ran.to_string());
        }
        found.extend(unreadable(to, "copy", &format!("just copied from {tree}")));
    }
    found.extend(marked(&there, "copy"));
    if !tool.moves {
        found.extend(marked(&here, "copy"));
    }
    here.remount();
    there.remount();
    for scene in [&there, &here] {
        found.extend(unreadable(scene, "copy", "after a remount"));
    }

    let trees = ["one", "two"].map(|tree| here.path(tree));
    here.within("remove the sources", move || {
        trees
            .iter()
            .for_each(|tree| fs::remove_dir_all(tree).unwrap());
    });
    for (scene, what) in [(&mut there, "there"), (&mut here, "here")] {
        scene.gc();
        scene.remount();
        let when = format!("{what}, after the sources and their objects were deleted");
        found.extend(unreadable(scene, "copy", &when));
        scene.archive_all("copy");
        scene.gc();
        scene.remount();
        let when = format!("{what}, archived and remounted");
        found.extend(unreadable(scene, "copy", &when));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A brick is away while a file is archived or recalled. When it is back and healed, it has what the others have.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Backing, until};

use super::clients::{await_first_byte, pending};
use super::{DISPERSE, REPLICA};
use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

/// These tests on a layout that can lose a brick.
macro_rules! with_a_brick_down {
    ($name:ident, $layout:expr, $($test:ident)*) => {
        mod $name {
            use super::*;
            $(#[test]
            fn $test() {
                super::$test(Scene::on(stringify!($name), $layout, &[], Backing::Ram));
            })*
        }
    };
}

with_a_brick_down!(replica, REPLICA, during_archive during_recall from_the_middle_of_a_recall);
with_a_brick_down!(disperse, DISPERSE, during_archive during_recall from_the_middle_of_a_recall);

const LENGTH: usize = 1_000_000;

/// Brings the dead brick back and waits until `names` were healed: `heal info` counts what is pending, but not what
/// is just being healed.
fn bring_back(scene: &mut Scene, names: &[&str]) {
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    scene.remount();
    let volume = scene.volume.name();
    let mut unlike = String::new();
    let healed = until(PATIENCE, "self-heal", || {
        match names.iter().try_for_each(|name| alike(scene, name)) {
            Ok(()) => return Some(()),
            Err(why) => unlike = why,
        }
        let _ = lab().gluster(["volume", "heal", volume]);
        thread::sleep(Duration::from_secs(1));
        None
    });
    healed.unwrap_or_else(|failure| panic!("{failure}\n{unlike}"));
}

/// Whether all bricks say the same of a file, and none that something is pending.
fn alike(scene: &Scene, name: &str) -> Result<(), String> {
    let copies = scene.copies(name);
    if copies.len() != 3 {
        return Err(format!("{name} is on {copies:?}"));
    }
    let marks = |path: &PathBuf| {
        let names = xattr::list(path)
            .unwrap()
            .map(|name| name.to_string_lossy().into_owned());
        let ours = names.filter(|name| name.contains("glusterfs.cs.") || name.contains(".ec."));
        let mut marks: Vec<_> = ours
            .map(|name| (xattr::get(path, &name).unwrap(), name))
            .collect();
        marks.sort();
        (fs::metadata(path).unwrap().len(), marks)
    };
    for copy in &copies {
        if marks(copy) != marks(&copies[0]) {
            return Err(format!(
                "{name}: {:?} and {:?}",
                marks(copy),
                marks(&copies[0])
            ));
        }
        pending(copy).map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// Local on all bricks, and the bytes are right whichever brick is asked.
fn assert_local(scene: &mut Scene, name: &str, bytes: &[u8]) {
    bring_back(scene, &[name]);
    scene.await_plain(name);
    for brick in 0..3 {
        scene.volume.kill_brick(brick).unwrap();
        scene.remount();
        assert_same(
            &scene.read(name).unwrap(),
            bytes,
            &format!("{name} without {brick}"),
        );
        scene.volume.start().unwrap();
        scene.volume.await_bricks().unwrap();
    }
}

fn during_archive(mut scene: Scene) {
    let bytes = pattern(1, LENGTH);
    for name in ["at-once", "later"] {
        scene.write(name, &bytes);
    }
    scene.volume.kill_brick(2).unwrap();
    for name in ["at-once", "later"] {
        scene.bucket.put(name, &scene.read(name).unwrap()).unwrap();
        scene.cut(name).unwrap();
    }
    // What the other bricks owe the dead one must not hang on what the client still has to do.
    scene.crash_and_remount();
    assert_same(&scene.read("at-once").unwrap(), &bytes, "at-once");
    assert_eq!(scene.stat("later").len(), LENGTH as u64);
    bring_back(&mut scene, &["at-once", "later"]);
    assert!(
        scene.is_cold("later"),
        "healing does not recall: {}",
        scene.marks("later")
    );
    assert_eq!(scene.stat("later").len(), LENGTH as u64);
    assert_same(&scene.read("later").unwrap(), &bytes, "later");
    assert_local(&mut scene, "at-once", &bytes);
    assert_local(&mut scene, "later", &bytes);
}

fn during_recall(mut scene: Scene) {
    let bytes = pattern(2, LENGTH);
    scene.write("file", &bytes);
    scene.archive("file");
    scene.volume.kill_brick(0).unwrap();
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &bytes, "file");
    scene.crash_and_remount();
    bring_back(&mut scene, &["file"]);
    assert_same(&scene.read("file").unwrap(), &bytes, "file, healed");
    assert_local(&mut scene, "file", &bytes);
}

fn from_the_middle_of_a_recall(mut scene: Scene) {
    let bytes = pattern(3, 48 << 20);
    scene.write("file", &bytes);
    scene.archive("file");
    scene.remount();
    let path = scene.path("file");
    let reader = thread::spawn(move || fs::read(path));
    await_first_byte(&scene, "file");
    scene.volume.kill_brick(1).unwrap();
    let read = scene.within("the read that the brick left", move || {
        reader.join().unwrap()
    });
    // It may fail; what it gives must be right, and the next one must not fail.
    if let Ok(read) = read {
        assert_same(&read, &bytes, "the read that the brick left");
    }
    assert_same(&scene.read("file").unwrap(), &bytes, "file");
    bring_back(&mut scene, &["file"]);
    assert_local(&mut scene, "file", &bytes);
}

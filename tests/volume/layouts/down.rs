// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A brick is down while a file is archived or recalled. Once restarted and healed, it has the same as the others.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use cloudsync_lab::{Backing, until};

use super::clients::{await_first_byte, pending};
use super::{DISPERSE, REPLICA};
use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

/// Instantiates these tests for a layout that survives the loss of a brick.
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

with_a_brick_down!(replica, REPLICA, archived_while_a_brick_is_down recalled_while_a_brick_is_down a_brick_dies_during_a_recall);
with_a_brick_down!(disperse, DISPERSE, archived_while_a_brick_is_down recalled_while_a_brick_is_down a_brick_dies_during_a_recall);

const LENGTH: usize = 1_000_000;

/// Restarts the dead brick and waits until `names` are healed: `heal info` counts pending files, but not those being healed.
pub(super) fn restart_and_heal(scene: &mut Scene, names: &[&str]) {
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    scene.remount();
    let volume = scene.volume.name();
    let mut differs = String::new();
    let healed = until(PATIENCE, "self-heal", || {
        match names.iter().try_for_each(|name| check_alike(scene, name)) {
            Ok(()) => return Some(()),
            Err(why) => differs = why,
        }
        let _ = lab().gluster(["volume", "heal", volume]);
        thread::sleep(Duration::from_secs(1));
        None
    });
    healed.unwrap_or_else(|failure| panic!("{failure}\n{differs}"));
}

/// Whether all bricks have the same data and marks of a file, and none records a pending change.
fn check_alike(scene: &Scene, name: &str) -> Result<(), String> {
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

/// The file is local on all bricks and reads correctly without any one of them.
fn assert_local_on_all(scene: &mut Scene, name: &str, bytes: &[u8]) {
    restart_and_heal(scene, &[name]);
    scene.await_local(name);
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

fn archived_while_a_brick_is_down(mut scene: Scene) {
    let bytes = pattern(1, LENGTH);
    for name in ["at-once", "later"] {
        scene.write(name, &bytes);
    }
    scene.volume.kill_brick(2).unwrap();
    for name in ["at-once", "later"] {
        scene.bucket.put(name, &scene.read(name).unwrap()).unwrap();
        scene.handshake(name).unwrap();
    }
    // The records that let the dead brick be healed must not depend on work that the client has yet to do.
    scene.crash_and_remount();
    assert_same(&scene.read("at-once").unwrap(), &bytes, "at-once");
    assert_eq!(scene.stat("later").len(), LENGTH as u64);
    restart_and_heal(&mut scene, &["at-once", "later"]);
    assert!(
        scene.is_cold("later"),
        "healing must not recall: {}",
        scene.marks("later")
    );
    assert_eq!(scene.stat("later").len(), LENGTH as u64);
    assert_same(&scene.read("later").unwrap(), &bytes, "later");
    assert_local_on_all(&mut scene, "at-once", &bytes);
    assert_local_on_all(&mut scene, "later", &bytes);
}

fn recalled_while_a_brick_is_down(mut scene: Scene) {
    let bytes = pattern(2, LENGTH);
    scene.write("file", &bytes);
    scene.archive("file");
    scene.volume.kill_brick(0).unwrap();
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &bytes, "file");
    scene.crash_and_remount();
    restart_and_heal(&mut scene, &["file"]);
    assert_same(&scene.read("file").unwrap(), &bytes, "file, healed");
    assert_local_on_all(&mut scene, "file", &bytes);
}

fn a_brick_dies_during_a_recall(mut scene: Scene) {
    let bytes = pattern(3, 48 << 20);
    scene.write("file", &bytes);
    scene.archive("file");
    scene.remount();
    let path = scene.path("file");
    let reader = thread::spawn(move || fs::read(path));
    await_first_byte(&scene, "file");
    scene.volume.kill_brick(1).unwrap();
    let read = scene.within("the read during the brick's death", move || {
        reader.join().unwrap()
    });
    // It may fail; if not, the bytes must be right. The next read must succeed.
    if let Ok(read) = read {
        assert_same(&read, &bytes, "the read during the brick's death");
    }
    assert_same(&scene.read("file").unwrap(), &bytes, "file");
    restart_and_heal(&mut scene, &["file"]);
    assert_local_on_all(&mut scene, "file", &bytes);
}

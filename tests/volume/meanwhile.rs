// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! While one client recalls a file, another one changes its name, attributes or bytes, or replaces it.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::MountOptions;

use crate::gate::{BURST, Gate};
use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

/// More than a held object passes at full speed.
pub(crate) const LENGTH: usize = BURST + (1 << 20);

pub(crate) fn old() -> Vec<u8> {
    pattern(1, LENGTH)
}

/// A change's name (which is also the file's), what the other client does, whether that waits for the recall, and the
/// file's name and bytes afterwards.
type Change = (&'static str, fn(&Path), bool, &'static str, Vec<u8>);

fn writable(path: &Path) -> fs::File {
    OpenOptions::new().write(true).open(path).unwrap()
}

fn changes() -> Vec<Change> {
    let with = |new: &[u8], offset: usize| {
        let mut bytes = old();
        bytes.resize(LENGTH.max(offset + new.len()), 0);
        bytes[offset..offset + new.len()].copy_from_slice(new);
        bytes
    };
    vec![
        (
            "renamed",
            |path| fs::rename(path, path.with_extension("to")).unwrap(),
            false,
            "renamed.to",
            old(),
        ),
        (
            "linked",
            |path| fs::hard_link(path, path.with_extension("to")).unwrap(),
            false,
            "linked.to",
            old(),
        ),
        (
            "mode",
            |path| fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap(),
            false,
            "mode",
            old(),
        ),
        (
            "attribute",
            |path| xattr::set(path, "user.colour", b"blue").unwrap(),
            false,
            "attribute",
            old(),
        ),
        (
            "replaced",
            |path| {
                let new = path.with_extension("new");
                fs::write(&new, b"another file").unwrap();
                fs::rename(new, path).unwrap();
            },
            false,
            "replaced",
            b"another file".to_vec(),
        ),
        (
            "cut",
            |path| writable(path).set_len(100_000).unwrap(),
            true,
            "cut",
            pattern(1, 100_000),
        ),
        (
            "emptied",
            |path| fs::write(path, b"new").unwrap(),
            true,
            "emptied",
            b"new".to_vec(),
        ),
        (
            "written",
            |path| {
                let file = writable(path);
                file.write_all_at(b"WRITTEN", 50_000).unwrap();
                file.sync_all().unwrap();
            },
            true,
            "written",
            with(b"WRITTEN", 50_000),
        ),
        (
            "appended",
            |path| {
                let mut file = OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(b"APPENDED").unwrap();
                file.sync_all().unwrap();
            },
            true,
            "appended",
            with(b"APPENDED", LENGTH),
        ),
        (
            "archived",
            |path| {
                let seconds = fs::metadata(path).unwrap().mtime().to_string();
                xattr::set(path, "trusted.glusterfs.csou.complete", seconds.as_bytes()).unwrap();
            },
            true,
            "archived",
            old(),
        ),
    ]
}

/// Waits until each recall has started to write. (The file has its full size before that.)
pub(crate) fn await_first_bytes(scene: &Scene, names: &[String]) {
    let started = Instant::now();
    for name in names {
        let copy = scene.brick(name);
        while fs::metadata(&copy).unwrap().blocks() == 0 {
            assert!(
                started.elapsed() < PATIENCE,
                "the recall of {name} does not start"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Cold files below `held/`, whose recalls go through `gate`, which is closed.
pub(crate) fn held(name: &str, gate: &Gate, files: &[&str]) -> (Scene, Vec<String>) {
    let mut scene = Scene::new(name);
    let names: Vec<_> = files.iter().map(|file| format!("held/{file}")).collect();
    for name in &names {
        scene.write(name, &old());
        scene.archive(name);
    }
    hold(&mut scene, gate);
    (scene, names)
}

/// From now on, recalls go through `gate`, which is closed.
pub(crate) fn hold(scene: &mut Scene, gate: &Gate) {
    scene
        .volume
        .set("features.s3plugin-hostname", gate.url())
        .unwrap();
    scene.remount();
    gate.hold();
}

#[test]
fn another_client_changes_a_file_during_its_recall() {
    let gate = Gate::new();
    let changes = changes();
    let files: Vec<_> = changes.iter().map(|change| change.0).collect();
    let (scene, names) = held("meanwhile", &gate, &files);
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    let read = |path: PathBuf| thread::spawn(move || fs::read(path));
    let readers: Vec<_> = names.iter().map(|name| read(scene.path(name))).collect();
    await_first_bytes(&scene, &names);

    let changers: Vec<_> = changes
        .iter()
        .zip(&names)
        .map(|(change, name)| {
            let (path, change) = (other.path().join(name), change.1);
            thread::spawn(move || change(&path))
        })
        .collect();
    // Changes that need no bytes must complete while the recall still runs.
    for (change, changer) in changes
        .iter()
        .zip(&changers)
        .filter(|(change, _)| !change.2)
    {
        let started = Instant::now();
        while !changer.is_finished() {
            assert!(
                started.elapsed() < PATIENCE,
                "{} waits for the recall",
                change.0
            );
            thread::sleep(Duration::from_millis(1));
        }
    }
    thread::sleep(Duration::from_millis(300));
    for (change, changer) in changes.iter().zip(&changers).filter(|(change, _)| change.2) {
        assert!(
            !changer.is_finished(),
            "{} does not wait for the recall",
            change.0
        );
    }
    gate.open();
    other.within(PATIENCE, "the changes", move || {
        changers
            .into_iter()
            .for_each(|changer| changer.join().unwrap());
    });
    let read = scene.within("the reads", move || {
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect::<Vec<_>>()
    });
    for (read, change) in read.into_iter().zip(&changes) {
        assert_valid_read(read, change);
    }

    // No lock is left: the files can be archived and recalled again, by a third client.
    let third = scene.volume.mount(&MountOptions::default()).unwrap();
    for (name, _, _, then, want) in &changes {
        let path = third.path().join("held").join(then);
        let bytes = third.within(PATIENCE, name, || fs::read(path)).unwrap();
        assert_same(&bytes, want, name);
        let then = format!("held/{then}");
        scene.await_local(&then);
        scene.bucket.put(&then, want).unwrap();
        scene.handshake_with_key(&then).unwrap();
        let path = third.path().join(&then);
        let bytes = third.within(PATIENCE, name, || fs::read(path)).unwrap();
        assert_same(&bytes, want, &format!("{name}, again"));
    }
    assert_eq!(scene.stat("held/mode").mode() & 0o777, 0o600);
    scene.assert_idle();
    assert_no_lock(&scene);
}

/// The reader whose recall was disturbed got the old bytes, or the new ones in their place, and nothing else.
fn assert_valid_read(read: std::io::Result<Vec<u8>>, (name, _, _, _, want): &Change) {
    let bytes = match read {
        Ok(bytes) => bytes,
        // The file no longer exists.
        Err(error) if *name == "replaced" => {
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{name}");
            return;
        }
        Err(error) => panic!("{name}: {error}"),
    };
    let old = old();
    let strange = bytes
        .iter()
        .enumerate()
        // When a read ends early at a truncation and the kernel knows only the old size, it pads the page with zeros; so
        // it does for files that were never cold.
        .filter(|(place, byte)| **byte != 0 || *place < want.len())
        .find(|(place, byte)| old.get(*place) != Some(*byte) && want.get(*place) != Some(*byte));
    assert!(strange.is_none(), "{name}: {strange:?}");
    let least = match *name {
        "replaced" => LENGTH,
        // Truncated, and not written yet.
        "emptied" => 0,
        _ => LENGTH.min(want.len()),
    };
    assert!(bytes.len() >= least, "{name}: {} bytes", bytes.len());
}

/// The bricks hold no lock in the domain that archives and recalls use.
fn assert_no_lock(scene: &Scene) {
    let pid = scene.volume.brick_pid(0).unwrap();
    let inner = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let inner = inner
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .unwrap();
    let inner = inner.split_whitespace().last().unwrap().to_owned();
    lab()
        .gluster(["volume", "statedump", scene.volume.name(), "inode"])
        .unwrap();
    let dumps = || {
        let script = format!("cat /run/gluster/*.{inner}.dump.* 2>/dev/null || true");
        let text = lab().sh(&script).unwrap();
        text.contains("DUMP-END-TIME").then_some(text)
    };
    let dump = cloudsync_lab::until(PATIENCE, "the brick's statedump", dumps).unwrap();
    let mut ours = false;
    for line in dump.lines() {
        if line.starts_with('[') || line.starts_with("lock-dump.domain.domain") {
            ours = line.contains("cs.protect.file.stat");
        }
        assert!(!(ours && line.contains("inodelk[")), "{line}");
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A failed recall fails every operation that waits for it. The file stays cold.

use std::thread;
use std::time::Duration;
use std::{fs, io};

use crate::calls::{call, words};
use crate::gate::{BURST, Gate};
use crate::meanwhile::{await_first_bytes, held};
use crate::scene::{LONG_QUEUE, PATIENCE, Scene, assert_same, errno, pattern};
use cloudsync_lab::{Backing, MountOptions, until};

const LENGTH: usize = BURST + (1 << 20);

fn old() -> Vec<u8> {
    pattern(1, LENGTH)
}

/// Each operation takes another path through the kernel and GlusterFS. They run as separate programs: a program that this
/// process starts while it has a file open flushes that file, and would wait, too.
const OPERATIONS: [(&str, &[usize]); 12] = [
    // Near the end: bytes at the beginning are read without waiting.
    ("read", &[LENGTH - 4096, 4096]),
    ("mmap-read", &[LENGTH - 4096, 10]),
    ("direct-read", &[LENGTH - 4096, 4096]),
    ("splice-from", &[LENGTH - 4096, 4096]),
    ("write", &[5]),
    ("mmap-write", &[LENGTH - 4096]),
    // They keep more than passes the gate at full speed.
    ("truncate", &[LENGTH - 100_000]),
    ("ftruncate", &[LENGTH - 100_000]),
    ("fallocate", &[0, LENGTH, 4096]),
    ("fallocate", &[PUNCH, 0, 4096]),
    ("copy-from", &[LENGTH - 4096]),
    ("copy-into", &[0]),
];

/// FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE.
const PUNCH: usize = 3;

/// Starts every operation on a file of its own, breaks their recalls off halfway, and returns the results. Meanwhile another
/// cold file and a local one are served.
fn break_recalls(
    scene: &Scene,
    gate: &Gate,
    names: &[String],
    damage: impl Fn(&str),
) -> Vec<io::Result<Vec<u8>>> {
    let small = scene.path("small");
    let start = |((what, numbers), name): (&(&'static str, &[usize]), &String)| {
        let mut words = words(what, &scene.path(name), numbers);
        if what.starts_with("copy") {
            words.extend([small.to_str().unwrap().to_owned(), "5".to_owned()]);
        }
        thread::spawn(move || call(&words, b"x"))
    };
    let waiting: Vec<_> = OPERATIONS.iter().zip(names).map(start).collect();
    await_first_bytes(scene, names);
    scene.write("local", b"served meanwhile");
    assert_eq!(scene.read("local").unwrap(), b"served meanwhile");
    assert_same(
        &scene.read("fine").unwrap(),
        &pattern(2, 50_000),
        "another cold file",
    );
    thread::sleep(Duration::from_millis(200));
    for (operation, one) in OPERATIONS.iter().zip(&waiting) {
        assert!(!one.is_finished(), "{} does not wait", operation.0);
    }
    names.iter().for_each(|name| damage(name));
    gate.break_off();
    scene.within("the waiting operations", move || {
        waiting.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn a_failed_recall_fails_every_waiting_operation() {
    let gate = Gate::new();
    let files: Vec<_> = (0..OPERATIONS.len())
        .map(|number| format!("file-{number}"))
        .collect();
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let (mut scene, names) = held("waiters", &gate, &files);
    scene.write("small", b"small");
    gate.open();
    scene.write("fine", &pattern(2, 50_000));
    scene.archive("fine");
    scene.remount();
    gate.hold();
    let got = break_recalls(&scene, &gate, &names, |name| {
        scene.bucket.delete(name).unwrap()
    });
    scene.assert_idle();
    for ((operation, error), name) in OPERATIONS.iter().zip(got).zip(&names) {
        // A fault in mapped memory has no errno: it is a SIGBUS.
        // write-behind accepts the bytes of a copy like those of a write.
        let want = if operation.0.starts_with("mmap") {
            libc::EFAULT
        } else {
            libc::ENODATA
        };
        assert_eq!(
            error.map_err(|error| error.raw_os_error().unwrap()),
            Err(want),
            "{operation:?}"
        );
        assert!(
            scene.is_cold(name),
            "{name} must stay cold: {}",
            scene.marks(name)
        );
        assert_eq!(scene.stat(name).len(), LENGTH as u64, "{name}");
    }
    scene.assert_idle();
    // The objects are restored, and the files can be read.
    for name in &names {
        scene.bucket.put(name, &old()).unwrap();
        assert_same(&scene.read(name).unwrap(), &old(), name);
    }
}

/// The object is overwritten while it is fetched.
#[test]
fn a_recall_does_not_mix_two_versions_of_an_object() {
    let gate = Gate::new();
    let (scene, names) = held("versions", &gate, &["file"]);
    let path = scene.path(&names[0]);
    let reader = thread::spawn(move || fs::read(path));
    await_first_bytes(&scene, &names);
    scene.bucket.put(&names[0], &pattern(3, LENGTH)).unwrap();
    gate.break_off();
    let read = scene.within("the read", move || reader.join().unwrap());
    assert_eq!(errno(read), libc::ESTALE);
    scene.assert_idle();
    assert!(scene.is_cold(&names[0]), "{}", scene.marks(&names[0]));
}

/// B16 in docs/SEMANTICS.md: the stock translator starts again from the first byte.
#[test]
fn a_recall_continues_after_a_broken_connection() {
    let gate = Gate::new();
    let (scene, names) = held("broken-off", &gate, &["file"]);
    let path = scene.path(&names[0]);
    let reader = thread::spawn(move || fs::read(path));
    await_first_bytes(&scene, &names);
    gate.break_off();
    let read = scene.within("the read", move || reader.join().unwrap());
    assert_same(&read.unwrap(), &old(), "file");
    let private = scene.mount().meta(&scene.private()).unwrap();
    assert!(private.contains("recalls-failed = 0\n"), "{private}");
    assert!(
        gate.ranges().iter().any(|first| *first > 0),
        "the next request must continue where the connection broke"
    );
}

/// The bytes that the truncation removes cannot pass the gate.
#[test]
fn a_truncation_fetches_only_what_it_keeps() {
    let gate = Gate::new();
    let (scene, names) = held("cut", &gate, &["file"]);
    let path = scene.path(&names[0]);
    let keep = BURST - 4321;
    let kept = scene.within("the truncation", move || {
        fs::OpenOptions::new()
            .write(true)
            .open(&path)?
            .set_len(keep as u64)?;
        fs::read(path)
    });
    assert_same(&kept.unwrap(), &old()[..keep], "file");
    scene.await_local(&names[0]);
    assert_eq!(
        fs::metadata(scene.brick(&names[0])).unwrap().len(),
        keep as u64
    );
}

/// The maximum number of recalls is running, and none makes progress.
#[test]
fn queries_commands_and_renames_do_not_wait_for_recalls() {
    let gate = Gate::new();
    let (mut scene, names) = held("busy", &gate, &["one", "two"]);
    gate.open();
    scene.write("local", b"local");
    scene.write("old", b"cold");
    scene.archive("old");
    scene
        .volume
        .set("features.cloudsync-product-id", "recalls=1")
        .unwrap();
    scene.remount();
    gate.hold();
    let path = scene.path(&names[0]);
    let reader = thread::spawn(move || fs::read(path));
    await_first_bytes(&scene, &names[..1]);
    let (local, held, old) = (
        scene.path("local"),
        scene.path(&names[0]),
        scene.path("old"),
    );
    let (sender, receiver) = std::sync::mpsc::channel();
    let requester = thread::spawn(move || {
        let state = |path| {
            xattr::get(path, "glusterfs.cloudsync.state")
                .unwrap()
                .unwrap()
        };
        sender
            .send(("state of a local file", state(&local) == b"local"))
            .unwrap();
        sender
            .send((
                "state of the held file",
                state(&held).starts_with(b"recalling"),
            ))
            .unwrap();
        sender
            .send(("emptying a cold file", fs::write(&old, b"new").is_ok()))
            .unwrap();
        fs::rename(&old, old.with_extension("moved")).unwrap();
        let cancelled = xattr::set(&held, "glusterfs.cloudsync.cancel", b"1");
        sender.send(("cancelling", cancelled.is_ok())).unwrap();
    });
    for _ in 0..4 {
        let (what, good) = receiver
            .recv_timeout(Duration::from_secs(10))
            .expect("the request waits for the recall");
        assert!(good, "{what}");
    }
    requester.join().unwrap();
    gate.open();
    // The kernel may have retried.
    let _ = scene.within("the read", move || reader.join().unwrap());
}

/// With a short queue in the kernel, the waiting readers would take all of it.
#[test]
fn a_hundred_waiting_readers_do_not_hold_up_reads_of_a_local_file() {
    const READERS: usize = 100;
    let gate = Gate::new();
    let host = ("features.s3plugin-hostname", gate.url());
    let mut scene = Scene::with("many-readers", &[host], Backing::Ram);
    let bytes = pattern(2, 1 << 20);
    let name = |number: usize| format!("cold-{number}");
    (0..READERS).for_each(|number| scene.write(&name(number), &bytes));
    scene.write("local", &bytes);
    (0..READERS).for_each(|number| scene.archive(&name(number)));
    scene.remount_with(&MountOptions::default().arg(LONG_QUEUE));
    gate.silence();
    let readers: Vec<_> = (0..READERS)
        .map(|number| {
            let path = scene.path(&name(number));
            thread::spawn(move || fs::read(path))
        })
        .collect();
    let jobs = format!("jobs = {READERS}");
    until(PATIENCE, "waiting readers", || {
        let text = scene.mount().meta(&scene.private()).ok()?;
        text.lines().any(|line| line == jobs).then_some(())
    })
    .unwrap();
    assert_same(&scene.read("local").unwrap(), &bytes, "local");
    gate.open();
    for reader in readers {
        assert_same(&reader.join().unwrap().unwrap(), &bytes, "cold");
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A recall that fails answers everybody who waits for it, whatever the operation. The file stays as it was.

use std::thread;
use std::time::Duration;
use std::{fs, io};

use crate::calls::{call, words};
use crate::gate::{AT_ONCE, Gate};
use crate::meanwhile::{await_first_bytes, held};
use crate::scene::{Scene, assert_same, errno, pattern};

const LENGTH: usize = AT_ONCE + (1 << 20);

fn old() -> Vec<u8> {
    pattern(1, LENGTH)
}

/// Each of a class of its own on its way through the kernel and the host. In programs of their own: what this one starts
/// while it has a file open flushes that file, and would wait too.
const OPERATIONS: [(&str, &[usize]); 13] = [
    // What is at the beginning is read at once.
    ("read", &[LENGTH - 4096, 4096]),
    ("mmap-read", &[LENGTH - 4096, 10]),
    ("direct-read", &[LENGTH - 4096, 4096]),
    ("splice-from", &[LENGTH - 4096, 4096]),
    ("write", &[5]),
    ("mmap-write", &[LENGTH - 4096]),
    // What is kept is more than comes at once.
    ("truncate", &[LENGTH - 100_000]),
    ("ftruncate", &[LENGTH - 100_000]),
    ("fallocate", &[0, LENGTH, 4096]),
    ("fallocate", &[PUNCH, 0, 4096]),
    ("seek-data", &[0]),
    ("copy-from", &[LENGTH - 4096]),
    ("copy-into", &[0]),
];

/// FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE.
const PUNCH: usize = 3;

/// Starts every operation on a file of its own, breaks their recalls off in the middle, and returns what they got.
/// Meanwhile another cold file and a local one are served.
fn fail(
    scene: &Scene,
    gate: &Gate,
    names: &[String],
    spoil: impl Fn(&str),
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
    names.iter().for_each(|name| spoil(name));
    gate.break_off();
    scene.within("the operations that wait", move || {
        waiting.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn every_operation_that_waits_for_a_recall_that_fails_gets_its_errno() {
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
    let got = fail(&scene, &gate, &names, |name| {
        scene.bucket.delete(name).unwrap()
    });
    scene.assert_idle();
    for ((operation, error), name) in OPERATIONS.iter().zip(got).zip(&names) {
        // A fault in mapped memory has no errno: it is a SIGBUS.
        // write-behind takes a copy's bytes as it takes a write's.
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
            "{name} stays cold: {}",
            scene.marks(name)
        );
        assert_eq!(scene.stat(name).len(), LENGTH as u64, "{name}");
    }
    scene.assert_idle();
    // The objects come back, and so do the files.
    for name in &names {
        scene.bucket.put(name, &old()).unwrap();
        assert_same(&scene.read(name).unwrap(), &old(), name);
    }
}

/// The object was overwritten while it was being fetched.
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

/// B16: the stock translator starts from the first byte again.
#[test]
fn a_connection_that_breaks_costs_nobody_anything() {
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
        "it begins where it broke off"
    );
}

/// What is cut off does not come through the gate.
#[test]
fn cutting_a_cold_file_fetches_only_what_is_kept() {
    let gate = Gate::new();
    let (scene, names) = held("cut", &gate, &["file"]);
    let path = scene.path(&names[0]);
    let keep = AT_ONCE - 4321;
    let kept = scene.within("the cut", move || {
        fs::OpenOptions::new()
            .write(true)
            .open(&path)?
            .set_len(keep as u64)?;
        fs::read(path)
    });
    assert_same(&kept.unwrap(), &old()[..keep], "file");
    scene.await_plain(&names[0]);
    assert_eq!(
        fs::metadata(scene.brick(&names[0])).unwrap().len(),
        keep as u64
    );
}

/// As many recalls as there may be are under way, and none gets on.
#[test]
fn questions_commands_and_names_do_not_wait_for_recalls() {
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
    let (said, heard) = std::sync::mpsc::channel();
    let asker = thread::spawn(move || {
        let state = |path| {
            xattr::get(path, "glusterfs.cloudsync.state")
                .unwrap()
                .unwrap()
        };
        said.send(("state of a local file", state(&local) == b"local"))
            .unwrap();
        said.send((
            "state of the held file",
            state(&held).starts_with(b"recalling"),
        ))
        .unwrap();
        said.send(("emptying a cold file", fs::write(&old, b"new").is_ok()))
            .unwrap();
        fs::rename(&old, old.with_extension("moved")).unwrap();
        let cancelled = xattr::set(&held, "glusterfs.cloudsync.cancel", b"1");
        said.send(("cancelling", cancelled.is_ok())).unwrap();
    });
    for _ in 0..4 {
        let (what, good) = heard
            .recv_timeout(Duration::from_secs(10))
            .expect("it waits for the recall");
        assert!(good, "{what}");
    }
    asker.join().unwrap();
    gate.open();
    // The kernel may have asked again.
    let _ = scene.within("the read", move || reader.join().unwrap());
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads of a cold file that wait only for the bytes they read: during a recall, and without one.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::{MountOptions, until};

use crate::control::{command, state};
use crate::gate::Gate;
use crate::meanwhile::{LENGTH, held, old};
use crate::scene::{PATIENCE, Scene, assert_same, errno, lab, pattern};

const MB: usize = 1 << 20;
const SETTINGS: &str = "features.cloudsync-product-id";
const REMOTE_READ: &str = "features.cloudsync-remote-read";

/// Reads past the kernel's page cache, so that exactly this range is requested.
pub(crate) fn read_at(path: &Path, at: usize, length: usize) -> std::io::Result<Vec<u8>> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    let mut bytes = vec![0; length];
    let got = file.read_at(&mut bytes, at as u64)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// Cold files of these sizes, and a client that does not know them yet.
fn cold(name: &str, settings: &[(&str, &str)], sizes: &[usize]) -> (Scene, Vec<String>) {
    let mut scene = Scene::new(name);
    for (key, value) in settings {
        scene.volume.set(key, value).unwrap();
    }
    let names: Vec<_> = (0..sizes.len())
        .map(|number| format!("file-{number}"))
        .collect();
    for (number, (name, size)) in names.iter().zip(sizes).enumerate() {
        scene.write(name, &pattern(number as u64, *size));
        scene.archive(name);
    }
    scene.remount();
    (scene, names)
}

/// Changes a setting and waits until the client has applied it, some time after glusterd replies.
fn set(scene: &Scene, key: &str, value: &str) {
    let changes = || scene.counter("changes-of-options");
    let before = changes();
    scene.volume.set(key, value).unwrap();
    let applied = || (changes() > before).then_some(());
    until(PATIENCE, "the change of a setting", applied).unwrap();
}

#[test]
fn a_read_is_answered_before_the_recall_ends() {
    let gate = Gate::new();
    let (scene, names) = held("first-bytes", &gate, &["file"]);
    let path = scene.path(&names[0]);
    let first = scene.within("the first bytes", {
        let path = path.clone();
        move || read_at(&path, 0, 4096)
    });
    assert_same(&first.unwrap(), &old()[..4096], "the first bytes");
    // A reader that continues is served from what the recall has fetched.
    let middle = scene.within("the middle", move || read_at(&path, 2 * MB, 128 << 10));
    let want = &old()[2 * MB..2 * MB + (128 << 10)];
    assert_same(&middle.unwrap(), want, "the middle");
    let now = state(&scene, &names[0]);
    assert!(now.starts_with("recalling"), "{now}");
    gate.open();
    scene.await_local(&names[0]);
    assert_same(&scene.read(&names[0]).unwrap(), &old(), "afterwards");
    scene.assert_idle();
}

#[test]
fn the_end_of_a_file_is_read_with_one_request() {
    let gate = Gate::new();
    let (scene, names) = held("last-bytes", &gate, &["file"]);
    // The end of the object is delayed, so read only a little.
    let at = LENGTH - 512;
    let path = scene.path(&names[0]);
    let end = scene.within("the last bytes", move || read_at(&path, at, 512));
    assert_same(&end.unwrap(), &old()[at..], "the last bytes");
    assert!(
        !scene.is_local_now(&names[0]),
        "the rest must not have arrived yet"
    );
    assert!(gate.ranges().contains(&(at as u64)), "{:?}", gate.ranges());
    gate.open();
    scene.assert_idle();
}

/// Random and sequential readers during a slow recall. They are served from the bricks, from memory, or by requests of their
/// own.
#[test]
fn reads_during_a_recall_get_the_right_bytes() {
    let size = 40 * MB + 12_345;
    let (scene, names) = cold("beside", &[(SETTINGS, "rate=10M,memory=2M")], &[size]);
    let (path, bytes) = (scene.path(&names[0]), pattern(0, size));
    let readers: Vec<_> = (1..=4_usize)
        .map(|reader| {
            let (path, bytes) = (path.clone(), bytes.clone());
            thread::spawn(move || {
                for step in 0..60_usize {
                    let at = if reader == 4 {
                        step * (128 << 10)
                    } else {
                        (step * 7919 + reader * 104_729) * 4096 % size
                    };
                    let length = 4096 << (step % 6);
                    let got = read_at(&path, at / 4096 * 4096, length).unwrap();
                    let at = at / 4096 * 4096;
                    assert_same(&got, &bytes[at..size.min(at + length)], "a part");
                }
            })
        })
        .collect();
    scene.within("the readers", move || {
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
    });
    assert!(scene.counter("memory-of-objects") <= 8 * MB as u64);
    scene.await_local(&names[0]);
    assert_same(&scene.read(&names[0]).unwrap(), &bytes, "afterwards");
    assert_eq!(scene.counter("files-recalled"), 1);
    scene.assert_idle();
}

#[test]
fn with_remote_read_a_file_can_be_read_and_stays_cold() {
    let sizes = [100, 600_000, 20 * MB + 77];
    let (scene, names) = cold("remote-read", &[(REMOTE_READ, "on")], &sizes);
    for (number, (name, size)) in names.iter().zip(sizes).enumerate() {
        let bytes = pattern(number as u64, size);
        assert_same(&scene.read(name).unwrap(), &bytes, name);
        let path = scene.path(name);
        let at = size / 2 / 4096 * 4096;
        let part = scene.within("a part", move || read_at(&path, at, 8192));
        assert_same(&part.unwrap(), &bytes[at..size.min(at + 8192)], name);
        assert!(scene.is_cold(name), "{name}: {}", scene.marks(name));
        assert_eq!(scene.stat(name).len(), size as u64);
    }
    assert_eq!(scene.counter("files-recalled"), 0);
    assert!(scene.counter("reads-from-the-store") >= 3);

    // A change recalls the file.
    let path = scene.path(&names[1]);
    scene.within("a change", move || {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(b"CHANGED", 300_000).unwrap();
        file.sync_all().unwrap();
    });
    let mut bytes = pattern(1, sizes[1]);
    bytes[300_000..300_007].copy_from_slice(b"CHANGED");
    assert_same(&scene.read(&names[1]).unwrap(), &bytes, "changed");
    scene.await_local(&names[1]);

    // Remote reads are switched off while files are open.
    set(&scene, REMOTE_READ, "off");
    let path = scene.path(&names[2]);
    scene
        .within("a read", move || read_at(&path, 0, 4096))
        .unwrap();
    scene.await_local(&names[2]);
    scene.assert_idle();
}

/// Bytes of an object in memory must not be returned once the file has changed.
#[test]
fn a_remote_read_sees_writes_of_another_client() {
    let size = 6 * MB;
    let (scene, names) = cold("remote-agree", &[(REMOTE_READ, "on")], &[size]);
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    let bytes = pattern(0, size);
    let read = |path: PathBuf, what: &str| scene.within(what, move || read_at(&path, 2 * MB, 8192));
    let first = read(scene.path(&names[0]), "before").unwrap();
    assert_same(&first, &bytes[2 * MB..2 * MB + 8192], "before");
    let path = other.path().join(&names[0]);
    other.within(PATIENCE, "write", move || {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(b"NEW", 2 * MB as u64).unwrap();
        file.sync_all().unwrap();
    });
    let second = read(scene.path(&names[0]), "after").unwrap();
    assert_eq!(&second[..3], b"NEW");
    // Archived again, as another object: the old object's bytes must not be returned.
    let mut new = bytes.clone();
    new[2 * MB..2 * MB + 3].copy_from_slice(b"NEW");
    scene.bucket.put("another", &new).unwrap();
    let seconds = std::os::unix::fs::MetadataExt::mtime(&scene.stat(&names[0]));
    let data = scene.stat(&names[0]);
    let value = format!(
        "{seconds};mtime={seconds}.{:09},ctime={}.{:09},size={size},key=another",
        std::os::unix::fs::MetadataExt::mtime_nsec(&data),
        std::os::unix::fs::MetadataExt::ctime(&data),
        std::os::unix::fs::MetadataExt::ctime_nsec(&data),
    );
    scene.complete(&names[0], &value).unwrap();
    let third = read(scene.path(&names[0]), "archived again").unwrap();
    assert_same(&third, &new[2 * MB..2 * MB + 8192], "archived again");
    assert!(scene.is_cold(&names[0]));
}

#[test]
fn an_object_replaced_between_remote_reads_is_refused() {
    let size = 6 * MB;
    let (scene, names) = cold("remote-replaced", &[(REMOTE_READ, "on")], &[size]);
    let read = |at: usize| {
        let path = scene.path(&names[0]);
        scene.within("a read", move || read_at(&path, at, 4096))
    };
    assert_same(&read(0).unwrap(), &pattern(0, size)[..4096], "before");
    scene.bucket.put(&names[0], &pattern(9, size)).unwrap();
    assert_eq!(errno(read(5 * MB)), libc::ESTALE);
    scene.bucket.delete(&names[0]).unwrap();
    assert_eq!(errno(read(4 * MB)), libc::ENODATA);
    assert!(scene.is_cold(&names[0]));
    scene.assert_idle();
}

#[test]
fn the_guard_serves_mass_reads_without_recalling_all_files() {
    let sizes = [50_000, 3 * MB, 50_000, 3 * MB, 50_000];
    let (scene, names) = cold(
        "guard",
        &[(SETTINGS, "guard-files=2,guard-window=10m")],
        &sizes,
    );
    for (number, (name, size)) in names.iter().zip(sizes).enumerate() {
        assert_same(
            &scene.read(name).unwrap(),
            &pattern(number as u64, size),
            name,
        );
    }
    scene.assert_idle();
    let cold: Vec<_> = names.iter().filter(|name| scene.is_cold(name)).collect();
    assert_eq!(cold, [&names[2], &names[3], &names[4]]);
    let log = scene.await_log("guard-files");
    let lines = log
        .lines()
        .filter(|line| line.contains("more files are served"))
        .count();
    assert_eq!(lines, 1, "{log}");
    // An explicit recall is still honoured.
    command(&scene, &names[3], "recall").unwrap();
    scene.await_local(&names[3]);
}

/// Programs by their names: `cat` is refused, `head` and the third file of any other process are served from the store.
#[test]
fn rules_say_which_programs_recall() {
    let rules = "callers=refuse:command:cat:uid:0+remote:command:hea*+remote:files:2";
    let sizes = [50_000; 7];
    let (scene, names) = cold("callers", &[(SETTINGS, rules)], &sizes);
    let run = |program: &str, files: &[String]| {
        let paths: Vec<_> = files.iter().map(|name| scene.inside(name)).collect();
        lab().run_with(PATIENCE, program, paths, |_| {}).unwrap()
    };
    let refused = run("cat", &names[..1]);
    assert!(!refused.success());
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("Permission denied"), "{why}");
    assert!(scene.is_cold(&names[0]));

    let read = run("head", &names[..1]);
    assert!(read.success() && !read.stdout.is_empty());
    assert!(scene.is_cold(&names[0]));

    let summed = run("md5sum", &names[1..6]);
    assert!(summed.success(), "{summed}");
    for (number, name) in names.iter().enumerate().skip(1) {
        scene.assert_idle();
        assert_eq!(scene.is_cold(name), number > 2, "{name}");
    }
    // What is local already is everybody's.
    let again = run("cat", &names[1..2]);
    assert_same(&again.stdout, &pattern(1, sizes[1]), "local");
    // A change is not judged.
    let path = scene.path(&names[5]);
    let written = scene.within("a write", move || {
        let file = File::options().write(true).open(path)?;
        file.write_all_at(b"new", 10)
    });
    written.unwrap();
    scene.await_local(&names[5]);
    let log = scene.await_log("callers does not allow it");
    assert!(log.contains(r#""command":"cat""#), "{log}");
    // What was read from the store is listed once for each process and file.
    let served: Vec<_> = log
        .lines()
        .filter(|line| line.contains("served {"))
        .collect();
    assert_eq!(served.len(), 4, "{served:#?}");
    for (line, program) in served.iter().zip(["head", "md5sum", "md5sum", "md5sum"]) {
        let command = format!(r#""command":"{program}""#);
        assert!(
            line.contains(&command) && line.contains(r#""cause":"callers""#),
            "{line}"
        );
    }

    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let rules = format!(
        "callers=remote:client:nowhere+refuse:client:{}",
        host.trim()
    );
    scene.volume.set(SETTINGS, &rules).unwrap();
    let refused = || (!run("cat", &names[6..]).success()).then_some(());
    until(PATIENCE, "the new rules", refused).unwrap();
    assert!(scene.is_cold(&names[6]));
}

#[test]
fn pinned_files_stay_cold() {
    let mut scene = Scene::new("pinned");
    scene.volume.set(SETTINGS, "pins=on").unwrap();
    let names = ["own", "a/b/below", "a/b/c/other", "free"];
    let root = scene.path("");
    scene.within("folders", move || {
        fs::create_dir_all(root.join("a/b/c")).unwrap()
    });
    for (number, name) in names.iter().enumerate() {
        scene.write(name, &pattern(number as u64, 300_000));
        scene.archive(name);
    }
    let pin = |name: &str, attribute: &'static str, value: &'static str| {
        let path = scene.path(name);
        let set = move || xattr::set(path, attribute, value.as_bytes());
        scene.within("pin", set).unwrap();
    };
    pin("own", "user.cloudsync.policy", "never-recall");
    pin("a", "trusted.cloudsync-policy", "never-recall");
    pin("a/b/c", "user.cloudsync.policy", "archive-soon");
    scene.remount();
    for (number, name) in names.iter().enumerate() {
        assert_same(
            &scene.read(name).unwrap(),
            &pattern(number as u64, 300_000),
            name,
        );
        scene.assert_idle();
        // The nearest pin counts.
        assert_eq!(scene.is_cold(name), number < 2, "{name}");
    }
    let log = scene.await_log(r#""cause":"pin""#);
    assert!(
        log.contains(r#"served {"event":"served","path":"/own""#),
        "{log}"
    );
    let path = scene.path("own");
    let write = move || {
        File::options()
            .write(true)
            .open(path)?
            .write_all_at(b"new", 5)
    };
    scene.within("a write", write).unwrap();
    scene.await_local("own");
    command(&scene, "a/b/below", "recall").unwrap();
    scene.await_local("a/b/below");
}

#[test]
fn with_abandoned_cancel_an_unwanted_recall_is_cancelled() {
    let gate = Gate::new();
    let (scene, names) = held("abandoned", &gate, &["file", "asked"]);
    set(&scene, SETTINGS, "abandoned=cancel");
    let path = scene.path(&names[0]);
    let got = scene.within("the first bytes", move || read_at(&path, 0, 4096));
    assert_same(&got.unwrap(), &old()[..4096], "the first bytes");
    command(&scene, &names[1], "recall").unwrap();
    let started = Instant::now();
    // Its recall is delayed; by the time it could proceed, nothing wants the first file any more.
    thread::sleep(Duration::from_secs(7));
    gate.open();
    scene.await_local(&names[1]);
    scene.assert_idle();
    assert!(scene.is_cold(&names[0]), "after {:?}", started.elapsed());
    assert_same(&fs::read(scene.path(&names[0])).unwrap(), &old(), "later");
}

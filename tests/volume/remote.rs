// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads of a cold file that wait for what they read and not for the file: beside its recall, and without one.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::MountOptions;

use crate::control::{state, tell};
use crate::gate::Gate;
use crate::meanwhile::{LENGTH, held, old};
use crate::scene::{PATIENCE, Scene, assert_same, errno, pattern};

const MB: usize = 1 << 20;
const SETTINGS: &str = "features.cloudsync-product-id";
const REMOTE_READ: &str = "features.cloudsync-remote-read";

/// Past the kernel's page cache: what is read is asked for.
fn read_at(path: &Path, at: usize, length: usize) -> std::io::Result<Vec<u8>> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    let mut bytes = vec![0; length];
    let got = file.read_at(&mut bytes, at as u64)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// Cold files of these sizes, and a client that has not seen them.
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

/// Changes a setting and waits until the client has it: it says so in its log.
fn set(scene: &Scene, key: &str, value: &str) {
    scene.volume.set(key, value).unwrap();
    // The client is told some time after glusterd has answered.
    thread::sleep(Duration::from_secs(2));
}

#[test]
fn a_reader_gets_what_it_reads_before_the_file_has_come() {
    let gate = Gate::new();
    let (scene, names) = held("first-bytes", &gate, &["file"]);
    let path = scene.path(&names[0]);
    let begin = scene.within("the first bytes", {
        let path = path.clone();
        move || read_at(&path, 0, 4096)
    });
    assert_same(&begin.unwrap(), &old()[..4096], "the first bytes");
    // A reader that goes on is served by what the recall has brought.
    let middle = scene.within("the middle", move || read_at(&path, 2 * MB, 128 << 10));
    let want = &old()[2 * MB..2 * MB + (128 << 10)];
    assert_same(&middle.unwrap(), want, "the middle");
    let now = state(&scene, &names[0]);
    assert!(now.starts_with("recalling"), "{now}");
    gate.open();
    scene.await_plain(&names[0]);
    assert_same(&scene.read(&names[0]).unwrap(), &old(), "afterwards");
    scene.assert_idle();
}

#[test]
fn the_end_of_a_file_is_read_by_one_request() {
    let gate = Gate::new();
    let (scene, names) = held("last-bytes", &gate, &["file"]);
    // What comes from the end of it comes slowly: ask for little.
    let at = LENGTH - 512;
    let path = scene.path(&names[0]);
    let end = scene.within("the last bytes", move || read_at(&path, at, 512));
    assert_same(&end.unwrap(), &old()[at..], "the last bytes");
    assert!(!scene.is_plain_now(&names[0]), "the others have not come");
    assert!(gate.ranges().contains(&(at as u64)), "{:?}", gate.ranges());
    gate.open();
    scene.assert_idle();
}

/// Readers jump and go straight on while the file is brought back, slowly. What they get comes from the bricks, from
/// memory, or by requests of their own.
#[test]
fn readers_beside_a_recall_get_the_file_s_bytes() {
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
    assert!(scene.figure("memory-of-objects") <= 8 * MB as u64);
    scene.await_plain(&names[0]);
    assert_same(&scene.read(&names[0]).unwrap(), &bytes, "afterwards");
    assert_eq!(scene.figure("files-recalled"), 1);
    scene.assert_idle();
}

#[test]
fn with_remote_read_a_file_is_read_and_stays_cold() {
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
    assert_eq!(scene.figure("files-recalled"), 0);
    assert!(scene.figure("reads-from-the-store") >= 3);

    // A change brings the file back.
    let path = scene.path(&names[1]);
    scene.within("a change", move || {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(b"CHANGED", 300_000).unwrap();
        file.sync_all().unwrap();
    });
    let mut bytes = pattern(1, sizes[1]);
    bytes[300_000..300_007].copy_from_slice(b"CHANGED");
    assert_same(&scene.read(&names[1]).unwrap(), &bytes, "changed");
    scene.await_plain(&names[1]);

    // Switched off while files are open.
    set(&scene, REMOTE_READ, "off");
    let path = scene.path(&names[2]);
    scene
        .within("a read", move || read_at(&path, 0, 4096))
        .unwrap();
    scene.await_plain(&names[2]);
    scene.assert_idle();
}

/// What a client has in memory of an object is not shown once the file is another one.
#[test]
fn a_remote_reader_sees_what_another_client_writes() {
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
    // Archived again, as another object: the bytes of the first one are not its.
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
fn an_object_that_is_replaced_between_two_remote_reads_is_refused() {
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
fn a_mass_of_readers_is_served_and_does_not_bring_everything_back() {
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
    let said = log
        .lines()
        .filter(|line| line.contains("more files are served"))
        .count();
    assert_eq!(said, 1, "{log}");
    // Who asks for the file itself gets it.
    tell(&scene, &names[3], "recall").unwrap();
    scene.await_plain(&names[3]);
}

#[test]
fn a_recall_that_nobody_wants_any_more_is_given_up_if_so_set() {
    let gate = Gate::new();
    let (scene, names) = held("abandoned", &gate, &["file", "asked"]);
    set(&scene, SETTINGS, "abandoned=cancel");
    let path = scene.path(&names[0]);
    let got = scene.within("the first bytes", move || read_at(&path, 0, 4096));
    assert_same(&got.unwrap(), &old()[..4096], "the first bytes");
    tell(&scene, &names[1], "recall").unwrap();
    let begun = Instant::now();
    // It comes slowly; when it may come fast, the first one is not wanted any more.
    thread::sleep(Duration::from_secs(7));
    gate.open();
    scene.await_plain(&names[1]);
    scene.assert_idle();
    assert!(scene.is_cold(&names[0]), "after {:?}", begun.elapsed());
    assert_same(&fs::read(scene.path(&names[0])).unwrap(), &old(), "later");
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client with caches above our translator: the kernel, md-cache, quick-read, open-behind, io-cache, write-behind. Another
//! client archives the file meanwhile.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use cloudsync_format::claim::Claim;
use cloudsync_lab::marks::has;
use cloudsync_lab::{Mount, MountOptions, until};

use crate::calls::{call, words};
use crate::operations::on;
use crate::scene::{PATIENCE, Scene, assert_same, claim, errno, pattern};

const LENGTH: usize = 300_000;

/// Its own mount does the archiving.
fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| Scene::new("caches"))
}

/// A client whose kernel caches attributes and entries, also negative ones, for ten minutes.
fn client_with_long_timeouts() -> Mount {
    let options = ["attribute", "entry", "negative"]
        .iter()
        .fold(MountOptions::default(), |options, what| {
            options.arg(format!("--{what}-timeout=600"))
        });
    scene().volume.mount(&options).unwrap()
}

fn client() -> Mount {
    scene().volume.mount(&MountOptions::default()).unwrap()
}

fn read(mount: &Mount, name: &str) -> Vec<u8> {
    on(mount, name, |path| fs::read(path).unwrap())
}

/// A file small enough for quick-read, and a larger one; both were read before, so that every cache has the bytes.
#[test]
fn a_client_with_long_cache_timeouts_reads_the_bytes() {
    let mount = client_with_long_timeouts();
    for (name, length) in [("believed-small", 1000), ("believed", LENGTH)] {
        let bytes = pattern(1, length);
        scene().write(name, &bytes);
        assert_same(&read(&mount, name), &bytes, "local");
        scene().archive(name);
        assert_eq!(
            on(&mount, name, |path| fs::metadata(path).unwrap().len()),
            length as u64
        );
        assert_same(&read(&mount, name), &bytes, "cold");
        let direct = on(&mount, name, move |path| {
            let words = words("direct-read", &path, &[0, length.next_multiple_of(4096)]);
            call(&words, b"").unwrap()
        });
        assert_same(&direct, &bytes, "past the kernel's pages");
    }
}

/// The kernel sends a create, because it has a negative entry.
#[test]
fn a_cold_file_behind_a_negative_entry_can_be_opened() {
    let mount = client_with_long_timeouts();
    assert!(on(&mount, "created-elsewhere", |path| fs::metadata(path)
        .is_err()));
    scene().write("created-elsewhere", &pattern(2, LENGTH));
    scene().archive("created-elsewhere");
    on(&mount, "created-elsewhere", |path| {
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        options.unwrap().write_all_at(b"NEW", 100).unwrap();
    });
    let mut want = pattern(2, LENGTH);
    want[100..103].copy_from_slice(b"NEW");
    assert_same(&read(&client(), "created-elsewhere"), &want, "file");
}

#[test]
fn a_cold_file_behind_a_negative_entry_can_be_replaced() {
    let mount = client_with_long_timeouts();
    assert!(on(&mount, "replaced-elsewhere", |path| fs::metadata(path)
        .is_err()));
    scene().write("replaced-elsewhere", &pattern(3, LENGTH));
    scene().archive("replaced-elsewhere");
    on(&mount, "replaced-elsewhere", |path| {
        fs::write(path, b"new").unwrap()
    });
    assert_same(&read(&client(), "replaced-elsewhere"), b"new", "file");
}

/// open-behind has not opened it on the bricks, so the descriptor is of no use either.
#[test]
fn a_cold_file_that_another_client_removed_is_gone() {
    for name in ["gone-1", "gone-2"] {
        scene().write(name, &pattern(4, LENGTH));
        scene().archive(name);
    }
    let mount = client_with_long_timeouts();
    let held = ["gone-1", "gone-2"].map(|name| on(&mount, name, |path| File::open(path).unwrap()));
    for name in ["gone-1", "gone-2"] {
        fs::remove_file(scene().path(name)).unwrap();
    }
    for name in ["gone-1", "gone-2"] {
        let done = on(&mount, name, |path| {
            call(&words("truncate", &path, &[10]), b"")
        });
        let errno = errno(done);
        assert!(matches!(errno, libc::ENOENT | libc::ESTALE), "{errno}");
    }
    drop(held);
}

/// md-cache caches the attributes in these replies.
#[test]
fn setting_an_xattr_does_not_make_a_cold_file_look_empty() {
    let names = ["set", "fset", "removed"];
    for name in names {
        scene().write(name, &pattern(4, LENGTH));
        let path = scene().path(name);
        xattr::set(path, "user.was", b"there").unwrap();
        scene().archive(name);
    }
    let mount = client();
    for name in names {
        let (data, bytes) = on(&mount, name, move |path| {
            fs::metadata(&path).unwrap();
            let file = File::open(&path).unwrap();
            match name {
                "set" => xattr::set(&path, "user.colour", b"blue").unwrap(),
                "fset" => xattr::FileExt::set_xattr(&file, "user.colour", b"blue").unwrap(),
                _ => xattr::remove(&path, "user.was").unwrap(),
            }
            (fs::metadata(&path).unwrap(), fs::read(path).unwrap())
        });
        assert_eq!((data.len(), data.blocks()), (LENGTH as u64, 1), "{name}");
        assert_same(&bytes, &pattern(4, LENGTH), name);
    }
}

fn read_bypassing_caches(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    let mut bytes = vec![0; LENGTH];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Archives as our archiver does: stats the file, then reads and uploads it, each time under a new key.
fn archive_exactly(name: &str) -> std::io::Result<()> {
    if has(&scene().brick(name), "remote") {
        return Err(std::io::Error::from_raw_os_error(libc::EALREADY));
    }
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let key = format!("{name}/{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let seen = Claim {
        key: Some(key.clone()),
        ..claim(&scene().stat(name))
    };
    let path = scene().path(name);
    // Bypassing this client's caches, which may be older than its last stat.
    let read = move || read_bypassing_caches(&path);
    let bytes = scene().within("read", read)?;
    scene().bucket.put(&key, &bytes).unwrap();
    scene().complete(name, &seen.to_string())
}

/// open-behind has not opened the file on the bricks yet when it is archived.
#[test]
fn an_unused_descriptor_works_after_an_archive() {
    scene().write("behind", &pattern(5, LENGTH));
    let mount = client();
    let file = on(&mount, "behind", |path| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap()
    });
    scene().archive("behind");
    let (length, bytes) = mount.within(PATIENCE, "use the descriptor", move || {
        let length = file.metadata().unwrap().len();
        let mut bytes = vec![0; LENGTH];
        file.read_exact_at(&mut bytes, 0).unwrap();
        file.write_all_at(b"LATE", 5000).unwrap();
        file.sync_all().unwrap();
        (length, bytes)
    });
    assert_eq!(length, LENGTH as u64);
    assert_same(&bytes, &pattern(5, LENGTH), "through the descriptor");
    let mut want = pattern(5, LENGTH);
    want[5000..5004].copy_from_slice(b"LATE");
    assert_same(&read(&client(), "behind"), &want, "file");
}

/// write-behind has accepted bytes that are not on the bricks yet when the file is archived, or that arrive meanwhile.
#[test]
fn no_write_is_lost_while_another_client_keeps_archiving() {
    scene().write("written", &pattern(6, LENGTH));
    let mount = client();
    static DONE: AtomicBool = AtomicBool::new(false);
    static ARCHIVED: AtomicU64 = AtomicU64::new(0);
    let path = mount.path().join("written");
    let writer = thread::spawn(move || {
        let mut want = pattern(6, LENGTH);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let places = (0..LENGTH - 8).step_by(3001).enumerate();
        for (number, place) in places {
            let new = (number as u64).to_le_bytes();
            file.write_all_at(&new, place as u64).unwrap();
            want[place..place + 8].copy_from_slice(&new);
            if number % 10 == 0 {
                file.sync_all().unwrap();
                let mut seen = vec![0; LENGTH];
                file.read_exact_at(&mut seen, 0).unwrap();
                assert_same(&seen, &want, "what the writer reads");
                // The next change must find a cold file at least once.
                let before = ARCHIVED.load(Ordering::Relaxed);
                let archived = || (ARCHIVED.load(Ordering::Relaxed) > before).then_some(());
                until(PATIENCE, "an archive between the writes", archived).unwrap();
            }
        }
        file.sync_all().unwrap();
        DONE.store(true, Ordering::Relaxed);
        want
    });
    while !DONE.load(Ordering::Relaxed) && !writer.is_finished() {
        // A change since the stat is refused, to the nanosecond.
        if archive_exactly("written").is_ok() {
            ARCHIVED.fetch_add(1, Ordering::Relaxed);
        }
        thread::sleep(Duration::from_millis(10));
    }
    let want = mount.within(PATIENCE, "the writer", || writer.join().unwrap());
    assert_same(&read(&client(), "written"), &want, "file");
}

#[test]
fn reads_are_right_while_another_client_keeps_archiving() {
    scene().write("watched", &pattern(7, LENGTH));
    let mount = client();
    static DONE: AtomicBool = AtomicBool::new(false);
    let path = mount.path().join("watched");
    let reader = thread::spawn(move || {
        let want = pattern(7, LENGTH);
        let held = File::open(&path).unwrap();
        let mut reads = 0;
        while !DONE.load(Ordering::Relaxed) {
            let mut seen = vec![0; LENGTH];
            assert_eq!(held.metadata().unwrap().len(), LENGTH as u64);
            held.read_exact_at(&mut seen, 0).unwrap();
            assert_same(&seen, &want, "through the descriptor");
            let direct = read_bypassing_caches(&path).unwrap();
            assert_same(&direct, &want, "by name, past the kernel's pages");
            reads += 1;
        }
        reads
    });
    let mut archived = 0;
    while archived < 5 && !reader.is_finished() {
        // Refused if it is still cold because nothing has read it since.
        archived += u32::from(archive_exactly("watched").is_ok());
        thread::sleep(Duration::from_millis(10));
    }
    DONE.store(true, Ordering::Relaxed);
    let reads = mount.within(PATIENCE, "the reader", || reader.join().unwrap());
    assert!(reads > 0);
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client loses its connection during a recall, and with it the lock. Another client recalls the file, and an application
//! writes to it. Then the first client reconnects, and must not change a file whose lock it no longer holds. The same
//! for a handshake, while it waits for the store's reply about the object.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cloudsync_format::claim::Claim;
use cloudsync_lab::{Backing, Mount, MountOptions};

use super::held::await_bytes;
use super::wire::Wire;
use crate::gate::{BURST, Gate};
use crate::native::install_plugin;
use crate::scene::{PATIENCE, Scene, assert_same, await_connection, claim, errno, lab, pattern};

const LENGTH: usize = 2 * BURST;
const NEW: &[u8] = b"written after the other client's recall";

/// How the recall that lost its lock ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It is cancelled, and would truncate what it wrote.
    Cancelled,
    /// The rest of its object arrives, and it would write it and commit.
    Complete,
}

fn start(path: PathBuf) -> JoinHandle<std::io::Result<Vec<u8>>> {
    thread::spawn(move || fs::read(path))
}

fn lose_lock(end: End) {
    // The client that loses its lock reaches the store through a gate of its own.
    let (ours, theirs) = (Gate::new(), Gate::new());
    let settings = [("features.s3plugin-hostname", ours.url())];
    let scene = Scene::with("lost-lock", &settings, Backing::Ram);
    let bytes = pattern(1, LENGTH);
    for name in ["held/back", "held/under-way"] {
        scene.write(name, &bytes);
        scene.archive(name);
    }
    let wire = Wire::new(&scene);
    let lost = wire.mount(&scene, |text| text.replace(ours.url(), theirs.url()));
    theirs.hold();
    let readers = ["held/back", "held/under-way"].map(|name| start(lost.path().join(name)));
    await_bytes(&scene, "held/back");
    await_bytes(&scene, "held/under-way");
    wire.relay.reset();
    await_connection(&lost, &scene, false);
    assert!(wire.relay.interrupted() > 0, "no connection was cut");

    // One file is recalled by the other client, and an application changes it.
    let path = scene.path("held/back");
    scene.within("recall and write", move || {
        assert_same(
            &fs::read(&path).unwrap(),
            &pattern(1, LENGTH),
            "recalled by the other",
        );
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(NEW, 5 << 20).unwrap();
        file.sync_all().unwrap();
    });
    // The other file's recall by the other client is still running.
    ours.hold();
    let other = start(scene.path("held/under-way"));
    thread::sleep(Duration::from_millis(500));
    assert!(!scene.is_local_now("held/under-way"));

    wire.relay.open();
    await_connection(&lost, &scene, true);
    match end {
        End::Cancelled => cancel(&lost),
        End::Complete => theirs.open(),
    }
    for reader in readers {
        let read = lost.within(PATIENCE, "the reader that lost its lock", move || {
            reader.join().unwrap()
        });
        // An error is fine. Bytes may be from before or after, depending on what it had when it lost the lock.
        if let Ok(read) = read {
            assert_eq!(read.len(), LENGTH);
            assert_same(
                &read[..5 << 20],
                &bytes[..5 << 20],
                "the reader that lost its lock",
            );
        }
    }
    // Wait until it has done whatever it still does.
    thread::sleep(Duration::from_millis(500));
    let committed = scene.is_local_now("held/under-way");
    ours.open();
    let read = scene.within("the other recall", move || other.join().unwrap());
    assert_same(&read.unwrap(), &bytes, "under way");
    assert!(
        !committed,
        "{end:?}: the recall that lost its lock committed a partial file"
    );
    drop(lost);

    let mut want = bytes.clone();
    want[5 << 20..][..NEW.len()].copy_from_slice(NEW);
    let fresh = scene.volume.mount(&MountOptions::default()).unwrap();
    for (name, want) in [("held/back", &want), ("held/under-way", &bytes)] {
        let path = fresh.path().join(name);
        let read = fresh
            .within(PATIENCE, "read", move || fs::read(path))
            .unwrap();
        assert_same(&read, want, &format!("{name} after {end:?}"));
    }
}

fn cancel(mount: &Mount) {
    for name in ["held/back", "held/under-way"] {
        let path = mount.path().join(name);
        // The recall may have ended already.
        let _ = mount.within(PATIENCE, "cancel", move || {
            xattr::set(path, "glusterfs.cloudsync.cancel", b"1")
        });
    }
}

#[test]
fn a_cancelled_recall_that_lost_its_lock_does_not_truncate() {
    lose_lock(End::Cancelled);
}

#[test]
fn a_recall_that_lost_its_lock_does_not_write_or_commit() {
    lose_lock(End::Complete);
}

/// A recall of one write has no mark by which its client could tell that the file is still its own, so it starts again.
#[test]
fn a_small_recall_that_lost_its_lock_starts_again() {
    const NAMES: [&str; 2] = ["small/back", "small/cold"];
    let (ours, theirs) = (Gate::new(), Gate::new());
    let settings = [("features.s3plugin-hostname", ours.url())];
    let scene = Scene::with("lost-small", &settings, Backing::Ram);
    let bytes = pattern(7, 100_000);
    for name in NAMES {
        scene.write(name, &bytes);
        scene.archive(name);
    }
    let wire = Wire::new(&scene);
    let lost = wire.mount(&scene, |text| text.replace(ours.url(), theirs.url()));
    theirs.silence();
    let readers = NAMES.map(|name| start(lost.path().join(name)));
    theirs.await_requests(NAMES.len());
    wire.relay.reset();
    await_connection(&lost, &scene, false);
    assert!(wire.relay.interrupted() > 0, "no connection was cut");
    let path = scene.path(NAMES[0]);
    scene.within("recall and write", move || {
        assert_same(&fs::read(&path).unwrap(), &pattern(7, 100_000), "back");
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(NEW, 5000).unwrap();
        file.sync_all().unwrap();
    });
    wire.relay.open();
    await_connection(&lost, &scene, true);
    theirs.open();
    let mut changed = bytes.clone();
    changed[5000..][..NEW.len()].copy_from_slice(NEW);
    for ((reader, name), want) in readers.into_iter().zip(NAMES).zip([&changed, &bytes]) {
        let read = lost.within(PATIENCE, name, move || reader.join().unwrap());
        // An error is fine.
        if let Ok(read) = read {
            assert_same(&read, want, name);
        }
    }
    let fresh = scene.volume.mount(&MountOptions::default()).unwrap();
    for (name, want) in NAMES.into_iter().zip([&changed, &bytes]) {
        let path = fresh.path().join(name);
        let read = fresh.within(PATIENCE, "read", move || fs::read(path));
        assert_same(&read.unwrap(), want, &format!("{name}, afterwards"));
        scene.await_local(name);
    }
    drop(lost);
}

/// Meanwhile another client has archived the file and is recalling it, with its full size on the brick already. A client
/// that took this for its own handshake and undid it would leave a partial file.
#[test]
fn a_handshake_that_lost_its_lock_changes_nothing() {
    const NAME: &str = "held/archived";
    let (ours, theirs) = (Gate::new(), Gate::new());
    let settings = [("features.s3plugin-hostname", ours.url())];
    let scene = Scene::with("lost-claim", &settings, Backing::Ram);
    let bytes = pattern(3, LENGTH);
    scene.write(NAME, &bytes);
    scene.bucket.put(NAME, &bytes).unwrap();
    let seen = Claim {
        key: Some(NAME.to_owned()),
        ..claim(&scene.stat(NAME))
    };
    let wire = Wire::new(&scene);
    let lost = wire.mount(&scene, |text| text.replace(ours.url(), theirs.url()));
    theirs.silence();
    let path = lost.path().join(NAME);
    let handshake = thread::spawn(move || {
        let value = seen.to_string();
        xattr::set(path, "trusted.glusterfs.csou.complete", value.as_bytes())
    });
    theirs.await_requests(1);
    wire.relay.reset();
    await_connection(&lost, &scene, false);
    assert!(wire.relay.interrupted() > 0, "no connection was cut");

    scene.handshake_with_key(NAME).unwrap();
    assert!(scene.is_cold(NAME));
    ours.hold();
    // A client whose kernel has none of the file's bytes cached.
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    let reader = start(other.path().join(NAME));
    await_bytes(&scene, NAME);
    wire.relay.open();
    await_connection(&lost, &scene, true);
    theirs.open();
    let outcome = lost.within(PATIENCE, "the handshake", move || handshake.join().unwrap());
    assert_eq!(errno(outcome), libc::ENOTCONN);
    let marks = scene.marks(NAME);
    assert!(marks.contains("cs.remote"), "a partial file: {marks}");
    ours.open();
    let read = other.within(PATIENCE, "the recall", move || reader.join().unwrap());
    assert_same(&read.unwrap(), &bytes, "during the lost handshake");
    drop(lost);
    scene.await_local(NAME);
    let fresh = scene.volume.mount(&MountOptions::default()).unwrap();
    let path = fresh.path().join(NAME);
    let read = fresh.within(PATIENCE, "read", move || fs::read(path));
    assert_same(&read.unwrap(), &bytes, "afterwards");
}

/// A plugin of the stock ABI recalls whole files and does not learn that its writes are refused. So the recall starts again,
/// and finds the file either unchanged, or recalled by another client and changed by an application.
#[test]
fn a_whole_file_recall_that_lost_its_lock_starts_again() {
    const NAMES: [&str; 2] = ["alone", "taken"];
    install_plugin("stock", "plugin-c/stock.c", &[]);
    let scene = Scene::with("lost-stock", &[], Backing::Ram);
    let bytes = pattern(5, LENGTH);
    let shelf = lab().scratch("lost-shelf");
    let here = lab().outer(&shelf);
    fs::create_dir_all(&here).unwrap();
    for name in NAMES {
        scene.write(name, &bytes);
        scene.archive(name);
        // The plugin reads from this pipe, so the test decides how fast.
        rustix::fs::mkfifoat(rustix::fs::CWD, here.join(name), 0o600.into()).unwrap();
    }
    let wire = Wire::new(&scene);
    let lost = wire.mount(&scene, |text| {
        let other = |line: &str| match line.trim().split(' ').nth(1) {
            Some("cloudsync-storetype") => "    option cloudsync-storetype stock\n".to_owned(),
            Some("s3plugin-bucketid") => {
                format!("    option s3plugin-bucketid {}\n", shelf.display())
            }
            _ => format!("{line}\n"),
        };
        text.lines().map(other).collect()
    });
    let readers = NAMES.map(|name| start(lost.path().join(name)));
    let feeds = NAMES.map(|name| {
        let path = here.join(name);
        lost.within(PATIENCE, "the plugin", move || {
            let mut feed = OpenOptions::new().write(true).open(path).unwrap();
            feed.write_all(&pattern(5, LENGTH)[..LENGTH / 2]).unwrap();
            feed
        })
    });
    for name in NAMES {
        await_bytes(&scene, name);
    }
    wire.relay.reset();
    await_connection(&lost, &scene, false);
    let path = scene.path("taken");
    scene.within("recall and write", move || {
        assert_same(&fs::read(&path).unwrap(), &pattern(5, LENGTH), "taken");
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(NEW, 5 << 20).unwrap();
        file.sync_all().unwrap();
    });
    wire.relay.open();
    await_connection(&lost, &scene, true);
    for (mut feed, name) in feeds.into_iter().zip(NAMES) {
        // The plugin reads this when the recall starts again.
        let again = here.join("again");
        fs::write(&again, &bytes).unwrap();
        fs::rename(again, here.join(name)).unwrap();
        // These bytes must not become the file's. The plugin may have given up by now.
        let rest = pattern(6, LENGTH / 2);
        let _ = lost.within(PATIENCE, "the plugin", move || {
            File::write_all(&mut feed, &rest)
        });
    }
    let mut changed = bytes.clone();
    changed[5 << 20..][..NEW.len()].copy_from_slice(NEW);
    for ((reader, name), want) in readers.into_iter().zip(NAMES).zip([&bytes, &changed]) {
        let read = lost.within(PATIENCE, name, move || reader.join().unwrap());
        assert_same(&read.unwrap(), want, name);
        scene.await_local(name);
    }
    drop(lost);
    let fresh = scene.volume.mount(&MountOptions::default()).unwrap();
    for (name, want) in NAMES.into_iter().zip([&bytes, &changed]) {
        let path = fresh.path().join(name);
        let read = fresh.within(PATIENCE, "read", move || fs::read(path));
        assert_same(&read.unwrap(), want, &format!("{name}, afterwards"));
    }
}

/// If a lock request waits on a brick for longer than `network.frame-timeout`, GlusterFS drops the client's connection, and
/// all its other operations with it.
#[test]
fn waiting_for_another_clients_recall_blocks_nothing_else() {
    let gate = Gate::new();
    let settings = [
        ("features.s3plugin-hostname", gate.url()),
        ("network.frame-timeout", "5"),
    ];
    let mut scene = Scene::with("frame-timeout", &settings, Backing::Ram);
    let bytes = pattern(1, LENGTH);
    scene.write("held/file", &bytes);
    scene.archive("held/file");
    scene.remount();
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    gate.hold();
    let reader = start(scene.path("held/file"));
    await_bytes(&scene, "held/file");
    // The writer waits for the whole file; GlusterFS checks for timed-out requests every ten seconds.
    let writer = {
        let path = other.path().join("held/file");
        thread::spawn(move || {
            let file = OpenOptions::new().append(true).open(path)?;
            (&file).write_all(NEW)?;
            file.sync_all()
        })
    };
    let path = other.path().to_owned();
    let written = other.within(PATIENCE, "other writes", move || {
        let started = Instant::now();
        for number in 0.. {
            if started.elapsed() > Duration::from_secs(25) {
                break;
            }
            thread::sleep(Duration::from_millis(100));
            let mut file = File::create(path.join(format!("beside-{number}")))?;
            file.write_all(b"not disturbed")?;
            file.sync_all()?;
        }
        Ok::<_, std::io::Error>(())
    });
    written.unwrap_or_else(|error| panic!("{error}\n{}", other.log()));
    assert!(!other.log().contains("bailing out"), "{}", other.log());
    gate.open();
    let read = scene.within("the reader", move || reader.join().unwrap());
    assert_same(&read.unwrap(), &bytes, "read");
    other
        .within(PATIENCE, "the writer", move || writer.join().unwrap())
        .unwrap();
    let path = other.path().join("held/file");
    let read = other.within(PATIENCE, "read", move || fs::read(path));
    assert_same(&read.unwrap(), &[&bytes[..], NEW].concat(), "appended");
}

/// A truncation by a blocking descriptor waits on the brick for another client's mandatory lock. Meanwhile the holder
/// of that lock must be able to read the file.
#[test]
fn a_truncation_waiting_for_a_lock_does_not_block_its_holder() {
    let settings = [("locks.mandatory-locking", "forced")];
    let mut scene = Scene::with("mandatory", &settings, Backing::Ram);
    // Bricks read this option when they start.
    scene.volume.stop().unwrap();
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    let bytes = pattern(1, 300_000);
    scene.remount();
    scene.write("file", &bytes);
    scene.archive("file");
    scene.remount();
    let holder = scene.volume.mount(&MountOptions::default()).unwrap();
    let path = holder.path().join("file");
    let held = holder.within(PATIENCE, "lock", move || {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok::<_, std::io::Error>(file)
    });
    let held = held.unwrap();
    let path = scene.path("file");
    let truncater = thread::spawn(move || {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(0)
    });
    // By now it waits on the brick, or was refused: either is up to GlusterFS.
    thread::sleep(Duration::from_secs(1));
    let (held, read) = holder.within(PATIENCE, "read under the lock", move || {
        let mut read = vec![0; 300_000];
        let result = held.read_exact_at(&mut read, 0).map(|()| read);
        (held, result)
    });
    assert_same(&read.unwrap(), &bytes, "read by the lock's holder");
    drop(held);
    let truncated = scene.within("the truncation", move || truncater.join().unwrap());
    eprintln!("| a truncation under a mandatory lock | {truncated:?} |");
    scene.remount();
    let left = scene.read("file").unwrap();
    match truncated {
        Ok(()) => assert!(left.is_empty(), "{} bytes are left", left.len()),
        Err(_) => assert_same(&left, &bytes, "after a refused truncation"),
    }
    scene.await_local("file");
}

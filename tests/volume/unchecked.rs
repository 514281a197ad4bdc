// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Bricks that do not check a file's state before they read and write, because of `storage.linux-aio on`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use cloudsync_lab::{Mount, MountOptions, until};

use crate::scene::{PATIENCE, Scene, assert_same, errno, pattern};

/// The client's log line when it notices.
const NOTICE: &str = "the bricks do not check whether a file is cold";

/// Restarts the volume with a setting; the clients stay mounted.
fn restart_with(scene: &Scene, setting: (&str, &str), clients: &[&Mount]) {
    scene.volume.stop().unwrap();
    scene.volume.set(setting.0, setting.1).unwrap();
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    for client in clients {
        let root = client.path().to_owned();
        let connected = until(PATIENCE, "the client", || {
            let root = root.clone();
            client.within(PATIENCE, "readdir", move || {
                fs::read_dir(root).ok().map(drop)
            })
        });
        connected.unwrap();
    }
}

fn open(path: PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

#[test]
fn nothing_is_archived_and_stale_clients_lose_nothing() {
    let mut scene = Scene::new("unchecked");
    let bytes = pattern(1, 300_000);
    for name in ["read", "written", "written-first", "whole"] {
        scene.write(name, &bytes);
    }
    // Both clients believe that the files are local. One has read and written already, so it knows that the bricks check the
    // state; the other one has only opened a file.
    let [old, new] = [(); 2].map(|()| scene.volume.mount(&MountOptions::default()).unwrap());
    let paths = ["read", "written"].map(|name| old.path().join(name));
    let warm = old.path().join("warm");
    let opened = move || {
        fs::write(warm, b"warm")?;
        let [read, written] = paths.map(open);
        let (read, written) = (read?, written?);
        read.read_exact_at(&mut [0; 10], 0)?;
        written.read_exact_at(&mut [0; 10], 0)?;
        Ok::<_, io::Error>((read, written))
    };
    let (read, written) = old.within(PATIENCE, "open", opened).unwrap();
    let path = new.path().join("written-first");
    let first = new.within(PATIENCE, "open", move || open(path)).unwrap();
    for name in ["read", "written", "written-first", "whole"] {
        scene.archive(name);
    }

    restart_with(
        &scene,
        ("storage.linux-aio", "on"),
        &[scene.mount(), &old, &new],
    );
    scene.write("local", &bytes);
    scene.bucket.put("local", &bytes).unwrap();
    assert_eq!(errno(scene.handshake("local")), libc::EOPNOTSUPP);
    scene.await_local("local");
    scene.await_log(NOTICE);

    let path = old.path().join("whole");
    let got = old.within(PATIENCE, "read", move || {
        let mut tail = vec![0; 100_000];
        read.read_exact_at(&mut tail, 200_000)?;
        Ok::<_, io::Error>((tail, fs::read(path)?))
    });
    let (tail, whole) = got.unwrap();
    assert_same(&tail, &bytes[200_000..], "read by a stale client");
    assert_same(&whole, &bytes, "whole");
    let write = |file: File| {
        move || {
            file.write_all_at(b"late", 10_000)?;
            file.sync_all()
        }
    };
    old.within(PATIENCE, "write", write(written)).unwrap();
    new.within(PATIENCE, "write", write(first)).unwrap();
    scene.remount();
    let mut want = bytes;
    want[10_000..10_004].copy_from_slice(b"late");
    for name in ["written", "written-first"] {
        assert_same(&scene.read(name).unwrap(), &want, name);
        scene.await_local(name);
    }
    assert_eq!(old.log().matches(NOTICE).count(), 1, "{}", old.log());

    restart_with(&scene, ("storage.linux-aio", "off"), &[scene.mount()]);
    scene.archive("local");
    assert_same(&scene.read("local").unwrap(), &pattern(1, 300_000), "local");
}

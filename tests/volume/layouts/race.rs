// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A handshake and a concurrent write, on a replicated volume whose bricks get the handshake's mark one after the other.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::thread;
use std::time::{Duration, SystemTime};

use cloudsync_lab::{Backing, MountOptions};

use super::REPLICA;
use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

/// How much later the mark arrives at the other bricks, as do a write's changelog records, before and after it. A busy
/// machine may spend a good part of it between two steps of this test.
const LATE: Duration = Duration::from_millis(1500);

/// A volume whose bricks set attributes slowly, except for the last one, from which all clients read.
fn scene_with_late_marks() -> Scene {
    let settings = [
        ("cluster.choose-local", "off"),
        ("cluster.read-subvolume-index", "2"),
        ("cluster.self-heal-daemon", "off"),
    ];
    let mut scene = Scene::on("race", REPLICA, &settings, Backing::Ram);
    let micros = LATE.as_micros().to_string();
    // One at a time: the first makes the others known.
    for (key, value) in [
        ("debug.delay-gen", "posix"),
        ("delay-gen.delay-percentage", "100"),
        ("delay-gen.delay-duration", micros.as_str()),
        ("delay-gen.enable", "setxattr,fsetxattr,fxattrop"),
    ] {
        scene.volume.set(key, value).unwrap();
    }
    let volfiles = lab().outer(format!("/var/lib/glusterd/vols/{}", scene.volume.name()));
    let mut changed = 0;
    for volfile in fs::read_dir(volfiles)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with("-2-brick.vol"))
    {
        let text = fs::read_to_string(&volfile).unwrap();
        assert!(text.contains("delay-percentage 100"), "{text}");
        fs::write(
            &volfile,
            text.replace("delay-percentage 100", "delay-percentage 0"),
        )
        .unwrap();
        changed += 1;
    }
    assert_eq!(changed, 1, "the last brick's volume file");
    (0..3).for_each(|brick| scene.volume.kill_brick(brick).unwrap());
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    scene.remount();
    scene
}

/// The last brick has the mark and refuses a write that the others accept. The write is acknowledged, so the file has
/// changed, whatever state the last brick has.
#[test]
fn a_write_that_one_brick_refused_is_not_lost() {
    let mut scene = scene_with_late_marks();
    let mut between = 0;
    for (name, head_start) in [("of-today", 700), ("of-tomorrow", 500)] {
        let mut want = pattern(head_start, 300_000);
        scene.write(name, &want);
        scene.bucket.put(name, &want).unwrap();
        if name == "of-tomorrow" {
            // A write does not change such an mtime on a volume with ctime.
            let path = scene.path(name);
            let later = SystemTime::now() + Duration::from_secs(86_400);
            let touch = move || File::options().write(true).open(path)?.set_modified(later);
            scene.within("utime", touch).unwrap();
        }
        let other = scene.volume.mount(&MountOptions::default()).unwrap();
        let (path, first) = (other.path().join(name), other.path().join("first"));
        let file = other.within(PATIENCE, "open", move || {
            // Before its first write, a client checks the file's state.
            fs::write(first, b"first")?;
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            file.read_exact_at(&mut [0; 10], 0)?;
            Ok::<_, io::Error>(file)
        });
        let file = file.unwrap();
        let seconds = scene.stat(name).mtime().to_string();
        let writer = thread::spawn(move || {
            file.write_all_at(b"late", 10_000)?;
            file.sync_all()
        });
        // The write happens LATE after that, while only the last brick has the mark. It takes another LATE until its client
        // has recorded that the last brick missed it.
        thread::sleep(Duration::from_millis(head_start));
        let outcome = scene.complete(name, &seconds);
        other
            .within(PATIENCE, "write", move || writer.join().unwrap())
            .unwrap();
        want[10_000..10_004].copy_from_slice(b"late");
        // The mount that wrote has the bytes in its cache; what counts is what the bricks have.
        scene.remount();
        assert_same(&scene.read(name).unwrap(), &want, name);
        between += u32::from(outcome.is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY)));
    }
    assert!(
        between > 0,
        "no write happened between the marks: the test proves nothing"
    );
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A plugin that writes too much, too little, twice, elsewhere and too late, and returns wrong results. (Nothing can be
//! promised for a plugin that corrupts the process's memory.)

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use cloudsync_lab::marks::has;
use cloudsync_lab::{Backing, Layout, Mount, MountOptions};

use super::LENGTH;
use crate::native::install_plugin;
use crate::scene::{PATIENCE, assert_same, errno, lab};

/// The content of every object of tests/plugin-hostile.
fn object() -> Vec<u8> {
    (0..LENGTH).map(|place| (place % 251) as u8).collect()
}

/// How the read of a file ends: with its bytes (none), or with this errno.
const READS: [(&str, Option<i32>); 22] = [
    ("honest", None),
    ("nothing", Some(libc::EBADMSG)),
    ("half", Some(libc::EBADMSG)),
    ("a-hole", Some(libc::EBADMSG)),
    ("twice", None),
    ("overlapping", None),
    ("past-the-end", Some(libc::EBADMSG)),
    ("far-past-the-end", Some(libc::EBADMSG)),
    ("before-the-beginning", None),
    ("no-bytes", None),
    ("late", Some(libc::EBADMSG)),
    ("late-and-wrong", None),
    ("rubbish", Some(libc::EREMOTEIO)),
    ("no-errno", Some(libc::EREMOTEIO)),
    ("negative-errno", Some(libc::ENODATA)),
    // Errnos that the kernel does not accept: it would ignore the reply and wait forever.
    ("huge-errno", Some(libc::EIO)),
    ("kernel-errno", Some(libc::EIO)),
    ("least-errno", Some(libc::EIO)),
    ("errno-and-success", None),
    ("all-and-failure", Some(libc::EACCES)),
    ("other-descriptor", None),
    ("head-endless", None),
];

/// The errno with which the handshake ends.
const REFUSED: [(&str, i32); 4] = [
    ("head-positive", libc::EBADMSG),
    ("head-huge", libc::EBADMSG),
    ("head-huge-errno", libc::EIO),
    ("head-least-errno", libc::EIO),
];

fn handshake(mount: &Mount, name: &str) -> io::Result<()> {
    let path = mount.path().join(name);
    mount.within(PATIENCE, "the handshake", move || {
        let seconds = fs::metadata(&path)?.mtime().to_string();
        xattr::set(path, "trusted.glusterfs.csou.complete", seconds.as_bytes())
    })
}

#[test]
fn a_misbehaving_plugin_fails_only_reads_of_its_files() {
    install_plugin("hostile", "plugin-hostile/hostile.c", &[]);
    let volume = lab()
        .volume("misled", Layout::Single, Backing::Ram)
        .unwrap();
    volume.set("features.cloudsync", "on").unwrap();
    let options =
        MountOptions::default().arg("--xlator-option=*cloudsync.cloudsync-storetype=hostile");
    let mount = volume.mount(&options).unwrap();
    let (root, brick) = (mount.path(), &volume.bricks()[0]);
    for name in READS
        .map(|row| row.0)
        .into_iter()
        .chain(REFUSED.map(|row| row.0))
    {
        let path = root.join(name);
        mount
            .within(PATIENCE, "write", move || fs::write(path, object()))
            .unwrap();
    }
    for (name, expected) in REFUSED {
        assert_eq!(errno(handshake(&mount, name)), expected, "{name}");
        assert_same(&fs::read(brick.join(name)).unwrap(), &object(), name);
    }
    for (name, _) in READS {
        handshake(&mount, name).unwrap();
        assert_eq!(fs::metadata(brick.join(name)).unwrap().len(), 0, "{name}");
    }
    mount.unmount().unwrap();

    let mount = volume.mount(&options).unwrap();
    let root = mount.path();
    let mut wrong = Vec::new();
    for (name, expected) in READS {
        let path = root.join(name);
        let read = mount.within(Duration::from_secs(20), name, move || fs::read(path));
        let cold = has(&brick.join(name), "remote");
        let got = match &read {
            Ok(bytes) => {
                assert_same(bytes, &object(), name);
                None
            }
            Err(error) => error.raw_os_error(),
        };
        eprintln!(
            "{name}: {}",
            read.as_ref()
                .map_or_else(ToString::to_string, |_| "bytes".to_owned())
        );
        if got != expected || cold != expected.is_some() {
            wrong.push(format!("{name}: {read:?}, not {expected:?}, cold: {cold}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", mount.log());
    // By now the late writes have arrived, and must not have changed anything.
    thread::sleep(Duration::from_secs(1));
    for (name, expected) in READS {
        let (now, cold) = (fs::read(brick.join(name)).unwrap(), expected.is_some());
        let object = object();
        assert_same(&now, if cold { &[] } else { &object }, name);
    }
    assert!(mount.alive());
    let private = format!("graphs/active/{}-cloudsync/private", volume.name());
    let private = mount.meta(&private).unwrap();
    assert!(
        private.contains("jobs = 0") && private.contains("operations-waiting = 0"),
        "{private}"
    );
}

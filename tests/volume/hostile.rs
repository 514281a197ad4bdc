// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Malformed or malicious attributes on the bricks. A read gets the file's bytes or an error, no process dies, other files
//! are not affected, and with the right attribute the file can be read again.

mod plugin;

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::MountOptions;

use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

const LENGTH: usize = 100_000;

/// How a read may end: with the bytes, or as stated.
#[derive(Clone, Copy, Debug)]
enum May {
    Read,
    /// With no bytes: see the row.
    Empty,
    Fail(&'static [i32]),
}
use May::{Empty, Fail, Read};

/// The file's attributes are damaged.
const DAMAGED: May = Fail(&[libc::EIO]);
/// The store has no object of this name, or refuses such names.
const NO_OBJECT: May = Fail(&[libc::ENODATA, libc::EREMOTEIO]);
/// The object has another size.
const OTHER_SIZE: May = Fail(&[libc::EBADMSG]);
/// No volume has room for a file of this size.
const NO_ROOM: May = Fail(&[libc::EFBIG, libc::ENOSPC, libc::EINVAL, libc::EBADMSG]);
const OTHER_VERSION: May = Fail(&[libc::ESTALE]);

/// The largest value that an attribute can have.
const MOST: usize = 64 << 10;

/// File name, attribute, value, and how a read may end.
fn rows() -> Vec<(&'static str, &'static str, Vec<u8>, May)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        // The key of another bucket's object of the right size: it must not be reachable.
        ("climbs", "remote", text("../OTHER/secret"), NO_OBJECT),
        (
            "climbs-far",
            "remote",
            text("../../../OTHER/secret"),
            NO_OBJECT,
        ),
        (
            "climbs-coded",
            "remote",
            text("%2e%2e/OTHER/secret"),
            NO_OBJECT,
        ),
        ("rooted", "remote", text("/OTHER/secret"), NO_OBJECT),
        (
            "asks",
            "remote",
            text("climbs?versionId=1&x=y#z"),
            NO_OBJECT,
        ),
        (
            "splits",
            "remote",
            text("a\r\nx-amz-acl: public-read\r\n\r\n"),
            NO_OBJECT,
        ),
        ("nul", "remote", text("cli\0mbs"), DAMAGED),
        // With a trailing NUL, as C programs write it.
        ("nul-end", "remote", text("nul-end\0"), Read),
        ("nameless", "remote", text(""), DAMAGED),
        ("slashes", "remote", text("////"), NO_OBJECT),
        (
            "not-utf8",
            "remote",
            vec![0xff, 0xfe, 0x80],
            Fail(&[libc::EINVAL, libc::EIO, libc::ENODATA, libc::EREMOTEIO]),
        ),
        ("long", "remote", vec![b'k'; 4000], NO_OBJECT),
        (
            "longest",
            "remote",
            vec![b'k'; MOST],
            Fail(&[libc::EIO, libc::EREMOTEIO]),
        ),
        ("size-less", "object_size", text(""), DAMAGED),
        ("size-text", "object_size", text("many"), DAMAGED),
        ("size-negative", "object_size", text("-1"), DAMAGED),
        ("size-hex", "object_size", text("0x186a0"), DAMAGED),
        ("size-trailer", "object_size", text("100000 bytes"), DAMAGED),
        ("size-nul", "object_size", text("100000\0"), Read),
        ("size-long", "object_size", vec![b'9'; 4000], DAMAGED),
        ("size-longest", "object_size", vec![b'9'; MOST], DAMAGED),
        (
            "size-overflow",
            "object_size",
            text("18446744073709551616"),
            DAMAGED,
        ),
        (
            "size-most",
            "object_size",
            text("18446744073709551615"),
            DAMAGED,
        ),
        (
            "size-signed-most",
            "object_size",
            text("9223372036854775807"),
            NO_ROOM,
        ),
        ("size-one-more", "object_size", text("100001"), OTHER_SIZE),
        ("size-one-less", "object_size", text("99999"), OTHER_SIZE),
        // Valid, and an empty file is not recalled: write access to the bricks is enough to make a file look empty.
        ("size-none", "object_size", text("0"), Empty),
        // Size and checksum in the file's record identify the object, whatever its version.
        ("proven-other", "version", text("\"not this one\""), Read),
        ("proven-line", "version", text("a\r\nb"), Read),
        (
            "version-other",
            "version",
            text("\"not this one\""),
            OTHER_VERSION,
        ),
        ("version-line", "version", text("a\r\nb"), OTHER_VERSION),
        ("version-nul", "version", text("a\0b"), DAMAGED),
        ("version-bytes", "version", vec![0xff, 0xfe], OTHER_VERSION),
        (
            "version-longest",
            "version",
            vec![b'v'; MOST],
            OTHER_VERSION,
        ),
        // An empty version stands for "unknown".
        ("version-none", "version", text(""), Read),
        ("blocks-text", "num_blocks", text("many"), Read),
        (
            "blocks-most",
            "num_blocks",
            text("18446744073709551615"),
            Read,
        ),
        ("blocksize-none", "block_size", text("0"), Read),
        ("blocksize-negative", "block_size", text("-4096"), Read),
        ("marked", "downloading", text("\u{1}\u{2}\u{3}"), Read),
    ]
}

#[test]
fn malformed_attributes_fail_only_reads_of_their_file() {
    let scene = Scene::new("hostile");
    let bytes = pattern(1, LENGTH);
    let other = lab().s3().unwrap().bucket("other").unwrap();
    other.put("secret", &pattern(2, LENGTH)).unwrap();
    let mut rows = rows();
    scene.write("local", b"local");
    scene.write("neighbour", &bytes);
    scene.archive("neighbour");
    let mut before = Vec::new();
    for (name, attribute, value, _) in &mut rows {
        scene.write(name, &bytes);
        scene.archive(name);
        if value.windows(5).any(|window| window == b"OTHER") {
            let text = String::from_utf8(value.clone()).unwrap();
            *value = text.replace("OTHER", other.name()).into_bytes();
            // Without version and key, nothing else keeps the object from being read.
            let brick = scene.brick(name);
            for other in ["version", "key"] {
                let other = format!("trusted.glusterfs.cs.{other}");
                if xattr::get(&brick, &other).unwrap().is_some() {
                    xattr::remove(&brick, other).unwrap();
                }
            }
        }
        if name.starts_with("version") {
            xattr::remove(scene.brick(name), "trusted.glusterfs.cs.record").unwrap();
        }
        let (brick, attribute) = (
            scene.brick(name),
            format!("trusted.glusterfs.cs.{attribute}"),
        );
        before.push(xattr::get(&brick, &attribute).unwrap());
        xattr::set(&brick, &attribute, value).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    let short = "--xlator-option=*cloudsync.cloudsync-store-id=retries=1,connect-timeout=2s";
    let mount = scene
        .volume
        .mount(&MountOptions::default().arg(short))
        .unwrap();
    let root = mount.path();
    let listed = mount.within(PATIENCE, "list", {
        let root = root.clone();
        move || fs::read_dir(root).unwrap().filter(Result::is_ok).count()
    });
    assert!(listed >= rows.len() + 2, "{listed}");
    let paths: Vec<PathBuf> = rows.iter().map(|row| root.join(row.0)).collect();
    let reads = mount.within(PATIENCE, "the reads", move || {
        let read = |path: PathBuf| {
            thread::spawn(move || {
                // It may fail or show a wrong size, but it must return.
                let size = fs::metadata(&path).map(|file| file.len());
                // Not into a buffer of the size shown, which may exceed memory.
                let mut bytes = Vec::new();
                let read = fs::File::open(&path)
                    .and_then(|file| file.take(2 * LENGTH as u64).read_to_end(&mut bytes));
                (size, read.map(|_| bytes))
            })
        };
        let threads: Vec<_> = paths.into_iter().map(read).collect();
        let reads = threads.into_iter().map(|thread| thread.join().unwrap());
        reads.collect::<Vec<_>>()
    });
    let started = Instant::now();
    let root = mount.path();
    let (local, neighbour) = mount.within(PATIENCE, "others", move || {
        (
            fs::read(root.join("local")),
            fs::read(root.join("neighbour")),
        )
    });
    assert_eq!(local.unwrap(), b"local");
    assert_same(&neighbour.unwrap(), &bytes, "neighbour");
    assert!(started.elapsed() < Duration::from_secs(10));

    let mut wrong = Vec::new();
    for ((name, attribute, _, may), (size, read)) in rows.iter().zip(&reads) {
        let (good, text) = match (read, may) {
            (Ok(read), Read) => (*read == bytes, format!("{} bytes", read.len())),
            (Ok(read), Empty) => (read.is_empty(), "nothing".to_owned()),
            (Ok(read), Fail(_)) => (false, format!("{} bytes", read.len())),
            (Err(error), Read | Empty) => (false, error.to_string()),
            (Err(error), Fail(all)) => {
                let errno = error.raw_os_error().unwrap();
                (all.contains(&errno), error.to_string())
            }
        };
        let size = size
            .as_ref()
            .map_or_else(ToString::to_string, ToString::to_string);
        eprintln!("{name}, cs.{attribute}: shows {size}; {text}");
        if !good {
            wrong.push(format!("{name}: {text}, not {may:?}{}", scene.marks(name)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", mount.log());
    assert!(mount.alive() && scene.volume.brick_pid(0).is_ok());

    drop(mount);
    for ((name, attribute, ..), value) in rows.iter().zip(before) {
        if scene.is_local(name) {
            continue;
        }
        let attribute = format!("trusted.glusterfs.cs.{attribute}");
        xattr::set(scene.brick(name), attribute, &value.unwrap()).unwrap();
        assert_same(&scene.read(name).unwrap(), &bytes, name);
    }
    scene.assert_idle();
}

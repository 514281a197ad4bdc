// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The handshake with the archiver: what it accepts and what it must refuse.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use cloudsync_format::checksum::Checksum;
use cloudsync_format::claim::{Claim, Seen, Time};
use cloudsync_lab::MountOptions;

use crate::scene::{Scene, assert_same, claim, errno, lab, pattern};

/// Literally: `aws s3 cp`, `stat -c %Y`, `setfattr`, then `cat` from another client.
#[test]
fn the_shell_commands_for_the_stock_translator_work() {
    let mut scene = Scene::new("seed");
    let bytes = pattern(1, 500_000);
    scene.write("dir/data.bin", &bytes);
    let inside = scene.inside("dir/data.bin");
    let url = format!("s3://{}/dir/data.bin", scene.bucket.name());
    scene
        .bucket
        .aws(["s3", "cp", inside.as_str(), url.as_str()])
        .unwrap()
        .check()
        .unwrap();
    let script = format!(
        "set -e; mtime=$(stat -c %Y {inside}); \
         setfattr -n trusted.glusterfs.csou.complete -v $mtime {inside}"
    );
    lab().sh(&script).unwrap();
    assert!(scene.is_cold("dir/data.bin"));
    scene.remount();
    let inside = scene.inside("dir/data.bin");
    let sum = lab().sh(&format!("cat {inside} | sha256sum")).unwrap();
    let local = lab().scratch("seed-data.bin");
    fs::write(&local, &bytes).unwrap();
    let expected = Command::new("sha256sum")
        .arg(&local)
        .output()
        .unwrap()
        .stdout;
    let word = |text: &str| text.split_whitespace().next().map(str::to_owned);
    assert_eq!(word(&sum), word(&String::from_utf8_lossy(&expected)));
}

/// Scripts for the stock translator go on after a failed upload.
#[test]
fn a_handshake_without_a_matching_object_is_refused() {
    let scene = Scene::new("nothing");
    scene.write("file", &pattern(2, 10_000));
    assert_eq!(errno(scene.handshake("file")), libc::ENODATA);
    scene.bucket.put("file", &pattern(2, 9_999)).unwrap();
    assert_eq!(errno(scene.handshake("file")), libc::EBADMSG);
    scene.bucket.put("file", &pattern(2, 10_000)).unwrap();
    scene.handshake("file").unwrap();
    assert!(scene.is_cold("file"));
    assert_eq!(errno(scene.handshake("file")), libc::EALREADY);
    assert_same(&scene.read("file").unwrap(), &pattern(2, 10_000), "file");
}

#[test]
fn a_handshake_for_a_changed_file_is_refused() {
    let scene = Scene::new("changed");
    scene.write("file", &pattern(3, 10_000));
    scene.bucket.put("file", &pattern(3, 10_000)).unwrap();
    let now = scene.stat("file").mtime();
    assert_eq!(
        errno(scene.complete("file", &(now - 1).to_string())),
        libc::EBUSY
    );
    assert_eq!(
        errno(scene.complete("file", &(now + 1).to_string())),
        libc::EBUSY
    );
    assert_eq!(errno(scene.complete("file", "yesterday")), libc::EINVAL);
    assert_same(&scene.read("file").unwrap(), &pattern(3, 10_000), "file");
    assert!(!scene.is_cold("file"));
}

#[test]
fn an_exact_claim_compares_nanoseconds_ctime_and_size() {
    let mut scene = Scene::new("exact");
    scene.write("file", &pattern(4, 10_000));
    scene.bucket.put("vol/gfid/1", &pattern(4, 10_000)).unwrap();
    let right = Claim {
        key: Some("vol/gfid/1".to_owned()),
        ..claim(&scene.stat("file"))
    };
    let seen = right.seen.unwrap();
    let nudged = |time: Time| Time {
        nanos: (time.nanos + 1) % 1_000_000_000,
        ..time
    };
    for wrong in [
        Seen {
            mtime: nudged(seen.mtime),
            ..seen
        },
        Seen {
            ctime: nudged(seen.ctime),
            ..seen
        },
        Seen {
            size: seen.size + 1,
            ..seen
        },
    ] {
        let wrong = Claim {
            seen: Some(wrong),
            ..right.clone()
        };
        assert_eq!(
            errno(scene.complete("file", &wrong.to_string())),
            libc::EBUSY,
            "{wrong}"
        );
    }
    scene.complete("file", &right.to_string()).unwrap();
    assert!(scene.is_cold("file"));
    scene.remount();
    // The key differs from the path, which may change.
    let (from, to) = (scene.path("file"), scene.path("renamed"));
    scene
        .within("rename", move || fs::rename(from, to))
        .unwrap();
    assert_same(
        &scene.read("renamed").unwrap(),
        &pattern(4, 10_000),
        "renamed",
    );
    scene.await_local("renamed");
}

/// A recall that is about to end removes the key from the file, and another archiver writes its own.
#[test]
fn the_key_in_a_claim_overrides_the_key_on_the_file() {
    let mut scene = Scene::new("keyed");
    scene.write("file", &pattern(8, 10_000));
    let key = "v/g, with=commas; 2";
    scene.bucket.put(key, &pattern(8, 10_000)).unwrap();
    scene.bucket.put("other", &pattern(9, 10_000)).unwrap();
    let without = claim(&scene.stat("file"));
    assert_eq!(
        errno(scene.complete("file", &without.to_string())),
        libc::EINVAL
    );
    xattr::set(scene.brick("file"), "trusted.glusterfs.cs.key", b"other").unwrap();
    let keyed = Claim {
        key: Some(key.to_owned()),
        ..claim(&scene.stat("file"))
    };
    scene.complete("file", &keyed.to_string()).unwrap();
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &pattern(8, 10_000), "file");
}

/// An object of the file's size with other content.
#[test]
fn the_checksum_in_a_claim_is_compared_with_the_object() {
    let scene = Scene::new("summed");
    scene.write("file", &pattern(8, 10_000));
    scene.bucket.put("key", &pattern(9, 10_000)).unwrap();
    let summed = Claim {
        checksum: Checksum::parse("crc64nvme:rosUhgp5mIg="),
        key: Some("key".to_owned()),
        ..claim(&scene.stat("file"))
    };
    let error = scene.complete("file", &summed.to_string());
    assert_eq!(errno(error), libc::EBADMSG);
    assert!(!scene.is_cold("file"));
    assert_same(&scene.read("file").unwrap(), &pattern(8, 10_000), "file");
}

/// The key of an abandoned archive must not be used by a later handshake in the stock form.
#[test]
fn the_stock_handshake_ignores_a_left_over_key() {
    let mut scene = Scene::new("stale-key");
    scene.write("file", &pattern(5, 10_000));
    scene.bucket.put("old", &pattern(6, 10_000)).unwrap();
    xattr::set(scene.brick("file"), "trusted.glusterfs.cs.key", b"old").unwrap();
    scene.archive("file");
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &pattern(5, 10_000), "file");
}

/// It is unknown which of the names was uploaded, and the object at the other name's path may be older.
#[test]
fn the_stock_handshake_refuses_a_file_with_two_names() {
    let scene = Scene::new("two-names");
    scene.write("one", &pattern(1, 10_000));
    let (one, two) = (scene.path("one"), scene.path("two"));
    scene
        .within("link", move || fs::hard_link(one, two))
        .unwrap();
    for name in ["one", "two"] {
        scene.bucket.put(name, &pattern(2, 10_000)).unwrap();
        assert_eq!(errno(scene.handshake(name)), libc::EMLINK);
    }
    assert_same(&scene.read("two").unwrap(), &pattern(1, 10_000), "two");
}

/// This client still knows the file by its old name, whose object belongs to an older file.
#[test]
fn the_stock_handshake_does_not_use_a_stale_path() {
    let scene = Scene::new("old-name");
    let other = scene.volume.mount(&MountOptions::default()).unwrap();
    scene.write("old", &pattern(1, 10_000));
    scene.bucket.put("old", &pattern(2, 10_000)).unwrap();
    fs::read(other.path().join("old")).unwrap();
    let (old, new) = (scene.path("old"), scene.path("new"));
    scene
        .within("rename", move || fs::rename(old, new))
        .unwrap();
    let new = other.path().join("new");
    let done = scene.within("the handshake", move || {
        let seconds = fs::metadata(&new)?.mtime().to_string();
        xattr::set(&new, "trusted.glusterfs.csou.complete", seconds.as_bytes())
    });
    let error = errno(done);
    assert!([libc::EBUSY, libc::ENODATA].contains(&error), "{error}");
    assert!(!scene.is_cold("new"));
    assert_same(&scene.read("new").unwrap(), &pattern(1, 10_000), "new");
}

#[test]
fn only_root_can_archive_and_only_regular_files() {
    let scene = Scene::new("who");
    scene.write("dir/file", &pattern(7, 1000));
    scene.bucket.put("dir", b"x").unwrap();
    let error = errno(scene.handshake("dir"));
    assert!([libc::EINVAL, libc::EISDIR].contains(&error), "{error}");
    assert!(!scene.stat("dir").is_file());
    assert_same(
        &scene.read("dir/file").unwrap(),
        &pattern(7, 1000),
        "dir/file",
    );
    let inside = scene.inside("dir/file");
    let as_nobody = format!(
        "chmod 666 {inside}; setpriv --reuid 65534 --regid 65534 --clear-groups \
         setfattr -n trusted.glusterfs.csou.complete -v 1 {inside} && echo done || echo refused"
    );
    assert_eq!(lab().sh(&as_nobody).unwrap().trim(), "refused");
}

/// The store does not confirm that it has the object, so the file is not truncated.
#[test]
fn a_handshake_that_the_store_does_not_confirm_is_refused() {
    let mut scene = Scene::new("no-word");
    scene.write("file", &pattern(8, 10_000));
    scene.bucket.put("file", &pattern(8, 10_000)).unwrap();
    let url = lab().s3().unwrap().http_url();
    let stranger = lab().s3().unwrap().user_without_rights();
    let quick = "retries=1,connect-timeout=1s";
    let cases = [
        ("http://", "", "", libc::EREMOTE),
        ("http://10.99.0.1:1", "", "", libc::EHOSTUNREACH),
        (url.as_str(), &stranger.key, &stranger.secret, libc::EACCES),
    ];
    for (address, key, secret, error) in cases {
        let mut settings = vec![
            ("features.s3plugin-hostname", address),
            ("features.cloudsync-store-id", quick),
        ];
        if !key.is_empty() {
            settings.push(("features.s3plugin-keyid", key));
            settings.push(("features.s3plugin-seckey", secret));
        }
        scene.volume.set_all(&settings).unwrap();
        scene.remount();
        assert_eq!(errno(scene.handshake("file")), error, "{address} {key}");
        assert!(!scene.is_cold("file"));
        assert_same(&scene.read("file").unwrap(), &pattern(8, 10_000), "file");
    }
}

/// A second archiver, or one with stale data, sets its key on a file that is cold already.
#[test]
fn a_key_set_on_a_cold_file_does_not_change_its_object() {
    let mut scene = Scene::new("key-on-cold");
    scene.write("file", &pattern(9, 10_000));
    scene.archive("file");
    let key = "trusted.glusterfs.cs.key";
    xattr::set(scene.brick("file"), key, b"never-uploaded").unwrap();
    scene.remount();
    assert_same(&scene.read("file").unwrap(), &pattern(9, 10_000), "file");
}

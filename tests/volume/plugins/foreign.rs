// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Third-party plugins: in C, for our ABI and for the stock translator's, and the one that the distribution ships.

use std::fs;
use std::os::unix::fs::MetadataExt;

use cloudsync_format::checksum::Checksum;
use cloudsync_format::claim::Claim;
use cloudsync_lab::{Backing, MountOptions, until};

use super::{Shelf, lab, plugin_folder};
use crate::scene::{PATIENCE, assert_same, claim, errno, fill, pattern};

const STORE_ID: (&str, &str) = ("features.cloudsync-store-id", "path=%");
const BUCKET: (&str, &str) = ("features.s3plugin-bucketid", "%");

/// Serves requested ranges and describes objects.
#[test]
fn a_c_plugin_that_fetches_parts_recalls_files() {
    recalls_and_refuses("shelf");
}

/// Downloads whole files: blocks, and returns the result.
#[test]
fn a_c_plugin_that_downloads_whole_files_recalls_them() {
    recalls_and_refuses("whole");
}

fn recalls_and_refuses(store: &str) {
    let mut shelf = Shelf::new(store, &[STORE_ID]);
    let bytes = pattern(1, 5_000_001);
    shelf.write("file", &bytes);
    assert_eq!(
        errno(shelf.handshake("file")),
        libc::ENODATA,
        "head is called"
    );
    shelf.archive("file", "");
    shelf.write("other", &pattern(2, 300_000));
    shelf.archive("other", "");
    shelf.remount();
    assert_same(&shelf.read("file").unwrap(), &bytes, "file");
    shelf.put("other", &pattern(3, 300_000));
    assert_eq!(
        errno(shelf.read("other")),
        libc::ESTALE,
        "versions are compared"
    );
    fs::remove_file(shelf.object("other")).unwrap();
    assert_eq!(errno(shelf.read("other")), libc::ENODATA);
    // Another directory, set on the running volume.
    let elsewhere = shelf.folder.join("elsewhere");
    let list = format!("path={}", elsewhere.display());
    shelf
        .volume
        .set("features.cloudsync-store-id", &list)
        .unwrap();
    shelf.write("third", &pattern(4, 70_000));
    shelf.archive("third", "elsewhere/");
    shelf
        .volume
        .set("features.cloudsync-store-id", "nonsense")
        .unwrap();
    shelf.remount();
    assert_eq!(errno(shelf.read("third")), libc::EREMOTE);
    assert!(shelf.mount().log().contains("expected path=/folder"));
}

/// Winds writes without waiting for any, and does not learn their results.
#[test]
fn a_c_plugin_of_the_stock_abi_recalls_files() {
    let mut shelf = Shelf::new("stock", &[BUCKET]);
    let bytes = pattern(5, 12_000_003);
    shelf.write("file", &bytes);
    shelf.write("lost", &bytes);
    for name in ["file", "lost"] {
        shelf.archive(name, "");
    }
    shelf.remount();
    assert_same(&shelf.read("file").unwrap(), &bytes, "file");
    // Half an object, which the plugin takes for the whole.
    shelf.put("lost", &bytes[..6_000_000]);
    assert_eq!(errno(shelf.read("lost")), libc::EBADMSG);
    fs::remove_file(shelf.object("lost")).unwrap();
    assert_eq!(
        errno(shelf.read("lost")),
        libc::EREMOTEIO,
        "the plugin returns no errno"
    );
    assert!(shelf.is_cold("lost"));
    shelf.put("lost", &bytes);
    assert_same(&shelf.read("lost").unwrap(), &bytes, "lost");
    // A claim with a checksum relies on the checksum being compared.
    shelf.write("summed", &bytes);
    let path = shelf.path("summed");
    let refused = shelf.within("csou.complete", move || {
        let summed = Claim {
            checksum: Checksum::parse("crc32:y/Q5Jg=="),
            key: Some("file".to_owned()),
            ..claim(&fs::metadata(&path)?)
        };
        let value = summed.to_string();
        xattr::set(path, "trusted.glusterfs.csou.complete", value.as_bytes())
    });
    assert_eq!(errno(refused), libc::EPROTONOSUPPORT);
    assert!(!shelf.is_cold("summed"));
}

/// The name that the stock translator knows means the plugin of that name where there is one, and ours elsewhere.
#[test]
fn a_plugin_of_one_s_own_can_be_called_cloudsyncs3() {
    let shelf = Shelf::new("stock", &[BUCKET]);
    let bytes = pattern(9, 100_000);
    shelf.write("file", &bytes);
    shelf.archive("file", "");
    let stock = lab().outer(plugin_folder().join("libstock.so"));
    let own = lab().outer(plugin_folder().join("cloudsyncs3.so"));
    let client = |loaded: &str| {
        let option = "--xlator-option=*cloudsync.cloudsync-storetype=cloudsyncs3";
        let mount = shelf.volume.mount(&MountOptions::default().arg(option));
        let mount = mount.unwrap();
        let log = mount.log();
        assert!(log.contains(loaded), "{loaded}\n{log}");
        mount
    };
    // Ours needs other settings.
    drop(client("store 'cloudsyncs3': its settings are invalid"));
    fs::copy(stock, &own).unwrap();
    let mount = client("store 'cloudsyncs3' is up (cloudsyncs3.so)");
    fs::remove_file(own).unwrap();
    let path = mount.path().join("file");
    let read = mount.within(PATIENCE, "read", move || fs::read(path));
    assert_same(&read.unwrap(), &bytes, "file");
}

/// The plugin reports success although the volume refuses its writes.
#[test]
fn a_full_brick_is_detected_for_a_plugin_that_ignores_it() {
    let mut shelf = Shelf::on("stock", &[BUCKET], Backing::Sized(48 << 20));
    shelf.write("file", &pattern(6, 20 << 20));
    shelf.archive("file", "");
    fill(shelf.mount(), 30 << 20);
    shelf.remount();
    assert_eq!(errno(shelf.read("file")), libc::ENOSPC);
    assert!(shelf.is_cold("file"));
}

/// A compiled plugin for the stock translator: Debian's. It needs a library that Debian does not ship.
#[test]
fn a_missing_library_of_the_shipped_plugin_is_named() {
    let shipped = plugin_folder().join("cloudsynccvlt.so");
    assert!(lab().outer(&shipped).is_file(), "{}", shipped.display());
    let shelf = Shelf::new("shelf", &[STORE_ID]);
    shelf.write("cold", &pattern(8, 1000));
    shelf.archive("cold", "");
    shelf
        .volume
        .set("features.cloudsync-storetype", "cvlt")
        .unwrap();
    let mount = shelf.volume.mount(&MountOptions::default()).unwrap();
    let path = mount.path();
    fs::write(path.join("local"), "local").unwrap();
    assert_eq!(fs::read(path.join("local")).unwrap(), b"local");
    assert_eq!(errno(fs::read(path.join("cold"))), libc::EREMOTE);
    let log = mount.log();
    let logged: Vec<_> = log
        .lines()
        .filter(|line| line.contains("store 'cvlt'"))
        .collect();
    assert_eq!(logged.len(), 1, "{log}");
    let clear = "needs libopenarchive.so, which cannot be loaded: libopenarchive.so: cannot open shared object file";
    assert!(
        logged[0].contains(clear) && logged[0].contains("local files work"),
        "{logged:?}"
    );
}

/// Such a plugin cannot fetch a part of an object, so nothing can be compared. Content of another size is kept.
#[test]
fn bytes_written_after_a_recall_died_are_kept() {
    let mut shelf = Shelf::new("stock", &[BUCKET]);
    let (bytes, new) = (pattern(5, 96 << 20), pattern(6, 5_000_000));
    shelf.write("file", &bytes);
    shelf.archive("file", "");
    shelf.remount();
    let path = shelf.path("file");
    let reader = std::thread::spawn(move || fs::read(path));
    let brick = shelf.volume.bricks()[0].join("file");
    let started = || (fs::metadata(&brick).unwrap().blocks() > 4096).then_some(());
    until(PATIENCE, "the first bytes", started).unwrap();
    shelf.mount.take().unwrap().kill9().unwrap();
    let _ = reader.join();
    shelf.volume.set("features.cloudsync", "off").unwrap();
    let without = shelf.volume.mount(&MountOptions::default()).unwrap();
    fs::write(without.path().join("file"), &new).unwrap();
    without.unmount().unwrap();
    shelf.volume.set("features.cloudsync", "on").unwrap();
    shelf.mount = Some(shelf.volume.mount(&MountOptions::default()).unwrap());
    assert_same(&shelf.read("file").unwrap(), &new, "file");
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Plugins that others wrote: in C, for us and for the stock translator; and the one that the distribution ships.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use cloudsync_format::checksum::Checksum;
use cloudsync_format::claim::Claim;
use cloudsync_lab::{Backing, MountOptions, until};

use super::{Shelf, lab, plugin_folder};
use crate::scene::{PATIENCE, assert_same, claim, errno, pattern};

const STORE_ID: (&str, &str) = ("features.cloudsync-store-id", "path=%");
const BUCKET: (&str, &str) = ("features.s3plugin-bucketid", "%");

/// It gives the parts that are asked for, and describes objects.
#[test]
fn a_plugin_in_c_that_fetches_parts() {
    recalls_and_refuses("shelf");
}

/// It brings whole files: blocks, and returns what happened.
#[test]
fn a_plugin_in_c_that_blocks_and_returns() {
    recalls_and_refuses("whole");
}

fn recalls_and_refuses(store: &str) {
    let mut shelf = Shelf::new(store, &[STORE_ID]);
    let bytes = pattern(1, 5_000_001);
    shelf.write("file", &bytes);
    assert_eq!(errno(shelf.cut("file")), libc::ENODATA, "its head is asked");
    shelf.archive("file", "");
    shelf.write("other", &pattern(2, 300_000));
    shelf.archive("other", "");
    shelf.remount();
    assert_same(&shelf.read("file").unwrap(), &bytes, "file");
    shelf.put("other", &pattern(3, 300_000));
    assert_eq!(
        errno(shelf.read("other")),
        libc::ESTALE,
        "it compares versions"
    );
    fs::remove_file(shelf.object("other")).unwrap();
    assert_eq!(errno(shelf.read("other")), libc::ENODATA);
    // Another folder, while it runs.
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

/// It winds writes and never waits for one, and does not know what became of them.
#[test]
fn a_plugin_in_c_of_the_stock_style() {
    let mut shelf = Shelf::new("stock", &[BUCKET]);
    let bytes = pattern(5, 12_000_003);
    shelf.write("file", &bytes);
    shelf.write("lost", &bytes);
    for name in ["file", "lost"] {
        shelf.archive(name, "");
    }
    shelf.remount();
    assert_same(&shelf.read("file").unwrap(), &bytes, "file");
    // Half an object, which it takes for the whole.
    shelf.put("lost", &bytes[..6_000_000]);
    assert_eq!(errno(shelf.read("lost")), libc::EBADMSG);
    fs::remove_file(shelf.object("lost")).unwrap();
    assert_eq!(
        errno(shelf.read("lost")),
        libc::EREMOTEIO,
        "it gives no errno"
    );
    assert!(shelf.is_cold("lost"));
    shelf.put("lost", &bytes);
    assert_same(&shelf.read("lost").unwrap(), &bytes, "lost");
    // Whoever says a checksum relies on it that somebody compares it.
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

/// It says that all went well while the volume refuses what it writes.
#[test]
fn a_full_brick_is_noticed_for_a_plugin_that_does_not_look() {
    let mut shelf = Shelf::on("stock", &[BUCKET], Backing::Sized(48 << 20));
    shelf.write("file", &pattern(6, 20 << 20));
    shelf.archive("file", "");
    shelf.write("filler", &pattern(7, 30 << 20));
    shelf.remount();
    assert_eq!(errno(shelf.read("file")), libc::ENOSPC);
    assert!(shelf.is_cold("file"));
}

/// A built plugin for the stock translator: Debian's. Its back-end is a library that Debian does not have.
#[test]
fn the_distribution_s_own_plugin_loads_and_its_missing_back_end_is_named() {
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
    let said: Vec<_> = log
        .lines()
        .filter(|line| line.contains("store 'cvlt'"))
        .collect();
    assert_eq!(said.len(), 1, "{log}");
    let clear = "needs libopenarchive.so, which cannot be loaded: libopenarchive.so: cannot open shared object file";
    assert!(
        said[0].contains(clear) && said[0].contains("local files work"),
        "{said:?}"
    );
}

/// A back-end for it that starts, and nothing more.
const BACK_END: &str = "
    #include <stdint.h>
    typedef int32_t (*function)(void);
    static int32_t fine(void) { return 0; }
    int32_t get_archstore_methods(function *table);
    int32_t get_archstore_methods(function *table) { for (int i = 0; i < 8; i++) table[i] = fine; return 0; }
";

/// With a back-end, its own init runs to the end and reads our options.
#[test]
fn the_distribution_s_own_plugin_runs_when_its_back_end_is_there() {
    let folder = lab().outer(lab().scratch("back-end"));
    fs::create_dir_all(&folder).unwrap();
    let (source, library) = (folder.join("back-end.c"), folder.join("libopenarchive.so"));
    fs::write(&source, BACK_END).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(&source);
    assert!(cc.status().unwrap().success());
    let shelf = Shelf::new("shelf", &[STORE_ID]);
    shelf
        .volume
        .set("features.cloudsync-storetype", "cvlt")
        .unwrap();
    let options =
        MountOptions::default().env("LD_LIBRARY_PATH", lab().inner(folder).display().to_string());
    let mount = shelf.volume.mount(&options).unwrap();
    fs::write(mount.path().join("local"), "local").unwrap();
    assert_eq!(fs::read(mount.path().join("local")).unwrap(), b"local");
    let log = mount.log();
    assert!(log.contains("store 'cvlt' is up"), "{log}");
    assert!(
        log.contains("store id is : path="),
        "its option was read\n{log}"
    );
}

/// Such a plugin cannot be asked for a part of an object, so nothing can be compared. What is another size is somebody's.
#[test]
fn what_was_written_after_its_recall_died_is_the_file() {
    let mut shelf = Shelf::new("stock", &[BUCKET]);
    let (bytes, new) = (pattern(5, 96 << 20), pattern(6, 5_000_000));
    shelf.write("file", &bytes);
    shelf.archive("file", "");
    shelf.remount();
    let path = shelf.path("file");
    let reader = std::thread::spawn(move || fs::read(path));
    let brick = shelf.volume.bricks()[0].join("file");
    let begun = || (fs::metadata(&brick).unwrap().blocks() > 4096).then_some(());
    until(PATIENCE, "the first bytes", begun).unwrap();
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

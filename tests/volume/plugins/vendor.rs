// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The compiled plugin that the distribution ships with GlusterFS, which was built for the stock translator.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use cloudsync_lab::{Mount, MountOptions};

use super::{Shelf, lab, plugin_folder};
use crate::scene::{PATIENCE, assert_same, errno, pattern};

const REMOTE_READ: &str = "features.cloudsync-remote-read";
const SETTINGS: [(&str, &str); 2] = [
    ("features.cloudsync-store-id", "path=%"),
    ("features.cloudsync-product-id", "recalls=4"),
];

/// Compiles the library that the plugin opens. Returns its folder.
fn back_end() -> PathBuf {
    let folder = lab().outer(lab().scratch("back-end"));
    fs::create_dir_all(&folder).unwrap();
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/volume/plugins/back-end.c"
    );
    let fresh = folder.join(format!("fresh-{:?}", thread::current().id()));
    let mut cc = Command::new("cc");
    cc.args([
        "-shared", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Werror", "-o",
    ])
    .arg(&fresh)
    .arg(source);
    assert!(cc.status().unwrap().success());
    fs::rename(fresh, folder.join("libopenarchive.so")).unwrap();
    folder
}

/// A client that has the plugin's library.
fn with_library(shelf: &Shelf) -> MountOptions {
    MountOptions::default()
        .env(
            "LD_LIBRARY_PATH",
            lab().inner(back_end()).display().to_string(),
        )
        .env("ARCHIVE", shelf.folder.display().to_string())
        // The plugin keeps pointers into the options that it was given: freed memory is not to look as before.
        .env("MALLOC_PERTURB_", "165")
}

/// A volume with the plugin, a cold file of each size, and a client with its library.
fn cold(settings: &[(&str, &str)], sizes: &[usize]) -> (Shelf, Mount) {
    let shipped = plugin_folder().join("cloudsynccvlt.so");
    assert!(lab().outer(&shipped).is_file(), "{}", shipped.display());
    // Archived with a plugin that needs no library.
    let shelf = Shelf::new("whole", &SETTINGS);
    for (number, size) in sizes.iter().enumerate() {
        let name = format!("file-{number}");
        shelf.write(&name, &pattern(number as u64, *size));
        shelf.archive(&name, "");
    }
    for (key, value) in settings {
        shelf.volume.set(key, value).unwrap();
    }
    shelf
        .volume
        .set("features.cloudsync-storetype", "cvlt")
        .unwrap();
    let options = with_library(&shelf);
    let mount = shelf.volume.mount(&options).unwrap();
    (shelf, mount)
}

#[test]
fn the_shipped_plugin_runs_with_its_library() {
    let (_shelf, mount) = cold(&[], &[]);
    fs::write(mount.path().join("local"), "local").unwrap();
    assert_eq!(fs::read(mount.path().join("local")).unwrap(), b"local");
    let log = mount.log();
    assert!(log.contains("store 'cvlt' is up"), "{log}");
    assert!(
        log.contains("store id is : path="),
        "the plugin read its option\n{log}"
    );
}

#[test]
fn the_shipped_plugin_answers_reads_and_files_stay_cold() {
    let sizes = [1, 4096, 131_072, 3_000_001];
    let (shelf, mount) = cold(&[(REMOTE_READ, "on")], &sizes);
    let path = mount.path();
    let readers: Vec<_> = (0..16)
        .map(|reader| {
            let number = reader % sizes.len();
            let (file, size) = (path.join(format!("file-{number}")), sizes[number]);
            thread::spawn(move || {
                let read = fs::read(file).unwrap();
                assert_same(&read, &pattern(number as u64, size), "a file");
            })
        })
        .collect();
    mount.within(PATIENCE, "the readers", move || {
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
    });
    for number in 0..sizes.len() {
        assert!(shelf.is_cold(&format!("file-{number}")), "{number}");
    }
    let log = mount.log();
    assert!(mount.alive() && !log.contains("signal received"), "{log}");
    assert!(!log.contains("cannot read parts"), "{log}");
    // It has no error of its own for a missing object.
    fs::remove_file(shelf.object("file-3")).unwrap();
    let gone = path.join("file-3");
    let options = with_library(&shelf);
    drop(mount);
    let mount = shelf.volume.mount(&options).unwrap();
    let gone = mount.path().join(gone.file_name().unwrap());
    let read = mount.within(PATIENCE, "a read", move || fs::read(gone));
    assert_eq!(errno(read), libc::EIO);
    assert!(mount.alive());
}

/// It restores a file in place and by other means, and reports success.
#[test]
fn a_recall_by_the_shipped_plugin_fails_and_harms_nothing() {
    let (shelf, mount) = cold(&[], &[300_000]);
    let path = mount.path().join("file-0");
    let reading = path.clone();
    let read = mount.within(PATIENCE, "a recall", move || fs::read(reading));
    assert_eq!(errno(read), libc::EBADMSG);
    assert!(shelf.is_cold("file-0"));
    let log = mount.log();
    let ours = |line: &&str| line.contains("/file-0") && line.contains("recall failed");
    let lines: Vec<_> = log.lines().filter(ours).collect();
    // The kernel reads ahead first, and may try again for the reader.
    assert!((1..=2).contains(&lines.len()), "{log}");
    assert!(
        lines[0].contains("wrote none of the 300000 bytes")
            && lines[0].contains("features.cloudsync-remote-read on"),
        "{lines:?}"
    );
    assert!(mount.alive() && !log.contains("signal received"), "{log}");
    // As the line suggests.
    shelf.volume.set(REMOTE_READ, "on").unwrap();
    let read = mount.within(PATIENCE, "remote reads", move || {
        // The client is told some time after the command returns.
        thread::sleep(std::time::Duration::from_secs(2));
        fs::read(path)
    });
    assert_same(&read.unwrap(), &pattern(0, 300_000), "read remotely");
    assert!(shelf.is_cold("file-0"));
}

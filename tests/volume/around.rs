// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A cold file's metadata: names, attributes, permissions, locks, and programs that check them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cloudsync_lab::MountOptions;

use crate::operations::{LENGTH, assert_became, cold, old, on, scene};
use crate::scene::{PATIENCE, assert_same, pattern};

#[test]
fn every_hard_link_of_a_cold_file_reads_and_writes_it() {
    let mount = cold(&["first-name"]);
    let (first, second) = (scene().path("first-name"), mount.path().join("second-name"));
    let link = first.with_file_name("second-name");
    scene()
        .within("link", move || fs::hard_link(first, link))
        .unwrap();
    assert!(scene().is_cold("second-name"));
    let read = mount.within(PATIENCE, "read", || fs::read(second)).unwrap();
    assert_same(&read, &old(), "the second name");
    assert_became(&mount, "first-name", &old());
    // The same for a file that had both names before it was archived.
    scene().archive("second-name");
    assert!(scene().is_cold("first-name"));
    let append = |path: PathBuf| {
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"through the first").unwrap();
    };
    on(&mount, "first-name", append);
    let want = [&old(), b"through the first".as_slice()].concat();
    assert_became(&mount, "second-name", &want);
}

/// One file is recalled in one write and one is not.
#[test]
fn an_unlinked_open_cold_file_can_be_read_and_written() {
    for (name, length) in [("unlinked", LENGTH), ("unlinked-large", 3 << 20)] {
        let bytes = pattern(1, length);
        scene().write(name, &bytes);
        scene().archive(name);
        let mount = scene().volume.mount(&MountOptions::default()).unwrap();
        on(&mount, name, move |path| {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).open(&path).unwrap();
            fs::remove_file(path).unwrap();
            let mut read = vec![0; length];
            file.read_exact_at(&mut read, 0).unwrap();
            assert_same(&read, &bytes, "without a name");
            // write-behind reports a failed write when the file is synced.
            file.write_all_at(b"x", 0).unwrap();
            file.sync_all().unwrap();
            file.read_exact_at(&mut read, 0).unwrap();
            assert_eq!(read[0], b'x');
            assert_same(&read[1..], &bytes[1..], "after a write");
        });
    }
}

/// Operations that need no bytes work as on any file: attributes, permissions, locks, flush, readdir.
#[test]
fn metadata_operations_and_locks_recall_nothing() {
    let mount = cold(&["other/file"]);
    on(&mount, "other/file", |path| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        rustix::fs::access(&path, rustix::fs::Access::READ_OK).unwrap();
        file.try_lock().unwrap();
        file.unlock().unwrap();
        let lock = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::fcntl_lock(&file, lock).unwrap();
        xattr::set(&path, "user.colour", b"blue").unwrap();
        assert_eq!(xattr::get(&path, "user.colour").unwrap().unwrap(), b"blue");
        assert!(
            xattr::list(&path)
                .unwrap()
                .any(|name| name == "user.colour")
        );
        xattr::remove(&path, "user.colour").unwrap();
        file.sync_all().unwrap();
        rustix::fs::statvfs(&path).unwrap();
        let names = fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 1);
        drop(file);
        assert_eq!(fs::metadata(path).unwrap().len(), LENGTH as u64);
    });
    assert!(scene().is_cold("other/file"), "it must not be recalled");
    let read = on(&mount, "other/file", |path| fs::read(path).unwrap());
    assert_same(&read, &old(), "other/file");
}

fn output(program: &str, words: &[&str], path: &Path) -> Vec<u8> {
    let mut command = std::process::Command::new(program);
    let output = command.args(words).arg(path).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    output.stdout
}

/// They check how many blocks a file occupies before they read it.
#[test]
fn hole_aware_programs_copy_the_real_bytes() {
    let mount = cold(&["tools/listed", "tools/tar", "tools/sparse", "tools/auto"]);
    on(&mount, "tools", |dir| {
        let file = dir.join("listed");
        let listed = output("ls", &["-ls", "--block-size=1"], &file);
        let listed = String::from_utf8(listed).unwrap();
        let fields: Vec<_> = listed.split_whitespace().collect();
        assert_eq!((fields[0], fields[5]), ("512", "200000"), "{listed}");
        let used = |words: &[&str]| {
            let text = String::from_utf8(output("du", words, &file)).unwrap();
            text.split_whitespace()
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        assert_eq!(used(&["-B1"]), 512);
        assert_eq!(used(&["-B1", "--apparent-size"]), LENGTH as u64);
    });
    assert!(scene().is_cold("tools/listed"), "stat must not recall");
    let archive = on(&mount, "tools/tar", |path| {
        output("tar", &["--sparse", "-P", "-cf", "-"], &path)
    });
    let place = archive.windows(64).position(|bytes| bytes == &old()[..64]);
    let place = place.expect("the archive has the file's first bytes");
    assert_same(&archive[place..place + LENGTH], &old(), "in the archive");
    for (name, how) in [("tools/sparse", "always"), ("tools/auto", "auto")] {
        let sparse = format!("--sparse={how}");
        on(&mount, name, move |path| {
            let copy = path.with_extension("copy");
            let words = [&sparse, "-T", path.to_str().unwrap()];
            output("cp", &words, &copy);
        });
        let copy = on(&mount, &format!("{name}.copy"), |path| {
            fs::read(path).unwrap()
        });
        assert_same(&copy, &old(), how);
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Ways to read and write files other than read and write: each must work on a cold file's real bytes.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cloudsync_lab::{Mount, MountOptions};
use rustix::fs::{SeekFrom, seek};

use crate::calls::{call, words};
use crate::scene::{PATIENCE, Scene, assert_same, pattern};

pub(crate) const LENGTH: usize = 200_000;

pub(crate) fn old() -> Vec<u8> {
    pattern(1, LENGTH)
}

/// One volume for all these tests.
pub(crate) fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| Scene::new("operations"))
}

/// Cold files, and a client that does not know them yet.
pub(crate) fn cold(names: &[&str]) -> Mount {
    for name in names {
        scene().write(name, &old());
        scene().archive(name);
    }
    scene().volume.mount(&MountOptions::default()).unwrap()
}

/// Runs `work` on a file of a client.
pub(crate) fn on<T: Send + 'static>(
    mount: &Mount,
    name: &str,
    work: impl FnOnce(PathBuf) -> T + Send + 'static,
) -> T {
    let path = mount.path().join(name);
    mount.within(PATIENCE, name, move || work(path))
}

/// The file is local, and both the client and the brick have `want`.
#[track_caller]
pub(crate) fn assert_became(mount: &Mount, name: &str, want: &[u8]) {
    scene().await_local(name);
    let seen = on(mount, name, |path| fs::read(path).unwrap());
    assert_same(&seen, want, name);
    assert_same(
        &fs::read(scene().brick(name)).unwrap(),
        want,
        "the brick's file",
    );
}

fn with(new: &[u8], offset: usize) -> Vec<u8> {
    let mut bytes = old();
    bytes.resize(bytes.len().max(offset + new.len()), 0);
    bytes[offset..offset + new.len()].copy_from_slice(new);
    bytes
}

/// Tests calls that read. Each file is named after its call.
fn reads(names: &[&'static str], offset: usize, length: usize) {
    let mount = cold(names);
    for &name in names {
        let run = move |path: PathBuf| call(&words(name, &path, &[offset, length]), b"");
        let got = on(&mount, name, run).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_same(&got, &old()[offset..offset + length], name);
        assert_became(&mount, name, &old());
    }
}

/// Tests calls that write. Each file is named after its call.
fn writes(names: &[&'static str], offset: usize, new: &'static [u8]) {
    let mount = cold(names);
    for &name in names {
        let run = move |path: PathBuf| call(&words(name, &path, &[offset]), new);
        on(&mount, name, run).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_became(&mount, name, &with(new, offset));
    }
}

#[test]
fn mmap_reads_and_writes_the_real_bytes() {
    reads(&["mmap-read"], 77_777, 50_000);
    writes(&["mmap-write"], 77_777, b"WRITTEN INTO MAPPED MEMORY");
}

#[test]
fn splice_and_sendfile_transfer_the_real_bytes() {
    reads(&["splice-from", "sendfile-from"], 10_001, 150_000);
    writes(&["splice-into"], 10_001, b"SPLICED");
    let mount = cold(&["sendfile-into"]);
    let from = mount.path().join("small");
    fs::write(&from, b"SENT").unwrap();
    let run = move |path: PathBuf| {
        let mut words = words("sendfile-into", &path, &[10_001]);
        words.extend([from.to_str().unwrap().to_owned(), "4".to_owned()]);
        call(&words, b"").unwrap();
    };
    on(&mount, "sendfile-into", run);
    assert_became(&mount, "sendfile-into", &with(b"SENT", 10_001));
}

#[test]
fn direct_io_reads_and_writes_the_real_bytes() {
    reads(&["direct-read"], 8192, 65_536);
    writes(&["direct-write"], 8192, &[b'D'; 4096]);
}

/// O_APPEND: at the end of the real file, not of the truncated one.
#[test]
fn two_appends_keep_their_order() {
    let mount = cold(&["appended"]);
    on(&mount, "appended", |path| {
        for text in ["first, ", "second"] {
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
    });
    let want = [&old(), b"first, second".as_slice()].concat();
    assert_became(&mount, "appended", &want);
}

/// Every mode that GlusterFS passes on from a mount. (It treats FALLOC_FL_ZERO_RANGE as an allocation, for local files,
/// too; answers.rs tests zerofill.)
#[test]
fn fallocate_works_on_the_real_bytes() {
    const KEEP: i32 = libc::FALLOC_FL_KEEP_SIZE;
    const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | KEEP;
    let zeros = |bytes: usize, offset| with(&vec![0; bytes], offset);
    let grown = zeros(50_000, LENGTH);
    let cases = [
        ("allocate", 0, 4096, 8192, old()),
        ("grow", 0, LENGTH, 50_000, grown.clone()),
        ("allocate-behind", KEEP, LENGTH, 50_000, old()),
        ("punch", PUNCH, 4096, 8192, zeros(8192, 4096)),
        ("punch-odd", PUNCH, 5000, 100_001, zeros(100_001, 5000)),
    ];
    let names: Vec<_> = cases.iter().map(|case| case.0).collect();
    let mount = cold(&names);
    for (name, mode, offset, length, want) in cases {
        let numbers = [mode.try_into().unwrap(), offset, length];
        let run = move |path: PathBuf| call(&words("fallocate", &path, &numbers), b"");
        on(&mount, name, run).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_became(&mount, name, &want);
    }
}

/// Where data and holes begin, from several offsets.
fn map_of(path: &Path) -> Vec<Result<u64, rustix::io::Errno>> {
    let file = File::open(path).unwrap();
    let places = [
        0,
        1,
        4096,
        100_000,
        LENGTH as u64 - 1,
        LENGTH as u64,
        1 << 30,
    ];
    let both = |place| [SeekFrom::Data(place), SeekFrom::Hole(place)];
    let positions = places.into_iter().flat_map(both);
    positions.map(|place| seek(&file, place)).collect()
}

#[test]
fn seek_data_and_seek_hole_match_a_local_file() {
    let mount = cold(&["sought"]);
    fs::write(mount.path().join("whole"), old()).unwrap();
    let found = on(&mount, "sought", |path| map_of(&path));
    let whole = on(&mount, "whole", |path| map_of(&path));
    assert_eq!(found, whole);
    assert_eq!(found[0], Ok(0), "data from the first byte");
    assert_eq!(found[1], Ok(LENGTH as u64), "no hole before the end");
    assert!(scene().is_cold("sought"), "a seek needs no bytes");
    // By a client that knows nothing of the file, through a descriptor.
    let mount = cold(&[]);
    assert_eq!(on(&mount, "sought", |path| map_of(&path)), whole);
    assert!(scene().is_cold("sought"));
    assert_eq!(on(&mount, "sought", |path| fs::read(path).unwrap()), old());
}

/// Objects have no holes.
#[test]
fn a_sparse_file_is_recalled_with_zeros_in_its_holes() {
    let file = File::create(scene().path("sparse")).unwrap();
    file.set_len(1 << 20).unwrap();
    drop(file);
    scene().archive("sparse");
    let mount = cold(&[]);
    let bytes = on(&mount, "sparse", |path| fs::read(path).unwrap());
    assert_same(&bytes, &vec![0; 1 << 20], "sparse");
}

#[test]
fn copy_file_range_works_between_cold_files() {
    let mount = cold(&["copied-from", "copied-into"]);
    let other = mount.path().join("copied-into");
    let copied = on(&mount, "copied-from", move |path| {
        let from = File::open(path).unwrap();
        let into = OpenOptions::new().write(true).open(other).unwrap();
        let (mut off_in, mut off_out) = (1000, 150_000);
        rustix::fs::copy_file_range(&from, Some(&mut off_in), &into, Some(&mut off_out), 100_000)
    });
    assert_eq!(copied, Ok(100_000));
    assert_became(&mount, "copied-into", &with(&old()[1000..101_000], 150_000));
    assert_became(&mount, "copied-from", &old());
}

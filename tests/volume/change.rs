// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Changes of cold files: a change of bytes recalls the file first, a change of metadata does not.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::calls::{call, words};
use crate::scene::{Scene, assert_same, errno, pattern};

const LENGTH: usize = 100_000;

/// Applies `change` to a cold file in a new client; the file must read as `want`, in this mount and after a remount.
fn changed(name: &str, change: impl FnOnce(PathBuf) + Send + 'static, want: &[u8]) -> Scene {
    let mut scene = Scene::new(name);
    scene.write("file", &pattern(1, LENGTH));
    scene.archive("file");
    scene.remount();
    let path = scene.path("file");
    scene.within("change", move || change(path));
    assert_same(&scene.read("file").unwrap(), want, "the same mount");
    scene.remount();
    assert_eq!(scene.stat("file").len(), want.len() as u64);
    assert_same(&scene.read("file").unwrap(), want, "after a remount");
    scene.assert_idle();
    scene
}

#[test]
fn a_write_in_the_middle_keeps_the_bytes_around_it() {
    let mut want = pattern(1, LENGTH);
    want[50_000..50_005].copy_from_slice(b"WRITE");
    changed(
        "middle",
        |path| {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(b"WRITE", 50_000).unwrap();
            file.sync_all().unwrap();
        },
        &want,
    );
}

/// B3 in docs/SEMANTICS.md: the recorded size must not hide appended bytes.
#[test]
fn appended_bytes_can_be_read() {
    let mut want = pattern(1, LENGTH);
    want.extend_from_slice(b"APPENDED");
    let scene = changed(
        "append",
        |path| {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"APPENDED").unwrap();
            file.sync_all().unwrap();
        },
        &want,
    );
    scene.await_local("file");
}

#[test]
fn truncation_keeps_the_bytes_before_the_new_end() {
    changed(
        "truncate",
        |path| {
            OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(40_000)
                .unwrap()
        },
        &pattern(1, 40_000),
    );
}

/// B11 in docs/SEMANTICS.md: truncate(2) has no descriptor.
#[test]
fn truncation_by_path_keeps_the_bytes_before_the_new_end() {
    changed(
        "by-path",
        |path| drop(call(&words("truncate", &path, &[40_000]), b"").unwrap()),
        &pattern(1, 40_000),
    );
}

#[test]
fn an_open_with_o_trunc_leaves_only_new_bytes() {
    changed("o-trunc", |path| fs::write(path, b"new").unwrap(), b"new");
}

#[test]
fn extending_a_cold_file_adds_zeros() {
    let mut want = pattern(1, LENGTH);
    want.resize(LENGTH + 5000, 0);
    changed(
        "grow",
        |path| {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_len((LENGTH + 5000) as u64).unwrap();
        },
        &want,
    );
}

#[test]
fn punching_a_hole_keeps_the_other_bytes() {
    let mut want = pattern(1, LENGTH);
    want[4096..8192].fill(0);
    changed(
        "punch",
        |path| {
            let status = std::process::Command::new("fallocate")
                .args(["--punch-hole", "--offset", "4096", "--length", "4096"])
                .arg(&path)
                .status()
                .unwrap();
            assert!(status.success());
        },
        &want,
    );
}

/// B14 in docs/SEMANTICS.md: metadata changes do not recall the file, and it stays readable.
#[test]
fn chmod_touch_link_and_rename_recall_nothing() {
    let scene = metadata_changes_recall_nothing(Scene::new("attributes"), LENGTH);
    assert_eq!(scene.stat("moved").mtime(), 1_500_000_000);
}

pub(crate) fn metadata_changes_recall_nothing(mut scene: Scene, length: usize) -> Scene {
    scene.write("file", &pattern(1, length));
    scene.archive("file");
    scene.remount();
    let (file, link, moved) = (scene.path("file"), scene.path("link"), scene.path("moved"));
    let sizes = scene.within("attributes", move || {
        let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let chmod = size(&file);
        let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
        File::open(&file).unwrap().set_modified(then).unwrap();
        let touch = size(&file);
        std::os::unix::fs::chown(&file, Some(12), Some(34)).unwrap();
        let chown = size(&file);
        fs::hard_link(&file, &link).unwrap();
        let linked = size(&link);
        fs::rename(&file, &moved).unwrap();
        [chmod, touch, chown, linked, size(&moved)]
    });
    assert_eq!(sizes, [length as u64; 5], "chmod, touch, chown, ln, mv");
    assert!(
        scene.is_cold("moved") && scene.is_cold("link"),
        "they must not be recalled"
    );
    scene.remount();
    let data = scene.stat("moved");
    assert_eq!(
        (data.mode() & 0o777, data.uid(), data.gid(), data.nlink()),
        (0o640, 12, 34, 2)
    );
    assert_eq!(data.len(), length as u64);
    assert_eq!(data.mtime(), 1_500_000_000);
    assert_same(
        &scene.read("link").unwrap(),
        &pattern(1, length),
        "through the other name",
    );
    assert_same(&scene.read("moved").unwrap(), &pattern(1, length), "moved");
    scene
}

#[test]
fn copying_a_cold_file_reads_the_real_bytes() {
    let mut scene = Scene::new("copy");
    scene.write("file", &pattern(1, LENGTH));
    scene.archive("file");
    scene.remount();
    let (from, to) = (scene.path("file"), scene.path("copy"));
    // std::fs::copy uses copy_file_range if the kernel has it.
    assert_eq!(
        scene.within("copy", move || fs::copy(from, to)).unwrap(),
        LENGTH as u64
    );
    assert_same(&scene.read("copy").unwrap(), &pattern(1, LENGTH), "copy");
}

#[test]
fn copying_into_a_cold_file_keeps_the_other_bytes() {
    let mut scene = Scene::new("copy-into");
    scene.write("from", &pattern(2, 8192));
    scene.write("into", &pattern(1, LENGTH));
    scene.archive("from");
    scene.archive("into");
    scene.remount();
    let (from, into) = (scene.path("from"), scene.path("into"));
    let copied = scene.within("copy_file_range", move || {
        let from = File::open(from).unwrap();
        let into = OpenOptions::new().write(true).open(into).unwrap();
        let (mut off_in, mut off_out) = (0, 4096);
        rustix::fs::copy_file_range(&from, Some(&mut off_in), &into, Some(&mut off_out), 8192)
    });
    assert_eq!(copied.unwrap(), 8192);
    let mut want = pattern(1, LENGTH);
    want[4096..12_288].copy_from_slice(&pattern(2, 8192));
    assert_same(&scene.read("into").unwrap(), &want, "into");
}

#[test]
fn a_cold_file_can_be_removed() {
    let mut scene = Scene::new("remove");
    scene.write("file", &pattern(1, LENGTH));
    scene.archive("file");
    scene.remount();
    let path = scene.path("file");
    scene
        .within("remove", move || fs::remove_file(path))
        .unwrap();
    assert_eq!(errno(scene.read("file")), libc::ENOENT);
    assert!(!scene.brick("file").exists());
}

/// mmap and exec result in reads, too, but take other paths through the kernel.
#[test]
fn exec_and_reads_at_an_offset_get_the_real_bytes() {
    let mut scene = Scene::new("exec");
    let program = fs::read("/bin/true").unwrap();
    scene.write("true", &program);
    let path = scene.path("true");
    scene
        .within("chmod", move || {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        })
        .unwrap();
    scene.write("file", &pattern(1, LENGTH));
    scene.archive("true");
    scene.archive("file");
    scene.remount();
    let path = scene.path("true");
    let status = scene
        .within("exec", move || std::process::Command::new(path).status())
        .unwrap();
    assert!(status.success());
    let path = scene.path("file");
    let middle = scene.within("read the middle", move || {
        let mut file = File::open(path).unwrap();
        file.seek(SeekFrom::Start(77_777)).unwrap();
        let mut bytes = vec![0; 1000];
        file.read_exact(&mut bytes).unwrap();
        bytes
    });
    assert_same(&middle, &pattern(1, LENGTH)[77_777..78_777], "the middle");
}

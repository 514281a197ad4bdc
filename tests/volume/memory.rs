// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Clients under valgrind's memcheck, which must report no error of ours; and a plugin whose errors it must report.
//! `scripts/memcheck.sh` runs the other tests' clients under memcheck.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use cloudsync_lab::memcheck::{self, Report};
use cloudsync_lab::{Backing, Layout, Mount, MountOptions, until};

use crate::gate::Gate;
use crate::native::install_plugin;
use crate::scene::{Scene, assert_same, errno, lab, pattern};

/// Memcheck is twenty to fifty times slower.
const PATIENCE: Duration = Duration::from_secs(120);

/// Options that run a client under memcheck, with its reports in files named `reports` plus a suffix.
fn options(reports: &Path) -> MountOptions {
    let words = memcheck::valgrind_command(reports);
    MountOptions::default().under(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Our reports, after the client has ended.
fn reports(name: &Path) -> Vec<Report> {
    let folder = lab().outer(name.parent().unwrap());
    let stem = name.file_name().unwrap().to_str().unwrap();
    let found = memcheck::reports(&folder, stem).unwrap();
    assert!(found.ended > 0, "no client exited normally");
    eprintln!(
        "| memcheck ({stem}) | {} reports, {} of them ours |",
        found.all,
        found.ours.len()
    );
    found.ours
}

fn within<T: Send + 'static>(
    mount: &Mount,
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    mount.within(PATIENCE, what, work)
}

/// Reads, writes, truncations, failures, a handshake, a cancelled recall: each once.
#[test]
fn memcheck_reports_no_error_of_ours() {
    let gate = Gate::new();
    let settings = [("features.s3plugin-hostname", gate.url())];
    let mut scene = Scene::with("memcheck", &settings, Backing::Ram);
    let large = pattern(1, 20 << 20);
    let small = pattern(2, 30_000);
    for name in ["small", "written", "appended", "cut", "lost"] {
        scene.write(name, &small);
        scene.archive(name);
    }
    for name in ["large", "held/cancelled"] {
        scene.write(name, &large);
        scene.archive(name);
    }
    scene.write("local", &small);
    scene.bucket.put("local", &small).unwrap();
    scene.bucket.delete("lost").unwrap();
    drop(scene.take_mount());

    let name = lab().scratch("memcheck-ours.xml");
    let mount = scene.volume.mount(&options(&name)).unwrap();
    let root = mount.path();
    let wanted = (large.clone(), small.clone());
    let path = root.clone();
    within(&mount, "reads and writes", move || {
        let (large, small) = wanted;
        assert_same(&fs::read(path.join("small")).unwrap(), &small, "small");
        assert_same(&fs::read(path.join("large")).unwrap(), &large, "large");
        let file = OpenOptions::new()
            .write(true)
            .open(path.join("written"))
            .unwrap();
        file.write_all_at(b"new", 10_000).unwrap();
        file.sync_all().unwrap();
        let mut file = OpenOptions::new()
            .append(true)
            .open(path.join("appended"))
            .unwrap();
        file.write_all(b"more").unwrap();
        file.sync_all().unwrap();
        let file = OpenOptions::new()
            .write(true)
            .open(path.join("cut"))
            .unwrap();
        file.set_len(100).unwrap();
        assert_eq!(errno(fs::read(path.join("lost"))), libc::ENODATA);
        let names = fs::read_dir(&path).unwrap();
        assert!(names.count() > 5);
        let seconds = {
            fs::metadata(path.join("local"))
                .unwrap()
                .mtime()
                .to_string()
        };
        let local = path.join("local");
        xattr::set(
            &local,
            "trusted.glusterfs.csou.complete",
            seconds.as_bytes(),
        )
        .unwrap();
        let state = xattr::get(&local, "glusterfs.cloudsync.state")
            .unwrap()
            .unwrap();
        assert!(state.starts_with(b"cold"));
        assert_same(&fs::read(&local).unwrap(), &small, "local");
        rustix::fs::statvfs(&path).unwrap();
    });
    gate.hold();
    let held = root.join("held/cancelled");
    let reader = {
        let held = held.clone();
        thread::spawn(move || {
            OpenOptions::new()
                .read(true)
                .open(held)?
                .read_at(&mut [0; 10], 15 << 20)
        })
    };
    let brick = scene.brick("held/cancelled");
    until(PATIENCE, "the recall", || {
        (fs::metadata(&brick).unwrap().blocks() > 0).then_some(())
    })
    .unwrap();
    within(&mount, "cancel", move || {
        xattr::set(held, "glusterfs.cloudsync.cancel", b"1").unwrap();
    });
    gate.open();
    let _ = within(&mount, "the reader", move || reader.join().unwrap());
    drop(mount.statedump().unwrap());
    mount.unmount().unwrap();
    let found = reports(&name);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn memcheck_reports_the_errors_of_an_invalid_plugin() {
    install_plugin("invalid", "plugin-invalid/invalid.c", &["-g", "-O0"]);
    let volume = lab()
        .volume("invalid", Layout::Single, Backing::Ram)
        .unwrap();
    volume.set("features.cloudsync", "on").unwrap();
    let name = lab().scratch("memcheck-invalid.xml");
    let options = options(&name).arg("--xlator-option=*cloudsync.cloudsync-storetype=invalid");
    let mount = volume.mount(&options).unwrap();
    let path = mount.path().join("file");
    let read = within(&mount, "archive and read", move || {
        fs::write(&path, pattern(1, 10_000)).unwrap();
        let seconds = fs::metadata(&path).unwrap().mtime().to_string();
        xattr::set(&path, "trusted.glusterfs.csou.complete", seconds.as_bytes()).unwrap();
        let mut byte = [0];
        OpenOptions::new()
            .read(true)
            .open(path)
            .unwrap()
            .read_at(&mut byte, 9_999)
    });
    assert_eq!(errno(read), libc::ENODATA);
    mount.unmount().unwrap();
    let found = reports(&name);
    for kind in ["UninitCondition", "InvalidRead", "Leak_DefinitelyLost"] {
        assert!(
            found
                .iter()
                .any(|report| report.kind == kind && report.text.contains("invalid_download")),
            "no {kind} in {found:#?}"
        );
    }
}

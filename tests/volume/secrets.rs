// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A secret key that the volume only refers to must not appear in any log, dump, volume file, `.meta` or process list, at
//! the highest log level, whether recalls work or fail. And where GlusterFS itself shows a key that is in the option.

use std::fs;
use std::path::{Path, PathBuf};

use cloudsync_lab::{Backing, Mount, MountOptions, until};

use crate::scene::{PATIENCE, Scene, assert_same, errno, lab, pattern};

/// Secrets of key pairs that only these tests use, never passed on a command line of GlusterFS.
const SECRET: &str = "hush/0123+this-is-only-in-a-file";
const WRONG: &str = "hush/4567+this-is-only-in-a-file-too";
const IN_ENVIRONMENT: &str = "hush/89ab+this-is-only-in-the-environment";
/// Set in the option, which GlusterFS shows.
const LITERAL: &str = "spoken/cdef+this-is-in-the-option";

/// Creates another key pair for the store's owner.
fn add_key(id: &str, secret: &str) {
    let config = lab().scratch("store/ceph.conf");
    lab().s3().unwrap();
    let args = ["key", "create", "--uid", "owner", "--key-type", "s3"];
    let keys = ["--access-key", id, "--secret-key", secret];
    let config = ["-c", config.to_str().unwrap()];
    let words = [&config[..], &args[..], &keys[..]].concat();
    lab().run("radosgw-admin", words).unwrap().check().unwrap();
}

/// Everything that GlusterFS wrote or shows in this lab, by name.
fn everything_shown(scene: &Scene, mounts: &[Mount]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |name: &str, text: String| all.push((name.to_owned(), text));
    for mount in mounts {
        add("client's statedump", mount.statedump().unwrap());
        // The graphs in .meta. Some files there cannot be read; grep continues.
        let meta = mount.inside().join(".meta/graphs");
        let words = ["20", "grep", "-r", "-a", "-e", ""].map(AsRef::as_ref);
        let words = words.into_iter().chain([meta.as_os_str()]);
        let output = lab().run("timeout", words).unwrap();
        add(
            ".meta",
            String::from_utf8_lossy(&output.stdout).into_owned(),
        );
    }
    add("volume info", scene.volume.info().unwrap());
    let name = scene.volume.name();
    let get = lab().gluster(["volume", "get", name, "all"]).unwrap();
    add("volume get", get);
    // Bricks and glusterd write theirs to a directory that is read below.
    lab().gluster(["volume", "statedump", name]).unwrap();
    let state = lab().gluster(["get-state"]).unwrap();
    add("get-state", state);
    for pid in lab().processes() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Ceph's tools and the tests' curl are not GlusterFS's.
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("gluster") {
            all.push((format!("command line of {pid}"), line));
        }
    }
    for folder in ["/var/log/glusterfs", "/var/lib/glusterd", "/run/gluster"] {
        files(&lab().outer(folder), &mut all);
    }
    all
}

/// Adds every regular file below a directory.
fn files(folder: &Path, to: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            files(&path, to);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            to.push((lab().inner(&path).display().to_string(), text));
        }
    }
}

/// The names of the texts that contain `text`.
fn containing(all: &[(String, String)], text: &str) -> Vec<String> {
    let found = all.iter().filter(|(_, shown)| shown.contains(text));
    found.map(|(name, _)| name.clone()).collect()
}

/// Writes a secret to a file. Returns its path in the lab.
fn secret_file(name: &str, secret: &str) -> PathBuf {
    let path = lab().scratch(name);
    fs::write(lab().outer(&path), format!("{secret}\n")).unwrap();
    path
}

fn option(key: &str, value: &str) -> String {
    format!("--xlator-option=*cloudsync.{key}={value}")
}

/// A volume at the highest log level whose key is in a file, with two cold files.
fn scene(name: &str, file: &Path) -> Scene {
    let reference = format!("file:{}", file.display());
    let settings = [
        ("features.s3plugin-keyid", "LABHUSHEDKEY"),
        ("features.s3plugin-seckey", &reference),
        ("diagnostics.client-log-level", "TRACE"),
        ("diagnostics.brick-log-level", "TRACE"),
    ];
    // The settings name the key's file, not the bucket's default key.
    let scene = Scene::with(name, &settings, Backing::Ram);
    for name in ["file", "lost"] {
        scene.write(name, &pattern(1, 300_000));
        scene.archive(name);
    }
    scene.bucket.delete("lost").unwrap();
    scene
}

#[test]
fn a_key_in_a_file_appears_nowhere_else() {
    add_key("LABHUSHEDKEY", SECRET);
    let file = secret_file("hushed", SECRET);
    let mut scene = scene("hushed", &file);
    scene.remount();
    assert_same(
        &scene.read("file").unwrap(),
        &pattern(1, 300_000),
        "read with the key from the file",
    );
    // Failures log the most.
    assert_eq!(errno(scene.read("lost")), libc::ENODATA);
    fs::write(lab().outer(&file), WRONG).unwrap();
    let environment = MountOptions::default()
        .log_level("TRACE")
        .env("CLOUDSYNC_TEST_SECRET", IN_ENVIRONMENT)
        .arg(option("s3plugin-seckey", "env:CLOUDSYNC_TEST_SECRET"));
    let short = option("cloudsync-store-id", "retries=0,connect-timeout=1s");
    let refused = option("s3plugin-hostname", "http://10.99.0.1:1");
    let nowhere = option("s3plugin-seckey", "file:/nowhere/at/all");
    let trace = || MountOptions::default().log_level("TRACE");
    let mut mounts = Vec::new();
    for (what, options, wanted) in [
        ("wrong", trace(), libc::EKEYREJECTED),
        ("environment", environment, libc::EKEYREJECTED),
        (
            "unreachable",
            trace().arg(short).arg(refused),
            libc::EHOSTUNREACH,
        ),
        ("no file", trace().arg(nowhere), libc::EREMOTE),
    ] {
        let mount = scene.volume.mount(&options).unwrap();
        let path = mount.path().join("lost");
        let (read, state) = mount.within(PATIENCE, what, move || {
            let state = xattr::get(&path, "glusterfs.cloudsync.state");
            (fs::read(&path), state.unwrap().unwrap())
        });
        let error = read.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(wanted), "{what}: {error}");
        assert!(String::from_utf8_lossy(&state).starts_with("cold"));
        // The reader may be answered before the failure is logged.
        let logged = || mount.log().contains("stays cold").then_some(());
        until(PATIENCE, "the failure in the log", logged).unwrap();
        assert!(
            mount.log().contains(" T ["),
            "{what}: the log must be at the highest level"
        );
        mounts.push(mount);
    }

    mounts.push(scene.take_mount());
    let all = everything_shown(&scene, &mounts);
    for secret in [SECRET, WRONG, IN_ENVIRONMENT] {
        assert_eq!(containing(&all, secret), Vec::<String>::new());
    }
    // Check that the right places were searched: where the file's path appears, a key would appear, too.
    let shown = containing(&all, file.to_str().unwrap());
    for place in [
        "volume info",
        "/var/log/glusterfs/mount-",
        ".meta",
        "/var/log/glusterfs/cmd_history.log",
        "/var/lib/glusterd/vols/",
    ] {
        assert!(
            shown.iter().any(|name| name.starts_with(place)),
            "not searched: {place}\n{shown:?}"
        );
    }
    let dumps = containing(&all, "DUMP-START-TIME").len();
    assert!(dumps > mounts.len(), "dumps of clients and bricks: {dumps}");
    let read: usize = all.iter().map(|(_, text)| text.len()).sum();
    eprintln!(
        "| search for the key | {} places, {} KiB, {dumps} of them statedumps; the path of the key's file is in {} |",
        all.len(),
        read >> 10,
        shown.len()
    );
}

/// GlusterFS shows a key that is in the option; docs/OPTIONS.md warns of that, and this test lists the places.
#[test]
fn a_key_in_the_option_is_shown_only_by_glusterfs() {
    add_key("LABSPOKENKEY", LITERAL);
    let scene = Scene::with(
        "spoken",
        &[
            ("features.s3plugin-keyid", "LABSPOKENKEY"),
            ("features.s3plugin-seckey", LITERAL),
        ],
        Backing::Ram,
    );
    scene.write("lost", b"lost");
    scene.archive("lost");
    scene.bucket.delete("lost").unwrap();
    let mount = scene
        .volume
        .mount(&MountOptions::default().log_level("TRACE"))
        .unwrap();
    let path = mount.path().join("lost");
    let read = mount.within(PATIENCE, "read", move || fs::read(path));
    assert_eq!(errno(read), libc::ENODATA);

    // Everybody who can access the mount can read it there, not only root.
    let shown = mount.inside().join(".meta/graphs/active");
    let shown = shown.join(format!("{}-cloudsync/options", scene.volume.name()));
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups cat";
    let output = lab().sh(&format!("{nobody} {}/s3plugin-seckey", shown.display()));
    assert!(output.unwrap().contains(LITERAL));

    let all = everything_shown(&scene, &[mount]);
    let mut places = std::collections::BTreeSet::new();
    for (name, text) in &all {
        for line in text.lines().filter(|line| line.contains(LITERAL)) {
            places.insert(glusterfs_place(name, line));
        }
    }
    assert_eq!(places.into_iter().collect::<Vec<_>>(), GLUSTERFS_PLACES);
}

/// The places of which docs/OPTIONS.md warns and which docs/RELIABILITY.md lists.
const GLUSTERFS_PLACES: [&str; 8] = [
    ".meta of a mount, for everybody who reaches it: options and volfile",
    "a client's log at TRACE: the parser",
    "a client's log: the graph",
    "cmd_history.log",
    "gluster get-state",
    "gluster volume get",
    "gluster volume info",
    "the volume's files of glusterd",
];

/// Maps a line to the way in which GlusterFS itself shows an option. Fails if there is none: then it is our leak.
fn glusterfs_place(name: &str, line: &str) -> &'static str {
    let graph_line = |line: &str| {
        let number = line.split_once(':').map(|(number, _)| number.trim());
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let log = name.starts_with("/var/log/glusterfs/mount-");
    let kind = match name {
        ".meta" if line.contains("-cloudsync/options/s3plugin-seckey:") => 0,
        ".meta" if line.contains("/volfile:") => 0,
        _ if log && line.contains("graph.y") => 1,
        _ if log && graph_line(line) => 2,
        "/var/log/glusterfs/cmd_history.log" => 3,
        _ if name.starts_with("/run/gluster/glusterd_state_") => 4,
        "volume get" => 5,
        "volume info" => 6,
        _ if name.starts_with("/var/lib/glusterd/vols/") => 7,
        _ => panic!("{name}: {line}"),
    };
    GLUSTERFS_PLACES[kind]
}

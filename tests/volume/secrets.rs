// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Law 7: a key that the volume only points to is in no log, dump, volume file, `.meta` or process list, at the highest
//! log level, whether recalls work or fail. Where the host itself shows a key that is written into the option.

use std::fs;
use std::path::{Path, PathBuf};

use cloudsync_lab::{Backing, Mount, MountOptions, until};

use crate::scene::{PATIENCE, Scene, assert_same, errno, lab, pattern};

/// Of a key pair that only these tests use, and never on a command line of GlusterFS's.
const SECRET: &str = "hush/0123+this-is-only-in-a-file";
const WRONG: &str = "hush/4567+this-is-only-in-a-file-too";
const IN_ENVIRONMENT: &str = "hush/89ab+this-is-only-in-the-environment";
/// Written into the option, for the host to show.
const LITERAL: &str = "spoken/cdef+this-is-in-the-option";

/// Gives the store's owner another key pair.
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
fn all_that_shows(scene: &Scene, mounts: &[Mount]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |name: &str, text: String| all.push((name.to_owned(), text));
    for mount in mounts {
        add("client's statedump", mount.statedump().unwrap());
        // What .meta has of the graph. Some files of it cannot be read; grep goes on.
        let meta = mount.inside().join(".meta/graphs");
        let words = ["20", "grep", "-r", "-a", "-e", ""].map(AsRef::as_ref);
        let words = words.into_iter().chain([meta.as_os_str()]);
        let said = lab().run("timeout", words).unwrap();
        add(".meta", String::from_utf8_lossy(&said.stdout).into_owned());
    }
    add("volume info", scene.volume.info().unwrap());
    let name = scene.volume.name();
    let get = lab().gluster(["volume", "get", name, "all"]).unwrap();
    add("volume get", get);
    // Bricks and glusterd write theirs into a folder that is read below.
    lab().gluster(["volume", "statedump", name]).unwrap();
    let state = lab().gluster(["get-state"]).unwrap();
    add("what get-state says", state);
    for pid in lab().processes() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Ceph's tools and the tests' own curl are not GlusterFS's.
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

/// Adds every plain file below a folder.
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

/// The names of those that hold the text.
fn holders(all: &[(String, String)], text: &str) -> Vec<String> {
    let found = all.iter().filter(|(_, shown)| shown.contains(text));
    found.map(|(name, _)| name.clone()).collect()
}

/// A file with a secret, as the lab sees it.
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
    // Its bucket and the rest; the key in the option is nobody's.
    let scene = Scene::with(name, &settings, Backing::Ram);
    for name in ["file", "lost"] {
        scene.write(name, &pattern(1, 300_000));
        scene.archive(name);
    }
    scene.bucket.delete("lost").unwrap();
    scene
}

#[test]
fn a_key_that_is_in_a_file_is_nowhere_else() {
    add_key("LABHUSHEDKEY", SECRET);
    let file = secret_file("hushed", SECRET);
    let mut scene = scene("hushed", &file);
    scene.remount();
    assert_same(
        &scene.read("file").unwrap(),
        &pattern(1, 300_000),
        "the key in the file is the right one",
    );
    // What fails has the most to say.
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
        // The reader may hear of it before the recall.
        let told = || mount.log().contains("it stays cold").then_some(());
        until(PATIENCE, "the failure in the log", told).unwrap();
        assert!(
            mount.log().contains(" T ["),
            "{what}: the log is at the highest level"
        );
        mounts.push(mount);
    }

    mounts.push(scene.take_mount());
    let all = all_that_shows(&scene, &mounts);
    for secret in [SECRET, WRONG, IN_ENVIRONMENT] {
        assert_eq!(holders(&all, secret), Vec::<String>::new());
    }
    // It does look, and in the right places: where the file's name is, a key in its place would be too.
    let shown = holders(&all, file.to_str().unwrap());
    for place in [
        "volume info",
        "/var/log/glusterfs/mount-",
        ".meta",
        "/var/log/glusterfs/cmd_history.log",
        "/var/lib/glusterd/vols/",
    ] {
        assert!(
            shown.iter().any(|name| name.starts_with(place)),
            "not looked at: {place}\n{shown:?}"
        );
    }
    let dumps = holders(&all, "DUMP-START-TIME").len();
    assert!(
        dumps > mounts.len(),
        "the clients' and the brick's: {dumps}"
    );
    let read: usize = all.iter().map(|(_, text)| text.len()).sum();
    eprintln!(
        "looked through {} places, {} KiB, {dumps} of them statedumps; the name of the key's file is in {}",
        all.len(),
        read >> 10,
        shown.len()
    );
}

/// A key that is written into the option is the host's to show: it is said in docs/OPTIONS.md, and this is where.
#[test]
fn a_key_in_the_option_is_shown_by_the_host_and_not_by_us() {
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

    // Whoever reaches the mount reads it there: not only root.
    let shown = mount.inside().join(".meta/graphs/active");
    let shown = shown.join(format!("{}-cloudsync/options", scene.volume.name()));
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups cat";
    let said = lab().sh(&format!("{nobody} {}/s3plugin-seckey", shown.display()));
    assert!(said.unwrap().contains(LITERAL));

    let all = all_that_shows(&scene, &[mount]);
    let mut places = std::collections::BTreeSet::new();
    for (name, text) in &all {
        for line in text.lines().filter(|line| line.contains(LITERAL)) {
            places.insert(host_s_place(name, line));
        }
    }
    assert_eq!(places.into_iter().collect::<Vec<_>>(), HOST_S_PLACES);
}

/// What docs/OPTIONS.md warns of, and docs/RELIABILITY.md lists.
const HOST_S_PLACES: [&str; 8] = [
    ".meta of a mount, for everybody who reaches it: options and volfile",
    "a client's log at TRACE: the parser",
    "a client's log: the graph",
    "cmd_history.log",
    "gluster get-state",
    "gluster volume get",
    "gluster volume info",
    "the volume's files of glusterd",
];

/// The host's own way to show an option. Fails on any other: that would be ours.
fn host_s_place(name: &str, line: &str) -> &'static str {
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
    HOST_S_PLACES[kind]
}

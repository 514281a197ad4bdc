// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests what is specific to directories: keys that are paths, links, missing mounts, killed clients, damage.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cloudsync_directory::Directory;
use cloudsync_store::{Archive, Options, Source, Store, StoreError};
use cloudsync_store_conformance::{Bytes, Memory, pattern};
use tempfile::TempDir;

fn open(list: &str) -> Directory {
    let options: Options = [("cloudsync-store-id", list)].into_iter().collect();
    Directory::open(&options).unwrap()
}

fn fresh() -> (TempDir, Directory) {
    let folder = TempDir::new().unwrap();
    let store = open(&format!("path={}", folder.path().display()));
    (folder, store)
}

/// The paths of all files and directories below.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn hostile_key_stays_inside_and_names_only_its_object() {
    let (folder, _) = fresh();
    let inner = folder.path().join("store");
    fs::create_dir(&inner).unwrap();
    let store = open(&format!("path={}", inner.display()));
    fs::write(folder.path().join("secret"), "secret").unwrap();
    let keys = [
        "../secret",
        "../../secret",
        "/etc/passwd",
        ".",
        "..",
        "a/../../secret",
        "objects",
        "staging",
        "data",
        "meta",
        "nul\0byte",
        "line\nend",
        "a//b",
        "a/",
        "plain/../../secret",
        "%2e%2e/secret",
    ];
    for (n, key) in keys.into_iter().enumerate() {
        let missing = store.head(key).unwrap_err();
        assert!(
            matches!(missing, StoreError::Missing(_)),
            "{key:?}: {missing:?}"
        );
        store
            .put(key, &Bytes::new(pattern(n as u64, 100 + n)).upload())
            .unwrap();
    }
    for (n, key) in keys.into_iter().enumerate() {
        let object = store.head(key).unwrap();
        let mut sink = Memory::default();
        store
            .fetch(key, &object, 0..object.size, &mut sink)
            .unwrap();
        assert!(sink.bytes == pattern(n as u64, 100 + n), "{key:?}");
    }
    let around: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(around.len(), 2, "{around:?}");
    assert_eq!(fs::read(folder.path().join("secret")).unwrap(), b"secret");
    for key in keys {
        store.delete(key).unwrap();
    }
    assert_eq!(fs::read(folder.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn links_in_the_plain_directory_are_not_followed() {
    let (folder, store) = fresh();
    let plain = folder.path().join("plain");
    fs::create_dir_all(plain.join("dir")).unwrap();
    symlink("/etc/passwd", plain.join("link")).unwrap();
    symlink("/etc", plain.join("etc")).unwrap();
    fs::write(plain.join("dir/file"), "bytes").unwrap();
    for key in [
        "link",
        "etc/passwd",
        "dir",
        "dir/file/below",
        "../plain/dir/file",
        "dir/../dir/file",
    ] {
        let error = store.head(key).unwrap_err();
        assert!(matches!(error, StoreError::Missing(_)), "{key}: {error:?}");
    }
    assert_eq!(store.head("dir/file").unwrap().size, 5);
}

#[test]
fn archived_objects_are_private() {
    let (folder, store) = fresh();
    store
        .put("key", &Bytes::new(pattern(1, 10)).upload())
        .unwrap();
    for path in tree(folder.path()) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{}", path.display());
    }
}

#[test]
fn missing_mount_is_not_an_empty_store() {
    let (folder, _) = fresh();
    let at = folder.path().display();
    for (list, why) in [
        (format!("path={at}/gone"), "create it, or mount"),
        (format!("path={at},mounted={at}"), "nothing is mounted"),
    ] {
        let store = open(&list);
        let put = store.put("key", &Bytes::new(vec![1]).upload()).map(drop);
        let each: &mut dyn FnMut(_) -> _ = &mut |_| std::ops::ControlFlow::Continue(());
        for result in [
            store.head("key").map(drop),
            put,
            store.delete("key"),
            store.list("", each),
            store.unfinished("", Duration::ZERO, true).map(drop),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
            assert!(error.to_string().contains(why), "{error}");
        }
        assert_eq!(tree(folder.path()), Vec::<PathBuf>::new());
    }
    // The proc file system is mounted on every machine.
    let error = open("path=/proc/nothing,mounted=/proc")
        .head("key")
        .unwrap_err();
    assert!(error.to_string().contains("/proc/nothing"), "{error}");
}

#[test]
fn damage_is_reported_and_never_returned_as_the_object() {
    let (folder, store) = fresh();
    store
        .put("key", &Bytes::new(pattern(1, 1000)).upload())
        .unwrap();
    let file = |name: &str| {
        tree(folder.path())
            .into_iter()
            .find(|path| path.ends_with(name))
            .unwrap()
    };
    let (data, meta) = (file("data"), file("meta"));
    let text = fs::read(&meta).unwrap();
    let corrupt = |what: &str| {
        let error = store.head("key").unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{what}: {error:?}");
        let error = store.put("key", &Bytes::new(vec![1]).upload()).unwrap_err();
        assert!(matches!(error, StoreError::Exists(_)), "{what}: {error:?}");
    };
    fs::write(&data, pattern(1, 999)).unwrap();
    corrupt("a byte less");
    fs::write(&data, pattern(1, 1000)).unwrap();
    fs::write(&meta, &text[..text.len() / 2]).unwrap();
    corrupt("half a description");
    fs::write(&meta, "key=\u{fffd}\n".as_bytes()).unwrap();
    corrupt("another description");
    fs::write(
        &meta,
        String::from_utf8(text.clone())
            .unwrap()
            .replace("key=key", "key=other"),
    )
    .unwrap();
    corrupt("the description of another");
    fs::write(&meta, text).unwrap();
    assert_eq!(store.head("key").unwrap().size, 1000);
}

/// A source that reports its progress, and then blocks until its process is killed.
struct Endless;

impl Source for Endless {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        if offset >= 4 << 20 {
            println!("half-way");
            std::thread::sleep(Duration::from_secs(120));
        }
        buffer.fill(7);
        Ok(())
    }
}

/// The body runs in a separate process, which is killed during an upload.
#[test]
fn killed_upload_leaves_no_object_and_is_cleaned_up() {
    const NAME: &str = "killed_upload_leaves_no_object_and_is_cleaned_up";
    const FOLDER: &str = "CLOUDSYNC_TEST_FOLDER";
    if let Ok(folder) = std::env::var(FOLDER) {
        let source = Bytes::new(Vec::new());
        let upload = cloudsync_store::Upload {
            size: 64 << 20,
            source: &Endless,
            ..source.upload()
        };
        open(&format!("path={folder}"))
            .put("vol/killed", &upload)
            .unwrap();
        return;
    }
    let (folder, store) = fresh();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let half_way = || {
        tree(folder.path()).iter().any(|path| {
            path.ends_with("data") && fs::metadata(path).is_ok_and(|data| data.len() >= 4 << 20)
        })
    };
    while !half_way() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    assert!(matches!(
        store.head("vol/killed"),
        Err(StoreError::Missing(_))
    ));
    let hour = Duration::from_secs(3600);
    assert_eq!(
        store.unfinished("vol/", hour, true).unwrap(),
        Vec::<String>::new(),
        "the upload may still be running"
    );
    assert_eq!(
        store.unfinished("other/", Duration::ZERO, true).unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(
        store.unfinished("vol/", Duration::ZERO, false).unwrap(),
        ["vol/killed"]
    );
    assert_eq!(
        store.unfinished("vol/", Duration::ZERO, true).unwrap(),
        ["vol/killed"]
    );
    assert_eq!(
        store.unfinished("", Duration::ZERO, true).unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(
        fs::read_dir(folder.path().join("staging")).unwrap().count(),
        0
    );
    store
        .put("vol/killed", &Bytes::new(pattern(1, 100)).upload())
        .unwrap();
    assert_eq!(store.head("vol/killed").unwrap().size, 100);
}

#[test]
fn only_objects_are_left_behind() {
    let (folder, store) = fresh();
    store.put("a", &Bytes::new(vec![1]).upload()).unwrap();
    store.put("a", &Bytes::new(vec![2]).upload()).unwrap_err();
    store.put("b", &Bytes::new(vec![3]).upload()).unwrap();
    store.delete("b").unwrap();
    let files = tree(folder.path())
        .into_iter()
        .filter(|path| path.is_file())
        .count();
    assert_eq!(files, 2, "{:?}", tree(folder.path()));
}

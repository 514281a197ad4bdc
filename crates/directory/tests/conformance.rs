// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs the conformance suite: once with objects stored by the plugin, once with files in `plain/`.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use std::fs;
use std::path::PathBuf;

use cloudsync_directory::Directory;
use cloudsync_store::{Archive, Options, StoreError};
use cloudsync_store_conformance::{Bytes, Subject};
use tempfile::TempDir;

fn options(list: String) -> Options {
    [("cloudsync-store-id", list)].into_iter().collect()
}

fn away() -> Options {
    options("path=/nonexistent/folder".to_owned())
}

fn wrong() -> Vec<(Options, &'static str)> {
    [
        ("", "path="),
        ("path=srv", "begins with /"),
        ("path=/srv,part=8M", "part"),
        ("path=/srv,mounted=/elsewhere", "mounted"),
    ]
    .map(|(list, word)| (options(list.to_owned()), word))
    .to_vec()
}

/// A separate directory for each test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn options(&self) -> Options {
        options(format!("path={}", self.0.path().display()))
    }
}

struct Objects(Folder);

impl Subject for Objects {
    type Store = Directory;

    fn options(&self) -> Options {
        self.0.options()
    }

    /// Only tests replace objects; an object is a directory, which can be moved away.
    fn place(&self, key: &str, bytes: &[u8]) {
        let store = self.open();
        store.delete(key).unwrap();
        store
            .put(key, &Bytes::new(bytes.to_vec()).upload())
            .unwrap();
    }

    fn remove(&self, key: &str) {
        self.open().delete(key).unwrap();
    }

    fn forbidden(&self, _: &str) -> Option<Options> {
        None
    }

    fn away(&self) -> Options {
        away()
    }

    fn wrong(&self) -> Vec<(Options, &'static str)> {
        wrong()
    }
}

mod objects {
    use super::*;
    cloudsync_store_conformance::reads!(Objects(Folder::new()));
    cloudsync_store_conformance::archives!(Objects(Folder::new()));
}

struct Plain(Folder);

impl Plain {
    fn path(&self, key: &str) -> PathBuf {
        self.0.0.path().join("plain").join(key)
    }
}

impl Subject for Plain {
    type Store = Directory;

    fn options(&self) -> Options {
        self.0.options()
    }

    fn place(&self, key: &str, bytes: &[u8]) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn remove(&self, key: &str) {
        fs::remove_file(self.path(key)).unwrap();
    }

    fn forbidden(&self, _: &str) -> Option<Options> {
        None
    }

    fn away(&self) -> Options {
        away()
    }

    fn wrong(&self) -> Vec<(Options, &'static str)> {
        wrong()
    }
}

mod plain {
    use super::*;
    cloudsync_store_conformance::reads!(Plain(Folder::new()));
}

#[test]
fn plain_file_is_not_overwritten() {
    let subject = Plain(Folder::new());
    subject.place("dir/file", b"by hand");
    let error = subject
        .open()
        .put("dir/file", &Bytes::new(vec![1; 7]).upload())
        .unwrap_err();
    assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
}

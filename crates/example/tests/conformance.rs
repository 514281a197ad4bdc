// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs the conformance suite.

use std::fs;
use std::path::PathBuf;

use cloudsync_store::Options;
use cloudsync_store_conformance::Subject;
use example::Example;
use tempfile::TempDir;

struct Folder(TempDir);

fn options(list: &str) -> Options {
    [("cloudsync-store-id", list)].into_iter().collect()
}

impl Folder {
    fn path(&self, key: &str) -> PathBuf {
        self.0.path().join(key)
    }
}

impl Subject for Folder {
    type Store = Example;

    fn options(&self) -> Options {
        options(&format!("path={}", self.0.path().display()))
    }

    fn place(&self, key: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(key).parent().unwrap()).unwrap();
        fs::write(self.path(key), bytes).unwrap();
    }

    fn remove(&self, key: &str) {
        fs::remove_file(self.path(key)).unwrap();
    }

    fn forbidden(&self, _: &str) -> Option<Options> {
        None
    }

    fn away(&self) -> Options {
        options("path=/nonexistent")
    }

    fn wrong(&self) -> Vec<(Options, &'static str)> {
        vec![
            (options("path=srv"), "path=/folder"),
            (options("path=/srv,part=8M"), "part"),
        ]
    }
}

cloudsync_store_conformance::reads!(Folder(TempDir::new().unwrap()));

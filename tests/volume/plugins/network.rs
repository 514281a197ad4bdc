// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store 'directory' on a network file system that two clients have mounted: a GlusterFS volume, with renames, locks
//! and caches of its own. Each store that is opened uses the other client than the one before.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use cloudsync_directory::Directory;
use cloudsync_lab::{Backing, Layout, Mount, MountOptions, Volume};
use cloudsync_store::{Archive, Options};
use cloudsync_store_conformance::{Bytes, Subject};

use super::lab;

fn mounts() -> &'static [Mount; 2] {
    static MOUNTS: OnceLock<(Volume, [Mount; 2])> = OnceLock::new();
    let made = MOUNTS.get_or_init(|| {
        let volume = lab()
            .volume("network", Layout::Single, Backing::Ram)
            .unwrap();
        // As with NFS: a client must not cache negative entries.
        let options = MountOptions::default()
            .arg("--entry-timeout=0")
            .arg("--negative-timeout=0")
            .arg("--attribute-timeout=0");
        let mounts = [
            volume.mount(&options).unwrap(),
            volume.mount(&options).unwrap(),
        ];
        (volume, mounts)
    });
    &made.1
}

/// A separate directory for each test.
struct Network(String);

impl Network {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("store-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        std::fs::create_dir(mounts()[0].path().join(&name)).unwrap();
        Self(name)
    }
}

fn options(path: PathBuf) -> Options {
    let list = format!("path={}", path.display());
    [("cloudsync-store-id", list)].into_iter().collect()
}

impl Subject for Network {
    type Store = Directory;

    fn options(&self) -> Options {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let turn = TURN.fetch_add(1, Ordering::Relaxed) % 2;
        options(mounts()[turn].path().join(&self.0))
    }

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
        options(mounts()[0].path().join("nothing"))
    }

    fn wrong(&self) -> Vec<(Options, &'static str)> {
        vec![(options("relative".into()), "begins with /")]
    }
}

cloudsync_store_conformance::archives!(Network::new());

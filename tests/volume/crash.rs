// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Clients that die during a recall or a handshake, at every step of it and at random. They run a translator built with
//! the feature `crash-points`; the client that checks afterwards does not die.

mod acts;
mod kills;
mod points;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cloudsync_lab::{Artifacts, Backing, Lab, Layout, Mount, MountOptions, Options, Volume};

use crate::scene::PATIENCE;

/// A string that only a build with the feature contains.
const VARIABLE: &str = "CLOUDSYNC_CRASH_AT";

/// Builds the translator with crash points. scripts/test.sh has already built it with the same command.
fn translator() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crash-points");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--locked", "--offline", "--lib"])
        .args(["--package", "cloudsync", "--features", "crash-points"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = build.output().unwrap();
    assert!(output.status.success(), "{build:?}: {output:?}");
    target.join("debug/libcloudsync.so")
}

/// A separate lab for these tests, because of their translator.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| {
        let mut ours = Artifacts::find(&["directory"]).unwrap();
        ours.translator = translator();
        let artifacts = Some(ours);
        Lab::start(Options {
            artifacts,
            ..Options::default()
        })
        .unwrap()
    })
}

/// A volume whose cold files are stored in a directory of the lab.
struct Stage {
    volume: Volume,
    /// The objects, each under its file's path, as this process sees them.
    folder: PathBuf,
}

impl Stage {
    fn new(name: &str, layout: Layout, settings: &[(&str, &str)]) -> Self {
        let volume = lab().volume(name, layout, Backing::Ram).unwrap();
        let folder = lab().scratch(&format!("store-{}", volume.name()));
        let path = format!("path={}", folder.display());
        let plain = lab().outer(&folder).join("plain");
        fs::create_dir_all(&plain).unwrap();
        let mut all = vec![
            ("features.cloudsync", "on"),
            ("features.cloudsync-storetype", "directory"),
            ("features.cloudsync-store-id", path.as_str()),
        ];
        all.extend(settings);
        // storage.linux-aio cannot be changed while it is started.
        volume.stop().unwrap();
        volume.set_all(&all).unwrap();
        volume.start().unwrap();
        volume.await_bricks().unwrap();
        Self {
            volume,
            folder: plain,
        }
    }

    /// A client that shows what the bricks have: the kernel caches no bytes.
    fn mount(&self) -> Mount {
        let options = MountOptions::default().arg("--direct-io-mode=enable");
        self.volume.mount(&options).unwrap()
    }

    fn object(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes the store unavailable, or available again.
    fn set_store_away(&self, away: bool) {
        let there = self.folder.parent().unwrap();
        let elsewhere = there.with_extension("away");
        if away {
            fs::rename(there, elsewhere).unwrap();
        } else if elsewhere.exists() {
            fs::rename(elsewhere, there).unwrap();
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.object(name), bytes).unwrap();
    }
}

/// The handshake, with the file's current mtime.
fn handshake(path: &Path) -> io::Result<()> {
    let seconds = fs::metadata(path)?.mtime().to_string();
    xattr::set(path, "trusted.glusterfs.csou.complete", seconds.as_bytes())
}

/// Runs `work` below a mount, which must not hang.
#[track_caller]
fn within<T: Send + 'static>(
    mount: &Mount,
    what: &str,
    name: &str,
    work: impl FnOnce(PathBuf) -> T + Send + 'static,
) -> T {
    let path = mount.path().join(name);
    mount.within(PATIENCE, what, move || work(path))
}

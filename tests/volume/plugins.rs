// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Stores are plugins: ours for directories, third-party ones in C for both ABIs, Debian's, and broken ones.

mod broken;
mod foreign;
mod guide;
mod network;
mod stock;
mod vendor;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cloudsync_directory::Directory;
use cloudsync_lab::{Artifacts, Backing, Lab, Layout, Mount, MountOptions, Volume};
use cloudsync_store::{Archive, Options, Store};
use cloudsync_store_conformance::Bytes;

use crate::scene::{PATIENCE, assert_same, errno, pattern};

/// A separate lab for these tests: glusterd checks only at its start which plugins are installed.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| {
        let mut ours = Artifacts::find(&[
            "amazons3",
            "azureblob",
            "directory",
            "googlecloud",
            "panics",
        ])
        .unwrap();
        let folder = std::env::temp_dir().join(format!("cloudsync-plugins-{}", std::process::id()));
        ours.plugins.extend(c_plugins(&folder));
        let options = cloudsync_lab::Options {
            artifacts: Some(ours),
            ..cloudsync_lab::Options::default()
        };
        let lab = Lab::start(options).unwrap();
        fs::remove_dir_all(folder).unwrap();
        lab
    })
}

/// The plugin directory as the lab sees it; it has the same path outside.
fn plugin_folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let output = Command::new("glusterfs")
            .arg("--print-xlatordir")
            .output()
            .unwrap();
        let xlators = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        xlators.parent().unwrap().join("cloudsync-plugins")
    })
}

/// Puts a plugin into the plugin directory, as an installation does.
fn install(file: &Path) {
    let to = lab().outer(plugin_folder().join(file.file_name().unwrap()));
    let fresh = to.with_extension("fresh");
    fs::copy(file, &fresh).unwrap();
    fs::rename(fresh, to).unwrap();
}

/// Creates a plugin author's files: the header below an include directory, and cloudsync.pc, found by `PKG_CONFIG_PATH`.
/// `make install` generates them from the same sources (tested by tests/install.sh).
fn write_developer_files(at: &Path, seen_as: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let include = at.join("include/cloudsync");
    fs::create_dir_all(&include).unwrap();
    let header = "cloudsync-common.h";
    fs::copy(source.join("include").join(header), include.join(header)).unwrap();
    let mut text = fs::read_to_string(source.join("cloudsync.pc.in")).unwrap();
    for (name, value) in [
        ("@prefix@", "/usr"),
        ("@exec_prefix@", "/usr"),
        (
            "@includedir@",
            &seen_as.join("include").display().to_string(),
        ),
        ("@pluginsdir@", &plugin_folder().display().to_string()),
        ("@PACKAGE_VERSION@", env!("CARGO_PKG_VERSION")),
        ("@gf_flags@", &gluster_build::flags().join(" ")),
    ] {
        text = text.replace(name, value);
    }
    assert!(!text.contains('@'), "{text}");
    fs::write(at.join("cloudsync.pc"), text).unwrap();
}

/// Builds the plugins of tests/plugin-c in `folder`, with their own Makefile.
fn c_plugins(folder: &Path) -> [PathBuf; 4] {
    write_developer_files(folder, folder);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugin-c");
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/volume/plugins");
    let script = format!(
        "cp -R {source} plugin-c && cp {ours}/*.c plugin-c && cp plugin-c/shelf.sym plugin-c/whole.sym \
         && cp plugin-c/stock.sym plugin-c/witness.sym && make -C plugin-c all libwhole.so \
         && make -C plugin-c libwitness.so CFLAGS='-O2 -g -Wno-unused-parameter'"
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .current_dir(folder)
        .env("PKG_CONFIG_PATH", folder);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    ["shelf", "stock", "whole", "witness"].map(|name| folder.join(format!("plugin-c/lib{name}.so")))
}

/// The header defines the macros as well, for builds without pkg-config.
#[test]
fn the_header_defines_the_macros_of_the_build() {
    let header = include_str!("../../include/cloudsync-common.h");
    for flag in gluster_build::flags()
        .iter()
        .filter(|flag| flag.starts_with("-D"))
    {
        let line = flag.replace("-D", "#define ").replace('=', " ");
        assert!(header.lines().any(|known| known == line), "{line}");
    }
}

/// A volume whose cold files are stored in a directory of the lab, and a client.
struct Shelf {
    volume: Volume,
    /// The directory as the lab sees it.
    folder: PathBuf,
    mount: Option<Mount>,
}

impl Shelf {
    /// A volume with this store; `%` in the settings' values stands for the directory.
    fn new(store: &str, settings: &[(&str, &str)]) -> Self {
        Self::on(store, settings, Backing::Ram)
    }

    fn on(store: &str, settings: &[(&str, &str)], backing: Backing) -> Self {
        let volume = lab().volume(store, Layout::Single, backing).unwrap();
        let folder = lab().scratch(&format!("shelf-{}", volume.name()));
        fs::create_dir_all(lab().outer(&folder)).unwrap();
        let here = folder.display().to_string();
        let mut all = vec![("features.cloudsync", "on".to_owned())];
        all.push(("features.cloudsync-storetype", store.to_owned()));
        all.extend(
            settings
                .iter()
                .map(|(key, value)| (*key, value.replace('%', &here))),
        );
        let all: Vec<_> = all
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        volume.set_all(&all).unwrap();
        let mount = Some(volume.mount(&MountOptions::default()).unwrap());
        Self {
            volume,
            folder,
            mount,
        }
    }

    fn mount(&self) -> &Mount {
        self.mount.as_ref().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mount().path().join(name)
    }

    /// An object's path, for a store that keeps objects under their keys.
    fn object(&self, key: &str) -> PathBuf {
        lab().outer(&self.folder).join(key)
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.object(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn within<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.mount().within(PATIENCE, what, work)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let (path, bytes) = (self.path(name), bytes.to_vec());
        self.within("write", move || fs::write(path, bytes))
            .unwrap();
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = self.path(name);
        self.within("read", move || fs::read(path))
    }

    /// The handshake, with the file's current mtime.
    fn handshake(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        self.within("csou.complete", move || {
            let seconds = fs::metadata(&path)?.mtime().to_string();
            xattr::set(path, "trusted.glusterfs.csou.complete", seconds.as_bytes())
        })
    }

    /// Uploads a file to `plain` and performs the handshake.
    fn archive(&self, name: &str, plain: &str) {
        self.put(&format!("{plain}{name}"), &self.read(name).unwrap());
        self.handshake(name).unwrap();
        assert!(self.is_cold(name), "{name}");
    }

    fn is_cold(&self, name: &str) -> bool {
        self.volume.is_cold(name)
    }

    fn remount(&mut self) {
        self.mount.take().unwrap().unmount().unwrap();
        self.mount = Some(self.volume.mount(&MountOptions::default()).unwrap());
    }
}

fn directory(shelf: &Shelf) -> Directory {
    let list = format!("path={}", lab().outer(&shelf.folder).display());
    Directory::open(
        &[("cloudsync-store-id", list)]
            .into_iter()
            .collect::<Options>(),
    )
    .unwrap()
}

/// As the archiver does: an object under a key of its own, then the handshake with the exact claim.
#[test]
fn a_directory_works_as_a_store() {
    let settings = [
        ("features.cloudsync-store-id", "path=%"),
        // Otherwise damage behind the first bytes is noticed only after those were read.
        ("features.cloudsync-product-id", "reads=checked"),
    ];
    let mut shelf = Shelf::new("directory", &settings);
    let bytes = pattern(1, 9_000_001);
    shelf.write("file", &bytes);
    let store = directory(&shelf);
    // There is no object under the file's path, so the handshake fails.
    assert_eq!(errno(shelf.handshake("file")), libc::ENODATA);
    store
        .put("file", &Bytes::new(bytes.clone()).upload())
        .unwrap();
    shelf.handshake("file").unwrap();
    assert!(shelf.is_cold("file"));
    shelf.remount();
    assert_same(&shelf.read("file").unwrap(), &bytes, "file");

    // The checksum reveals the damage, although the size is right.
    shelf.handshake("file").unwrap();
    shelf.remount();
    let data = lab()
        .sh(&format!("find {} -name data", shelf.folder.display()))
        .unwrap();
    let data = lab().outer(data.trim());
    let mut damaged = bytes.clone();
    damaged[7_000_000] ^= 1;
    fs::write(&data, damaged).unwrap();
    assert_eq!(errno(shelf.read("file")), libc::EBADMSG);
    assert!(shelf.is_cold("file"));
    fs::write(&data, &bytes).unwrap();
    assert_same(&shelf.read("file").unwrap(), &bytes, "file");
}

/// Without the archiver: copy the file to `plain`, then perform the handshake. Also errors of the directory.
#[test]
fn an_object_copied_in_by_hand_is_recalled() {
    let settings = [
        ("features.cloudsync-store-id", "path=%"),
        // Otherwise damage behind the first bytes is noticed only after those were read.
        ("features.cloudsync-product-id", "reads=checked"),
    ];
    let mut shelf = Shelf::new("directory", &settings);
    for name in ["one", "two", "three"] {
        shelf.write(name, &pattern(2, 100_000));
        shelf.archive(name, "plain/");
    }
    shelf.remount();
    assert_same(&shelf.read("one").unwrap(), &pattern(2, 100_000), "one");
    shelf.put("plain/two", &pattern(3, 100_000));
    assert_eq!(
        errno(shelf.read("two")),
        libc::ESTALE,
        "the object is another file"
    );
    // The directory disappears and is restored.
    let here = lab().outer(&shelf.folder);
    let there = here.with_extension("away");
    fs::rename(&here, &there).unwrap();
    assert_eq!(errno(shelf.read("three")), libc::EHOSTUNREACH);
    fs::rename(&there, &here).unwrap();
    assert_same(&shelf.read("three").unwrap(), &pattern(2, 100_000), "three");
    // Settings change on a running volume: invalid ones are ignored.
    shelf
        .volume
        .set("features.cloudsync-store-id", "path=relative")
        .unwrap();
    shelf
        .volume
        .set("features.cloudsync-store-id", "paht=/srv")
        .unwrap();
    shelf.write("four", &pattern(4, 1000));
    shelf.archive("four", "plain/");
    assert_same(&shelf.read("four").unwrap(), &pattern(4, 1000), "four");
    assert!(shelf.mount().log().contains("unknown setting 'paht'"));
}

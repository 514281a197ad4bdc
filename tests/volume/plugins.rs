// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Stores are plugins: ours for folders, others' in C in both styles, Debian's own, and broken ones.

mod broken;
mod foreign;
mod guide;
mod network;

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

/// A lab of these tests' own: glusterd looks once which plugins there are, when it starts.
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

/// The plugin folder, as the lab sees it: with the same path as the one outside.
fn plugin_folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let said = Command::new("glusterfs")
            .arg("--print-xlatordir")
            .output()
            .unwrap();
        let xlators = PathBuf::from(String::from_utf8(said.stdout).unwrap().trim());
        xlators.parent().unwrap().join("cloudsync-plugins")
    })
}

/// Puts a plugin into the plugin folder, as an installation does it.
fn install(file: &Path) {
    let to = lab().outer(plugin_folder().join(file.file_name().unwrap()));
    let fresh = to.with_extension("fresh");
    fs::copy(file, &fresh).unwrap();
    fs::rename(fresh, to).unwrap();
}

/// Makes what a plugin's author has: the header below an include folder, and cloudsync.pc, found by `PKG_CONFIG_PATH`.
/// `make install` makes them of the same files (tests/install.sh tests that).
fn developer_files(at: &Path, seen_as: &Path) {
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
fn c_plugins(folder: &Path) -> [PathBuf; 3] {
    developer_files(folder, folder);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugin-c");
    let whole = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/volume/plugins/whole.c");
    let script = format!(
        "cp -R {source} plugin-c && cp {whole} plugin-c && cp plugin-c/shelf.sym plugin-c/whole.sym \
         && make -C plugin-c all libwhole.so"
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .current_dir(folder)
        .env("PKG_CONFIG_PATH", folder);
    let said = shell.output().unwrap();
    assert!(said.status.success(), "{said:?}");
    ["shelf", "stock", "whole"].map(|name| folder.join(format!("plugin-c/lib{name}.so")))
}

/// The header has the macros as well, for who has no pkg-config.
#[test]
fn the_header_has_the_macros_of_the_build() {
    let header = include_str!("../../include/cloudsync-common.h");
    for flag in gluster_build::flags()
        .iter()
        .filter(|flag| flag.starts_with("-D"))
    {
        let line = flag.replace("-D", "#define ").replace('=', " ");
        assert!(header.lines().any(|known| known == line), "{line}");
    }
}

/// A volume whose cold files lie in a folder of the lab, and a client of it.
struct Shelf {
    volume: Volume,
    /// The folder as the lab sees it.
    folder: PathBuf,
    mount: Option<Mount>,
}

impl Shelf {
    /// With the store of that name; `%` in the settings' values stands for the folder.
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

    /// An object's place, for a store that keeps it under its path.
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

    /// The handshake, with the mtime that the file has now.
    fn cut(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        self.within("csou.complete", move || {
            let seconds = fs::metadata(&path)?.mtime().to_string();
            xattr::set(path, "trusted.glusterfs.csou.complete", seconds.as_bytes())
        })
    }

    /// Uploads a file to `plain` and cuts it.
    fn archive(&self, name: &str, plain: &str) {
        self.put(&format!("{plain}{name}"), &self.read(name).unwrap());
        self.cut(name).unwrap();
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

/// What the archiver does: an object of its own name, then the handshake in its exact form.
#[test]
fn a_folder_is_a_store() {
    let settings = [
        ("features.cloudsync-store-id", "path=%"),
        // Or what is damaged behind the first bytes is noticed when they were read.
        ("features.cloudsync-product-id", "reads=checked"),
    ];
    let mut shelf = Shelf::new("directory", &settings);
    let bytes = pattern(1, 9_000_001);
    shelf.write("file", &bytes);
    let store = directory(&shelf);
    // Nothing is there under its path: nothing is cut.
    assert_eq!(errno(shelf.cut("file")), libc::ENODATA);
    store
        .put("file", &Bytes::new(bytes.clone()).upload())
        .unwrap();
    shelf.cut("file").unwrap();
    assert!(shelf.is_cold("file"));
    shelf.remount();
    assert_same(&shelf.read("file").unwrap(), &bytes, "file");

    // Damage is noticed by the checksum, though the size is right.
    shelf.cut("file").unwrap();
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

/// By hand: copy the file into `plain`, then the handshake. And what goes wrong with a folder.
#[test]
fn a_file_that_was_copied_into_the_folder_by_hand_comes_back() {
    let settings = [
        ("features.cloudsync-store-id", "path=%"),
        // Or what is damaged behind the first bytes is noticed when they were read.
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
        "another file is there"
    );
    // The folder is away, and comes back.
    let here = lab().outer(&shelf.folder);
    let there = here.with_extension("away");
    fs::rename(&here, &there).unwrap();
    assert_eq!(errno(shelf.read("three")), libc::EHOSTUNREACH);
    fs::rename(&there, &here).unwrap();
    assert_same(&shelf.read("three").unwrap(), &pattern(2, 100_000), "three");
    // Settings change while it runs: a wrong one keeps the old one.
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

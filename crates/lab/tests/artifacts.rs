// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Replacing the translator in the lab only. The distribution's translator stands in for our build.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloudsync_lab::{Artifacts, Backing, Lab, Layout, MountOptions, Options};

#[test]
fn installed_builds_are_replaced_only_in_the_lab() {
    cloudsync_lab::machine::skip_if_unsupported();
    let dir = std::process::Command::new("glusterfs")
        .arg("--print-xlatordir")
        .output()
        .unwrap();
    let dir = String::from_utf8(dir.stdout).unwrap();
    let installed = Path::new(dir.trim()).join("features/cloudsync.so");
    let plugins = Path::new(dir.trim()).with_file_name("cloudsync-plugins");
    let before = fs::read(&installed).unwrap();

    // The loader ignores trailing bytes, and they distinguish the copy.
    let ours = std::env::temp_dir().join(format!("cloudsync-lab.{}", std::process::id()));
    fs::create_dir_all(&ours).unwrap();
    let _removed = Removed(ours.clone());
    let marked = [&before[..], b"ours"].concat();
    for name in ["libcloudsync.so", "libextra.so"] {
        fs::write(ours.join(name), &marked).unwrap();
    }
    let translator = ours.join("libcloudsync.so");
    let artifacts = Artifacts {
        translator,
        plugins: vec![ours.join("libextra.so")],
    };
    let options = Options {
        artifacts: Some(artifacts.clone()),
        ..Options::default()
    };
    let lab = Lab::start(options).unwrap();
    assert_eq!(fs::read(lab.outer(&installed)).unwrap(), marked);
    assert_eq!(
        fs::read(lab.outer(plugins.join("libextra.so"))).unwrap(),
        marked
    );
    assert_eq!(fs::read(&installed).unwrap(), before);
    assert!(!plugins.join("libextra.so").exists());

    let volume = lab.volume("ours", Layout::Single, Backing::Ram).unwrap();
    volume.set("features.cloudsync", "on").unwrap();
    let mount = volume.mount(&MountOptions::default()).unwrap();
    let maps = fs::read_to_string(format!("/proc/{}/maps", mount.pid())).unwrap();
    assert!(maps.contains("features/cloudsync.so"), "{maps}");
    // Again while it is mapped, and with a new glusterd.
    lab.install(&artifacts).unwrap();
    lab.restart_glusterd().unwrap();
    assert!(volume.info().unwrap().contains("features.cloudsync: on"));
    let file = mount.path().join("file");
    mount.within(Duration::from_secs(120), "write", move || {
        fs::write(file, b"bytes").unwrap();
    });
    mount.unmount().unwrap();
}

/// A directory that is removed with the test, even if that fails.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn missing_builds_are_named() {
    let failure = Artifacts::find(&["no-such-plugin"])
        .unwrap_err()
        .to_string();
    assert!(failure.contains("cargo build --workspace"), "{failure}");
}

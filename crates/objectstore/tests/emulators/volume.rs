// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests the plugins on real volumes, with files that were archived by the program or uploaded by hand.

use std::fs;
use std::os::unix::fs::MetadataExt;

use cloudsync_lab::{Artifacts, Backing, Lab, Layout, Mount, MountOptions, Volume};

use super::*;
use crate::player::Player;
use crate::{azure, google, google_writes};

/// Longer than any operation takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn lab() -> &'static Lab {
    Lab::shared(|| cloudsync_lab::Options {
        artifacts: Some(Artifacts::find(&["azureblob", "googlecloud"]).unwrap()),
        ..cloudsync_lab::Options::default()
    })
}

/// The program, in the same directory as the plugins.
fn program() -> PathBuf {
    let ours = Artifacts::find(&[]).unwrap();
    let places = ours.translator.ancestors().skip(1).take(2);
    let mut programs = places.map(|folder| folder.join("cloudsync"));
    let program = programs.find(|program| program.is_file());
    program.expect("the program is built: cargo build --workspace")
}

/// A volume whose store is a cloud, and a client.
struct Cloud {
    volume: Volume,
    mount: Option<Mount>,
}

impl Cloud {
    fn new(name: &str, settings: &[(&str, &str)]) -> Self {
        let volume = lab().volume(name, Layout::Single, Backing::Ram).unwrap();
        let mut all = vec![
            ("features.cloudsync", "on"),
            ("features.cloudsync-storetype", name),
            ("features.s3plugin-bucketid", "films/below"),
        ];
        all.extend(settings);
        volume.set_all(&all).unwrap();
        let mount = Some(volume.mount(&MountOptions::default()).unwrap());
        Self { volume, mount }
    }

    fn mount(&self) -> &Mount {
        self.mount.as_ref().unwrap()
    }

    fn remount(&mut self) {
        self.mount.take().unwrap().unmount().unwrap();
        self.mount = Some(self.volume.mount(&MountOptions::default()).unwrap());
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let (path, bytes) = (self.mount().path().join(name), bytes.to_vec());
        self.mount().within(PATIENCE, "write", move || {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        });
    }

    fn read(&self, name: &str) -> std::io::Result<Vec<u8>> {
        let path = self.mount().path().join(name);
        self.mount()
            .within(PATIENCE, "read", move || fs::read(path))
    }

    /// Reads, and waits for the end of the recall: readers are answered before the brick has all bytes.
    #[track_caller]
    fn assert_recalled(&self, name: &str, bytes: &[u8]) {
        let read = self.read(name);
        let read = read.unwrap_or_else(|error| panic!("{name}: {error}\n{}", self.mount().log()));
        assert!(read == bytes, "{name}: {} bytes", read.len());
        self.volume.await_local(name, "the end of the recall");
    }

    fn is_cold(&self, name: &str) -> bool {
        self.volume.is_cold(name)
    }

    /// Runs the program on the brick; it must succeed.
    #[track_caller]
    fn cloudsync(&self, args: &[&str]) -> String {
        let brick = lab().inner(&self.volume.bricks()[0]);
        let brick = brick.display().to_string();
        let args = args.iter().copied().chain([brick.as_str()]);
        let program = program().display().to_string();
        let outcome = lab().run_with(PATIENCE, &program, args, |_| {}).unwrap();
        assert!(outcome.success(), "{outcome}\n{}", self.mount().report());
        outcome.text()
    }

    /// Archives, reads, verifies, and collects unreferenced objects.
    fn round_trip(mut self) {
        let files = [
            ("one", 1),
            ("dir/with space/\u{e4}", 300_001),
            // Large enough for a multipart upload.
            ("large", (20 << 20) + 3),
        ];
        let bytes = |size| pattern(size as u64, size);
        for (name, size) in files {
            self.write(name, &bytes(size));
        }
        let output =
            self.cloudsync(&["archive", "--older-than=0s", "--min-residency=0s", "--json"]);
        assert!(output.contains("\"archived\":3"), "{output}");
        for (name, _) in files {
            assert!(self.is_cold(name), "{name}");
        }
        let output = self.cloudsync(&["verify", "--deep", "--json"]);
        assert!(
            output.contains("\"checked\":3") && output.contains("\"wrong\":0"),
            "{output}"
        );
        self.remount();
        for (name, size) in files {
            self.assert_recalled(name, &bytes(size));
        }
        // A modified file is archived as a new object, and the old one is collected.
        self.write("one", b"2");
        let output =
            self.cloudsync(&["archive", "--older-than=0s", "--min-residency=0s", "--json"]);
        assert!(
            output.contains("\"archived\":3") && output.contains("\"uploaded\":1"),
            "{output}"
        );
        let output = self.cloudsync(&["gc", "--grace=0s", "--delete", "--json"]);
        assert!(output.contains("\"deleted\":1"), "{output}");
        self.remount();
        self.assert_recalled("one", b"2");
        self.assert_recalled(files[2].0, &bytes(files[2].1));
    }
}

#[test]
fn azureblob_archives_and_recalls() {
    let endpoint = lab().in_network(azure::start).unwrap();
    let cloud = Cloud::new(
        "azureblob",
        &[
            ("features.s3plugin-hostname", &endpoint),
            ("features.s3plugin-keyid", azure::ACCOUNT),
            ("features.s3plugin-seckey", azure::KEY),
        ],
    );
    cloud.round_trip();
}

#[test]
fn googlecloud_archives_and_recalls() {
    let player = lab().in_network(Player::start).unwrap();
    let key = lab().scratch("google.json");
    fs::write(lab().outer(&key), google_writes::CREDENTIALS).unwrap();
    let list = format!("credentials={}", key.display());
    let cloud = Cloud::new(
        "googlecloud",
        &[
            ("features.s3plugin-hostname", &player.url),
            ("features.cloudsync-store-id", &list),
        ],
    );
    cloud.round_trip();
}

/// Uploaded by hand with the file's path as the key.
#[test]
fn googlecloud_recalls_from_an_emulator() {
    let endpoint = lab().in_network(google::start).unwrap();
    let mut cloud = Cloud::new(
        "googlecloud",
        &[
            ("features.s3plugin-hostname", &endpoint),
            ("features.cloudsync-store-id", "credentials=none,retries=2"),
        ],
    );
    let bytes = pattern(7, 3_000_001);
    cloud.write("dir/file", &bytes);
    let complete = |cloud: &Cloud| {
        let path = cloud.mount().path().join("dir/file");
        cloud.mount().within(PATIENCE, "csou.complete", move || {
            let seconds = fs::metadata(&path)?.mtime().to_string();
            xattr::set(path, "trusted.glusterfs.csou.complete", seconds.as_bytes())
        })
    };
    // The object does not exist yet, so nothing is truncated.
    let refused = complete(&cloud).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(61), "ENODATA: {refused}");
    let (url, body) = (endpoint.clone(), bytes.clone());
    lab()
        .in_network(move || google::upload(&url, "dir/file", &body))
        .unwrap();
    complete(&cloud).unwrap();
    assert!(cloud.is_cold("dir/file"));
    cloud.remount();
    cloud.assert_recalled("dir/file", &bytes);
}

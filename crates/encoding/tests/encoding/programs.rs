// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The objects outlive us: the standard programs make the file of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cloudsync_directory::Directory;
use cloudsync_encoding::Encoded;
use cloudsync_store::{Archive, Options, Store};
use cloudsync_store_conformance::{Bytes, pattern};
use tempfile::TempDir;

use crate::keys::Keys;

/// Text that shrinks to about a third.
pub(crate) fn text(length: usize) -> Vec<u8> {
    let noise = pattern(5, length / 3 + 1);
    let mut text: Vec<u8> = noise
        .iter()
        .flat_map(|byte| format!("{byte:02x} ").into_bytes())
        .collect();
    text.truncate(length);
    text
}

/// The only object's bytes in a folder of the store `directory`.
fn data(folder: &Path) -> PathBuf {
    let mut below = vec![folder.to_owned()];
    while let Some(path) = below.pop() {
        if path.is_dir() {
            below.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.file_name().is_some_and(|name| name == "data") {
            return path;
        }
    }
    panic!("no object in {}", folder.display());
}

#[test]
fn age_and_zstd_make_the_file_of_the_object() {
    let keys = Keys::new();
    for settings in [
        "compress=zstd".to_owned(),
        keys.settings(),
        format!("compress=zstd:9,{}", keys.settings()),
    ] {
        let folder = TempDir::new().unwrap();
        let list = format!("path={},{settings}", folder.path().display());
        let options: Options = [("cloudsync-store-id", list)].into_iter().collect();
        let store = Encoded::<Directory>::open(&options).unwrap();
        let bytes = text(5_000_000);
        let object = store
            .put("key", &Bytes::new(bytes.clone()).upload())
            .unwrap();
        let path = data(folder.path());
        let stored = fs::read(&path).unwrap();
        let mut decoded = stored.clone();
        if settings.contains("encrypt=") {
            assert!(stored.starts_with(b"age-encryption.org/v1\n"));
            decoded = output(
                Command::new("age")
                    .arg("-d")
                    .arg("-i")
                    .arg(keys.identity())
                    .arg(&path),
            );
        }
        if settings.contains("compress=") {
            assert!(stored.len() < bytes.len() / 2, "{} bytes", stored.len());
            let frames = folder.path().join("frames");
            fs::write(&frames, &decoded).unwrap();
            decoded = output(Command::new("zstd").arg("-dc").arg(&frames));
        }
        assert!(decoded == bytes, "{settings}");
        assert_eq!(object.size, bytes.len() as u64);
    }
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests a bucket that was copied to another one: the objects are the same, but their ETags differ.

use std::fs;
use std::path::PathBuf;

use cloudsync_format::checksum::Algorithm;
use cloudsync_format::record::Record;
use cloudsync_lab::Bucket;

use crate::scene::{Scene, lab, number, pattern};

const KEY: &str = "trusted.glusterfs.cs.key";
const RECORD: &str = "trusted.glusterfs.cs.record";
/// Uploaded in parts, whose size differs between the buckets: the ETag depends on their number.
const SIZE: usize = 20_000_000;

fn at(scene: &Scene, name: &str) -> PathBuf {
    scene.volume.bricks()[0].join(name)
}

fn key(scene: &Scene, name: &str) -> String {
    let key = xattr::get(at(scene, name), KEY).unwrap().unwrap();
    String::from_utf8(key).unwrap()
}

/// Copies as `rclone copy --metadata` does: with metadata, in parts of a different size.
fn copy(from: &Bucket, to: &Bucket, key: &str) {
    let names = [
        "path", "size", "mtime", "mode", "owner", "gfid", "volume", "checksum",
    ];
    let head = from.head(key).unwrap().unwrap();
    let metadata: serde_json::Map<_, _> = names
        .iter()
        .map(|name| format!("cloudsync-{name}"))
        .map(|name| {
            let value = head.header(&format!("x-amz-meta-{name}")).unwrap();
            (name, value.into())
        })
        .collect();
    let metadata = serde_json::Value::from(metadata).to_string();
    let file = lab().scratch("copied");
    fs::write(lab().outer(&file), from.get(key).unwrap()).unwrap();
    let (file, url) = (
        file.display().to_string(),
        format!("s3://{}/{key}", to.name()),
    );
    let args = [
        "s3",
        "cp",
        "--only-show-errors",
        "--metadata",
        &metadata,
        &file,
        &url,
    ];
    to.aws(args).unwrap().check().unwrap();
}

#[test]
fn copied_bucket_is_verified_and_adopted() {
    let mut scene = Scene::new("moved");
    let names = ["copied", "without-record", "bare", "other"];
    for (seed, name) in names.iter().enumerate() {
        scene.write(name, &pattern(seed as u64, SIZE));
    }
    let brick = scene.brick(0);
    scene.done(&["archive", "--older-than=0s", &brick]);
    // The record as the translator writes it.
    for (seed, name) in names.iter().enumerate() {
        let record = xattr::get(at(&scene, name), RECORD).unwrap();
        let record = record.expect("a record on a cold file");
        let record = Record::parse(std::str::from_utf8(&record).unwrap()).unwrap();
        let sum = Algorithm::Crc64Nvme.of(&pattern(seed as u64, SIZE));
        assert_eq!((record.size, record.checksum), (SIZE as u64, Some(sum)));
    }
    // Files archived by older versions have no record.
    xattr::remove(at(&scene, "without-record"), RECORD).unwrap();
    let new = lab().s3().unwrap().bucket("moved-to").unwrap();
    for name in ["copied", "without-record"] {
        copy(&scene.bucket, &new, &key(&scene, name));
    }
    // A tool that drops metadata, and an unrelated object of the same size.
    new.put(&key(&scene, "bare"), &pattern(2, SIZE)).unwrap();
    new.put(&key(&scene, "other"), &pattern(9, SIZE)).unwrap();
    let bucket = new.name().to_owned();
    scene
        .volume
        .set("features.s3plugin-bucketid", &bucket)
        .unwrap();
    let verify = |scene: &Scene, more: &[&str], target: &str| {
        let args = [&["verify", "--json"], more, &[target]].concat();
        let output = scene.cloudsync(&args);
        let text = output.text();
        let counts = ["checked", "other_version", "adopted", "wrong"];
        (counts.map(|name| number(&text, name)), output.to_string())
    };
    for target in [brick.clone(), scene.inside("")] {
        let (counts, output) = verify(&scene, &[], &target);
        assert_eq!(counts, [4, 2, 0, 2], "{output}");
        assert!(
            output.contains("nothing proves") && output.contains("--adopt"),
            "{output}"
        );
        let (counts, output) = verify(&scene, &["--deep"], &target);
        assert_eq!(counts, [4, 3, 0, 1], "{output}");
    }
    let (counts, output) = verify(&scene, &["--deep", "--adopt"], &brick);
    assert_eq!(counts, [4, 3, 3, 1], "{output}");
    // Adoption is permanent: the next run reports no other version.
    let (counts, output) = verify(&scene, &[], &brick);
    assert_eq!(counts, [4, 0, 0, 1], "{output}");
    scene.remount();
    for (seed, name) in names.iter().enumerate().take(3) {
        assert!(scene.read(name) == pattern(seed as u64, SIZE), "{name}");
    }
}

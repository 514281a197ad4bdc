// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Objects that are compressed and encrypted, on a real volume and in a real store.

use std::fs;
use std::os::unix::fs::FileExt;

use cloudsync_lab::{Backing, Layout};
use rustix::io::Errno;

use crate::scene::{PATIENCE, PROGRAM, Scene, archive, lab, number, pattern};

/// Text that shrinks to about a third.
fn text(seed: u64, length: usize) -> Vec<u8> {
    let noise = pattern(seed, length / 3 + 1);
    let words = noise
        .iter()
        .flat_map(|byte| format!("{byte:02x} ").into_bytes());
    words.take(length).collect()
}

const FILES: [&str; 4] = ["letter", "dir/table", "dir/page", "film"];

fn content(name: &str) -> Vec<u8> {
    match name {
        "letter" => text(1, 3000),
        "dir/page" => text(2, 700_000),
        "dir/table" => text(3, 20_000_001),
        _ => pattern(4, 3_000_000),
    }
}

/// Keys made by age's own program; returns their folder.
fn keys(name: &str) -> String {
    let folder = lab().scratch(name).display().to_string();
    lab()
        .sh(&format!(
            "mkdir {folder}; age-keygen -o {folder}/identity; age-keygen -y {folder}/identity >{folder}/recipients"
        ))
        .unwrap();
    folder
}

fn settings(folder: &str) -> String {
    format!("compress=zstd,encrypt=age:{folder}/recipients,identity=file:{folder}/identity")
}

const STORE_ID: &str = "features.cloudsync-store-id";
const REMOTE_READ: &str = "features.cloudsync-remote-read";

fn encoded(name: &str) -> (Scene, String) {
    let folder = keys(&format!("keys-{name}"));
    let more = [(STORE_ID, settings(&folder))];
    let more = more.each_ref().map(|(key, value)| (*key, value.as_str()));
    let mut scene = Scene::on(name, Layout::Single, &more);
    for name in FILES {
        scene.write(name, &content(name));
    }
    scene.remount();
    let output = scene.done(&archive(&scene.brick(0)));
    assert_eq!(number(&output, "archived"), FILES.len() as u64, "{output}");
    (scene, folder)
}

#[test]
fn files_come_back_from_compressed_and_encrypted_objects() {
    let (mut scene, folder) = encoded("encoded");
    scene.done(&["verify", &scene.brick(0)]);
    scene.done(&["verify", "--deep", &scene.brick(0)]);
    // In the store there is nothing to read, and less of it.
    let mut stored = 0;
    for key in scene.bucket.list("").unwrap() {
        let bytes = scene.bucket.get(&key).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1\n"), "{key}");
        stored += bytes.len();
    }
    let all: usize = FILES.iter().map(|name| content(name).len()).sum();
    assert!(stored < all * 2 / 3, "{stored} of {all} bytes");
    // Cold: any range, from the object.
    scene.volume.set(REMOTE_READ, "on").unwrap();
    scene.remount();
    let path = scene.path("dir/table");
    let whole = content("dir/table");
    scene.within("ranges", move || {
        let file = fs::File::open(path).unwrap();
        for (at, length) in [
            (20_000_000, 1),
            (0, 10),
            (7_654_321, 300_000),
            (1_048_575, 2),
        ] {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, at as u64).unwrap();
            assert!(bytes == whole[at..at + length], "{at}+{length}");
        }
    });
    assert!(scene.is_cold("dir/table"));
    scene.volume.set(REMOTE_READ, "off").unwrap();
    // Recalled, and made cold again without another upload.
    scene.remount();
    for name in FILES {
        assert!(scene.recall(name) == content(name), "{name}");
    }
    scene.remount();
    let output = scene.done(&archive(&scene.brick(0)));
    let numbers = ["archived", "uploaded"].map(|key| number(&output, key));
    assert_eq!(numbers, [FILES.len() as u64, 0], "{output}");
    // Without us: the standard programs.
    let marks = scene.volume.bricks()[0].join("letter");
    let key = xattr::get(marks, "trusted.glusterfs.cs.key")
        .unwrap()
        .unwrap();
    let object = scene
        .bucket
        .get(std::str::from_utf8(&key).unwrap())
        .unwrap();
    fs::write(lab().outer(&folder).join("object"), object).unwrap();
    let decoded = lab()
        .sh(&format!(
            "age -d -i {folder}/identity -o {folder}/frames {folder}/object; zstd -dc {folder}/frames"
        ))
        .unwrap();
    assert!(decoded.into_bytes() == content("letter"));
}

#[test]
fn a_client_without_the_identity_is_told_so() {
    let (mut scene, folder) = encoded("keyless");
    scene.write("local", b"local");
    lab()
        .sh(&format!("mv {folder}/identity {folder}/away"))
        .unwrap();
    scene.remount();
    let path = scene.path("letter");
    let read = scene.within("read", move || fs::read(path));
    assert_eq!(
        read.unwrap_err().raw_os_error(),
        Some(Errno::KEYREJECTED.raw_os_error())
    );
    let log = scene.mount().log();
    let line = log.lines().find(|line| line.contains("191023"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    let said =
        format!("cannot be decrypted here: cannot read the file {folder}/identity: No such file");
    assert!(line.contains(&said), "{line}");
    // Everything else works, also archiving: that needs only the recipients.
    assert_eq!(scene.read("local"), b"local");
    scene.write("new", &text(9, 5000));
    scene.remount();
    scene.done(&archive(&scene.brick(0)));
    assert!(scene.is_cold("new") && scene.is_cold("letter"));
    // With another identity nothing can be read, and nothing is archived that could not be read again.
    lab().sh(&format!("age-keygen -o {folder}/other")).unwrap();
    let identity = format!("encrypt=age:{folder}/recipients,identity=file:{folder}/other");
    scene.volume.set(STORE_ID, &identity).unwrap();
    scene.remount();
    scene.write("newer", &text(10, 5000));
    scene.remount();
    let output = scene.cloudsync(&archive(&scene.brick(0)));
    assert!(
        !output.success() && output.to_string().contains("other recipients"),
        "{output}"
    );
    assert!(!scene.is_cold("newer"));
    let output = scene.cloudsync(&["verify", "--deep", &scene.brick(0)]);
    assert!(
        !output.success() && output.to_string().contains("other recipients"),
        "{output}"
    );
    // Both in one file: what was encrypted before a change of keys, and after it.
    lab()
        .sh(&format!("cat {folder}/away >>{folder}/other"))
        .unwrap();
    for (name, bytes) in [("letter", content("letter")), ("new", text(9, 5000))] {
        assert!(scene.recall(name) == bytes, "{name}");
    }
    // What is archived again is encrypted again if it is for others now, so that the old identity can go.
    lab()
        .sh(&format!(
            "age-keygen -o {folder}/third && age-keygen -y {folder}/third >{folder}/recipients && \
             cat {folder}/third >>{folder}/other"
        ))
        .unwrap();
    scene.remount();
    let output = scene.done(&archive(&scene.brick(0)));
    let [archived, uploaded] = ["archived", "uploaded"].map(|key| number(&output, key));
    assert!(archived >= 3 && uploaded == archived, "{output}");
    let only = format!("identity=file:{folder}/third");
    scene.volume.set(STORE_ID, &only).unwrap();
    scene.remount();
    assert!(scene.read("letter") == content("letter"));
    let path = scene.path("film");
    assert!(scene.within("read", move || fs::read(path)).is_err());
}

#[test]
fn a_lost_volume_is_rebuilt_from_encoded_objects() {
    let (old, folder) = encoded("encoded-old");
    let volume = lab()
        .volume("encoded-new", Layout::Single, Backing::Ram)
        .unwrap();
    let more = [(STORE_ID, settings(&folder))];
    let more = more.each_ref().map(|(key, value)| (*key, value.as_str()));
    let new = Scene::of(volume, old.bucket.clone(), &more);
    let keys = new.bucket.list("").unwrap();
    let id = keys[0].split('/').next().unwrap().to_owned();
    let output = new.done(&[
        "rebuild",
        "--json",
        &format!("--from={id}"),
        &new.inside(""),
    ]);
    assert_eq!(number(&output, "created"), FILES.len() as u64, "{output}");
    for name in FILES {
        let path = new.path(name);
        let size = new
            .mount()
            .within(PATIENCE, "stat", move || fs::metadata(path).unwrap().len());
        assert_eq!(size, content(name).len() as u64);
        assert!(new.read(name) == content(name), "{name}");
    }
}

/// The next file would not find any room, either.
#[test]
fn a_full_temporary_folder_stops_the_run() {
    let folder = keys("keys-full");
    let small = lab().scratch("small-folder").display().to_string();
    lab()
        .sh(&format!(
            "mkdir {small}; mount -t tmpfs -o size=1M none {small}"
        ))
        .unwrap();
    for (name, list) in [
        ("full-zstd", "compress=zstd".to_owned()),
        ("full-age", format!("encrypt=age:{folder}/recipients")),
        ("full-both", settings(&folder)),
    ] {
        let mut scene = Scene::on(name, Layout::Single, &[(STORE_ID, &list)]);
        scene.write("large", &text(5, 9_000_000));
        scene.remount();
        let brick = scene.brick(0);
        let outcome = lab()
            .run_with(PATIENCE, PROGRAM, archive(&brick), |command| {
                command.env("TMPDIR", &small);
            })
            .unwrap();
        assert_eq!(outcome.code(), Some(4), "{outcome}");
        assert!(outcome.to_string().contains("(TMPDIR)"), "{outcome}");
        assert!(!scene.is_cold("large"));
        scene.done(&archive(&brick));
        assert!(scene.is_cold("large"));
    }
    lab().sh(&format!("umount {small}")).unwrap();
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which object belongs to a file? Its version (etag) is only a hint, since an object that was copied to another provider,
//! re-encrypted or uploaded in other parts has another one. Size and checksum in the file's record prove it.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use cloudsync_format::checksum::Algorithm;
use cloudsync_lab::until;

use crate::scene::{PATIENCE, Scene, assert_same, errno, pattern};

const LENGTH: usize = 20 << 20;
const VERSION: &str = "trusted.glusterfs.cs.version";

/// Replaces an object by one uploaded in other parts, as at another provider.
fn upload_in_parts(scene: &Scene, name: &str, bytes: &[u8], checksum: bool) {
    let before = scene.bucket.head(name).unwrap().unwrap();
    let folder = scene.mount().path().join("copies");
    std::fs::create_dir_all(&folder).unwrap();
    let copy = folder.join(name);
    std::fs::write(&copy, bytes).unwrap();
    let inside = scene.mount().inside().join("copies").join(name);
    let to = format!("s3://{}/{name}", scene.bucket.name());
    let sum = format!("cloudsync-checksum={}", Algorithm::Crc64Nvme.of(bytes));
    let mut words = vec!["s3", "cp", "--quiet", inside.to_str().unwrap(), &to];
    if checksum {
        words.extend(["--metadata", &sum]);
    }
    scene.bucket.aws(words).unwrap().check().unwrap();
    let after = scene.bucket.head(name).unwrap().unwrap();
    assert_ne!(
        before.header("etag"),
        after.header("etag"),
        "the etag is the same: the test proves nothing"
    );
}

fn version(scene: &Scene, name: &str) -> String {
    let version = xattr::get(scene.brick(name), VERSION).unwrap().unwrap();
    String::from_utf8(version).unwrap()
}

fn archived(stem: &str, names: &[&str]) -> Scene {
    let scene = Scene::new(stem);
    for (name, seed) in names.iter().zip(0..) {
        scene.write(name, &pattern(seed, LENGTH));
        scene.archive(name);
    }
    scene
}

#[test]
fn an_object_uploaded_in_other_parts_is_accepted() {
    let mut scene = archived("parts", &["recalled", "remote"]);
    for (name, seed) in [("recalled", 0), ("remote", 1)] {
        upload_in_parts(&scene, name, &pattern(seed, LENGTH), true);
    }
    scene.remount();
    assert_same(
        &scene.read("recalled").unwrap(),
        &pattern(0, LENGTH),
        "recalled",
    );
    scene.await_local("recalled");
    scene.await_log("its size and checksum match the file's");
    let before = version(&scene, "remote");
    scene
        .volume
        .set("features.cloudsync-remote-read", "on")
        .unwrap();
    scene.remount();
    let path = scene.path("remote");
    // The next reads record the new version.
    let written = scene.within("read", move || {
        // Bypassing the page cache, so that each read reaches the translator.
        let mut options = File::options();
        let file = options.read(true).custom_flags(libc::O_DIRECT);
        let file = file.open(&path).unwrap();
        until(PATIENCE, "the new version on the file", || {
            let mut piece = [0; 4096];
            file.read_exact_at(&mut piece, 9 << 20).unwrap();
            assert_same(&piece, &pattern(1, LENGTH)[9 << 20..][..4096], "remote");
            let value = xattr::get(&path, VERSION).unwrap().unwrap();
            (String::from_utf8(value).unwrap() != before).then_some(())
        })
        .is_ok()
    });
    assert!(written, "{}", scene.marks("remote"));
    assert!(scene.is_cold("remote"));
}

#[test]
fn an_unproven_object_is_refused_until_root_adopts_it() {
    let mut scene = archived("unproven", &["other", "unsaid"]);
    upload_in_parts(&scene, "other", &pattern(7, LENGTH), true);
    upload_in_parts(&scene, "unsaid", &pattern(1, LENGTH), false);
    scene.remount();
    for name in ["other", "unsaid"] {
        assert_eq!(errno(scene.read(name)), libc::ESTALE, "{name}");
        assert!(scene.is_cold(name), "{name}");
    }
    scene.await_log("cloudsync verify --adopt");
    let adopt = |name: &str, etag: &str| {
        let (path, value) = (scene.path(name), format!("etag={etag}"));
        scene.within("adopt", move || {
            xattr::set(path, "glusterfs.cloudsync.adopt", value.as_bytes())
        })
    };
    let etag = |name: &str| {
        let head = scene.bucket.head(name).unwrap().unwrap();
        head.header("etag").unwrap().to_owned()
    };
    assert_eq!(errno(adopt("unsaid", "\"another\"")), libc::ESTALE);
    assert_eq!(
        errno(adopt("other", &etag("other"))),
        libc::EBADMSG,
        "its checksum is another file's"
    );
    adopt("unsaid", &etag("unsaid")).unwrap();
    assert_same(
        &scene.read("unsaid").unwrap(),
        &pattern(1, LENGTH),
        "unsaid",
    );
    scene.await_local("unsaid");
    assert!(scene.is_cold("other"));
}

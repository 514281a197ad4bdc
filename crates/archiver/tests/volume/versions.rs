// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `gc` in a bucket that keeps versions of deleted objects, or locks them: its report says what remains.

use std::fs;

use cloudsync_lab::{Backing, Layout};

use crate::scene::{Scene, lab, number, pattern};

/// Archives two files, and removes them.
fn leave_objects(scene: &Scene) {
    for name in ["one", "two"] {
        scene.write(name, &pattern(7, 3000));
    }
    scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
    for name in ["one", "two"] {
        assert!(scene.is_cold(name));
        let path = scene.path(name);
        scene
            .within("remove", move || fs::remove_file(path))
            .unwrap();
    }
}

#[test]
fn gc_says_what_a_bucket_keeps_of_deleted_objects() {
    let scene = Scene::new("gc-versions");
    let bucket = &scene.bucket;
    let args = ["s3api", "put-bucket-versioning", "--bucket", bucket.name()];
    let on = ["--versioning-configuration", "Status=Enabled"];
    let set = bucket.aws(args.into_iter().chain(on)).unwrap();
    assert!(set.success(), "{set}");
    leave_objects(&scene);
    let gc = ["gc", "--json", "--grace=0s", "--delete", &scene.brick(0)];
    let report = scene.done(&gc);
    assert_eq!(
        (number(&report, "deleted"), number(&report, "hidden")),
        (2, 2),
        "{report}"
    );
    scene
        .volume
        .set("features.cloudsync-store-id", "versions=delete")
        .unwrap();
    leave_objects(&scene);
    let report = scene.done(&gc);
    assert_eq!(
        (number(&report, "deleted"), number(&report, "hidden")),
        (2, 0),
        "{report}"
    );
    let args = ["s3api", "list-object-versions", "--bucket", bucket.name()];
    let left = bucket.aws(args).unwrap().text();
    // Those that the first run has hidden.
    assert_eq!(left.matches("\"Size\"").count(), 2, "{left}");
}

#[test]
fn gc_names_the_lock_of_an_object_that_stays() {
    let volume = lab()
        .volume("gc-locked", Layout::Single, Backing::Ram)
        .unwrap();
    let bucket = lab().s3().unwrap().bucket("gc-locked").unwrap();
    let rule = r#"{"ObjectLockEnabled":"Enabled","Rule":{"DefaultRetention":{"Mode":"COMPLIANCE","Days":1}}}"#;
    for (command, more) in [
        ("delete-bucket", &[][..]),
        // Such a bucket can only be made as one.
        ("create-bucket", &["--object-lock-enabled-for-bucket"]),
        (
            "put-object-lock-configuration",
            &["--object-lock-configuration", rule],
        ),
    ] {
        let args = [&["s3api", command, "--bucket", bucket.name()], more].concat();
        let done = bucket.aws(args).unwrap();
        assert!(done.success(), "{done}");
    }
    let scene = Scene::of(
        volume,
        bucket,
        &[("features.cloudsync-store-id", "versions=delete")],
    );
    leave_objects(&scene);
    let outcome = scene.cloudsync(&["gc", "--grace=0s", "--delete", &scene.brick(0)]);
    assert!(!outcome.success(), "{outcome}");
    let report = outcome.to_string();
    assert_eq!(
        report.matches("the object is locked until 20").count(),
        2,
        "{report}"
    );
    assert!(report.contains("0 deleted, 2 failed"), "{report}");
}

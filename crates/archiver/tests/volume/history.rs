// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync history`: what clients wrote to their logs.

use std::process::Stdio;

use serde_json::Value;

use crate::scene::{Scene, lab, pattern};

/// The history, as JSON. The lab's clients and the archiver have logs in two folders.
fn history(scene: &Scene, more: &[&str]) -> Vec<Value> {
    let mount = scene.inside("");
    let logs = logs(scene);
    let args = [
        &["history", "--json", "--logs", &logs, &mount][..],
        &["--logs", "/var/log/glusterfs"],
        more,
    ];
    let text = scene.done(&args.concat());
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Where the lab's clients write their logs.
pub(crate) fn logs(scene: &Scene) -> String {
    let folder = scene.mount().log_file().parent().unwrap();
    folder.display().to_string()
}

/// The size of a file whose recall takes longer than a read of its first bytes.
const LARGE: usize = 32 << 20;

#[test]
fn what_was_archived_and_recalled_is_listed() {
    let mut scene = Scene::new("history");
    let files = [("a/read", LARGE), ("a/gone", 300_000), ("asked", 300_000)];
    for (name, size) in files {
        scene.write(name, &pattern(size as u64, size));
    }
    scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
    scene.remount();
    // It has its byte, and ends, long before the recall does.
    let mut command = lab().command("head");
    command.arg("--bytes=1").arg(scene.inside("a/read"));
    command.stdout(Stdio::null());
    assert!(command.status().unwrap().success());
    scene.volume.await_local("a/read", "the end of the recall");
    scene.done(&["recall", "--wait", &scene.inside("asked")]);
    for key in scene.bucket.list("").unwrap() {
        scene.bucket.delete(&key).unwrap();
    }
    let gone = scene.path("a/gone");
    assert!(scene.within("a read", move || std::fs::read(gone)).is_err());

    let events = history(&scene, &[]);
    let of = |event: &str, path: &str| -> Vec<Value> {
        let same = |found: &&Value| found["event"] == event && found["path"] == path;
        events.iter().filter(same).cloned().collect()
    };
    for (name, size) in files {
        let [archived] = &of("archived", &format!("/{name}"))[..] else {
            panic!("{events:?}");
        };
        assert_eq!(archived["bytes"], size);
        assert_eq!(
            (&archived["why"], &archived["uid"]),
            (&"archive".into(), &0.into())
        );
        assert_eq!(archived["command"], "cloudsync");
    }
    let [read] = &of("recalled", "/a/read")[..] else {
        panic!("{events:?}");
    };
    assert_eq!(
        (&read["why"], &read["command"]),
        (&"read".into(), &"head".into())
    );
    assert_eq!(
        (&read["bytes"], &read["store"]),
        (&LARGE.into(), &"amazons3".into())
    );
    assert_eq!(read["volume"], scene.volume.name());
    assert!(read["seconds"].as_f64().unwrap() < 60.0);
    let [asked] = &of("recalled", "/asked")[..] else {
        panic!("{events:?}");
    };
    assert_eq!(asked["why"], "command");
    let failed = of("failed", "/a/gone");
    assert!(!failed.is_empty(), "{events:?}");
    assert_eq!(failed[0]["cause"], "missing");
    assert!(failed[0]["error"].is_string(), "{failed:?}");

    // Filters and sums.
    let under = history(&scene, &["--under", "/a"]);
    assert!(under.iter().all(|event| event["path"] != "/asked") && under.len() >= 4);
    assert!(
        history(&scene, &["--failed"])
            .iter()
            .all(|event| event["event"] == "failed")
    );
    assert!(history(&scene, &["--user", "4711"]).is_empty());
    let sums = history(&scene, &["--summary"]).pop().unwrap();
    assert_eq!(
        sums["recalled"],
        serde_json::json!({"bytes": LARGE + 300_000, "files": 2})
    );
    assert_eq!(sums["archived"]["files"], 3);
    assert_eq!(sums["causes"]["missing"], sums["failed"]);
    // For people, and of a brick.
    let text = scene.done(&["history", "--logs", &logs(&scene), &scene.brick(0)]);
    assert!(text.contains("Z recalled /a/read (32.00 MiB in "), "{text}");
    assert!(text.contains("read by head ("), "{text}");
}

#[test]
fn it_can_be_switched_off() {
    let mut scene = Scene::new("silent");
    scene
        .volume
        .set("features.cloudsync-product-id", "history=off")
        .unwrap();
    scene.remount();
    scene.write("file", &pattern(1, 1000));
    scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
    scene.remount();
    scene.recall("file");
    assert!(history(&scene, &[]).is_empty());
}

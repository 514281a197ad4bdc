// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync check VOLUME`.

use serde_json::Value;

use crate::scene::{Scene, lab, pattern};

/// What `cloudsync check --json` found, by check, and its exit code.
fn check(scene: &Scene, more: &[&str]) -> (Vec<(String, String, String)>, Option<i32>) {
    let volume = scene.volume.name().to_owned();
    let outcome = scene.cloudsync(&[&["check", "--json", &volume], more].concat());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let output = outcome.text();
    let found = output.lines().map(|line| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{outcome}"));
        (
            text(&value["event"]),
            text(&value["check"]),
            text(&value["why"]),
        )
    });
    (found.collect(), outcome.code())
}

/// The reasons of the problems, each with what was checked.
fn problems(found: &[(String, String, String)]) -> Vec<String> {
    let problems = found.iter().filter(|(event, ..)| event == "problem");
    problems
        .map(|(_, check, why)| format!("{check}: {why}"))
        .collect()
}

#[test]
fn a_volume_that_is_set_up_well_has_no_problem() {
    let scene = Scene::new("sound");
    let before = scene.bucket.list("").unwrap();
    let (found, _) = check(&scene, &[]);
    for wanted in [
        "features.cloudsync",
        "store: put an object",
        "store: read an object",
        "store: read a part of an object",
        "store: keep an object that exists",
        "store: list objects",
        "store: list unfinished uploads",
        "store: delete an object",
        "clock",
    ] {
        let ok = found
            .iter()
            .any(|(event, check, _)| event == "ok" && check == wanted);
        assert!(ok, "{wanted}: {found:?}");
    }
    let mount = format!("mount {}", scene.inside("").trim_end_matches('/'));
    assert!(
        found
            .iter()
            .any(|(event, check, _)| event == "ok" && *check == mount),
        "{found:?}"
    );
    // The only problem is the lab's literal key.
    let problems = problems(&found);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("features.s3plugin-seckey: "),
        "{problems:?}"
    );
    assert_eq!(
        scene.bucket.list("").unwrap(),
        before,
        "the probe is removed"
    );
}

#[test]
fn what_is_wrong_is_named() {
    let scene = Scene::new("unsound");
    scene
        .volume
        .set_all(&[
            ("features.cloudsync-product-id", "recalls=many"),
            ("features.shard", "on"),
        ])
        .unwrap();
    let name = scene.volume.name();
    let set = format!("{name} storage.linux-aio on");
    for words in [
        format!("stop {name}"),
        format!("set {set}"),
        format!("start {name}"),
    ] {
        lab().gluster(format!("volume {words}").split(' ')).unwrap();
    }
    let (found, code) = check(&scene, &["--bucket", "there-is-no-such-bucket"]);
    let problems = problems(&found).join("\n");
    for wanted in [
        "features.cloudsync-product-id: ",
        "recalls",
        "storage.linux-aio: on: ",
        "store: put an object: ",
    ] {
        assert!(problems.contains(wanted), "{wanted}: {problems}");
    }
    assert!(
        found
            .iter()
            .any(|(event, check, _)| event == "note" && check == "features.shard")
    );
    assert_eq!(code, Some(1));
    // A key without rights.
    let user = lab().s3().unwrap().user_without_rights();
    let flags = [("--key-id", user.key), ("--secret-key", user.secret)].map(|(flag, value)| {
        let file = lab().scratch(&flag[2..]);
        std::fs::write(lab().outer(&file), value).unwrap();
        format!("{flag}=file:{}", file.display())
    });
    let (found, _) = check(&scene, &flags.each_ref().map(String::as_str));
    let denied = problems_of(&found, "store: put an object");
    assert!(
        denied.contains("permission") || denied.contains("denied"),
        "{denied}"
    );
}

fn problems_of(found: &[(String, String, String)], wanted: &str) -> String {
    let problems = found
        .iter()
        .filter(|(event, check, _)| event == "problem" && check == wanted);
    problems.map(|(.., why)| why.as_str()).collect()
}

#[test]
fn cold_files_while_the_feature_is_off_are_a_problem() {
    let scene = Scene::new("dark");
    scene.write("file", &pattern(1, 1000));
    scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
    scene.volume.set("features.cloudsync", "off").unwrap();
    let (found, code) = check(&scene, &[]);
    let why = problems_of(&found, "features.cloudsync");
    assert!(
        why.contains("off, and files are cold (") && why.contains("features.cloudsync on"),
        "{found:?}"
    );
    assert_eq!(code, Some(1));
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of `run` with a policy file, of locks, and of usage errors.

use std::fs::{self, File, FileTimes};
use std::time::{Duration, SystemTime};

use crate::scene::{Scene, lab, pattern};

#[test]
fn policy_runs_and_writes_a_report() {
    let scene = Scene::new("policy");
    for (name, size) in [("a.mov", 5000), ("b.db", 5000), ("small", 10)] {
        scene.write(name, &pattern(1, size));
    }
    let [config, report] = ["policy.toml", "report.json"].map(|name| lab().scratch(name));
    let text = format!(
        "report = '{}'\n[limits]\njobs = 4\n[[rule]]\nname = 'r'\ntargets = ['{}', '/not/here']\n\
         older-than = '0s'\nlarger-than = '1K'\nexclude = ['*.db']\n\
         [[rule]]\nname = 'full'\ntargets = ['{}']\nolder-than = '0s'\nstart-below-free = '0%'\n",
        report.display(),
        scene.brick(0),
        scene.brick(0),
    );
    fs::write(lab().outer(&config), text).unwrap();
    let config = config.display().to_string();
    let output = scene.done(&["run", "--config", &config]);
    assert!(
        output.contains("r at ") && output.contains(": done: archived 1 files, 4.88 KiB"),
        "{output}"
    );
    assert!(
        output.contains("/not/here: skipped: not on this node"),
        "{output}"
    );
    assert!(
        output.contains("full at ") && output.contains("% is free"),
        "{output}"
    );
    assert!(scene.is_cold("a.mov") && !scene.is_cold("b.db") && !scene.is_cold("small"));
    let report_file = lab().outer(report);
    let report = fs::read_to_string(&report_file).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["runs"][0]["summary"]["archived"], 1);
    assert_eq!(report["runs"].as_array().unwrap().len(), 3);
    // The other timer looks at the second rule only, and leaves the report.
    fs::remove_file(&report_file).unwrap();
    let output = scene.done(&["run", "--when-short", "--config", &config]);
    assert!(
        output.contains("full at ") && !output.contains("r at "),
        "{output}"
    );
    assert!(!report_file.exists());
}

#[test]
fn a_policy_checks_objects_and_deletes_unreferenced_ones_once() {
    let scene = Scene::new("steps");
    for name in ["kept", "removed"] {
        scene.write(name, &pattern(1, 5000));
    }
    let config = lab().scratch("steps.toml");
    let brick = scene.brick(0);
    let text = format!(
        "[[rule]]\nname = 'all'\ntargets = ['{brick}']\nolder-than = '0s'\n\
         [[verify]]\nname = 'weekly'\ntargets = ['{brick}', '/not/here']\nevery = '7d'\ndeep = true\n\
         [[gc]]\nname = 'clean'\ntargets = ['{brick}']\ngrace = '0s'\ndelete = true\n\
         [[catalog]]\nname = 'daily'\ntargets = ['{brick}']\nevery = '1d'\nkeep = 3\n"
    );
    fs::write(lab().outer(&config), text).unwrap();
    let config = config.display().to_string();

    let output = scene.done(&["run", "--check", "--config", &config]);
    let volume = scene.volume.name();
    for line in [
        format!("archive all at {brick}: a brick of volume {volume}"),
        "verify weekly at /not/here: not on this node".to_owned(),
    ] {
        assert!(output.contains(&line), "{output}");
    }
    assert!(!scene.is_cold("kept"), "--check archives nothing");

    let output = scene.done(&["run", "--config", &config]);
    for part in [
        "weekly at ",
        ": done: 2 cold files, 9.77 KiB: 0 missing",
        "clean at ",
        ": done: 2 objects: 0 unreferenced",
        "daily at ",
        ": done: 1 folders, 0 links, 0 files",
    ] {
        assert!(output.contains(part), "{output}");
    }
    let path = scene.path("removed");
    scene
        .within("remove", move || fs::remove_file(path))
        .unwrap();
    let output = scene.done(&["--json", "run", "--config", &config]);
    let report: serde_json::Value = serde_json::from_str(output.trim()).unwrap();
    let runs = report["runs"].as_array().unwrap();
    let weekly = runs.iter().find(|run| run["step"] == "verify").unwrap();
    assert_eq!(weekly["result"], "skipped", "{output}");
    let why = weekly["why"].as_str().unwrap();
    assert!(why.starts_with("was done "), "{why}");
    // `every` is not given for this one.
    let clean = runs.iter().find(|run| run["step"] == "gc").unwrap();
    assert_eq!(clean["summary"]["deleted"], 1, "{output}");
    scene.done(&["verify", &brick]);
}

#[test]
fn only_one_run_per_brick() {
    let scene = Scene::new("lock");
    for n in 0..40 {
        scene.write(&format!("f{n}"), &pattern(n, 1000));
    }
    let brick = scene.brick(0);
    // Slow enough to be still running when the second run starts.
    let args = [
        "archive",
        "--older-than=0s",
        "--files-per-second=4",
        "--jobs=1",
        &brick,
    ];
    let mut first = scene.start(&args);
    let cold = || (0..40).any(|n| scene.is_cold(&format!("f{n}")));
    let patience = Duration::from_secs(30);
    cloudsync_lab::until(patience, "the first file", || cold().then_some(())).unwrap();
    let output = scene.cloudsync(&["archive", "--older-than=0s", &brick]);
    assert_eq!(output.code(), Some(5), "{output}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("another run holds the lock"),
        "{output}"
    );
    assert!(scene.signal("TERM"));
    assert_eq!(first.wait().unwrap().code(), Some(130));
    let output = scene.done(&["archive", "--older-than=0s", &brick]);
    assert!(output.contains("0 failed"), "{output}");
}

#[test]
fn usage_errors_have_their_exit_codes() {
    let scene = Scene::new("usage");
    scene.write("file", b"x");
    for (args, code, text) in [
        (&["archive", "--older-than=soon", "/"][..], 2, "a duration"),
        (&["archive", "/"], 3, "neither in a brick"),
        (
            &["archive", "/does/not/exist"],
            3,
            "/does/not/exist: No such file",
        ),
        (
            &["run", "--config", "/does/not/exist"],
            2,
            "/does/not/exist",
        ),
        (&["rebuild", "--from=x", "/"], 2, "not the id of a volume"),
    ] {
        let output = scene.cloudsync(args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.code(), Some(code), "{output}");
        assert!(stderr.contains(text), "{stderr}");
    }
    // A store that refuses everything is reported once, not for each file.
    let brick = scene.brick(0);
    let args = [
        "archive",
        "--older-than=0s",
        "--bucket=no-such-bucket",
        &brick,
    ];
    let output = scene.cloudsync(&args);
    assert_eq!(output.code(), Some(4), "{output}");
    assert!(
        output.text().contains("STOPPED") && output.text().contains("no such bucket"),
        "{output}"
    );
    scene
        .volume
        .set("features.s3plugin-seckey", "wrong")
        .unwrap();
    let output = scene.cloudsync(&["archive", "--older-than=0s", &brick]);
    assert!(output.text().contains("check s3plugin-seckey"), "{output}");
    assert_eq!(scene.read("file"), b"x");
    let pages = lab().scratch("man");
    scene.done(&["manual", &pages.display().to_string()]);
    let page = fs::read_to_string(lab().outer(pages).join("cloudsync-archive.1")).unwrap();
    assert!(page.contains("free\\-until"), "{page}");
    assert!(scene.done(&["completions", "bash"]).contains("cloudsync"));
}

/// A large young file frees more than small old ones: size x age.
#[test]
fn what_saves_most_is_archived_first() {
    let scene = Scene::new("benefit");
    let day = Duration::from_secs(86_400);
    for (name, size, age) in [
        ("old-and-small", 1000, 300),
        ("young-and-large", 3 << 20, 2),
        ("old-and-large", 1 << 20, 30),
        ("of-today", 8 << 20, 0),
    ] {
        scene.write(name, &pattern(1, size));
        let path = scene.path(name);
        let then = SystemTime::now() - day * age;
        scene.within("set the times", move || {
            let times = FileTimes::new().set_modified(then).set_accessed(then);
            let file = File::options().write(true).open(path);
            file.and_then(|file| file.set_times(times)).unwrap();
        });
    }
    let first = |order: &str| {
        let mut left = vec![
            "of-today",
            "old-and-large",
            "old-and-small",
            "young-and-large",
        ];
        let args = ["archive", "--dry-run", "--older-than=1d", order];
        let text = scene.done(&[&args[..], &[&scene.brick(0)]].concat());
        left.retain(|name| text.contains(name));
        left.sort_by_key(|name| text.find(name));
        left
    };
    assert_eq!(
        first("--order=benefit"),
        ["old-and-large", "young-and-large", "old-and-small"]
    );
    assert_eq!(
        first("--order=oldest"),
        ["old-and-small", "old-and-large", "young-and-large"]
    );
}

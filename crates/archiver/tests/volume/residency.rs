// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which files stay local because they are in use: rules about reads, changes and recalls mean the same on a mount and on a
//! brick, whether or not the volume keeps its own times.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use cloudsync_lab::Layout;
use serde_json::Value;

use crate::scene::{Scene, lab, pattern};

const HOUR: Duration = Duration::from_secs(3600);

/// Sets a file's times back, as if nobody had used it since.
fn age(scene: &Scene, name: &str, age: Duration) {
    let path = scene.path(name);
    scene.within("set the times", move || {
        let then = SystemTime::now() - age;
        let times = FileTimes::new().set_modified(then).set_accessed(then);
        File::options()
            .write(true)
            .open(path)
            .and_then(|file| file.set_times(times))
            .unwrap();
    });
}

/// The summary of a dry run.
fn would(scene: &Scene, target: &str, flags: &[&str]) -> Value {
    let mut args = vec!["--json", "archive", "--dry-run"];
    args.extend(flags);
    args.push(target);
    let text = scene.done(&args);
    let last = text.lines().last().unwrap();
    serde_json::from_str(last).unwrap()
}

fn recalled_files_stay(scene: &mut Scene) {
    for name in ["recalled", "small", "asked", "never"] {
        let size = if name == "small" { 1000 } else { 3 << 20 };
        scene.write(name, &pattern(1, size));
        age(scene, name, 100 * 24 * HOUR);
    }
    // Closes the files, also on the bricks.
    scene.remount();
    let brick = scene.brick(0);
    let exclude = "--exclude=never";
    let archived = scene.done(&["archive", exclude, &brick]);
    assert!(archived.contains("archived 3 files"), "{archived}");
    scene.remount();
    let data = |name| (name, fs::metadata(scene.path(name)).unwrap());
    let before = BTreeMap::from(["recalled", "small", "asked"].map(data));
    let begun = SystemTime::now();
    scene.recall("recalled");
    scene.recall("small");
    scene.done(&["recall", "--wait", &scene.inside("asked")]);
    scene.remount();
    for name in ["recalled", "small", "asked"] {
        let after = fs::metadata(scene.path(name)).unwrap();
        let mtime = |data: &fs::Metadata| (data.mtime(), data.mtime_nsec());
        assert_eq!(mtime(&after), mtime(&before[name]), "{name}");
        let accessed = after.accessed().unwrap();
        // The file system may store whole milliseconds.
        assert!(
            accessed + Duration::from_secs(1) > begun,
            "{name}: {accessed:?}, but the recall was after {begun:?}{}",
            scene.volume.marks(name)
        );
    }
    for target in [&brick, &scene.inside("")] {
        let summary = would(scene, target, &[]);
        assert_eq!(summary["recalled_lately"], 3, "{target}: {summary}");
        assert_eq!(summary["archived"], 1, "{target}: {summary}");
        let summary = would(scene, target, &["--min-residency=0s"]);
        assert_eq!(summary["archived"], 4, "{target}: {summary}");
        // Only those that were ever recalled.
        let summary = would(
            scene,
            target,
            &["--min-residency=0s", "--recalled-before=0s"],
        );
        assert_eq!(summary["recalled_lately"], 1, "{target}: {summary}");
        let summary = would(scene, target, &["--min-residency=0s", "--unused-for=30d"]);
        assert_eq!(summary["used_lately"], 3, "{target}: {summary}");
        assert_eq!(summary["archived"], 1, "{target}: {summary}");
    }
    let summary = scene.done(&["archive", "--min-residency=0s", &brick]);
    assert!(
        summary.contains("archived 4 files") && summary.contains("3 without an upload"),
        "{summary}"
    );
}

#[test]
fn recalled_files_stay_where_the_volume_keeps_times() {
    recalled_files_stay(&mut Scene::new("stay"));
}

#[test]
fn recalled_files_stay_where_the_bricks_keep_times() {
    let settings = [("features.ctime", "off")];
    recalled_files_stay(&mut Scene::on("stay-bricks", Layout::Single, &settings));
}

#[test]
fn recalled_files_stay_on_a_replicated_volume() {
    recalled_files_stay(&mut Scene::on("stay-replica", Layout::Replica(3), &[]));
}

#[test]
fn recalled_files_stay_on_an_erasure_coded_volume() {
    let layout = Layout::Disperse {
        bricks: 3,
        redundancy: 1,
    };
    recalled_files_stay(&mut Scene::on("stay-coded", layout, &[]));
}

#[test]
fn files_that_are_read_stay_if_the_volume_notes_reads() {
    let mut scene = Scene::on("reads", Layout::Single, &[("ctime.noatime", "off")]);
    for name in ["read", "unread"] {
        // Larger than what quick-read gets with a lookup, of which the volume notes nothing.
        scene.write(name, &pattern(1, 300_000));
        age(&scene, name, 100 * 24 * HOUR);
    }
    scene.remount();
    scene.read("read");
    scene.remount();
    for target in [scene.brick(0), scene.inside("")] {
        let summary = would(&scene, &target, &["--unused-for=30d"]);
        assert_eq!(summary["archived"], 1, "{target}: {summary}");
        assert_eq!(summary["used_lately"], 1, "{target}: {summary}");
        assert_eq!(would(&scene, &target, &[])["archived"], 2, "{target}");
    }
}

/// The worked example of docs/ARCHIVER.md.
#[test]
fn a_policy_explains_itself() {
    let mut scene = Scene::new("explained");
    for name in ["film.mov", "film2.mov", "note.txt"] {
        scene.write(name, &pattern(1, 2 << 20));
        age(&scene, name, 100 * 24 * HOUR);
    }
    let config = lab().scratch("explained.toml");
    let text = format!(
        "[[rule]]\nname = 'films'\ntargets = ['{0}', '/not/here']\nolder-than = '90d'\ninclude = ['*.mov']\n\
         [[rule]]\nname = 'when space is short'\ntargets = ['{0}']\nolder-than = '7d'\nunused-for = '30d'\n\
         min-residency = '1d'\nstart-below-free = '0%'\n",
        scene.brick(0),
    );
    fs::write(lab().outer(&config), text).unwrap();
    let config = config.display().to_string();
    scene.done(&["run", "--config", &config]);
    assert!(scene.is_cold("film.mov") && !scene.is_cold("note.txt"));
    scene.remount();
    scene.recall("film.mov");
    scene.remount();
    let explain = |name: &str| scene.done(&["run", "--config", &config, "--explain", name]);
    // The same for the path of a user and that on the brick.
    let brick = format!("{}/film.mov", scene.brick(0));
    for path in [scene.inside("film.mov"), brick] {
        let text = explain(&path);
        let lines = [
            "would not archive it\n".to_owned(),
            "  yes include *.mov: /film.mov".to_owned(),
            "  yes older-than 90d: modified ".to_owned(),
            "  no  min-residency 7d: recalled ".to_owned(),
            "would not archive it: the rule does not run: ".to_owned(),
            "  no  unused-for 30d: last used ".to_owned(),
        ];
        for line in lines {
            assert!(text.contains(&line), "{line}: {text}");
        }
    }
    let text = explain(&scene.inside("note.txt"));
    assert!(text.contains("  no  include *.mov: /note.txt"), "{text}");
    assert!(
        text.contains("  yes min-residency 1d: never recalled"),
        "{text}"
    );
    let text = explain(&scene.inside("film2.mov"));
    assert!(
        text.contains(": would not archive it: it is cold"),
        "{text}"
    );
    let outcome = scene.cloudsync(&["run", "--config", &config, "--explain", "/etc/passwd"]);
    assert!(!outcome.success(), "{outcome:?}");
}

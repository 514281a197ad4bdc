// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which files `recall` brings back: by name, size, owner and time of the archive; not more than there is room for.

use std::fs::{File, FileTimes};
use std::os::unix::fs::chown;
use std::time::{Duration, SystemTime};

use cloudsync_lab::{Backing, Layout};
use serde_json::Value;

use crate::scene::{Scene, lab, pattern};

fn summary(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn a_recall_takes_the_selected_files() {
    let mut scene = Scene::new("selected");
    for (name, size) in [
        ("a/film.mov", 2 << 20),
        ("a/b/film.mov", 1 << 20),
        ("a/note.txt", 3000),
        ("other/film.mov", 1 << 20),
    ] {
        scene.write(name, &pattern(1, size));
    }
    chown(scene.path("a/note.txt"), Some(1234), None).unwrap();
    scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
    scene.write("a/local.mov", b"local");
    scene.remount();
    let a = scene.inside("a");
    let would = |flags: &[&str]| {
        let args = [&["--json", "recall", "-n", "-r"][..], flags, &[&a]].concat();
        let text = scene.done(&args);
        (summary(&text), text)
    };
    let (all, text) = would(&[]);
    assert_eq!(
        (&all["recalled"], &all["bytes"]),
        (&3.into(), &(3_148_728).into()),
        "{text}"
    );
    assert_eq!(
        (&all["already_local"], &all["dry_run"]),
        (&1.into(), &true.into()),
        "{text}"
    );
    assert!(scene.is_cold("a/film.mov"), "a dry run recalls nothing");
    for (flags, files, left) in [
        (&["--include=*.mov"][..], 2, 1),
        (&["--include=/a/*.mov"], 1, 2),
        (&["--exclude=*.mov"], 1, 2),
        (&["--larger-than=1M"], 2, 1),
        (&["--owner=1234"], 1, 2),
        (&["--archived-within=1h"], 3, 0),
        (&["--archived-within=0s"], 0, 3),
    ] {
        let (found, text) = would(flags);
        assert_eq!(found["recalled"], files, "{flags:?}: {text}");
        assert_eq!(found["not_selected"], left, "{flags:?}: {text}");
    }
    let text = scene.done(&["recall", "-r", "--wait", "--include=/a/*.mov", &a]);
    assert!(
        text.contains("recalled 1 files, 2.00 MiB; 0 failed, 1 were local, 2 not selected"),
        "{text}"
    );
    assert!(scene.volume.is_local_now("a/film.mov") && scene.is_cold("a/b/film.mov"));
    // One file that is not in a volume does not hold up the others.
    let note = scene.inside("a/note.txt");
    let outcome = scene.cloudsync(&["recall", "--wait", "/etc/passwd", &note]);
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    assert!(outcome.to_string().contains("/etc/passwd"), "{outcome}");
    assert!(!scene.is_cold("a/note.txt"));
}

#[test]
fn a_dry_run_says_what_a_recall_would_cost() {
    let mut scene = Scene::new("cost");
    for (name, size) in [("a", 20_000_000), ("b", 1000)] {
        scene.write(name, &pattern(1, size));
    }
    scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
    scene.remount();
    let prices = lab().scratch("prices.toml");
    // Three parts of 8 MiB, and one.
    let text = "currency = 'EUR'\n[class.STANDARD]\nper-1000-requests = 250.0\nper-gb = 50.0\n";
    std::fs::write(lab().outer(&prices), text).unwrap();
    let prices = format!("--prices={}", prices.display());
    let all = scene.inside("");
    let text = scene.done(&["recall", "-n", "-r", &prices, &all]);
    assert!(
        text.contains("STANDARD: 2 files, 19.07 MiB, 4 requests: 2.00 EUR\n2.00 EUR"),
        "{text}"
    );
    let text = scene.done(&["--json", "recall", "-n", "-r", &prices, &all]);
    let found = summary(&text);
    assert_eq!(found["costs"]["STANDARD"]["files"], 2, "{text}");
    let outcome = scene.cloudsync(&["recall", "-r", &prices, &all]);
    assert_eq!(outcome.code(), Some(2), "only with --dry-run: {outcome}");
    assert!(scene.is_cold("a") && scene.is_cold("b"));
}

/// As a store of tapes has them.
#[test]
fn files_come_back_in_the_order_of_their_archives() {
    let mut scene = Scene::new("in-order");
    for (name, days) in [("c", 3_u64), ("a", 2), ("b", 1)] {
        scene.write(name, &pattern(days, 1000));
        let then = SystemTime::now() - Duration::from_secs(days * 86_400);
        let path = scene.path(name);
        scene.within("set the times", move || {
            let file = File::options().write(true).open(path).unwrap();
            file.set_times(FileTimes::new().set_modified(then)).unwrap();
        });
        // The time of an archive is noted in seconds.
        std::thread::sleep(Duration::from_millis(1100));
        scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
    }
    scene.remount();
    let text = scene.done(&["recall", "-n", "-r", &scene.inside("")]);
    let found: Vec<_> = ["c", "a", "b"]
        .map(|name| text.find(&scene.inside(name)).unwrap())
        .into();
    assert!(found.is_sorted(), "{text}");
}

#[test]
fn more_than_fits_is_refused_at_once() {
    let volume = lab()
        .volume("narrow", Layout::Single, Backing::Sized(48 << 20))
        .unwrap();
    let bucket = lab().s3().unwrap().bucket("narrow").unwrap();
    let mut scene = Scene::of(volume, bucket, &[]);
    for name in ["one", "two"] {
        scene.write(name, &pattern(1, 20 << 20));
    }
    scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
    scene.write("filler", &pattern(2, 20 << 20));
    scene.remount();
    let all = scene.inside("");
    let outcome = scene.cloudsync(&["recall", "-r", &all]);
    assert_eq!(outcome.code(), Some(3), "{outcome}");
    let text = outcome.to_string();
    assert!(
        text.contains("40.00 MiB in 2 files would come back"),
        "{text}"
    );
    assert!(scene.is_cold("one") && scene.is_cold("two"));
    scene.done(&["recall", "--wait", &scene.inside("one")]);
    let outcome = scene.cloudsync(&["recall", "-r", "--wait", "--anyway", &all]);
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    // It is read from the store meanwhile.
    assert!(
        outcome.to_string().contains("two: it is still cold"),
        "{outcome}"
    );
    assert!(scene.is_cold("two") && scene.read("two") == pattern(1, 20 << 20));
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client must not grow over months of recalls: after many of them it holds the same resources as before.
//!
//! A thousand recalls in a normal run; `CLOUDSYNC_RECALLS=10000` for more.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_format::claim::Claim;
use cloudsync_lab::{Backing, Mount, MountOptions, until};

use crate::scene::{PATIENCE, Scene, claim, pattern};

const FILES: usize = 50;
const LENGTH: usize = 20_000;
/// How many files are archived and read concurrently.
const CONCURRENT: usize = 5;
/// Allowed growth: a lookup in progress, a table that doubles.
const SLACK: u64 = 12;
/// Allowed heap fragmentation, in KiB.
const RSS_SLACK: u64 = 16 << 10;

fn recalls() -> usize {
    let given = std::env::var("CLOUDSYNC_RECALLS").ok();
    given.map_or(1000, |text| text.parse().unwrap())
}

fn name(number: usize) -> String {
    format!("file-{number}")
}

/// The resources that a client holds: counts by name.
pub(crate) type Holding = BTreeMap<String, u64>;

/// From the statedump, GlusterFS's objects in use, by pool, and our translator's allocations, by type; and from the
/// kernel, descriptors, threads and memory.
pub(crate) fn holding(mount: &Mount) -> Holding {
    let dump = mount.statedump().unwrap();
    let mut held = Holding::new();
    let mut section = "";
    let mut pool = "";
    for line in dump.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let number = || value.trim().parse::<u64>().unwrap_or(0);
        let name = match key {
            "pool-name" => {
                pool = value;
                continue;
            }
            "active-count" => pool.to_owned(),
            "callpool.cnt" => "stacks".to_owned(),
            "num_allocs" if section.contains("-cloudsync") => {
                let kind = section.split("usage-type ").nth(1).unwrap_or("");
                format!("our {}", kind.trim_end_matches(" memusage]"))
            }
            key if key.ends_with("active_cnt") => "iobufs".to_owned(),
            key if key.ends_with("itable.active_size") || key.ends_with("itable.lru_size") => {
                "inodes".to_owned()
            }
            _ => continue,
        };
        *held.entry(name).or_default() += number();
    }
    let proc = format!("/proc/{}", mount.pid());
    let count = |dir: &str| fs::read_dir(format!("{proc}/{dir}")).unwrap().count() as u64;
    held.insert("descriptors".to_owned(), count("fd"));
    held.insert("threads".to_owned(), count("task"));
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let rss = rss.and_then(|text| text.split_whitespace().next()?.parse().ok());
    held.insert("RSS, KiB".to_owned(), rss.unwrap());
    held
}

/// Lists the resources that have grown by more than the allowance.
fn grown(before: &Holding, after: &Holding) -> Vec<String> {
    let slack = |name: &str| {
        if name.starts_with("RSS") {
            RSS_SLACK
        } else {
            SLACK
        }
    };
    after
        .iter()
        .map(|(name, now)| (name, before.get(name).copied().unwrap_or(0), *now))
        .filter(|(name, was, now)| *now > *was + slack(name))
        .map(|(name, was, now)| format!("{name}: {was} -> {now}"))
        .collect()
}

/// Archives all files and reads them, which recalls each.
fn archive_and_recall_all(scene: &Scene) {
    let root = scene.path("");
    let work = move || {
        let files = |first: usize| {
            let root = root.clone();
            move || {
                for number in (first..FILES).step_by(CONCURRENT) {
                    let path = root.join(name(number));
                    let keyed = Claim {
                        key: Some("object".to_owned()),
                        ..claim(&fs::metadata(&path).unwrap())
                    };
                    let value = keyed.to_string();
                    xattr::set(&path, "trusted.glusterfs.csou.complete", value.as_bytes()).unwrap();
                    let mut read = Vec::new();
                    File::open(&path).unwrap().read_to_end(&mut read).unwrap();
                    assert!(read == pattern(1, LENGTH), "{}", path.display());
                }
            }
        };
        let threads: Vec<_> = (0..CONCURRENT)
            .map(|first| thread::spawn(files(first)))
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    };
    scene.mount().within(PATIENCE, "archive and recall", work);
}

fn recalled(scene: &Scene) -> usize {
    let private = scene.mount().meta(&scene.private()).unwrap();
    let line = private
        .lines()
        .find_map(|line| line.strip_prefix("files-recalled = "));
    line.and_then(|text| text.parse().ok()).unwrap()
}

/// Waits a little, since GlusterFS processes releases and forgets with a delay.
fn settled(mount: &Mount, before: &Holding) -> (Holding, Vec<String>) {
    let mut last = (Holding::new(), Vec::new());
    let _ = until(Duration::from_secs(10), "rest", || {
        let now = holding(mount);
        last = (now.clone(), grown(before, &now));
        last.1.is_empty().then_some(())
    });
    last
}

#[test]
fn a_client_does_not_grow_over_many_recalls() {
    // No translator above ours may answer a read.
    let settings = ["quick-read", "io-cache", "read-ahead", "open-behind"]
        .map(|name| (format!("performance.{name}"), "off"));
    let settings: Vec<_> = settings
        .iter()
        .map(|(key, value)| (key.as_str(), *value))
        .collect();
    let mut scene = Scene::with("leaks", &settings, Backing::Ram);
    drop(scene.take_mount());
    let options = MountOptions::default().arg("--direct-io-mode=enable");
    scene.put_mount(scene.volume.mount(&options).unwrap());
    for number in 0..FILES {
        scene.write(&name(number), &pattern(1, LENGTH));
    }
    scene.bucket.put("object", &pattern(1, LENGTH)).unwrap();
    // The first recalls create pools, connections and threads.
    let warm = 4;
    (0..warm).for_each(|_| archive_and_recall_all(&scene));
    let before = holding(scene.mount());
    for name in [
        "fd_t",
        "inodes",
        "dict_t",
        "call_frame_t",
        "iobufs",
        "our gf_common_mt_strdup",
    ] {
        assert!(before.contains_key(name), "no {name} in {before:?}");
    }
    let rounds = recalls().div_ceil(FILES);
    let started = Instant::now();
    (0..rounds).for_each(|_| archive_and_recall_all(&scene));
    let took = started.elapsed();
    assert_eq!(
        recalled(&scene),
        (warm + rounds) * FILES,
        "every read must recall"
    );
    let (after, more) = settled(scene.mount(), &before);
    eprintln!("| recalls | {} in {took:.1?} |", rounds * FILES);
    for (name, now) in &after {
        let was = before.get(name).copied().unwrap_or(0);
        if *now > 0 || was > 0 {
            eprintln!("| in use: {name} | {was} before, {now} after |");
        }
    }
    assert!(
        more.is_empty(),
        "after {} recalls: {more:#?}",
        rounds * FILES
    );
    scene.assert_idle();

    // Would growth be noticed? Open files are.
    let paths: Vec<_> = (0..FILES).map(|number| scene.path(&name(number))).collect();
    let open =
        move || -> Vec<File> { paths.iter().map(|path| File::open(path).unwrap()).collect() };
    let open = scene.within("open", open);
    let noticed = grown(&before, &holding(scene.mount()));
    assert!(
        noticed.iter().any(|line| line.starts_with("fd_t: ")),
        "{FILES} open files go unnoticed: {noticed:?}"
    );
    drop(open);
}

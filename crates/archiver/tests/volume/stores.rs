// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of volumes with several stores: each file's record says which has its object, and `migrate` changes that.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cloudsync_lab::{Bucket, Layout, Outcome, until};
use rustix::io::Errno;

use crate::scene::{ARCHIVE, PATIENCE, Scene, lab, number, pattern};
use crate::store::relay_to_store;

const STORE_ID: &str = "features.cloudsync-store-id";
const MOVE: &str = "glusterfs.cloudsync.move";

/// The settings of the store `cold`, another bucket.
fn cold(bucket: &Bucket) -> String {
    let settings = bucket.settings();
    let value = |name: &str| {
        let found = settings.iter().find(|(key, _)| key.ends_with(name));
        found.unwrap().1.clone()
    };
    let secret = lab().scratch(&format!("secret-of-{}", bucket.name()));
    fs::write(lab().outer(&secret), value("seckey")).unwrap();
    format!(
        "cold.storetype=amazons3,cold.hostname={},cold.bucketid={},cold.keyid={},cold.seckey=file:{}",
        value("hostname"),
        value("bucketid"),
        value("keyid"),
        secret.display()
    )
}

/// The settings of the store `law`, a folder.
fn law(name: &str) -> String {
    let folder = lab().scratch(&format!("law-{name}"));
    fs::create_dir(lab().outer(&folder)).unwrap();
    format!("law.storetype=directory,law.path={}", folder.display())
}

/// A volume with three stores, and the second one's bucket.
fn several(name: &str, layout: Layout) -> (Scene, Bucket) {
    let bucket = lab().s3().unwrap().bucket(&format!("{name}-cold")).unwrap();
    let list = format!("retries=2,{},{}", cold(&bucket), law(name));
    let scene = Scene::on(name, layout, &[(STORE_ID, &list)]);
    (scene, bucket)
}

fn archive_to(scene: &Scene, store: &str, target: &str) -> u64 {
    let output = scene.done(&[&ARCHIVE[..], &["--store", store, target]].concat());
    number(&output, "uploaded")
}

fn objects(bucket: &Bucket) -> usize {
    bucket.list("").unwrap().len()
}

fn migrate(scene: &Scene, more: &[&str], target: &str) -> Outcome {
    scene.cloudsync(&[&["migrate", "--json"], more, &[target]].concat())
}

/// `gc` of a store without its grace, which must succeed: how many objects it has deleted.
#[track_caller]
fn deleted(scene: &Scene, store: &str) -> u64 {
    let args = ["gc", "--grace=0s", "--delete", "--json", "--store", store];
    number(
        &scene.done(&[&args[..], &[&scene.brick(0)]].concat()),
        "deleted",
    )
}

#[track_caller]
fn assert_readable(scene: &Scene, names: &[&str]) {
    for (seed, name) in names.iter().enumerate() {
        assert!(scene.recall(name) == content(seed), "{name}");
    }
}

fn content(seed: usize) -> Vec<u8> {
    pattern(seed as u64, 300_000 * (1 + seed * seed * 10))
}

const FILES: [&str; 3] = ["hot/a", "old/b", "law/c"];

#[test]
fn files_of_one_volume_are_in_three_stores() {
    let (mut scene, bucket) = several("three", Layout::Single);
    for (seed, name) in FILES.iter().enumerate() {
        scene.write(name, &content(seed));
    }
    scene.remount();
    for (store, folder) in [("default", "hot"), ("cold", "old"), ("law", "law")] {
        assert_eq!(archive_to(&scene, store, &scene.inside(folder)), 1);
    }
    assert_eq!((objects(&scene.bucket), objects(&bucket)), (1, 1));
    let output = scene.done(&["verify", "--deep", &scene.brick(0)]);
    let counts = "1 in store 'cold', 1 in store 'default', 1 in store 'law'";
    assert!(output.contains(counts), "{output}");
    let output = scene.done(&["status", &scene.inside("old/b")]);
    assert!(output.contains("in store 'cold'"), "{output}");
    let output = scene.cloudsync(&["check", scene.volume.name()]).text();
    assert!(
        output.contains("ok store 'cold': put an object"),
        "{output}"
    );
    // From each of them, whole or in part.
    scene.remount();
    assert_readable(&scene, &FILES);
    scene.remount();
    // Where the object is, it is found again; elsewhere, a file gets an object of its own.
    assert_eq!(archive_to(&scene, "cold", &scene.inside("old")), 0);
    assert_eq!(archive_to(&scene, "cold", &scene.inside("law")), 1);
    assert_eq!(archive_to(&scene, "default", &scene.inside("hot")), 0);
    // Each store has only what its files name.
    for (store, gone) in [("default", 0), ("cold", 0), ("law", 1)] {
        assert_eq!(deleted(&scene, store), gone, "{store}");
    }
    scene.remount();
    assert_readable(&scene, &FILES);
}

#[test]
fn cold_files_move_to_another_store_and_stay_cold() {
    for (name, layout) in [
        ("move", Layout::Single),
        ("move-three", Layout::Replica(3)),
        (
            "move-coded",
            Layout::Disperse {
                bricks: 3,
                redundancy: 1,
            },
        ),
    ] {
        let (mut scene, bucket) = several(name, layout);
        for (seed, name) in FILES.iter().enumerate() {
            scene.write(name, &content(seed));
        }
        scene.remount();
        scene.done(&[&ARCHIVE[..], &[&scene.inside("")]].concat());
        let to_cold = ["--from=default", "--to=cold"];
        // Young ones stay.
        let young = [&to_cold[..], &["--archived-before=1d"]].concat();
        let output = migrate(&scene, &young, &scene.inside("")).text();
        assert_eq!(number(&output, "moved"), 0, "{output}");
        let would = [&to_cold[..], &["-n"]].concat();
        let output = migrate(&scene, &would, &scene.inside("")).text();
        assert_eq!((number(&output, "moved"), objects(&bucket)), (3, 0));
        let outcome = migrate(&scene, &to_cold, &scene.inside(""));
        assert!(outcome.success(), "{outcome}");
        let counts = ["moved", "there_already", "failed"].map(|key| number(&outcome.text(), key));
        assert_eq!(counts, [3, 0, 0], "{outcome}");
        assert!(FILES.iter().all(|name| scene.is_cold(name)));
        let output = scene.done(&["verify", "--deep", &scene.inside("")]);
        assert!(output.contains("; 3 in store 'cold'"), "{output}");
        // Again: nothing to do.
        let outcome = migrate(&scene, &to_cold, &scene.inside(""));
        assert_eq!(number(&outcome.text(), "moved"), 0, "{outcome}");
        // The old store can go, and nobody notices.
        assert_eq!(deleted(&scene, "cold"), 0);
        assert_eq!(deleted(&scene, "default"), 3);
        assert_eq!((objects(&scene.bucket), objects(&bucket)), (0, 3));
        assert_readable(&scene, &FILES);
        // Unmodified, they are cold again without an upload, where the object is.
        scene.remount();
        assert_eq!(archive_to(&scene, "cold", &scene.inside("")), 0);
        // And back.
        let back = ["--from=cold", "--to=default"];
        let outcome = migrate(&scene, &back, &scene.inside(""));
        assert_eq!(number(&outcome.text(), "moved"), 3, "{outcome}");
        assert_eq!(deleted(&scene, "cold"), 3);
        scene.remount();
        assert_readable(&scene, &FILES);
    }
}

#[test]
fn a_migration_that_is_killed_goes_on() {
    const FILES: u64 = 30;
    let (mut scene, bucket) = several("killed", Layout::Single);
    for n in 0..FILES {
        scene.write(&format!("d{}/f{n}", n % 3), &pattern(n, 200_000));
    }
    scene.remount();
    scene.done(&[&ARCHIVE[..], &[&scene.brick(0)]].concat());
    let brick = scene.brick(0);
    let id = xattr::get(&scene.volume.bricks()[0], "trusted.glusterfs.volume-id").unwrap();
    let id = cloudsync_format::object::uuid(id.unwrap().try_into().unwrap());
    let way = ["--from=default", "--to=cold"];
    for killed in 1..=2 {
        let slowly = [
            &["migrate"],
            &way[..],
            &["--jobs=2", "--bytes-per-second=2M", &brick],
        ];
        let mut run = scene.start(&slowly.concat());
        until(PATIENCE, "some objects in the other store", || {
            (objects(&bucket) as u64 >= killed * FILES / 3).then_some(())
        })
        .unwrap();
        let script = format!("kill -KILL $(cat /run/cloudsync/locks/*={id})");
        lab().sh(&script).unwrap();
        run.wait().unwrap();
        scene.done(&["verify", &brick]);
    }
    let outcome = migrate(&scene, &way, &brick);
    assert!(outcome.success(), "{outcome}");
    let moved = number(&outcome.text(), "moved");
    assert!((1..FILES).contains(&moved), "{outcome}");
    let output = scene.done(&["verify", "--deep", &brick]);
    assert!(output.contains("; 30 in store 'cold'"), "{output}");
    assert_eq!(deleted(&scene, "default"), FILES);
    for n in 0..FILES {
        let bytes = scene.recall(&format!("d{}/f{n}", n % 3));
        assert!(bytes == pattern(n, 200_000), "{n}");
    }
}

#[test]
fn a_client_that_does_not_have_the_store_says_which() {
    let (mut scene, bucket) = several("absent", Layout::Single);
    for (seed, name) in FILES.iter().enumerate() {
        scene.write(name, &content(seed));
    }
    scene.remount();
    archive_to(&scene, "cold", &scene.inside("old"));
    scene.done(&[&ARCHIVE[..], &[&scene.inside("hot")]].concat());
    // Its settings go, or are wrong: the others stay.
    for list in [
        "retries=2",
        "cold.bucketid=x",
        "cold.storetype=amazons3,cold.seckey=hunter2",
    ] {
        scene.volume.set(STORE_ID, list).unwrap();
        scene.remount();
        let path = scene.path("old/b");
        let read = scene.within("read", move || fs::read(path));
        let errno = read.unwrap_err().raw_os_error();
        assert_eq!(errno, Some(Errno::REMOTE.raw_os_error()), "{list}");
        let log = scene.mount().log();
        let why = "its object is in store 'cold', which is not loaded";
        assert!(log.contains(why), "{list}: {log}");
        // The host itself logs every option when it starts, in lines without a time.
        let mut ours = log.lines().filter(|line| line.starts_with('['));
        assert!(ours.all(|line| !line.contains("hunter2")), "{log}");
        assert!(scene.recall("hot/a") == content(0));
        scene.remount();
        scene.done(&[&ARCHIVE[..], &[&scene.inside("hot")]].concat());
    }
    let outcome = scene.cloudsync(&["verify", &scene.brick(0)]);
    assert!(
        outcome
            .to_string()
            .contains("'cold.seckey': expected file:/PATH"),
        "{outcome}"
    );
    let all = scene.inside("");
    let outcome = scene.cloudsync(&[&ARCHIVE[..], &["--store=nowhere", &all]].concat());
    assert!(
        outcome
            .to_string()
            .contains("it has no store 'nowhere' (known: default, cold)"),
        "{outcome}"
    );
    // It comes back without a remount.
    scene.volume.set(STORE_ID, &cold(&bucket)).unwrap();
    let path = scene.path("old/b");
    until(PATIENCE, "the store", || fs::read(&path).ok()).unwrap();
    assert!(scene.recall("old/b") == content(1));
}

#[test]
fn the_translator_changes_no_record_without_proof() {
    let (mut scene, bucket) = several("proof", Layout::Single);
    for (seed, name) in FILES.iter().enumerate() {
        scene.write(name, &content(seed));
    }
    scene.remount();
    scene.done(&[&ARCHIVE[..], &[&scene.inside("old")]].concat());
    let key = scene.bucket.list("").unwrap().remove(0);
    let set = |name: &str, store: &str| {
        let (path, value) = (scene.path(name), format!("store={store}"));
        let set = scene.within("move", move || xattr::set(path, MOVE, value.as_bytes()));
        set.err().and_then(|error| Errno::from_io_error(&error))
    };
    assert_eq!(set("old/b", "default"), None, "it is there");
    assert_eq!(set("old/b", "cold"), Some(Errno::NODATA));
    assert_eq!(set("old/b", "nowhere"), Some(Errno::REMOTE));
    assert_eq!(set("old/b", "Not a name"), Some(Errno::INVAL));
    assert_eq!(set("hot/a", "cold"), Some(Errno::ALREADY));
    let mut wrong = content(1);
    wrong[7] ^= 1;
    bucket.put(&key, &wrong).unwrap();
    assert_eq!(set("old/b", "cold"), Some(Errno::BADMSG));
    let outcome = migrate(&scene, &["--from=default", "--to=cold"], &scene.brick(0));
    assert!(
        outcome
            .text()
            .contains("store 'cold' has another object under its key"),
        "{outcome}"
    );
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    assert!(scene.recall("old/b") == content(1));
}

/// One place under two names: whatever the records say, nothing may be taken for a copy of itself.
#[test]
fn two_names_of_one_place_lose_nothing() {
    let (mut scene, bucket) = several("alias", Layout::Single);
    for (seed, name) in FILES.iter().enumerate() {
        scene.write(name, &content(seed));
    }
    scene.remount();
    // Mounts come and go, and the brick stays where it is.
    let all = scene.brick(0);
    scene.done(&[&ARCHIVE[..], &[&all]].concat());
    let one_place = |outcome: Outcome| {
        assert_eq!(outcome.code(), Some(3), "{outcome}");
        assert!(outcome.to_string().contains("are one place"), "{outcome}");
    };
    // The same bucket, with other settings.
    let alias = cold(&scene.bucket) + ",cold.read-timeout=9s";
    scene.volume.set(STORE_ID, &alias).unwrap();
    one_place(migrate(&scene, &["--from=default", "--to=cold"], &all));
    // Marks that say that it was moved, as another program might write them.
    scene.remount();
    let path = scene.path("hot/a");
    scene
        .within("move", move || xattr::set(path, MOVE, b"store=cold"))
        .unwrap();
    for store in ["default", "cold"] {
        let args = ["gc", "--grace=0s", "--delete", "--store", store, &all];
        one_place(scene.cloudsync(&args));
    }
    // By an override.
    let bucket_flag = format!("--bucket={}", scene.bucket.name());
    scene.volume.set(STORE_ID, &cold(&bucket)).unwrap();
    let move_all = ["--from=default", "--to=cold"];
    let mut settings = [("features.s3plugin-bucketid", bucket.name())];
    scene.volume.set_all(&settings).unwrap();
    one_place(scene.cloudsync(&["gc", "--grace=0s", "--delete", &all]));
    one_place(migrate(&scene, &move_all, &all));
    settings[0].1 = scene.bucket.name();
    scene.volume.set_all(&settings).unwrap();
    // Two places at last. The one file whose record was wrong is in the other store.
    scene.remount();
    let back = ["--from=cold", "--to=default"];
    assert_eq!(number(&migrate(&scene, &back, &all).text(), "moved"), 1);
    let args = ["gc", "--grace=0s", "--delete", "--json", &bucket_flag, &all];
    assert_eq!(number(&scene.done(&args), "deleted"), 0);
    scene.remount();
    assert_readable(&scene, &FILES);
}

/// A store that was renamed, or forgotten, may be any.
#[test]
fn gc_keeps_what_is_in_a_store_that_it_does_not_know() {
    let (mut scene, bucket) = several("renamed", Layout::Single);
    for (seed, name) in FILES.iter().enumerate() {
        scene.write(name, &content(seed));
    }
    scene.remount();
    archive_to(&scene, "cold", &scene.inside(""));
    let frozen = cold(&bucket).replace("cold.", "frozen.");
    scene.volume.set(STORE_ID, &frozen).unwrap();
    assert_eq!(deleted(&scene, "frozen"), 0);
    // As the volume's own store.
    scene.volume.reset(STORE_ID).unwrap();
    scene
        .volume
        .set("features.s3plugin-bucketid", bucket.name())
        .unwrap();
    assert_eq!(deleted(&scene, "default"), 0);
    assert_eq!(objects(&bucket), FILES.len());
}

/// What the other store should have, and does not, is not deleted here.
#[test]
fn gc_keeps_a_copy_whose_successor_is_missing() {
    let (mut scene, bucket) = several("successor", Layout::Single);
    scene.write("hot/a", &content(0));
    scene.remount();
    let all = scene.inside("");
    scene.done(&[&ARCHIVE[..], &[&all]].concat());
    let outcome = migrate(&scene, &["--from=default", "--to=cold"], &all);
    assert_eq!(number(&outcome.text(), "moved"), 1, "{outcome}");
    let key = bucket.list("").unwrap().remove(0);
    bucket.delete(&key).unwrap();
    assert_eq!(deleted(&scene, "default"), 0);
    // And by that the file is mended.
    let outcome = migrate(&scene, &["--from=cold", "--to=default"], &all);
    assert_eq!(number(&outcome.text(), "there_already"), 1, "{outcome}");
    scene.remount();
    assert!(scene.recall("hot/a") == content(0));
}

/// A bucket that was the volume's own is described under a name now. Marks from before name no store, but their object.
#[test]
fn gc_keeps_what_old_marks_name_in_a_store_that_does_not_have_it() {
    let (mut scene, bucket) = several("before", Layout::Single);
    scene.write("hot/a", &content(0));
    scene.write("holder", b"");
    scene.remount();
    scene.done(&[&ARCHIVE[..], &[&scene.inside("hot")]].concat());
    // A copy with the file's marks, as a restored brick or a snapshot has it.
    let brick = scene.volume.bricks()[0].clone();
    for mark in ["remote", "key", "record"] {
        let mark = format!("trusted.glusterfs.cs.{mark}");
        let value = xattr::get(brick.join("hot/a"), &mark).unwrap().unwrap();
        xattr::set(brick.join("holder"), &mark, &value).unwrap();
    }
    let path = scene.path("hot/a");
    scene
        .within("remove", move || fs::remove_file(path))
        .unwrap();
    let before = cold(&scene.bucket);
    scene
        .volume
        .set_all(&[
            (STORE_ID, before.as_str()),
            ("features.s3plugin-bucketid", bucket.name()),
        ])
        .unwrap();
    assert_eq!(deleted(&scene, "cold"), 0);
    assert_eq!(objects(&scene.bucket), 1);
}

#[test]
fn the_last_archive_comes_back_whichever_store_has_it() {
    let (mut scene, _bucket) = several("again", Layout::Single);
    for (seed, name) in FILES.iter().enumerate() {
        scene.write(name, &content(seed));
    }
    scene.remount();
    for (store, folder) in [("default", "hot"), ("default", "old"), ("law", "law")] {
        assert_eq!(archive_to(&scene, store, &scene.inside(folder)), 1);
    }
    // A newer one of the second file is in another store.
    let newer = pattern(9, 5000);
    scene.write("old/b", &newer);
    scene.remount();
    assert_eq!(archive_to(&scene, "cold", &scene.inside("old")), 1);
    let remove = |scene: &Scene| {
        let path = scene.path("");
        scene.within("remove", move || {
            for folder in ["hot", "old", "law"] {
                fs::remove_dir_all(path.join(folder)).unwrap();
            }
        });
    };
    remove(&scene);
    let all = scene.inside("");
    // A flag that could mean another bucket is not ignored.
    let refused = scene.cloudsync(&["undelete", "--store=cold", "--bucket=other", &all]);
    assert!(!refused.success());
    assert!(
        refused.to_string().contains("of the volume's own store"),
        "{refused}"
    );
    let output = scene.done(&["undelete", "--json", &all]);
    assert_eq!(number(&output, "created"), 3, "{output}");
    assert!(FILES.iter().all(|name| scene.is_cold(name)));
    scene.remount();
    assert!(scene.recall("old/b") == newer);
    // A volume that is lost, with its folders and attributes.
    let path = scene.path("hot/a");
    scene.within("attribute", move || {
        xattr::set(&path, "user.colour", b"red").unwrap();
    });
    scene.done(&["catalog", &scene.brick(0)]);
    let id = xattr::get(&scene.volume.bricks()[0], "trusted.glusterfs.volume-id").unwrap();
    let id = cloudsync_format::object::uuid(id.unwrap().try_into().unwrap());
    scene.remount();
    scene.done(&[&ARCHIVE[..], &["--store=cold", &scene.inside("old")]].concat());
    remove(&scene);
    let all = scene.inside("");
    let output = scene.done(&["rebuild", "--json", "--from", &id, &all]);
    assert_eq!(number(&output, "created"), 3, "{output}");
    let path = scene.path("hot/a");
    let colour = scene.within("attribute", move || xattr::get(path, "user.colour"));
    assert_eq!(colour.unwrap().as_deref(), Some(&b"red"[..]));
    scene.remount();
    assert!(scene.recall("old/b") == newer);
    assert!(scene.recall("hot/a") == content(0));
    assert!(scene.recall("law/c") == content(2));
}

#[test]
fn a_policy_archives_to_one_store_and_moves_to_another() {
    let (mut scene, bucket) = several("policy-stores", Layout::Single);
    for (seed, name) in FILES.iter().enumerate() {
        scene.write(name, &content(seed));
    }
    scene.remount();
    let config = lab().scratch("stores.toml");
    let (all, law) = (scene.inside(""), scene.inside("law"));
    let text = format!(
        "[[rule]]\nname = 'contracts'\nstore = 'law'\ntargets = ['{law}']\nolder-than = '0s'\n\
         [[rule]]\nname = 'rest'\ntargets = ['{all}']\nolder-than = '0s'\nexclude = ['law/*']\n\
         [[migrate]]\nname = 'half-a-year'\ntargets = ['{all}']\nto = 'cold'\n\
         [[verify]]\nname = 'weekly'\ntargets = ['{all}']\n\
         [[gc]]\nname = 'old'\ntargets = ['{all}']\ngrace = '0s'\ndelete = true\n\
         [[gc]]\nname = 'cold'\nstore = 'cold'\ntargets = ['{all}']\ngrace = '0s'\ndelete = true\n"
    );
    fs::write(lab().outer(&config), text).unwrap();
    let config = config.display().to_string();
    scene.done(&["run", "--check", "--config", &config]);
    let output = scene.done(&["run", "--config", &config]);
    for part in [
        "half-a-year at ",
        ": done: moved the objects of 2 files",
        "; 2 in store 'cold', 1 in store 'law'",
    ] {
        assert!(output.contains(part), "{output}");
    }
    assert_eq!((objects(&scene.bucket), objects(&bucket)), (0, 2));
    scene.remount();
    assert_readable(&scene, &FILES);
}

/// The store goes away for a while: the run stops, says why, and the next one does the rest.
#[test]
fn a_store_that_goes_away_stops_a_migration() {
    let (mut scene, bucket) = several("away", Layout::Single);
    for n in 0..40 {
        scene.write(&format!("f{n}"), &pattern(n, 2000));
    }
    scene.remount();
    let brick = scene.brick(0);
    scene.done(&[&ARCHIVE[..], &[&brick]].concat());
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let (relay, hostname) = relay_to_store(move |bytes| {
        counter.fetch_add(u64::from(bytes.starts_with(b"GET ")), Ordering::Relaxed);
    });
    let hostname = format!("--hostname={hostname}");
    let list = format!("--store-id=retries=0,connect-timeout=1s,{}", cold(&bucket));
    let way = ["--from=default", "--to=cold"];
    let more = ["--jobs=1", "--bytes-per-second=10000", &hostname, &list];
    let mut run = scene.start(&[&["migrate"], &way[..], &more, &[&brick]].concat());
    until(PATIENCE, "some of them", || {
        (sent.load(Ordering::Relaxed) > 3).then_some(())
    })
    .unwrap();
    relay.reset();
    assert_eq!(run.wait().unwrap().code(), Some(4));
    scene.done(&["verify", &brick]);
    let outcome = migrate(&scene, &way, &brick);
    assert!(outcome.success(), "{outcome}");
    let output = scene.done(&["verify", &brick]);
    assert!(output.contains("; 40 in store 'cold'"), "{output}");
}

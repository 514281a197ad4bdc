// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A plugin of the stock translator's kind that uses every slot and looks at every field (witness.c): recalls, and remote
//! reads with every kind of answer.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::{ADDRESS, until};

use super::{Shelf, lab};
use crate::gfapi;
use crate::leaks::{Holding, holding};
use crate::native::compiled_in;
use crate::remote::read_at;
use crate::scene::{PATIENCE, assert_same, errno, pattern};

const BUCKET: (&str, &str) = ("features.s3plugin-bucketid", "%");
const REMOTE_READ: (&str, &str) = ("features.cloudsync-remote-read", "on");
const SIZE: usize = 1_000_003;

/// Cold files with these names, and a client that does not know them yet.
fn cold(settings: &[(&str, &str)], names: &[&str]) -> Shelf {
    let mut shelf = Shelf::new("witness", settings);
    for (number, name) in names.iter().enumerate() {
        shelf.write(name, &pattern(number as u64, SIZE));
        shelf.archive(name, "");
    }
    shelf.remount();
    shelf
}

impl Shelf {
    fn read_part(&self, name: &str, at: usize, length: usize) -> io::Result<Vec<u8>> {
        let path = self.path(name);
        self.within("a read", move || read_at(&path, at, length))
    }

    /// The client's log has this many lines with both texts.
    fn assert_logged(&self, name: &str, what: &str, times: usize) {
        let log = self.mount().log();
        let lines = log
            .lines()
            .filter(|line| line.contains(name) && line.contains(what));
        assert_eq!(lines.count(), times, "{name}: {what}\n{log}");
    }

    fn assert_nothing_wrong(&self) {
        let log = self.mount().log();
        let wrong = |line: &&str| line.contains("witness: ") && line.contains(": not ");
        assert_eq!(log.lines().find(wrong), None);
        assert!(self.mount().alive() && !log.contains("signal received: 11"));
    }
}

/// Sets what identifies a file in its archive, as the archive's programs do. It ends with a zero byte.
fn name_in_archive(shelf: &Shelf, name: &str) {
    const NAME: &str = "trusted.cloudsync.uuid";
    let (path, value) = (shelf.path(name), b"fifteen letters\0");
    shelf.within("set it", move || {
        xattr::set(&path, NAME, b"another one, 16b").unwrap();
        xattr::remove(&path, NAME).unwrap();
        xattr::set(&path, NAME, value).unwrap();
        assert_eq!(xattr::get(&path, NAME).unwrap().unwrap(), value);
        // Programs that copy a file with its attributes must not copy it.
        assert!(!xattr::list(&path).unwrap().any(|listed| listed == NAME));
    });
}

#[test]
fn a_stock_plugin_sees_every_field_in_a_recall() {
    let names = ["plain", "named", "mistake", "after"];
    let shelf = cold(&[BUCKET], &names);
    name_in_archive(&shelf, "named");
    for (number, name) in names.into_iter().enumerate() {
        let bytes = shelf.read(name);
        shelf.assert_nothing_wrong();
        assert_same(&bytes.unwrap(), &pattern(number as u64, SIZE), name);
        assert!(!shelf.is_cold(name), "{name}");
    }
}

#[test]
fn a_stock_plugin_answers_reads_and_the_file_stays_cold() {
    let names = ["sync", "wipe", "later", "named"];
    let shelf = cold(&[BUCKET, REMOTE_READ], &names);
    name_in_archive(&shelf, "named");
    for (number, name) in names.into_iter().enumerate() {
        let bytes = pattern(number as u64, SIZE);
        let first = shelf.read_part(name, 0, 4096);
        shelf.assert_nothing_wrong();
        assert_same(&first.unwrap(), &bytes[..4096], name);
        let middle = shelf.read_part(name, 409_600, 131_072).unwrap();
        assert_same(&middle, &bytes[409_600..540_672], name);
        // The last block is not full; there is nothing behind it.
        let end = SIZE / 4096 * 4096;
        let last = shelf.read_part(name, end, 4096).unwrap();
        assert_same(&last, &bytes[end..], name);
        assert_eq!(shelf.read_part(name, end + 4096, 4096).unwrap(), b"");
        assert_same(&shelf.read(name).unwrap(), &bytes, name);
        assert!(shelf.is_cold(name), "{name}");
        // Not what the plugin says.
        let path = shelf.path(name);
        let data = shelf.within("stat", move || fs::metadata(path)).unwrap();
        assert_eq!((data.size(), data.uid()), (SIZE as u64, 0));
        assert!(data.mtime() > 1, "{data:?}");
    }
    // A change needs all of the file.
    let path = shelf.path("later");
    let written = shelf.within("a change", move || {
        let file = File::options().write(true).open(path)?;
        file.write_all_at(b"CHANGED", 300_000)?;
        file.sync_all()
    });
    written.unwrap();
    let mut bytes = pattern(2, SIZE);
    bytes[300_000..300_007].copy_from_slice(b"CHANGED");
    assert_same(&shelf.read("later").unwrap(), &bytes, "changed");
    assert!(!shelf.is_cold("later"));
    shelf.assert_nothing_wrong();
}

/// The plugin may check who reads.
/// With this plugin, too, what a recall or a read needs must be left of the budget.
#[test]
fn the_budget_holds_for_a_stock_plugin() {
    let budget = format!("budget-bytes={}", SIZE + SIZE / 2);
    let budget = ("features.cloudsync-product-id", budget.as_str());
    for (settings, stays_cold) in [
        (&[BUCKET, budget][..], false),
        (&[BUCKET, budget, REMOTE_READ], true),
    ] {
        let shelf = cold(settings, &["plain", "mistake"]);
        assert_same(&shelf.read("plain").unwrap(), &pattern(0, SIZE), "plain");
        assert_eq!(shelf.is_cold("plain"), stays_cold);
        assert_eq!(errno(shelf.read("mistake")), libc::EDQUOT);
        assert!(shelf.is_cold("mistake"));
    }
}

#[test]
fn a_remote_read_has_its_reader_s_identity() {
    let shelf = cold(&[BUCKET, REMOTE_READ], &["sync"]);
    let inside = shelf.mount().inside().join("sync");
    let script = format!(
        "chmod 644 {0}; setpriv --reuid 1234 --regid 4321 --groups 4321,77,88 cat {0} | wc -c",
        inside.display()
    );
    assert_eq!(lab().sh(&script).unwrap().trim(), SIZE.to_string());
    let log = shelf.mount().log();
    let who =
        |line: &str| line.contains("sync: uid 1234 gid 4321 groups ") && line.contains("pid 1");
    assert!(log.lines().any(who), "{log}");
    assert!(shelf.is_cold("sync"));
    shelf.assert_nothing_wrong();
}

#[test]
fn an_answer_that_is_not_the_file_s_bytes_is_an_error() {
    let names = ["short", "long", "error", "silent", "refuse", "mute", "sync"];
    let shelf = cold(&[BUCKET, REMOTE_READ], &names);
    for (name, want, why) in [
        (
            "short",
            libc::EREMOTEIO,
            "answered 100 bytes at offset 0, where the file has 4096",
        ),
        (
            "long",
            libc::EREMOTEIO,
            "answered 4097 bytes at offset 0, where the file has 4096",
        ),
        ("error", libc::EKEYREJECTED, "the store's plugin reports"),
        ("silent", libc::EREMOTEIO, "the store's plugin reports"),
        ("refuse", libc::ENOTSUP, "the store's plugin reports"),
        ("mute", libc::EREMOTEIO, "the store's plugin reports"),
    ] {
        assert_eq!(errno(shelf.read_part(name, 0, 4096)), want, "{name}");
        shelf.assert_nothing_wrong();
        shelf.assert_logged(&format!("/{name}: remote read failed"), why, 1);
        assert!(shelf.is_cold(name), "{name}");
    }
    // The object has become shorter than the file: the plugin refuses it, and so do we if it does not.
    shelf.put("sync", &pattern(6, SIZE - 4096));
    assert_eq!(errno(shelf.read_part("sync", 0, 4096)), libc::EPROTO);
    shelf.put("sync", &pattern(6, SIZE));
    let part = shelf.read_part("sync", 0, 4096).unwrap();
    assert_same(&part, &pattern(6, SIZE)[..4096], "sync");
}

/// What a client holds for its reads.
fn held(shelf: &Shelf) -> Holding {
    let mut held = holding(shelf.mount());
    held.retain(|name, _| name == "stacks" || name == "cs_local_t" || name.starts_with("our "));
    held
}

#[test]
fn many_readers_get_their_own_bytes() {
    const READERS: usize = 24;
    let names = ["sync", "wipe", "later", "named"];
    let shelf = cold(&[BUCKET, REMOTE_READ], &names);
    name_in_archive(&shelf, "named");
    let paths: Vec<PathBuf> = names.map(|name| shelf.path(name)).to_vec();
    for name in names {
        shelf.read_part(name, 0, 4096).unwrap();
    }
    let before = held(&shelf);
    assert!(before.contains_key("cs_local_t"), "{before:?}");
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let path = paths[reader % names.len()].clone();
            let bytes = pattern((reader % names.len()) as u64, SIZE);
            thread::spawn(move || {
                for step in 0..40 {
                    let at = (reader * 7 + step * 13) % 200 * 4096;
                    let got = read_at(&path, at, 65_536).unwrap();
                    assert_same(&got, &bytes[at..at + 65_536], "a part");
                }
            })
        })
        .collect();
    let started = Instant::now();
    shelf.within("the readers", move || {
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
    });
    eprintln!(
        "| {READERS} remote readers of a stock plugin, 40 parts each | {:.1?} |",
        started.elapsed()
    );
    assert!(names.into_iter().all(|name| shelf.is_cold(name)));
    shelf.assert_nothing_wrong();
    // The plugin's last frame is freed shortly after its reader was answered.
    let mut after = Holding::new();
    let freed = || {
        after = held(&shelf);
        let more = |(name, count): (&String, &u64)| *count > before.get(name).copied().unwrap_or(0);
        (!after.iter().any(more)).then_some(())
    };
    let freed = until(Duration::from_secs(20), "what was held", freed);
    freed.unwrap_or_else(|failure| panic!("{failure}\n{before:?}\n{after:?}"));
}

/// A program that closes its volume while the plugin reads. GlusterFS waits ten seconds for the reader and then frees the
/// volume: the reader is answered then, and nothing is freed that the plugin uses.
#[test]
fn a_program_that_leaves_during_a_remote_read_waits_for_the_plugin() {
    let shelf = cold(&[BUCKET, REMOTE_READ], &["slower"]);
    let program = compiled_in(lab(), "gfapi", &["-lgfapi", "-lpthread"]);
    let log = lab().scratch("log/gfapi-slow.log");
    let log = log.to_str().unwrap();
    let words = [
        shelf.volume.name(),
        ADDRESS,
        log,
        "quit",
        "/slower",
        "0",
        "",
    ];
    let outcome = gfapi::outcome(lab(), &program, &words);
    let log = fs::read_to_string(lab().outer(log)).unwrap();
    let text = outcome
        .check()
        .unwrap_or_else(|failure| panic!("{failure}\n{log}"));
    assert!(text.starts_with("answered\nfini "), "{text}\n{log}");
    assert!(log.contains("witness: answers late, cancelled 1"), "{log}");
    eprintln!(
        "| a program leaves during a slow remote read | {} |",
        text.trim().replace('\n', ", ")
    );
}

/// The plugin answers after four seconds, whether or not anybody still waits.
#[test]
fn a_slow_plugin_does_not_hold_its_readers_or_the_client() {
    let mut shelf = cold(&[BUCKET, REMOTE_READ], &["slow"]);
    let read = |shelf: &Shelf| {
        let path = shelf.path("slow");
        let reader = thread::spawn(move || read_at(&path, 0, 4096));
        let called = || {
            shelf
                .mount()
                .log()
                .contains("witness: slow: uid")
                .then_some(())
        };
        until(PATIENCE, "the call", called).unwrap();
        reader
    };
    let reader = read(&shelf);
    let path = shelf.path("slow");
    let started = Instant::now();
    let cancel = move || xattr::set(path, "glusterfs.cloudsync.cancel", b"1");
    shelf.within("cancel", cancel).unwrap();
    assert_eq!(errno(reader.join().unwrap()), libc::ECANCELED);
    assert!(started.elapsed() < Duration::from_secs(3));
    let late = || {
        let told = "witness: answers late, cancelled 1";
        shelf.mount().log().contains(told).then_some(())
    };
    until(PATIENCE, "the late answer", late).unwrap();
    let first = shelf.read_part("slow", 0, 4096).unwrap();
    assert_same(&first, &pattern(0, SIZE)[..4096], "afterwards");
    shelf.assert_nothing_wrong();

    // The store is replaced while the plugin reads: its fop_fini must wait.
    shelf.remount();
    let reader = read(&shelf);
    shelf
        .volume
        .set("features.cloudsync-storetype", "stock")
        .unwrap();
    let first = reader.join().unwrap().unwrap();
    assert_same(&first, &pattern(0, SIZE)[..4096], "during the change");
    shelf.assert_nothing_wrong();
    shelf
        .volume
        .set("features.cloudsync-storetype", "witness")
        .unwrap();

    // The client is terminated.
    shelf.remount();
    let reader = read(&shelf);
    let pid = shelf.mount().pid().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    let ended = || (!shelf.mount().alive()).then_some(());
    until(PATIENCE, "the client's end", ended).unwrap();
    assert!(reader.join().unwrap().is_err());
    let log = shelf.mount().log();
    assert!(!log.contains("signal received: 11"), "{log}");
    shelf.mount.take().unwrap().kill9().unwrap();
    assert!(shelf.is_cold("slow"));
}

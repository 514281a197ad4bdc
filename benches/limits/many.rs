// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 3: many small cold files read by many readers, compared with the same number of writers writing the same files;
//! where the store shares the volume's cores, with that while curl fetches the same number of objects; and with writers
//! that perform the steps that a recall needs: lock the file, stat it, sync it, commit it by one change of its
//! attributes, unlock it. Also what the client's process needs for each file.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use cloudsync_lab::Mount;
use rustix::fs::{AtFlags, FlockOperation, StatxFlags};
use xattr::FileExt;

use crate::Answer;
use crate::client;
use crate::curl;
use crate::figures::{Pair, Row, Target};
use crate::settings::{KIB, Settings};
use crate::stage::{Stage, key, make_cold, numbered, on_threads};

const SIZE: u64 = 16 * KIB;
const WORKERS: usize = 32;
/// Milliseconds.
const GOAL: f64 = 0.6;

pub(crate) fn measure(stage: &Stage, settings: &Settings) -> Answer<Vec<Row>> {
    let count = settings.small_files;
    let bytes = fs::read(stage.lab.outer(stage.source(SIZE)?))?;
    let write = |folder: &str, how: fn(&Path, &[u8]) -> Answer<()>| {
        let mount = stage.mount()?;
        let folder = mount.path().join(folder);
        fs::create_dir(&folder)?;
        let before = client::cpu_of_all(mount.pid())?;
        let seconds = on_threads(WORKERS, count, |number| {
            how(&folder.join(number.to_string()), &numbered(&bytes, number))
        })?;
        Answer::Ok((seconds, per_file(&mount, before, count)?))
    };
    write("small", write_plainly)?;
    stage.archive("small")?;
    let maker = stage.mount()?;
    let path = |number: usize| maker.path().join("small").join(number.to_string());
    let keys: Vec<String> = (0..count).map(|n| key(&path(n))).collect::<Answer<_>>()?;
    let (mut pairs, mut beside, mut safe) = (Vec::new(), Vec::new(), Vec::new());
    let mut processor = Vec::new();
    for run in 0..settings.runs {
        let folder = format!("written-{run}");
        let (limit, _) = write(&folder, write_plainly)?;
        fs::remove_dir_all(maker.path().join(&folder))?;
        let with_curl = |folder: &str, how| {
            let fetch = || curl::objects(stage, &keys, WORKERS);
            let mut processor = 0.0;
            let both = curl::concurrently(fetch, || {
                let (seconds, each) = write(folder, how)?;
                processor = each;
                Ok(seconds)
            })?;
            fs::remove_dir_all(maker.path().join(folder))?;
            Answer::Ok((both, processor))
        };
        let (both, _) = with_curl(&format!("beside-{run}"), write_plainly)?;
        let (safely_both, safely_each) = with_curl(&format!("safely-{run}"), write_like_a_recall)?;

        let reader = stage.mount()?;
        let small = reader.path().join("small");
        let before = client::cpu_of_all(reader.pid())?;
        let ours = on_threads(WORKERS, count, |number| {
            let read = fs::read(small.join(number.to_string()))?;
            let right = read[..8] == number.to_le_bytes() && read[8..] == bytes[8..];
            right
                .then_some(())
                .ok_or_else(|| format!("file {number} has other bytes").into())
        })?;
        stage.await_idle(&reader)?;
        processor.push(Pair {
            ours: per_file(&reader, before, count)?,
            limit: safely_each,
        });
        drop(reader);
        on_threads(WORKERS, count, |number| {
            let name = format!("small/{number}");
            if stage.is_cold(&name) {
                Ok(())
            } else {
                make_cold(&path(number), &keys[number])
            }
        })?;
        let pair = |limit: f64| Pair {
            ours: count as f64 / ours,
            limit: count as f64 / limit,
        };
        pairs.push(pair(limit));
        beside.push(pair(both));
        safe.push(pair(safely_both));
    }
    let row = |limit: &str, target, pairs| Row {
        number: 3,
        name: format!("{count} cold files of 16 KiB read by {WORKERS} readers"),
        unit: "files/s",
        limit: limit.to_owned(),
        target,
        pairs,
        note: String::new(),
    };
    let written = format!("written by {WORKERS} writers");
    let both = "that, while curl fetches as many objects";
    let safely = "that, each locked, looked at, synced, committed and unlocked";
    let each = |limit: &str, target, pairs| Row {
        name: format!("CPU of the client for each of {count} cold files of 16 KiB"),
        unit: "ms",
        ..row(limit, target, pairs)
    };
    let goal = processor.iter().map(|pair| Pair {
        limit: GOAL,
        ..*pair
    });
    let goal = goal.collect();
    Ok(vec![
        row(&written, Target::AtLeast(0.8), pairs),
        row(both, Target::None, beside),
        row(safely, Target::None, safe),
        each("what is wanted", Target::AtMost(1.0), goal),
        each("such a writer's client", Target::None, processor),
    ])
}

/// Milliseconds of the client's CPU time for each file since it was `before`.
fn per_file(mount: &Mount, before: Duration, count: usize) -> Answer<f64> {
    let used = client::cpu_of_all(mount.pid())?.saturating_sub(before);
    Ok(used.as_secs_f64() * 1e3 / count as f64)
}

fn write_plainly(path: &Path, bytes: &[u8]) -> Answer<()> {
    Ok(fs::write(path, bytes)?)
}

/// Writes with the operations that a recall performs on the brick; without any of them, the file could be lost.
fn write_like_a_recall(path: &Path, bytes: &[u8]) -> Answer<()> {
    let mut file = File::create(path)?;
    rustix::fs::fcntl_lock(&file, FlockOperation::LockExclusive)?;
    // The kernel would answer a plain one.
    let (flags, mask) = (
        AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC,
        StatxFlags::BASIC_STATS,
    );
    rustix::fs::statx(&file, c"", flags, mask)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    file.set_xattr("user.committed", b"1")?;
    Ok(rustix::fs::fcntl_lock(&file, FlockOperation::Unlock)?)
}

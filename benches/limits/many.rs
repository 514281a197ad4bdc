// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 3: many small cold files read by many readers, compared with the same number of writers writing the same files;
//! where the store shares the volume's cores, with that while curl fetches the same number of objects; and with writers
//! that perform the steps that a recall needs: lock the file, stat it, sync it, commit it by one change of its
//! attributes, unlock it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use rustix::fs::{AtFlags, FlockOperation, StatxFlags};
use xattr::FileExt;

use crate::Answer;
use crate::curl;
use crate::figures::{Pair, Row, Target};
use crate::settings::{KIB, Settings};
use crate::stage::{Stage, key, make_cold, on_threads};

const SIZE: u64 = 16 * KIB;
const WORKERS: usize = 32;

pub(crate) fn measure(stage: &Stage, settings: &Settings) -> Answer<Vec<Row>> {
    let count = settings.small_files;
    let bytes = fs::read(stage.lab.outer(stage.source(SIZE)?))?;
    let write = |folder: &str, how: fn(&Path, &[u8]) -> Answer<()>| {
        let mount = stage.mount()?;
        let folder = mount.path().join(folder);
        fs::create_dir(&folder)?;
        on_threads(WORKERS, count, |number| {
            let mut bytes = bytes.clone();
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            how(&folder.join(number.to_string()), &bytes)
        })
    };
    write("small", write_plainly)?;
    stage.archive("small")?;
    let maker = stage.mount()?;
    let path = |number: usize| maker.path().join("small").join(number.to_string());
    let keys: Vec<String> = (0..count).map(|n| key(&path(n))).collect::<Answer<_>>()?;
    let (mut pairs, mut beside, mut safe) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..settings.runs {
        let folder = format!("written-{run}");
        let limit = write(&folder, write_plainly)?;
        fs::remove_dir_all(maker.path().join(&folder))?;
        let with_curl = |folder: &str, how| {
            let fetch = || curl::objects(stage, &keys, WORKERS);
            let both = curl::concurrently(fetch, || write(folder, how))?;
            fs::remove_dir_all(maker.path().join(folder))?;
            Answer::Ok(both)
        };
        let both = with_curl(&format!("beside-{run}"), write_plainly)?;
        let safely_both = with_curl(&format!("safely-{run}"), write_like_a_recall)?;

        let reader = stage.mount()?;
        let small = reader.path().join("small");
        let ours = on_threads(WORKERS, count, |number| {
            let read = fs::read(small.join(number.to_string()))?;
            let right = read[..8] == number.to_le_bytes() && read[8..] == bytes[8..];
            right
                .then_some(())
                .ok_or_else(|| format!("file {number} has other bytes").into())
        })?;
        stage.await_idle(&reader)?;
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
    Ok(vec![
        row(&written, Target::AtLeast(0.8), pairs),
        row(both, Target::None, beside),
        row(safely, Target::None, safe),
    ])
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

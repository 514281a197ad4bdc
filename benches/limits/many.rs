// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 3: many small cold files read by many readers, against writing the same files by as many writers; and, where the
//! store shares the volume's cores, against that while curl fetches as many objects.

use std::fs;

use crate::Answer;
use crate::curl;
use crate::figures::{Pair, Row, Target};
use crate::settings::{KIB, Settings};
use crate::stage::{Stage, at_once, chill, key};

const SIZE: u64 = 16 * KIB;
const WORKERS: usize = 32;

pub(crate) fn measure(stage: &Stage, settings: &Settings) -> Answer<Vec<Row>> {
    let count = settings.small_files;
    let bytes = fs::read(stage.lab.outer(stage.source(SIZE)?))?;
    let write = |folder: &str| {
        let mount = stage.mount()?;
        let folder = mount.path().join(folder);
        fs::create_dir(&folder)?;
        at_once(WORKERS, count, |number| {
            let mut bytes = bytes.clone();
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            Ok(fs::write(folder.join(number.to_string()), bytes)?)
        })
    };
    write("small")?;
    stage.archive("small")?;
    let maker = stage.mount()?;
    let path = |number: usize| maker.path().join("small").join(number.to_string());
    let keys: Vec<String> = (0..count).map(|n| key(&path(n))).collect::<Answer<_>>()?;
    let (mut pairs, mut beside) = (Vec::new(), Vec::new());
    for run in 0..settings.runs {
        let folder = format!("written-{run}");
        let limit = write(&folder)?;
        fs::remove_dir_all(maker.path().join(&folder))?;
        let folder = format!("beside-{run}");
        let both = curl::beside(|| curl::objects(stage, &keys, WORKERS), || write(&folder))?;
        fs::remove_dir_all(maker.path().join(&folder))?;

        let reader = stage.mount()?;
        let small = reader.path().join("small");
        let ours = at_once(WORKERS, count, |number| {
            let read = fs::read(small.join(number.to_string()))?;
            let right = read[..8] == number.to_le_bytes() && read[8..] == bytes[8..];
            right
                .then_some(())
                .ok_or_else(|| format!("file {number} has other bytes").into())
        })?;
        stage.await_idle(&reader)?;
        drop(reader);
        at_once(WORKERS, count, |number| {
            let name = format!("small/{number}");
            if stage.is_cold(&name) {
                Ok(())
            } else {
                chill(&path(number), &keys[number])
            }
        })?;
        let pair = |limit: f64| Pair {
            ours: count as f64 / ours,
            limit: count as f64 / limit,
        };
        pairs.push(pair(limit));
        beside.push(pair(both));
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
    Ok(vec![
        row(&written, Target::AtLeast(0.8), pairs),
        row(both, Target::None, beside),
    ])
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 2: how soon a reader of a cold file gets the first and the last 128 KiB, compared with curl fetching them from
//! the store, and with that followed by the same read of a local file.

use std::fs::{self, File};
use std::thread;
use std::time::Instant;

use crate::Answer;
use crate::curl;
use crate::figures::{Pair, Row, Target, percentile, rows};
use crate::settings::{KIB, Settings, named};
use crate::stage::{Stage, read_at, stub};

const READ: u64 = 128 * KIB;

pub(crate) fn measure(stage: &Stage, settings: &Settings) -> Answer<Vec<Row>> {
    let mut all = Vec::new();
    for which in ["first", "last"] {
        let mut middles = Vec::new();
        for &size in &settings.sizes {
            let samples = of_size(stage, settings, size, which == "last")?;
            middles.push(percentile(&samples.cold, 0.5));
            let row = |limit: &str, target| Row {
                number: 2,
                name: format!("{which} 128 KiB of {}", named(size)),
                unit: "ms",
                limit: limit.to_owned(),
                target,
                pairs: Vec::new(),
                note: String::new(),
            };
            let curl = row("curl -r of the same range", Target::AtMost(3.0));
            all.extend(rows(&curl, &samples.cold, &samples.curl));
            let pairs = samples.curl.iter().zip(&samples.local);
            let both: Vec<f64> = pairs.map(|(curl, local)| curl + local).collect();
            let after = row("that, and then the same of a local file", Target::None);
            all.extend(rows(&after, &samples.cold, &both).into_iter().take(1));
        }
        let most = middles.iter().copied().fold(f64::NAN, f64::max);
        let least = middles.iter().copied().fold(f64::NAN, f64::min);
        let sizes: Vec<_> = settings.sizes.iter().copied().map(named).collect();
        all.push(Row {
            number: 2,
            name: format!("{which} 128 KiB, slowest size"),
            unit: "ms",
            limit: "the fastest size".to_owned(),
            target: Target::AtMost(1.5),
            pairs: vec![Pair {
                ours: most,
                limit: least,
            }],
            note: format!("p50 of {}", sizes.join(", ")),
        });
    }
    Ok(all)
}

/// All samples in milliseconds.
#[derive(Default)]
struct Samples {
    /// Reads of a cold file.
    cold: Vec<f64>,
    /// Requests by curl.
    curl: Vec<f64>,
    /// Reads of a local file.
    local: Vec<f64>,
}

fn of_size(stage: &Stage, settings: &Settings, size: u64, last: bool) -> Answer<Samples> {
    let maker = stage.mount()?;
    let (_, key) = stage.cold(&maker, size)?;
    let offset = if last { size - READ } else { 0 };
    let folder = maker.path().join("ends");
    fs::create_dir_all(&folder)?;
    let mut samples = Samples::default();
    for _ in 0..settings.runs {
        let count = settings.samples(size);
        for number in 0..count {
            stub(&folder.join(number.to_string()), size, &key)?;
            File::create(folder.join(format!("local-{number}")))?.set_len(size)?;
        }
        let reader = stage.mount()?;
        // Not counted: the client loads its plugin and connects to the store.
        stub(&folder.join("warm"), size, &key)?;
        let folder_there = reader.path().join("ends");
        let started = Instant::now();
        for name in ["warm".to_owned()]
            .into_iter()
            .chain((0..count).map(|n| n.to_string()))
        {
            let path = folder_there.join(&name);
            fs::metadata(&folder_there)?;
            let seconds = read_at(&path, offset, READ)?;
            if name != "warm" {
                samples.cold.push(seconds * 1e3);
            }
            // The rest is not needed. If no recall is running (any more), there is nothing to cancel.
            let _ = xattr::set(&path, "glusterfs.cloudsync.cancel", b"1");
            stage.await_idle(&reader)?;
            fs::remove_file(folder.join(&name))?;
        }
        // The time between two samples, in which the machine becomes idle.
        let pace = started.elapsed() / u32::try_from(count + 1)?;
        for number in 0..count {
            let name = format!("local-{number}");
            thread::sleep(pace);
            fs::metadata(&folder_there)?;
            let seconds = read_at(&folder_there.join(&name), offset, READ)?;
            samples.local.push(seconds * 1e3);
            fs::remove_file(folder.join(&name))?;
        }
        let range = offset..offset + READ;
        let asked = curl::ranges(stage, &key, &vec![range; count], Some(pace))?;
        let asked = asked.into_iter().map(|seconds| seconds * 1e3);
        samples.curl.extend(asked);
    }
    Ok(samples)
}

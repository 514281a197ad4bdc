// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 6: how much a client's memory grows while it recalls 1, 100 and 1000 files concurrently. The limit is the bound
//! on the bytes in flight plus 32 MiB for everything else. The growth for the same reads of local files is noted as
//! well: the host's own caches are included in both.

use std::fs;
use std::fs::File;
use std::io::Read;

use crate::Answer;
use crate::client::memory;
use crate::figures::{Pair, Row, Target};
use crate::settings::{MIB, Settings, named};
use crate::stage::{Stage, on_threads, stub};

/// The bound on a process's bytes in flight, and the rest.
const BOUND: u64 = (64 + 32) * MIB;

const OPTION: &str = "features.cloudsync-product-id";

pub(crate) fn measure(stage: &Stage, settings: &Settings) -> Answer<Vec<Row>> {
    stage.volume.set(OPTION, "memory=64M")?;
    let rows = bounded(stage, settings);
    stage.volume.reset(OPTION)?;
    rows
}

fn bounded(stage: &Stage, settings: &Settings) -> Answer<Vec<Row>> {
    let mut rows = Vec::new();
    for &(count, size) in &settings.concurrent_files {
        let maker = stage.mount()?;
        let (_, key) = stage.cold(&maker, size)?;
        let folder = format!("crowd-{count}");
        let path = maker.path().join(&folder);
        fs::create_dir(&path)?;
        on_threads(16, count, |number| {
            stub(&path.join(number.to_string()), size, &key)
        })?;
        let (grown, peak) = growth(stage, &folder, count)?;
        let (local, _) = growth(stage, &folder, count)?;
        fs::remove_dir_all(&path)?;
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        rows.push(Row {
            number: 6,
            name: format!("growth while {count} of {} come back at once", named(size)),
            unit: "MiB",
            limit: "64 MiB in flight + 32 MiB".to_owned(),
            target: Target::AtMost(1.0),
            pairs: vec![Pair {
                ours: mib(grown),
                limit: mib(BOUND),
            }],
            note: format!(
                "peak {:.0} MiB; reading them when local: {:.0} MiB",
                mib(peak),
                mib(local)
            ),
        });
    }
    Ok(rows)
}

/// The growth in bytes of a new client while `count` readers read a file each, and its peak.
fn growth(stage: &Stage, folder: &str, count: usize) -> Answer<(u64, u64)> {
    let reader = stage.mount()?;
    let path = reader.path().join(folder);
    let before = memory(reader.pid(), "VmRSS")?;
    on_threads(count, count, |number| {
        let mut file = File::open(path.join(number.to_string()))?;
        let mut bytes = vec![0; 64 << 10];
        while file.read(&mut bytes)? > 0 {}
        Ok(())
    })?;
    stage.await_idle(&reader)?;
    let peak = memory(reader.pid(), "VmHWM")?;
    // A client that did not grow would make the figure meaningless.
    Ok((peak.saturating_sub(before), peak))
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 3, the other way: many small files archived to a store that shares the volume's cores, compared with rclone, which copies
//! as many at once and no more; and with rclone and a client (steps.c) that then does to each file what an archive must do.

use std::fs;

use cloudsync_lab::ADDRESS;

use crate::Answer;
use crate::figures::{Pair, Row, Target};
use crate::instructions::compiled;
use crate::settings::{KIB, Settings, named};
use crate::stage::{Stage, numbered, on_threads, timed};

const SIZE: u64 = 16 * KIB;
/// As many files as `cloudsync archive` has in hand at once.
const JOBS: usize = 64;

pub(crate) fn measure(stage: &Stage, settings: &Settings) -> Answer<Vec<Row>> {
    let count = settings.archived_files;
    let program = compiled(stage, "benches/limits/steps.c")?;
    let bytes = fs::read(stage.lab.outer(stage.source(SIZE)?))?;
    let maker = stage.mount()?;
    let write = |folder: &str| {
        let folder = maker.path().join(folder);
        fs::create_dir(&folder)?;
        on_threads(JOBS, count, |number| {
            let bytes = numbered(&bytes, number);
            Ok(fs::write(folder.join(number.to_string()), bytes)?)
        })
    };
    let (mut copied, mut safely) = (Vec::new(), Vec::new());
    for run in 0..settings.runs {
        let (theirs, ours) = (format!("copied-{run}"), format!("archived-{run}"));
        write(&theirs)?;
        write(&ours)?;
        // What the kernel has of the files would be read faster than by the archiver, whose mount has nothing.
        let reader = stage.mount()?;
        let from = reader.inside().join(&theirs).display().to_string();
        let to = format!(":s3:{}/{theirs}", stage.bucket.name());
        let jobs = JOBS.to_string();
        let copy = stage.rclone(&[
            "copy",
            "--transfers",
            &jobs,
            "--checkers",
            &jobs,
            &from,
            &to,
        ])?;
        let steps = steps(stage, &program, &theirs, count)?;
        let took = timed(|| stage.archive(&ours))?;
        if let Some(number) = (0..count).find(|number| !stage.is_cold(&format!("{ours}/{number}")))
        {
            return Err(format!("{ours}/{number} is not archived").into());
        }
        let pair = |limit: f64| Pair {
            ours: count as f64 / took,
            limit: count as f64 / limit,
        };
        copied.push(pair(copy));
        safely.push(pair(copy + steps));
        fs::remove_dir_all(maker.path().join(&theirs))?;
        fs::remove_dir_all(maker.path().join(&ours))?;
    }
    let row = |limit: String, target, pairs| Row {
        number: 3,
        name: format!("{count} files of {} archived", named(SIZE)),
        unit: "files/s",
        limit,
        target,
        pairs,
        note: String::new(),
    };
    let rclone = format!("rclone copy --transfers {JOBS}");
    let steps = "that, and then each locked, looked at, marked, recorded, truncated, synced, unmarked and unlocked";
    Ok(vec![
        row(rclone, Target::AtLeast(1.0), copied),
        row(steps.to_owned(), Target::None, safely),
    ])
}

/// Seconds that the steps take for the files of a folder.
fn steps(stage: &Stage, program: &str, folder: &str, count: usize) -> Answer<f64> {
    let log = stage.lab.scratch("log/steps.log").display().to_string();
    let (threads, count) = (JOBS.to_string(), count.to_string());
    let words = [stage.volume.name(), ADDRESS, &log, folder, &threads, &count];
    timed(|| stage.run(program, &words))
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 4: reads that leave the file cold (`features.cloudsync-remote-read on`), compared with curl.

use std::collections::HashSet;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use cloudsync_lab::megabytes_per_second;
use rustix::fs::{Advice, fadvise};

use crate::Answer;
use crate::curl;
use crate::figures::{Pair, Row, Target, join, rows};
use crate::recall::{seconds_beside, seconds_of_dd};
use crate::settings::{KIB, MIB, Settings, named};
use crate::stage::{Stage, make_cold, write_source};

const OPTION: &str = "features.cloudsync-remote-read";
/// As large as the requests of a sequential reader.
const PIECE: u64 = 4 * MIB;

pub(crate) fn measure(stage: &Stage, settings: &Settings) -> Answer<Vec<Row>> {
    stage.volume.set(OPTION, "on")?;
    let rows = with_the_option(stage, settings);
    stage.volume.set(OPTION, "off")?;
    rows
}

fn with_the_option(stage: &Stage, settings: &Settings) -> Answer<Vec<Row>> {
    let size = settings.long;
    let maker = stage.mount()?;
    let (name, key) = stage.cold(&maker, size)?;
    let mut came_back = 0;
    // A recalled file was not read remotely: the next run needs a cold one, and the row must note it.
    let mut again = || -> Answer<()> {
        if !stage.is_cold(&name) {
            came_back += 1;
            make_cold(&maker.path().join(&name), &key)?;
        }
        Ok(())
    };
    write_source(&maker.path().join("local"), size)?;
    let (mut pairs, mut beside, mut asking) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings.runs {
        let at_once = seconds_beside(stage, || curl::whole(stage, &key, size))?;
        let in_pieces = seconds_beside(stage, || curl::in_pieces(stage, &key, size, PIECE))?;
        let reader = stage.mount()?;
        let ours = seconds_of_dd(stage, &reader.inside().join(&name), Path::new("/dev/null"))?;
        stage.await_idle(&reader)?;
        again()?;
        let asked = curl::ranges(
            stage,
            &key,
            &[Range {
                start: 0,
                end: size,
            }],
            None,
        )?;
        let ours = megabytes_per_second(size, ours);
        pairs.push(Pair {
            ours,
            limit: megabytes_per_second(size, asked[0]),
        });
        beside.push(Pair {
            ours,
            limit: megabytes_per_second(size, at_once),
        });
        asking.push(Pair {
            ours,
            limit: megabytes_per_second(size, in_pieces),
        });
    }
    fs::remove_file(maker.path().join("local"))?;
    let row = |name: String, unit, target, pairs| Row {
        number: 4,
        name,
        unit,
        limit: "curl".to_owned(),
        target,
        pairs,
        note: String::new(),
    };
    let sequential = format!("remote read of {}, sequential", named(size));
    let mut all = vec![
        row(sequential.clone(), "MB/s", Target::AtLeast(0.8), pairs),
        Row {
            limit: "dd of a local file, while curl fetches as many bytes".to_owned(),
            target: Target::AtLeast(0.95),
            ..row(sequential.clone(), "MB/s", Target::None, beside)
        },
        Row {
            limit: format!(
                "that, while curl fetches them in requests of {}",
                named(PIECE)
            ),
            ..row(sequential, "MB/s", Target::None, asking)
        },
    ];
    for length in [4 * KIB, 128 * KIB] {
        let (mut ours, mut limit) = (Vec::new(), Vec::new());
        for run in 0..settings.runs {
            let places = places(settings.random_reads, size, length, run as u64);
            let reader = stage.mount()?;
            let file = File::open(reader.path().join(&name))?;
            fadvise(&file, 0, None, Advice::Random)?;
            let mut bytes = vec![0; length as usize];
            for place in &places {
                let started = Instant::now();
                file.read_exact_at(&mut bytes, place.start)?;
                ours.push(started.elapsed().as_secs_f64() * 1e3);
            }
            drop(file);
            stage.await_idle(&reader)?;
            again()?;
            let asked = curl::ranges(stage, &key, &places, None)?;
            limit.extend(asked.into_iter().map(|seconds| seconds * 1e3));
        }
        let name = format!("remote read of {}, random", named(length));
        let row = row(name, "ms", Target::None, Vec::new());
        all.extend(rows(
            &Row {
                limit: "curl -r".to_owned(),
                ..row
            },
            &ours,
            &limit,
        ));
    }
    if came_back > 0 {
        for row in &mut all {
            row.note = join("NOT REMOTE: the file came back", &row.note);
        }
    }
    Ok(all)
}

/// Random ranges, the same in every run of the program; no two are equal.
fn places(count: usize, size: u64, length: u64, seed: u64) -> Vec<Range<u64>> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut seen = HashSet::new();
    let slots = size / length;
    let random = std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % slots
    });
    random
        .filter(|slot| seen.insert(*slot))
        .take(count.min(slots as usize))
        .map(|slot| slot * length..(slot + 1) * length)
        .collect()
}

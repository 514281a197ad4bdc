// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! How close cloudsync comes to its limits: a volume's own speed, the store's own speed, and the same volume without
//! the feature. All components are real, and each figure is compared with its limit from the same run.
//! docs/BENCHMARKS.md explains each row and how to run it.
//!
//! Fails when a row has no figures, but not when a target is missed: the table shows that.

#![forbid(unsafe_code)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the figures are for humans"
)]

mod archive;
mod client;
mod curl;
mod encoded;
mod far;
mod figures;
mod first;
mod guard;
mod headlines;
mod instructions;
mod local;
mod many;
mod memory;
mod plot;
mod recall;
mod remote;
mod report;
mod settings;
mod stage;
mod stock;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use figures::Row;
use settings::Settings;
use stage::Stage;

/// The result of a step.
pub(crate) type Answer<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The directory of cargo's profile, which contains the artifacts.
pub(crate) fn profile() -> Answer<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program
        .ancestors()
        .nth(2)
        .ok_or("this program is nowhere")?;
    Ok(std::env::var_os("CLOUDSYNC_ARTIFACTS").map_or(folder.to_owned(), PathBuf::from))
}

/// Returns false if a row has no figures.
fn run() -> Answer<bool> {
    let settings = Settings::parse(std::env::args().skip(1))?;
    if settings.guard {
        return guard::run(&settings);
    }
    let context = report::context(&settings);
    let (mut rows, mut failures): (Vec<Row>, Vec<String>) = Default::default();
    let mut stage = Stage::new(&settings)?;
    for (place, number) in settings.rows.iter().enumerate() {
        // `gc` and `rebuild` go through all objects of a volume: row 8 has one without those of the other rows.
        if *number == 8 && place > 0 {
            drop(stage);
            stage = Stage::new(&settings)?;
        }
        let started = Instant::now();
        let measured = match number {
            1 => recall::measure(&mut stage, &settings),
            2 => first::measure(&stage, &settings),
            3 => many::measure(&stage, &settings).and_then(|mut rows| {
                rows.extend(archive::measure(&stage, &settings)?);
                Ok(rows)
            }),
            4 => remote::measure(&stage, &settings),
            5 => local::measure(&stage, &settings),
            6 => memory::measure(&stage, &settings),
            7 => stock::measure(&settings),
            8 => far::measure(&mut stage, &settings),
            9 => encoded::measure(&mut stage, &settings),
            _ => Err("there is no such row".into()),
        };
        eprintln!("row {number}: {:.0?}", started.elapsed());
        match measured {
            Ok(measured) => {
                // Print immediately, so that an interrupted run has shown its results.
                measured
                    .iter()
                    .for_each(|row| eprintln!("{}", report::line(row)));
                rows.extend(measured);
            }
            Err(error) => {
                eprintln!("row {number}: {error}");
                failures.push(format!("row {number}: {error}"));
            }
        }
    }
    drop(stage);
    let empty = rows.iter().filter(|row| !row.has_figures());
    failures.extend(empty.map(|row| format!("row {}: no figure: {}", row.number, row.name)));
    rows.retain(Row::has_figures);
    write(&context, &settings, &rows, &failures)?;
    Ok(failures.is_empty())
}

/// Writes the table, the JSON and the charts.
fn write(context: &str, settings: &Settings, rows: &[Row], failures: &[String]) -> Answer<()> {
    let folder = std::env::current_exe()?;
    let folder = folder
        .ancestors()
        .nth(3)
        .ok_or("this program is nowhere")?
        .join("bench");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let mut text = format!("{context}\n\n{}", report::table(rows));
    for failure in failures {
        text.push_str(&format!("\nFAILED: {failure}\n"));
    }
    if !settings
        .sizes
        .iter()
        .any(|size| *size >= 10 * settings::GIB)
    {
        text.push_str("\nRow 2 stops below 10 GiB, for which the store needs 12 GiB of memory: --sizes 1M,64M,1G,10G\n");
    }
    println!("{text}");
    fs::write(folder.join("table.md"), &text)?;
    let json = report::json(context, rows, failures);
    fs::write(folder.join("figures.json"), format!("{json:#}\n"))?;
    let mut pictures: BTreeMap<(u8, &str), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        pictures
            .entry((row.number, row.unit))
            .or_default()
            .push(row);
    }
    for ((number, unit), rows) in pictures {
        let unit_in_name = unit.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let path = folder.join(format!("row-{number}-{unit_in_name}.svg"));
        plot::draw(
            &path,
            &format!("Row {number}: cloudsync (blue) and its limit (grey)"),
            &rows,
        )?;
    }
    println!("{}", folder.display());
    if settings.save {
        save(&text, rows)?;
    }
    Ok(())
}

/// Replaces what the documents show.
fn save(text: &str, rows: &[Row]) -> Answer<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/figures");
    fs::create_dir_all(&folder)?;
    let head = "<!-- SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later -->\n\
        # The benchmark's last full run\n\n\
        Written by `scripts/bench.sh --save`. [BENCHMARKS.md](../BENCHMARKS.md) explains the rows.\n\n";
    fs::write(folder.join("benchmarks.md"), format!("{head}{text}"))?;
    headlines::draw(&folder.join("benchmarks.svg"), rows)
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The table, in Markdown and as JSON.

use std::fs;

use serde_json::{Value, json};

use crate::figures::{Row, Target};
use crate::settings::Settings;

/// The rows as a table in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = "| row | what | cloudsync | limit | limit is | ratio | target | met | |";
    let rule = "|---|---|---|---|---|---|---|---|---|";
    let lines = rows.iter().map(line);
    let lines: String = lines.map(|line| line + "\n").collect();
    format!("{head}\n{rule}\n{lines}")
}

/// One line of the table.
pub(crate) fn line(row: &Row) -> String {
    let met = row.met().map_or("", |met| if met { "yes" } else { "NO" });
    format!(
        "| {} | {} | {} {unit} | {} {unit} | {} | {:.2} | {} | {met} | {} |",
        row.number,
        row.name,
        digits(row.ours()),
        digits(row.limit()),
        row.limit,
        row.ratio(),
        target(row.target),
        row.note,
        unit = row.unit,
    )
}

fn target(target: Target) -> String {
    match target {
        Target::AtLeast(least) => format!(">= {least}"),
        Target::AtMost(most) => format!("<= {most}"),
        Target::None => String::new(),
    }
}

/// Formats with three significant digits.
pub(crate) fn digits(figure: f64) -> String {
    match figure.abs() {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        1.0.. => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

/// The machine, without a date: figures are compared within a run.
pub(crate) fn context(settings: &Settings) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    let gib = kib.unwrap_or(0).div_ceil(1 << 20);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let brick = if settings.disk {
        "on disk"
    } else {
        "in memory"
    };
    let runs = settings.runs;
    let quick = if settings.quick {
        "QUICK: these figures mean nothing. "
    } else {
        ""
    };
    format!(
        "{quick}{cores} cores, {gib} GiB of memory, load {load} at the beginning; client, brick and S3 server (Ceph's) \
         on this machine, one brick {brick}; medians of {runs} run(s)."
    )
}

/// Everything, in JSON.
pub(crate) fn json(context: &str, rows: &[Row], failures: &[String]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let runs = row.pairs.iter();
            let runs: Vec<_> = runs.map(|pair| json!([pair.ours, pair.limit])).collect();
            json!({
                "row": row.number, "what": row.name, "unit": row.unit, "limit_is": row.limit,
                "cloudsync": row.ours(), "limit": row.limit(), "ratio": row.ratio(),
                "target": target(row.target), "met": row.met(), "note": row.note, "runs": runs,
            })
        })
        .collect();
    json!({ "context": context, "rows": rows, "failures": failures })
}

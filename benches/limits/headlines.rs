// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The README's picture: for a few rows, how near cloudsync comes to its limit, as one bar each.

use std::path::Path;

use plotters::prelude::*;

use crate::Answer;
use crate::figures::Row;
use crate::report::digits;

/// The rows: a row's number, how its name begins, and how its limit begins.
const ROWS: [(u8, &str, &str); 8] = [
    (1, "recall of 1 GiB, http", "that, while curl"),
    (1, "recall of 1 GiB, https", "that, while curl"),
    (2, "first 128 KiB of 1 GiB, p50", "that, and then"),
    (3, "5000 cold files of 16 KiB", "that, each locked"),
    (4, "remote read of 1 GiB, sequential", "dd of a local file"),
    (
        5,
        "local random reads of 4 KiB: instructions",
        "feature off",
    ),
    (6, "growth while 1000 of 2 MiB", ""),
    (
        7,
        "recall of 256 MiB from a folder, the same plugin in C",
        "",
    ),
];

const BAR: RGBColor = RGBColor(31, 119, 180);
const LIMIT: RGBColor = RGBColor(200, 60, 60);
const WIDTH: u32 = 900;
/// Height of a bar and its text, in pixels.
const HEIGHT: u32 = 44;

/// 1: as good as the limit; 2: twice as fast, or half of the time, instructions or bytes.
fn nearness(row: &Row, ratio: f64) -> f64 {
    if row.unit.ends_with("/s") {
        ratio
    } else {
        ratio.recip()
    }
}

/// Draws the rows that the README shows. Rows that were not measured are left out.
pub(crate) fn draw(path: &Path, rows: &[Row]) -> Answer<()> {
    let shown: Vec<&Row> = ROWS
        .iter()
        .filter_map(|(number, name, limit)| {
            rows.iter().find(|row| {
                row.number == *number && row.name.starts_with(name) && row.limit.starts_with(limit)
            })
        })
        .collect();
    let count = shown.len();
    let area = SVGBackend::new(path, (WIDTH, HEIGHT * count as u32 + 80)).into_drawing_area();
    area.fill(&WHITE)?;
    let most = shown
        .iter()
        .flat_map(|row| {
            row.pairs
                .iter()
                .map(|pair| nearness(row, pair.ours / pair.limit))
        })
        .fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .x_label_area_size(40)
        .build_cartesian_2d(0.0..most * 1.1, 0.0..count as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_desc("how near to the limit (red line); longer is better")
        .draw()?;
    for (at, row) in shown.iter().enumerate() {
        // The first row is on top.
        let base = (count - at - 1) as f64;
        let ours = nearness(row, row.ratio());
        let bar = Rectangle::new([(0.0, base + 0.1), (ours, base + 0.5)], BAR.filled());
        chart.draw_series([bar])?;
        let text = format!(
            "{}: {} {unit}; limit: {} {unit}",
            row.name,
            digits(row.ours()),
            digits(row.limit()),
            unit = row.unit
        );
        let name = Text::new(text, (0.01, base + 0.92), ("sans-serif", 14));
        chart.draw_series([name])?;
    }
    chart.draw_series([PathElement::new([(1.0, 0.0), (1.0, count as f64)], LIMIT)])?;
    area.present()?;
    Ok(())
}

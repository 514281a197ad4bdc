// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One chart for each row of the documentation: two bars for each figure, ours and the limit's, on a logarithmic scale,
//! with the range of the runs.

use std::path::Path;

use plotters::prelude::*;

use crate::Answer;
use crate::figures::{Pair, Row};
use crate::report::digits;

const OURS: RGBColor = RGBColor(31, 119, 180);
const LIMIT: RGBColor = RGBColor(180, 180, 180);
/// Height in pixels of a figure's two bars with their spacing.
const HEIGHT: u32 = 56;
const WIDTH: u32 = 1000;

/// Draws rows of one unit.
pub(crate) fn draw(path: &Path, title: &str, rows: &[&Row]) -> Answer<()> {
    let count = rows.len();
    let area = SVGBackend::new(path, (WIDTH, HEIGHT * count as u32 + 90)).into_drawing_area();
    area.fill(&WHITE)?;
    let all = || {
        rows.iter()
            .flat_map(|row| &row.pairs)
            .flat_map(|pair| [pair.ours, pair.limit])
    };
    let least = all().fold(f64::INFINITY, f64::min) / 2.0;
    let most = all().fold(0.0, f64::max) * 3.0;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(10)
        .build_cartesian_2d((least..most).log_scale(), 0.0..count as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_desc(rows.first().map_or("", |row| row.unit))
        .draw()?;
    for (at, row) in rows.iter().enumerate() {
        // The first row is on top.
        let base = (count - at - 1) as f64;
        let text = |value: f64| format!("{} {}", digits(value), row.unit);
        let name = Text::new(
            row.name.clone(),
            (least * 1.02, base + 0.95),
            ("sans-serif", 13),
        );
        chart.draw_series([name])?;
        let ours = (row.ours(), OURS, text(row.ours()), 0.40);
        let limit = (
            row.limit(),
            LIMIT,
            format!("{}: {}", row.limit, text(row.limit())),
            0.10,
        );
        for (value, colour, text, low) in [ours, limit] {
            let bar = Rectangle::new(
                [(least, base + low), (value, base + low + 0.26)],
                colour.filled(),
            );
            chart.draw_series([bar])?;
            let pick = |pair: &Pair| if low > 0.2 { pair.ours } else { pair.limit };
            let from = row.pairs.iter().map(pick).fold(f64::INFINITY, f64::min);
            let to = row.pairs.iter().map(pick).fold(0.0, f64::max);
            let range =
                PathElement::new([(from, base + low + 0.13), (to, base + low + 0.13)], BLACK);
            chart.draw_series([range])?;
            let label = Text::new(
                text,
                (to.max(value) * 1.03, base + low + 0.24),
                ("sans-serif", 12),
            );
            chart.draw_series([label])?;
        }
    }
    area.present()?;
    Ok(())
}

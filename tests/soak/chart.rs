// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One chart over time as SVG: a line for each client, and behind them the events.

use plotters::prelude::*;

use crate::Answer;
use crate::day::Event;

const SIZE: (u32, u32) = (1100, 240);
/// Blue, orange and green, which people who see colours differently can tell apart.
const LINES: [RGBColor; 4] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(90, 90, 90),
];
const EVENT: RGBColor = RGBColor(230, 210, 160);

/// A line: its name, and its points (seconds, value).
pub(crate) type Line = (String, Vec<(f64, f64)>);

/// Draws a chart of `length` seconds.
pub(crate) fn draw(title: &str, lines: &[Line], events: &[Event], length: f64) -> Answer<String> {
    let mut text = String::new();
    let most = lines.iter().flat_map(|(_, points)| points);
    let most = most.map(|(_, value)| *value).fold(1.0, f64::max) * 1.15;
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 15))
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..length, 0.0..most)?;
        for (number, event) in events.iter().enumerate() {
            let end = event
                .ended
                .unwrap_or(length)
                .max(event.begun + length / 1000.0);
            let band = Rectangle::new([(event.begun, 0.0), (end, most)], EVENT.filled());
            chart.draw_series([band])?;
            // The number by which the table names it.
            let place = (event.begun, most * 0.99);
            let label = Text::new((number + 1).to_string(), place, ("sans-serif", 9));
            chart.draw_series([label])?;
        }
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_desc("seconds")
            .y_label_formatter(&|value| format!("{value:.0}"))
            .draw()?;
        for ((name, points), colour) in lines.iter().zip(LINES.iter().cycle()) {
            let line = PathElement::new(points.clone(), colour.stroke_width(1));
            chart
                .draw_series([line])?
                .label(name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 12, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 11))
            .draw()?;
        area.present()?;
    }
    Ok(text)
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Values of options: sizes and times as the volume's options write them, percentages, where a secret lies.

use std::time::Duration;

use cloudsync_format::settings;

pub(super) fn bytes(text: &str) -> Result<u64, &'static str> {
    settings::parse_bytes(text).ok_or("a number of bytes, as 4096, 64K or 1M")
}

pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    settings::parse_duration(text).ok_or("a length of time, as 90s, 10m, 12h or 30d")
}

/// `20` or `20%`.
pub(crate) fn percent(text: &str) -> Result<f64, &'static str> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or("a percentage between 0% and 100%")
}

pub(super) fn positive(text: &str) -> Result<f64, &'static str> {
    let number = text.parse().ok();
    number
        .filter(|number: &f64| number.is_finite() && *number > 0.0)
        .ok_or("a number above 0")
}

pub(super) fn secret(text: &str) -> Result<String, &'static str> {
    if text.starts_with("file:") || text.starts_with("env:") {
        Ok(text.to_owned())
    } else {
        Err(
            "say where it is, file:/path or env:NAME: the process list shows the command line to everybody",
        )
    }
}

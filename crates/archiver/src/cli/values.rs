// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses option values: sizes and durations in the syntax of the volume's options, percentages, sources of secrets.

use std::time::{Duration, SystemTime};

use cloudsync_format::{settings, stores};

use crate::parallel::AUTO;

/// The error is the expected syntax, as for the parsers below.
pub(super) fn bytes(text: &str) -> Result<u64, &'static str> {
    settings::parse_bytes(text).ok_or("expected a number of bytes, such as 4096, 64K or 1M")
}

pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    settings::parse_duration(text).ok_or("expected a duration, such as 90s, 10m, 12h or 30d")
}

/// Parses a moment: a day or a time in UTC, or how long ago.
pub(super) fn moment(text: &str) -> Result<SystemTime, &'static str> {
    let day = || humantime::parse_rfc3339_weak(&format!("{text} 00:00:00")).ok();
    let time = humantime::parse_rfc3339_weak(text).ok();
    let ago = || SystemTime::now().checked_sub(settings::parse_duration(text)?);
    time.or_else(day)
        .or_else(ago)
        .ok_or("expected a day or a time in UTC, such as 2026-11-20 or 2026-11-20T18:30:00Z, or how long ago, such as 7d")
}

/// Parses `20` or `20%`, from 0 to 100.
pub(crate) fn percent(text: &str) -> Result<f64, &'static str> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or("expected a percentage between 0% and 100%")
}

/// Parses the largest number of threads: `64`, or `auto`.
pub(crate) fn jobs(text: &str) -> Result<u16, &'static str> {
    if text == "auto" {
        return Ok(AUTO);
    }
    let number = text.parse().ok();
    number
        .filter(|number| (1..=256).contains(number))
        .ok_or("expected a number from 1 to 256, or auto")
}

pub(super) fn positive(text: &str) -> Result<f64, &'static str> {
    let number = text.parse().ok();
    number
        .filter(|number: &f64| number.is_finite() && *number > 0.0)
        .ok_or("expected a number above 0")
}

/// Accepts the name of a store.
pub(crate) fn store(text: &str) -> Result<String, &'static str> {
    stores::parse(text).map(|_| text.to_owned())
}

/// Accepts only where the secret is stored, never the secret itself.
pub(super) fn secret(text: &str) -> Result<String, &'static str> {
    if text.starts_with("file:") || text.starts_with("env:") {
        Ok(text.to_owned())
    } else {
        Err(
            "expected file:/path or env:NAME: every user can see a key on the command line in the process list",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_a_time_or_an_age() {
        let seconds = |text| {
            let since = moment(text).unwrap().duration_since(SystemTime::UNIX_EPOCH);
            since.unwrap().as_secs()
        };
        assert_eq!(seconds("1970-01-02"), 86_400);
        assert_eq!(seconds("1970-01-01T00:01:00Z"), 60);
        assert_eq!(seconds("1970-01-01 00:01:00"), 60);
        assert!(seconds("7d") < seconds("6d"));
        for bad in ["", "yesterday", "2026-13-01", "-1d"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}

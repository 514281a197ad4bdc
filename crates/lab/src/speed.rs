// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Speeds.

/// Speed in MB/s. A megabyte has 1,000,000 bytes.
#[must_use]
pub fn megabytes_per_second(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / 1e6 / seconds
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Checks names by their characters.

#![forbid(unsafe_code)]

/// Whether a text has at least one character, and only ASCII letters and digits and those in `extra`.
pub(super) fn consists_of(text: &str, extra: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
    !text.is_empty() && text.chars().all(good)
}

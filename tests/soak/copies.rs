// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the bricks have of a file that an application read wrongly: whether it is the bricks that are wrong, or a cache.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use crate::files::{File, Files};

/// Each copy's size, time of change, attributes, and whether the bytes of `range` (offset and length) are right.
pub(crate) fn describe(
    bricks: &[PathBuf],
    files: &Files,
    number: usize,
    file: &File,
    range: (u64, u64),
) -> String {
    let copies = bricks.iter().map(|brick| {
        let copy = brick.join(&file.name);
        let text = one(&copy, files, number, file, range);
        text.unwrap_or_else(|error| format!("{}: {error}", copy.display()))
    });
    copies.collect::<Vec<_>>().join("\n  ")
}

fn one(
    copy: &PathBuf,
    files: &Files,
    number: usize,
    file: &File,
    range: (u64, u64),
) -> std::io::Result<String> {
    let data = fs::metadata(copy)?;
    let has = range.1.min(data.len().saturating_sub(range.0));
    let mut bytes = vec![0; has as usize];
    fs::File::open(copy)?.read_exact_at(&mut bytes, range.0)?;
    let content = match files.compare(number, file, range, &bytes) {
        Ok(()) => "right".to_owned(),
        Err(difference) => difference.why,
    };
    let mut text = format!(
        "{} bytes of {}.{:09}, {content}",
        data.len(),
        data.mtime(),
        data.mtime_nsec()
    );
    for name in xattr::list(copy)? {
        let value = xattr::get(copy, &name)?.unwrap_or_default();
        let name = name.to_string_lossy();
        text.push_str(&format!(", {name}={}", value.escape_ascii()));
    }
    Ok(text)
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the bricks have of a file that an application read wrongly, or could not use: whether it is the bricks that are
//! wrong, or a cache.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::files::{File, Files};

/// Each copy's size, time of change and attributes, and whether the bytes of `range` (offset and length) are right.
pub(crate) fn compare(
    bricks: &[PathBuf],
    files: &Files,
    number: usize,
    file: &File,
    range: (u64, u64),
) -> String {
    each(bricks, file, |copy| {
        let has = fs::metadata(copy)?.len().saturating_sub(range.0);
        let mut bytes = vec![0; range.1.min(has) as usize];
        fs::File::open(copy)?.read_exact_at(&mut bytes, range.0)?;
        let content = match files.compare(number, file, range, &bytes) {
            Ok(()) => "right".to_owned(),
            Err(difference) => difference.why,
        };
        Ok(format!("{content}: {}", describe(copy)?))
    })
}

/// Whether a copy lacks changes that others have, as those record until it is healed (`trusted.afr.VOLUME-client-N`, of which
/// the first number counts changes of bytes). A client that does not know yet reads it, with the feature off as well.
pub(crate) fn one_is_blamed(bricks: &[PathBuf], file: &File) -> bool {
    bricks.iter().any(|brick| {
        let copy = brick.join(&file.name);
        let mut names = xattr::list(&copy).into_iter().flatten();
        names.any(|name| {
            let blames =
                name.to_string_lossy().starts_with("trusted.afr.") && name != "trusted.afr.dirty";
            let value = xattr::get(&copy, &name).ok().flatten().unwrap_or_default();
            blames && value.iter().take(4).any(|byte| *byte != 0)
        })
    })
}

/// Each copy's size, time of change and attributes.
pub(crate) fn list(bricks: &[PathBuf], file: &File) -> String {
    each(bricks, file, describe)
}

fn each(bricks: &[PathBuf], file: &File, what: impl Fn(&Path) -> io::Result<String>) -> String {
    let copies = bricks.iter().map(|brick| {
        let copy = brick.join(&file.name);
        what(&copy).unwrap_or_else(|error| format!("{}: {error}", copy.display()))
    });
    copies.collect::<Vec<_>>().join("\n  ")
}

fn describe(copy: &Path) -> io::Result<String> {
    let data = fs::metadata(copy)?;
    let (size, seconds, nanoseconds) = (data.len(), data.mtime(), data.mtime_nsec());
    let mut text = format!("{size} bytes of {seconds}.{nanoseconds:09}");
    for name in xattr::list(copy)? {
        let value = xattr::get(copy, &name)?.unwrap_or_default();
        let name = name.to_string_lossy();
        text.push_str(&format!(", {name}={}", value.escape_ascii()));
    }
    Ok(text)
}

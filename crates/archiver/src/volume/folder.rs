// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Paths of a volume's state that persists on this host between runs.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Volume;

/// The parent of the volumes' folders, each of which is named by the volume's id.
const ALL: &str = "/var/lib/cloudsync";

/// The volume's folder, which may not exist yet.
pub(crate) fn of(volume: &Volume) -> PathBuf {
    Path::new(ALL).join(&volume.id)
}

/// Creates a folder that only root can look into, and those above it.
pub(crate) fn create(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// The marker file that allows the feature to be off while files are cold.
pub(crate) fn leaving(volume: &Volume) -> PathBuf {
    of(volume).join("leaving")
}

/// Removes that marker. Called when files are archived, because the loss was accepted for earlier ones only.
pub(crate) fn not_leaving(volume: &Volume) {
    // It fails if there is no marker, which is just as well.
    let _ = fs::remove_file(leaving(volume));
}

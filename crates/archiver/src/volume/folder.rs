// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What this host remembers of a volume from one run to the next.

use std::fs;
use std::path::{Path, PathBuf};

use super::Volume;

/// Below it each volume has a folder, called as its id.
const ALL: &str = "/var/lib/cloudsync";

/// The volume's folder, which may not be there yet.
pub(crate) fn of(volume: &Volume) -> PathBuf {
    Path::new(ALL).join(&volume.id)
}

/// The file whose presence lets the feature be off although files are cold.
pub(crate) fn leaving(volume: &Volume) -> PathBuf {
    of(volume).join("leaving")
}

/// Files are being archived: whoever accepted a loss did not mean these.
pub(crate) fn not_leaving(volume: &Volume) {
    // That there is none is what we want.
    let _ = fs::remove_file(leaving(volume));
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The names by which users ask and tell something about a file: see [`crate::control`].

#![forbid(unsafe_code)]

use std::ffi::CStr;

use cloudsync_format::command;

use crate::host::dict::DictRef;

/// What a user tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Bring the file back.
    Recall,
    /// Give its recall up.
    Cancel,
    /// Take the object for the file's, whatever its version is now.
    Adopt,
}

/// The command that setxattr carries, if it carries one.
#[must_use]
pub fn command(dict: DictRef<'_>) -> Option<Command> {
    [
        (command::RECALL, Command::Recall),
        (command::CANCEL, Command::Cancel),
        (command::ADOPT, Command::Adopt),
    ]
    .into_iter()
    .find_map(|(name, command)| dict.has(name).then_some(command))
}

/// Whether getxattr of that name is for us.
#[must_use]
pub fn is_asked(name: &CStr) -> bool {
    name == command::STATE || name == command::CANCEL
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Recognises the virtual attributes by which users give commands: see [`crate::control`].

#![forbid(unsafe_code)]

use std::ffi::CStr;

use cloudsync_format::command;

use crate::host::dict::DictRef;

/// A command of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Recall the file.
    Recall,
    /// Cancel its recall.
    Cancel,
    /// Accept the object as the file's, with its new version.
    Adopt,
    /// Record that another store has its object.
    Move,
}

/// Returns the command in the attributes of a setxattr, if there is one.
#[must_use]
pub fn command(dict: DictRef<'_>) -> Option<Command> {
    [
        (command::RECALL, Command::Recall),
        (command::CANCEL, Command::Cancel),
        (command::ADOPT, Command::Adopt),
        (command::MOVE, Command::Move),
    ]
    .into_iter()
    .find_map(|(name, command)| dict.has(name).then_some(command))
}

/// Whether a getxattr of this name is a command.
#[must_use]
pub fn is_asked(name: &CStr) -> bool {
    [command::STATE, command::DETAILS, command::CANCEL].contains(&name)
}

/// Whether a getxattr of this name asks about the client, not about a file.
#[must_use]
pub fn is_about_client(name: &CStr) -> bool {
    name == command::METRICS || name == command::JOBS
}

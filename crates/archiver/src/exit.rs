// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! How the program ends: its errors and its exit codes.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | everything asked for was done |
//! | 1 | some files failed; the others were done |
//! | 2 | the command line or the policy file is wrong |
//! | 3 | it could not begin: not root, no such volume, no store |
//! | 4 | stopped early: too many failures, or the store refuses everything |
//! | 5 | another run is at work on the same brick |
//! | 130 | interrupted; what was begun was finished, the rest was left |

use std::process::ExitCode;

use crate::interrupt::interrupted;

/// Why nothing, or no more, was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line or the policy file is wrong.
    #[error("{0}")]
    Usage(String),
    /// It could not begin.
    #[error("{0}")]
    Start(String),
    /// Another run is at work.
    #[error("{0}")]
    Locked(String),
}

impl Error {
    pub(crate) fn start(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self::Start(format!("{what}: {why}"))
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Start(_) => 3,
            Self::Locked(_) => 5,
        })
    }
}

/// How a run that began has ended; the worst of them is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ended {
    /// All done.
    Well,
    /// Some files failed.
    WithFailures,
    /// Too many did.
    Early,
    /// Somebody asked for it.
    Interrupted,
}

impl Ended {
    /// Of a run that had nothing else to stop it.
    pub(crate) fn of(any_failed: bool) -> Self {
        match any_failed {
            _ if interrupted() => Self::Interrupted,
            true => Self::WithFailures,
            false => Self::Well,
        }
    }

    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Well => 0,
            Self::WithFailures => 1,
            Self::Early => 4,
            Self::Interrupted => 130,
        })
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Defines the program's errors and exit codes.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | success |
//! | 1 | some files failed; the others were done |
//! | 2 | usage error: the command line or the policy file is wrong |
//! | 3 | could not start: not root, no such volume, no store |
//! | 4 | stopped early: too many failures, or the store refuses everything |
//! | 5 | another run holds the brick's lock |
//! | 130 | interrupted; files in flight were finished, the rest was left |

use crate::interrupt::interrupted;

/// An error that ends the whole run. The text names its subject.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line or the policy file is wrong.
    #[error("{0}")]
    Usage(String),
    /// The run could not start.
    #[error("{0}")]
    Start(String),
    /// Another run holds the lock.
    #[error("{0}")]
    Locked(String),
}

impl Error {
    /// A start error of the form `what: why`.
    pub(crate) fn start(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self::Start(format!("{what}: {why}"))
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Start(_) => 3,
            Self::Locked(_) => 5,
        }
    }
}

/// How a run ended that did start. Ordered, so that the worst result of several runs is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ended {
    /// Everything succeeded.
    Well,
    /// Some files failed.
    WithFailures,
    /// Too many files failed, or the store refused everything.
    Early,
    /// SIGINT or SIGTERM.
    Interrupted,
}

impl Ended {
    /// The result of a run that nothing else has stopped.
    pub(crate) fn of(any_failed: bool) -> Self {
        match any_failed {
            _ if interrupted() => Self::Interrupted,
            true => Self::WithFailures,
            false => Self::Well,
        }
    }

    /// The result if the store stopped the run (`stopped`), which an interruption outranks.
    pub(crate) fn or_early(self, stopped: bool) -> Self {
        if stopped { self.max(Self::Early) } else { self }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::WithFailures => 1,
            Self::Early => 4,
            Self::Interrupted => 130,
        }
    }
}

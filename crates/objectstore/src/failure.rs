// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What an error of a client means, and whether asking again may help.

#![forbid(unsafe_code)]

use std::error::Error as _;

use cloudsync_store::StoreError;
use object_store::Error;

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: StoreError,
    /// Whether it may pass.
    pub(crate) passing: bool,
}

impl Failure {
    pub(crate) const fn final_(error: StoreError) -> Self {
        Self {
            error,
            passing: false,
        }
    }

    /// The store did not deliver; it may next time.
    pub(crate) fn passing(why: &str, place: &str) -> Self {
        Self {
            error: StoreError::Unreachable(format!("{why} ({place})")),
            passing: true,
        }
    }

    /// What `error` of a request to `place` means.
    pub(crate) fn of(error: &Error, place: &str) -> Self {
        let why = chain(error);
        let text = format!("{why} ({place})");
        let no_place = ["ContainerNotFound", "specified bucket does not exist"];
        match error {
            Error::NotFound { .. } if no_place.iter().any(|said| why.contains(said)) => {
                Self::final_(StoreError::Settings(format!(
                    "{text}; option s3plugin-bucketid: there is no such place"
                )))
            }
            Error::NotFound { .. } => Self::final_(StoreError::Missing(text)),
            Error::Precondition { .. } | Error::NotModified { .. } => {
                Self::final_(StoreError::Changed(text))
            }
            Error::PermissionDenied { .. } => Self::final_(StoreError::PermissionDenied(text)),
            Error::Unauthenticated { .. } => Self::final_(StoreError::BadCredentials(text)),
            Error::InvalidPath { .. } => Self::final_(StoreError::Missing(text)),
            _ if why.contains("BlobArchived") => Self::final_(StoreError::Archived(text)),
            _ if ["429", "503", "ServerBusy"]
                .iter()
                .any(|said| why.contains(said)) =>
            {
                Self {
                    error: StoreError::Throttled(text),
                    passing: true,
                }
            }
            _ => Self {
                error: StoreError::Unreachable(text),
                passing: true,
            },
        }
    }
}

/// An error with its causes, on one line, each once.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        at = cause.source();
    }
    text.retain(|c| !c.is_control());
    text
}

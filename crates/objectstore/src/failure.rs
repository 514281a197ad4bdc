// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Maps errors of a client, and decides whether a retry may help.

#![forbid(unsafe_code)]

use std::error::Error as _;

use cloudsync_store::StoreError;
use cloudsync_store::network::Failure;
use object_store::Error;

/// The meaning of `error`, which a request to `place` returned.
pub(crate) fn of(error: &Error, place: &str) -> Failure {
    let why = chain(error);
    let text = format!("{why} ({place})");
    let no_place = ["ContainerNotFound", "specified bucket does not exist"];
    match error {
        Error::NotFound { .. } if no_place.iter().any(|text| why.contains(text)) => {
            Failure::final_(StoreError::Settings(format!(
                "{text}; option s3plugin-bucketid: no such bucket or container"
            )))
        }
        Error::AlreadyExists { .. } => Failure::final_(StoreError::Exists(text)),
        Error::NotFound { .. } => Failure::final_(StoreError::Missing(text)),
        Error::Precondition { .. } | Error::NotModified { .. } => {
            Failure::final_(StoreError::Changed(text))
        }
        Error::PermissionDenied { .. } => Failure::final_(StoreError::PermissionDenied(text)),
        Error::Unauthenticated { .. } => Failure::final_(StoreError::BadCredentials(text)),
        Error::InvalidPath { .. } => Failure::final_(StoreError::Missing(text)),
        // Errors that will not pass during the retries of a request.
        _ if [
            "507 Insufficient Storage",
            "InsufficientStorage",
            "QuotaExceeded",
            "quotaExceeded",
        ]
        .iter()
        .any(|said| why.contains(said)) =>
        {
            Failure::final_(StoreError::Full(text))
        }
        _ if why.contains("BlobArchived") => Failure::final_(StoreError::Archived(text)),
        // As the client and the servers write it: a number alone may be part of a key, a port or a size.
        _ if ["status code: 429", "status code: 503", "ServerBusy"]
            .iter()
            .any(|said| why.contains(said)) =>
        {
            Failure {
                error: StoreError::Throttled(text),
                passing: true,
            }
        }
        _ => Failure {
            error: StoreError::Unreachable(text),
            passing: true,
        },
    }
}

/// An error and its causes on one line, without repetitions.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_is_told_from_one_that_is_away() {
        let of = |text: &str| {
            let error = Error::Generic {
                store: "MicrosoftAzure",
                source: text.into(),
            };
            of(&error, "there")
        };
        let full = of("Server returned non-2xx status code: 507 Insufficient Storage: ");
        assert!(
            matches!(full.error, StoreError::Full(_)) && !full.passing,
            "{full:?}"
        );
        for busy in ["429 Too Many Requests: ", "503 Service Unavailable: "] {
            let busy = of(&format!("Server returned non-2xx status code: {busy}"));
            assert!(
                matches!(busy.error, StoreError::Throttled(_)) && busy.passing,
                "{busy:?}"
            );
        }
        let away = of("error sending request to port 4290, 1507 of 5030 bytes sent");
        assert!(
            matches!(away.error, StoreError::Unreachable(_)) && away.passing,
            "{away:?}"
        );
    }
}

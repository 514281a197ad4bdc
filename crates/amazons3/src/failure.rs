// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Classifies errors of the SDK and the store, and decides whether a retry may help.

#![forbid(unsafe_code)]

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use cloudsync_store::StoreError;
use cloudsync_store::network::Failure;

use self::cause::{Refusal, of_setting};
use crate::place::Place;

mod cause;

/// The permission to read objects, and their metadata.
pub(crate) const GET: &str = "s3:GetObject";
/// The permission to create objects, and multipart uploads of them.
pub(crate) const PUT: &str = "s3:PutObject";

/// Classifies the error of a request to `place`, which needs the permission `action` (docs/OPTIONS.md).
pub(crate) fn of<E>(error: &SdkError<E, HttpResponse>, place: &Place, action: &str) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let meta = service.err().meta();
            let status = service.raw().status().as_u16();
            // Some stores send an empty message.
            let said = meta.message().filter(|text| !text.is_empty());
            let mut text = said.unwrap_or("no explanation").to_owned();
            text.retain(|c| !c.is_control());
            let code = meta.code().unwrap_or_default();
            let request = service.raw().headers().get("x-amz-request-id");
            let request = request.or(meta.request_id()).unwrap_or("none");
            let worded = |hint: &str| {
                format!("{text} ({code} HTTP {status}, {place}, request {request}){hint}")
            };
            let refusal = Refusal {
                code,
                status,
                message: &text.to_lowercase(),
                region: service.raw().headers().get("x-amz-bucket-region"),
                action,
            };
            if let Some(error) = of_setting(&refusal, &place.settings, &worded) {
                // Others may be in flight that do not carry it yet.
                let passing = refusal.demands_a_checksum() && place.demand_md5();
                return Failure { error, passing };
            }
            let failure = of_answer(code, status, action, worded);
            unless_replaced(failure, code, place)
        }
        SdkError::TimeoutError(_) => Failure::passing("no answer in time", place),
        error => of_transport(error, place),
    }
}

/// Classifies the error of a request that was not answered.
pub(crate) fn of_transport(error: &(dyn Error + 'static), place: &str) -> Failure {
    let mut causes = Vec::new();
    let mut credentials = None;
    let mut at = error.source();
    while let Some(cause) = at {
        let text = cause.to_string();
        if !causes.contains(&text) {
            causes.push(text);
        }
        credentials = credentials.or(cause.downcast_ref::<CredentialsError>());
        at = cause.source();
    }
    let why = causes.join(": ");
    if let Some(credentials) = credentials {
        let hint = "set s3plugin-keyid and s3plugin-seckey, or give the client's host credentials";
        let passing = !matches!(
            credentials,
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
        );
        let error = StoreError::BadCredentials(format!("{why} ({place}); {hint}"));
        return Failure { error, passing };
    }
    // The cause's type is not accessible; this is rustls's message for it.
    if why.contains("invalid peer certificate") {
        let hint = "the setting ca= of cloudsync-store-id adds trusted authorities";
        return Failure::final_(StoreError::Unreachable(format!("{why} ({place}); {hint}")));
    }
    Failure::passing(&why, place)
}

/// Classifies an answer of which only the status is known.
pub(crate) fn of_status(status: u16, place: &Place, action: &str) -> Failure {
    let failure = of_answer("", status, action, |hint| {
        format!("no explanation (HTTP {status}, {place}){hint}")
    });
    unless_replaced(failure, "", place)
}

/// Lets the request be repeated if its credentials were refused and may have been replaced; a wrong clock stays wrong.
fn unless_replaced(mut failure: Failure, code: &str, place: &Place) -> Failure {
    let keys = matches!(failure.error, StoreError::BadCredentials(_)) && !is_of_the_clock(code);
    failure.passing |= keys && place.credentials.refused();
    failure
}

fn is_of_the_clock(code: &str) -> bool {
    ["RequestTimeTooSkewed", "RequestExpired"].contains(&code)
}

fn of_answer(code: &str, status: u16, action: &str, text: impl Fn(&str) -> String) -> Failure {
    let final_ = |error: fn(String) -> StoreError, hint| Failure::final_(error(text(hint)));
    let passing = |error: fn(String) -> StoreError| Failure {
        error: error(text("")),
        passing: true,
    };
    match (code, status) {
        ("NoSuchBucket", _) => final_(
            StoreError::Settings,
            "; option s3plugin-bucketid: no such bucket",
        ),
        ("InvalidAccessKeyId" | "InvalidSecurity" | "InvalidToken", _) => {
            final_(StoreError::BadCredentials, "; check s3plugin-keyid")
        }
        ("SignatureDoesNotMatch", _) => {
            final_(StoreError::BadCredentials, "; check s3plugin-seckey")
        }
        ("ExpiredToken" | "TokenRefreshRequired", _) => {
            final_(StoreError::BadCredentials, "; renew the credentials")
        }
        (code, _) if is_of_the_clock(code) => {
            final_(StoreError::BadCredentials, "; check the clock of this host")
        }
        (
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "IllegalLocationConstraintException",
            _,
        )
        | (_, 301 | 307 | 308) => final_(
            StoreError::Settings,
            "; option cloudsync-store-id: check region=, the bucket may be in another region",
        ),
        // Not retried, because the condition lasts longer than a request may take.
        ("InsufficientStorage" | "QuotaExceeded" | "XMinioStorageFull", _) | (_, 507) => {
            final_(StoreError::Full, "")
        }
        ("InvalidObjectState", _) => final_(
            StoreError::Archived,
            "; set restore= in cloudsync-store-id to have it restored",
        ),
        ("SlowDown" | "TooManyRequests" | "RequestLimitExceeded" | "BandwidthLimitExceeded", _) => {
            passing(StoreError::Throttled)
        }
        (code, _) if code.contains("Throttl") => passing(StoreError::Throttled),
        (
            "RequestTimeout" | "InternalError" | "OperationAborted" | "ConditionalRequestConflict",
            _,
        ) => passing(StoreError::Unreachable),
        ("NotImplemented", _) | (_, 501) => final_(StoreError::Other, "; the store cannot do this"),
        // Damaged on the way.
        ("BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch", _) => {
            passing(StoreError::Corrupt)
        }
        ("NoSuchKey" | "NoSuchVersion", _) | (_, 404 | 410) => final_(StoreError::Missing, ""),
        (_, 401) => final_(StoreError::BadCredentials, ""),
        (_, 403) => {
            let without = if action == GET {
                " (without s3:ListBucket, a missing object also gives this error)"
            } else {
                ""
            };
            Failure::final_(StoreError::PermissionDenied(text(&format!(
                "; the key needs {action}{without}"
            ))))
        }
        (_, 412 | 416) => final_(StoreError::Changed, ""),
        (_, 429 | 503) => passing(StoreError::Throttled),
        (_, 408 | 500..) => passing(StoreError::Unreachable),
        _ => final_(StoreError::Other, ""),
    }
}

/// Whether the store says that it cannot do what was asked for.
pub(crate) fn is_not_implemented<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
) -> bool {
    let code = error
        .as_service_error()
        .and_then(|error| error.meta().code());
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    code == Some("NotImplemented") || status == Some(501)
}

/// Whether the store gave no reason, as in a response to HEAD, which has no body.
pub(crate) fn without_reason<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.as_service_error().is_some_and(|error| {
        // The SDK invents the code "NotFound" for a HEAD with status 404.
        matches!(error.meta().code(), None | Some("" | "NotFound"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, status: u16) -> Failure {
        of_answer(code, status, GET, |hint| format!("{code}{hint}"))
    }

    #[test]
    fn what_passes_is_asked_again_and_nothing_else() {
        for (code, status) in [
            ("SlowDown", 503),
            ("", 503),
            ("", 429),
            ("ThrottlingException", 400),
            ("InternalError", 500),
            ("", 502),
            ("", 504),
            ("RequestTimeout", 400),
        ] {
            assert!(of(code, status).passing, "{code} {status}");
        }
        for (code, status) in [
            ("NoSuchKey", 404),
            ("AccessDenied", 403),
            ("InvalidAccessKeyId", 403),
            ("PreconditionFailed", 412),
            ("InvalidRange", 416),
            ("InvalidObjectState", 403),
            ("MethodNotAllowed", 405),
            ("PermanentRedirect", 301),
            ("InsufficientStorage", 507),
            ("QuotaExceeded", 403),
        ] {
            assert!(!of(code, status).passing, "{code} {status}");
        }
    }

    #[test]
    fn the_three_kinds_of_403_and_a_wrong_clock_are_told_apart() {
        assert!(matches!(
            of("AccessDenied", 403).error,
            StoreError::PermissionDenied(_)
        ));
        assert!(matches!(
            of("SignatureDoesNotMatch", 403).error,
            StoreError::BadCredentials(_)
        ));
        assert!(matches!(
            of("InvalidObjectState", 403).error,
            StoreError::Archived(_)
        ));
        let skewed = of("RequestTimeTooSkewed", 403).error;
        assert!(skewed.to_string().contains("check the clock"), "{skewed}");
    }

    #[derive(Debug)]
    struct Dispatch(std::io::Error);

    impl std::fmt::Display for Dispatch {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("dispatch failure")
        }
    }

    impl Error for Dispatch {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_untrusted_certificate_does_not_pass_and_a_reset_does() {
        let of = |text: &str| {
            of_transport(
                &Dispatch(std::io::Error::other(text.to_owned())),
                "bucket b",
            )
        };
        let untrusted = of("TLS handshake failed: invalid peer certificate: UnknownIssuer");
        assert!(
            !untrusted.passing && untrusted.error.to_string().contains("ca="),
            "{untrusted:?}"
        );
        let reset = of("connection reset by peer");
        assert!(
            reset.passing && reset.error.to_string().contains("(bucket b)"),
            "{reset:?}"
        );
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_object() {
        assert!(matches!(
            of("NoSuchBucket", 404).error,
            StoreError::Settings(_)
        ));
        assert!(matches!(of("", 404).error, StoreError::Missing(_)));
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! GET and HEAD without the SDK's orchestrator, which costs more than all else of a small request. The signature is AWS's own
//! crate's, the connection is the SDK's connector.
//!
//! The SDK's rules say where a bucket is and how its requests are signed. So the first request for an object is the SDK's, and its URL
//! and scope are remembered. What is signed in another way (S3 Express, access points of several regions), and what a store says
//! instead of bytes, is left to the SDK, which knows what it means.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use cloudsync_store::network::Failure;
use tokio::time::timeout;

use crate::credentials::Rotating;
use crate::failure;
use crate::metadata::CHECKSUM_HEADER;
use crate::place::Place;

/// The operation whose headers these requests carry; HEAD has the same.
pub(crate) const GET_OBJECT: &str = "GetObject";

/// Who asks.
const AGENT: &str = concat!("cloudsync/", env!("CARGO_PKG_VERSION"));

/// The answer to HEAD.
pub(crate) type Head = HttpResponse;

/// The way to a bucket.
#[derive(Clone, Debug)]
struct Way {
    /// What stands before an object's key.
    base: String,
    region: String,
}

/// The way of the SDK's last request, if it can be ours, too.
#[derive(Debug, Default)]
pub(crate) struct Lessons(Mutex<Option<Way>>);

/// So many refusals in a row of what the SDK then gets: it knows something that we do not, such as how wrong the clock is.
const MOST_REFUSALS: u32 = 2;

/// See the module.
pub(crate) struct Direct {
    connector: SharedHttpConnector,
    credentials: Arc<Rotating>,
    /// What else a request carries.
    headers: Vec<(&'static str, String)>,
    lessons: Arc<Lessons>,
    way: OnceLock<Way>,
    /// In a row, of requests that the SDK's repetition of was not refused.
    refusals: AtomicU32,
    /// For credentials, the connection, and the head of an answer.
    patience: Duration,
}

/// The answer to a GET.
pub(crate) struct Answer {
    pub(crate) etag: Option<String>,
    pub(crate) encoding: Option<String>,
    pub(crate) length: Option<i64>,
    pub(crate) range: Option<String>,
    /// The object's checksum in our own metadata.
    pub(crate) checksum: Option<String>,
    pub(crate) body: ByteStream,
}

impl Direct {
    pub(crate) fn new(
        connector: SharedHttpConnector,
        credentials: Arc<Rotating>,
        headers: Vec<(&'static str, String)>,
        patience: Duration,
    ) -> Self {
        Self {
            connector,
            credentials,
            headers,
            lessons: Arc::default(),
            way: OnceLock::new(),
            refusals: AtomicU32::new(0),
            patience,
        }
    }

    /// To watch the SDK's request for an object of this key.
    pub(crate) fn watching(&self, key: &str) -> Watching {
        Watching {
            key: key.to_owned(),
            lessons: Arc::clone(&self.lessons),
        }
    }

    /// The SDK was answered: remembers its way. `refused`: after a request of ours was refused for that object.
    pub(crate) fn learn(&self, refused: bool) {
        if refused {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        if self.way.get().is_none()
            && let Some(way) = self.lessons.last().clone()
        {
            let _first = self.way.set(way);
        }
    }

    /// Asks for a range of an object.
    ///
    /// # Errors
    /// The store does not answer, is busy, or has a fault.
    pub(crate) async fn get(
        &self,
        key: &str,
        range: &str,
        etag: Option<&str>,
        place: &Place,
    ) -> Result<Asked<Answer>, Failure> {
        let condition = etag.map(|etag| ("if-match", etag));
        let headers = [("range", range)].into_iter().chain(condition);
        let asked = self.send("GET", key, headers, place).await?;
        Ok(asked.map(|answer| {
            let header = |name: &str| answer.headers().get(name).map(str::to_owned);
            Answer {
                etag: header("etag"),
                encoding: header("content-encoding"),
                length: header("content-length").and_then(|text| text.parse().ok()),
                range: header("content-range"),
                checksum: header(CHECKSUM_HEADER),
                body: ByteStream::new(answer.into_body()),
            }
        }))
    }

    /// Asks for an object's attributes.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn head(&self, key: &str, place: &Place) -> Result<Asked<Head>, Failure> {
        let mode = [("x-amz-checksum-mode", "ENABLED")];
        self.send("HEAD", key, mode.into_iter(), place).await
    }

    async fn send<'h>(
        &'h self,
        method: &str,
        key: &str,
        headers: impl Iterator<Item = (&'h str, &'h str)>,
        place: &Place,
    ) -> Result<Asked<Head>, Failure> {
        let refused = self.refusals.load(Ordering::Relaxed) >= MOST_REFUSALS;
        let way = self.way.get().filter(|_| !refused && is_plain(key));
        let Some(way) = way else {
            return Ok(Asked::Unknown);
        };
        let uri = format!("{}{key}", way.base);
        let more = self.headers.iter();
        let headers: Vec<_> = more
            .map(|(name, value)| (*name, value.as_str()))
            .chain(headers)
            .collect();
        let sent = async {
            let credentials = self.credentials.current().await.ok()?;
            let identity = Identity::from(credentials);
            let request = signed(method, &uri, &headers, &identity, &way.region)?;
            Some(self.connector.call(request).await)
        };
        let answer = match timeout(self.patience, sent).await {
            Err(_) => return Err(Failure::passing("no answer in time", place)),
            // The SDK says what is wrong with the credentials.
            Ok(None) => return Ok(Asked::Unknown),
            Ok(Some(Err(error))) if error.is_timeout() => {
                return Err(Failure::passing("no answer in time", place));
            }
            Ok(Some(Err(error))) => return Err(failure::of_transport(&error, place)),
            Ok(Some(Ok(answer))) => answer,
        };
        match answer.status().as_u16() {
            200 | 206 => {
                self.refusals.store(0, Ordering::Relaxed);
                Ok(Asked::Answer(answer))
            }
            status @ (408 | 429 | 500 | 502..=504) => {
                Err(failure::of_status(status, place, failure::GET))
            }
            status => Ok(Asked::Refused(status)),
        }
    }
}

/// What became of a request.
pub(crate) enum Asked<T> {
    Answer(T),
    /// With this status; the SDK knows more.
    Refused(u16),
    /// It was not sent: the SDK must do it.
    Unknown,
}

impl<T> Asked<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Asked<U> {
        match self {
            Self::Answer(answer) => Asked::Answer(f(answer)),
            Self::Refused(status) => Asked::Refused(status),
            Self::Unknown => Asked::Unknown,
        }
    }
}

/// Whether a key is in a URL as it is.
fn is_plain(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let mut segments = key.split('/');
    key.bytes().all(plain) && segments.all(|segment| !matches!(segment, "" | "." | ".."))
}

/// The request, or `None` if it cannot be signed.
fn signed(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    identity: &Identity,
    region: &str,
) -> Option<HttpRequest> {
    let mut settings = SigningSettings::default();
    // As S3 wants it: the path as it is, and the body's checksum in a header.
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params = v4::SigningParams::builder()
        .identity(identity)
        .region(region)
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .ok()?
        .into();
    let body = SignableBody::Bytes(b"");
    let signable = SignableRequest::new(method, uri, headers.iter().copied(), body).ok()?;
    let (instructions, _) = sign(signable, &params).ok()?.into_parts();
    let mut request = HttpRequest::new(SdkBody::empty());
    request.set_method(method).ok()?;
    request.set_uri(uri).ok()?;
    let all = headers.iter().copied().chain(instructions.headers());
    for (name, value) in all {
        let added = request
            .headers_mut()
            .try_insert(name.to_owned(), value.to_owned());
        added.ok()?;
    }
    // Not signed, because proxies change them. An object's bytes are wanted as they are.
    for (name, value) in [("accept-encoding", "identity"), ("user-agent", AGENT)] {
        request.headers_mut().try_insert(name, value).ok()?;
    }
    Some(request)
}

impl Lessons {
    fn last(&self) -> MutexGuard<'_, Option<Way>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches one of the SDK's requests, for an object of this key.
#[derive(Debug)]
pub(crate) struct Watching {
    key: String,
    lessons: Arc<Lessons>,
}

impl Intercept for Watching {
    fn name(&self) -> &'static str {
        "Watching"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let authorization = request.headers().get("authorization");
        let region = authorization.and_then(region_of);
        let uri = request.uri().split('?').next().unwrap_or_default();
        let base = uri.strip_suffix(&self.key);
        let base = base.filter(|base| base.ends_with('/') && is_plain(&self.key));
        *self.lessons.last() = base.zip(region).map(|(base, region)| Way {
            base: base.to_owned(),
            region: region.to_owned(),
        });
        Ok(())
    }
}

/// The region of the scope of a signature that we can make, too.
fn region_of(authorization: &str) -> Option<&str> {
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
    let (credential, _) = rest.split_once(',')?;
    let mut scope = credential.rsplit('/');
    let (end, service, region) = (scope.next()?, scope.next()?, scope.next()?);
    (end == "aws4_request" && service == "s3").then_some(region)
}

/// Without headers, one of which may be a key.
impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct")
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_would_be_encoded_are_left_to_the_sdk() {
        assert!(is_plain("prefix/0f0e/20261129T232721196Z-d5c4c828"));
        for other in ["a b", "a+b", "\u{e4}", "a//b", "/a", "a/../b", "a/.", ""] {
            assert!(!is_plain(other), "{other}");
        }
    }

    #[test]
    fn only_ordinary_signatures_are_learned() {
        let of = |scope: &str| {
            let text = format!("AWS4-HMAC-SHA256 Credential=AKID/{scope}, SignedHeaders=host");
            region_of(&text).map(str::to_owned)
        };
        assert_eq!(
            of("20261130/eu-west-1/s3/aws4_request").as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(of("20261130/eu-west-1/s3express/aws4_request"), None);
        assert_eq!(
            region_of("AWS4-ECDSA-P256-SHA256 Credential=A/1/s3/aws4_request, x"),
            None
        );
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! GET and HEAD without the SDK's orchestrator, which costs more than all else of a small request. The signature is AWS's own
//! crate's, the connection is the SDK's connector.
//!
//! The SDK's rules say where a bucket is and how its requests are signed. So the first request for an object is the SDK's, and its URL
//! and scope are remembered. What is signed in another way (S3 Express, access points of several regions), and what a store says
//! instead of bytes, is left to the SDK, which knows what it means.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
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
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use cloudsync_store::network::Failure;
use tokio::time::timeout;

use crate::credentials::Rotating;
use crate::failure;
use crate::metadata::CHECKSUM_HEADER;
use crate::s3::Place;

/// The operations that are learned from, and whose headers these requests carry.
const LEARNED: [&str; 2] = [GET_OBJECT, "HeadObject"];
/// A request for bytes.
pub(crate) const GET_OBJECT: &str = "GetObject";

/// Who asks.
const AGENT: &str = concat!("cloudsync/", env!("CARGO_PKG_VERSION"));

/// The answer to HEAD.
pub(crate) type Head = HttpResponse;

/// The way to a bucket.
#[derive(Debug)]
struct Way {
    /// What stands before an object's key.
    base: String,
    region: String,
}

/// A request of the SDK's.
#[derive(Clone, Debug)]
struct Seen {
    uri: String,
    region: String,
}

/// What was seen of the SDK's requests.
#[derive(Debug, Default)]
pub(crate) struct Lessons(Mutex<Option<Seen>>);

/// See the module.
pub(crate) struct Direct {
    connector: SharedHttpConnector,
    credentials: Arc<Rotating>,
    /// What else a request carries.
    headers: Vec<(&'static str, String)>,
    lessons: Arc<Lessons>,
    way: OnceLock<Way>,
    /// For the head of an answer, with the connection.
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
        lessons: Arc<Lessons>,
        patience: Duration,
    ) -> Self {
        Self {
            connector,
            credentials,
            headers,
            lessons,
            way: OnceLock::new(),
            patience,
        }
    }

    /// Remembers the way, if the last request that was seen is one for this object.
    pub(crate) fn learn(&self, key: &str) {
        if self.way.get().is_some() || !is_plain(key) {
            return;
        }
        let Some(Seen { uri, region }) = self.lessons.last().clone() else {
            return;
        };
        let path = uri.split_once('?').map_or(uri.as_str(), |(path, _)| path);
        if let Some(base) = path.strip_suffix(key).filter(|base| base.ends_with('/')) {
            let _first = self.way.set(Way {
                base: base.to_owned(),
                region,
            });
        }
    }

    /// Asks for a range of an object; `None`: the SDK must do it.
    ///
    /// # Errors
    /// The store does not answer, or is busy.
    pub(crate) async fn get(
        &self,
        key: &str,
        range: &str,
        etag: Option<&str>,
        place: &Place,
    ) -> Result<Option<Answer>, Failure> {
        let condition = etag.map(|etag| ("if-match", etag));
        let headers = [("range", range)].into_iter().chain(condition);
        let answer = self.send("GET", key, headers, place).await?;
        // Its words for anything else are in a body.
        let bytes = answer.filter(|answer| matches!(answer.status().as_u16(), 200 | 206));
        Ok(bytes.map(|answer| {
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

    /// Asks for an object's attributes; `None`: the SDK must do it. The answer may be a refusal.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn head(&self, key: &str, place: &Place) -> Result<Option<Head>, Failure> {
        let mode = [("x-amz-checksum-mode", "ENABLED")];
        self.send("HEAD", key, mode.into_iter(), place).await
    }

    async fn send<'h>(
        &'h self,
        method: &str,
        key: &str,
        headers: impl Iterator<Item = (&'h str, &'h str)>,
        place: &Place,
    ) -> Result<Option<Head>, Failure> {
        let Some(way) = self.way.get().filter(|_| is_plain(key)) else {
            return Ok(None);
        };
        let Ok(credentials) = self.credentials.current().await else {
            return Ok(None);
        };
        let uri = format!("{}{key}", way.base);
        let more = self.headers.iter();
        let headers: Vec<_> = more
            .map(|(name, value)| (*name, value.as_str()))
            .chain(headers)
            .collect();
        let identity = Identity::from(credentials);
        let Some(request) = signed(method, &uri, &headers, &identity, &way.region) else {
            return Ok(None);
        };
        let answer = match timeout(self.patience, self.connector.call(request)).await {
            Err(_) => return Err(Failure::passing("no answer in time", place)),
            Ok(Err(error)) if error.is_timeout() => {
                return Err(Failure::passing("no answer in time", place));
            }
            Ok(Err(error)) => return Err(failure::of_transport(&error, place)),
            Ok(Ok(answer)) => answer,
        };
        match answer.status().as_u16() {
            status @ (429 | 503) => Err(failure::of_status(status, place, failure::GET)),
            _ => Ok(Some(answer)),
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
    fn last(&self) -> std::sync::MutexGuard<'_, Option<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches the SDK's requests.
#[derive(Debug)]
pub(crate) struct Watching(pub(crate) Arc<Lessons>);

impl Intercept for Watching {
    fn name(&self) -> &'static str {
        "Watching"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map_or("", Metadata::name);
        if LEARNED.contains(&operation) {
            let request = context.request();
            let authorization = request.headers().get("authorization");
            let region = authorization.and_then(region_of);
            *self.0.last() = region.map(|region| Seen {
                uri: request.uri().to_owned(),
                region: region.to_owned(),
            });
        }
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

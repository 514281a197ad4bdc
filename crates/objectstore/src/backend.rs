// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Creates the clouds' clients from the volume's options: all that differs between the clouds.
//!
//! | option | azureblob | googlecloud |
//! |---|---|---|
//! | `s3plugin-bucketid` | container, or container/prefix | bucket, or bucket/prefix |
//! | `s3plugin-hostname` | empty, or another endpoint (a URL, for an emulator with the account) | the same |
//! | `s3plugin-keyid` | the storage account | not used |
//! | `s3plugin-seckey` | the account's key; empty: workload or managed identity | not used |
//! | `cloudsync-store-id` | `timeout=`, `retries=` | the same, and `credentials=/file.json` or `credentials=none` (reads only) |

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use cloudsync_store::network::memory::Memory;
use cloudsync_store::network::upload::COMPLETING;
use cloudsync_store::{Options, StoreError, option};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::list::PaginatedListStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::conditional::Conditional;
use crate::failure::chain;

const HOST: &str = option::text(option::HOSTNAME);
const BUCKET: &str = option::text(option::BUCKET_ID);
const ACCOUNT: &str = option::text(option::KEY_ID);
const KEY: &str = option::text(option::SECRET_KEY);
const LIST: &str = option::text(option::STORE_ID);

/// A cloud: a kind of back-end.
pub trait Backend: Send + Sync + 'static {
    /// Creates a client from the volume's options. Makes no request.
    ///
    /// # Errors
    /// [`StoreError::Settings`].
    fn connect(options: &Options) -> Result<Connection, StoreError>;
}

/// The traits of the crate that a client must implement.
pub(crate) trait Client: ObjectStore + PaginatedListStore {}
impl<C: ObjectStore + PaginatedListStore> Client for C {}

/// A client and its configuration.
#[derive(Debug)]
pub struct Connection {
    pub(crate) client: Arc<dyn Client>,
    /// The same client with retries of its own, for the parts of an upload, which need no cancellation.
    pub(crate) uploads: Arc<dyn Client>,
    /// Memory budget of the uploads.
    pub(crate) memory: Memory,
    /// Prefix of all keys: empty, or ends in `/`.
    pub(crate) prefix: String,
    /// Location of the objects, for messages.
    pub(crate) place: String,
    /// `timeout=`: a request without progress for this long is retried. Default 10s.
    pub(crate) timeout: Duration,
    /// Whether keys may have backslashes. Azure treats a backslash as a slash, so such a key would name another key's
    /// object.
    pub(crate) backslash: bool,
    /// `retries=`: retries in a row without progress. Default 8.
    pub(crate) retries: u32,
}

/// Azure Blob Storage.
#[derive(Debug)]
pub struct Azure;

/// Google Cloud Storage.
#[derive(Debug)]
pub struct Google;

impl Backend for Azure {
    fn connect(options: &Options) -> Result<Connection, StoreError> {
        let (timeout, retries) = options.settings(LIST, |list| {
            Ok((
                list.duration("timeout")?,
                list.number("retries", 0, 100, "0 to 100")?,
            ))
        })?;
        let (container, prefix) = bucket(options)?;
        let account = options.secret(ACCOUNT)?;
        let account =
            account.ok_or_else(|| wrong(ACCOUNT, "expected the name of the storage account"))?;
        let key = options.secret(KEY)?;
        let endpoint = endpoint(options)?;
        // Without a key, the environment provides the identity: the workload's or the machine's.
        let builder = match &key {
            Some(key) => MicrosoftAzureBuilder::new().with_access_key(key.expose()),
            None => MicrosoftAzureBuilder::from_env(),
        };
        let mut builder = builder
            .with_account(account.expose())
            .with_container_name(container)
            .with_client_options(client_options(endpoint));
        if let Some(endpoint) = endpoint {
            builder = builder
                .with_endpoint(endpoint.to_owned())
                .with_allow_http(endpoint.starts_with("http://"));
        }
        let retries = retries.and_then(|n| n.try_into().ok()).unwrap_or(8);
        let build = |builder: MicrosoftAzureBuilder| {
            let built = builder.build().map_err(|error| cannot_connect(&error));
            built.map(|client| Arc::new(client) as Arc<dyn Client>)
        };
        let at = endpoint.map_or_else(|| account.expose().to_owned(), str::to_owned);
        Ok(Connection {
            client: build(builder.clone().with_retry(no_retries()))?,
            uploads: build(
                builder
                    .with_client_options(client_options(endpoint).with_timeout(COMPLETING))
                    .with_retry(with_retries(retries)),
            )?,
            memory: Memory::default(),
            backslash: false,
            prefix,
            place: format!("container {container} at {at}"),
            timeout: timeout.unwrap_or(Duration::from_secs(10)),
            retries,
        })
    }
}

impl Backend for Google {
    fn connect(options: &Options) -> Result<Connection, StoreError> {
        let (timeout, retries, credentials) = options.settings(LIST, |list| {
            Ok((
                list.duration("timeout")?,
                list.number("retries", 0, 100, "0 to 100")?,
                list.text("credentials"),
            ))
        })?;
        let (bucket, prefix) = bucket(options)?;
        let endpoint = endpoint(options)?;
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_http_connector(Conditional)
            .with_client_options(client_options(endpoint));
        builder = match credentials.as_deref() {
            None => builder,
            Some("none") => builder.with_skip_signature(true),
            Some(path) if path.starts_with('/') => {
                let text = std::fs::read_to_string(path);
                let why = |error| wrong(LIST, &format!("'credentials={path}': {error}"));
                builder.with_service_account_key(text.map_err(why)?)
            }
            Some(other) => {
                return Err(wrong(
                    LIST,
                    &format!("'credentials={other}': expected the path of a file, or none"),
                ));
            }
        };
        if let Some(endpoint) = endpoint {
            builder = builder.with_base_url(endpoint);
        }
        let retries = retries.and_then(|n| n.try_into().ok()).unwrap_or(8);
        let build = |builder: GoogleCloudStorageBuilder| {
            let built = builder.build().map_err(|error| cannot_connect(&error));
            built.map(|client| Arc::new(client) as Arc<dyn Client>)
        };
        let at = endpoint.unwrap_or("Google");
        Ok(Connection {
            client: build(builder.clone().with_retry(no_retries()))?,
            uploads: build(
                builder
                    .with_client_options(client_options(endpoint).with_timeout(COMPLETING))
                    .with_retry(with_retries(retries)),
            )?,
            memory: Memory::default(),
            backslash: true,
            prefix,
            place: format!("bucket {bucket} at {at}"),
            timeout: timeout.unwrap_or(Duration::from_secs(10)),
            retries,
        })
    }
}

fn wrong(option: &str, why: &str) -> StoreError {
    StoreError::Settings(format!("option {option}: {why}"))
}

fn cannot_connect(error: &object_store::Error) -> StoreError {
    StoreError::Settings(format!("cannot create the client: {}", chain(error)))
}

/// Retries are done by our code: the crate's own would go on for minutes, and not check for cancellation.
fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

/// For parts of an upload: they need no check for cancellation, and their name is unique, so a repeated request is
/// harmless.
fn with_retries(most: u32) -> RetryConfig {
    RetryConfig {
        max_retries: usize::try_from(most).unwrap_or(usize::MAX),
        ..RetryConfig::default()
    }
}

/// No timeout for a whole transfer, because the volume may be slow. Stalls are detected where the bytes are read.
fn client_options(endpoint: Option<&str>) -> ClientOptions {
    let plain = endpoint.is_some_and(|url| url.starts_with("http://"));
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(5))
        .with_allow_http(plain)
}

fn endpoint(options: &Options) -> Result<Option<&str>, StoreError> {
    let Some(text) = options.text(HOST) else {
        return Ok(None);
    };
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(Some(text)),
        _ => Err(wrong(
            HOST,
            &format!("'{text}': expected a URL http(s)://host[:port]"),
        )),
    }
}

fn bucket(options: &Options) -> Result<(&str, String), StoreError> {
    let text = options.text(BUCKET).unwrap_or_default();
    let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
    if bucket.is_empty() {
        return Err(wrong(BUCKET, "expected bucket or bucket/prefix"));
    }
    let prefix = prefix.trim_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    Ok((bucket, format!("{prefix}{slash}")))
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses and checks the volume's options. An error names the option and describes what is expected.
//!
//! `cloudsync-store-id` contains the settings that have no option of their own: see [`Settings`] for keys and defaults.

#![forbid(unsafe_code)]

use std::time::Duration;
use std::{env, fs};

use aws_smithy_http_client::proxy::ProxyConfig;
use cloudsync_format::{option, settings as list};
use cloudsync_store::{Options, Secret, SecretSource, StoreError};

pub use self::account::Account;
use self::account::{of_error, of_list, wrong};
pub use self::checksum::Sent;
pub use self::encryption::Encryption;
use self::host::Host;
pub use self::host::Kind;
use self::restore::Restore;
pub use self::stored::Stored;

mod account;
mod bucket;
mod checksum;
mod encryption;
mod host;
mod name;
mod restore;
mod stored;

/// The settings of a store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `s3plugin-hostname` as a URL; `None`: AWS's own endpoint of the region.
    pub endpoint: Option<String>,
    /// `s3plugin-bucketid` up to the first `/`.
    pub bucket: String,
    /// The rest of `s3plugin-bucketid`, the prefix of every key: empty, or ending with `/`.
    pub prefix: String,
    /// `s3plugin-keyid`, `s3plugin-seckey`, `session-token=`, `profile=`, `credentials-file=`.
    pub account: Account,
    /// `accelerate=`, `dualstack=`, `fips=`, and what the host name says: kinds of Amazon's endpoints.
    pub kind: Kind,
    /// `proxy=`: a URL, `none`, or `None` for the environment's proxy. It may contain a password.
    pub proxy: Option<Secret>,
    /// `region=`: default the one in the host name or the ARN, then `AWS_REGION`, then `us-east-1`.
    pub region: String,
    /// `path-style=on|off`: `https://host/bucket/key` or `https://bucket.host/key`. Default on, off at AWS.
    pub path_style: bool,
    /// `ca=/path`: PEM file of certificate authorities to trust in addition to the system's.
    pub ca: Option<Vec<u8>>,
    /// `checksum=auto|crc64nvme|crc32c|crc32|md5|none`.
    pub checksum: Sent,
    /// `connect-timeout=`, default 5s.
    pub connect_timeout: Duration,
    /// `read-timeout=`: until the first byte of a response. Default 5s.
    pub read_timeout: Duration,
    /// `stall-timeout=`: a connection that delivers no data for this long is closed. Default 10s.
    pub stall_timeout: Duration,
    /// `retries=`: number of consecutive retries without progress before giving up. Default 8.
    pub retries: u32,
    /// `restore=`, `restore-days=`, `restore-wait=`: objects that must be restored before they can be read.
    pub restore: Restore,
    /// What new objects are stored as.
    pub stored: Stored,
    /// `requester-pays=on`: this account pays for requests, and not the bucket's. Default off.
    pub requester_pays: bool,
    /// `conditional-writes=on|off`: whether the store can be asked to put an object only if the key has none. Default on.
    pub conditional_writes: bool,
    /// `versions=keep|delete`: whether objects are deleted with all versions that the bucket keeps. Default keep.
    pub delete_versions: bool,
}

const HOSTNAME: &str = option::text(option::HOSTNAME);
const BUCKET_ID: &str = option::text(option::BUCKET_ID);
const STORE_ID: &str = option::text(option::STORE_ID);

const SECONDS_5: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(86_400);
const SECONDS_10: Duration = Duration::from_secs(10);

impl Settings {
    /// Parses a volume's options.
    ///
    /// # Errors
    /// [`StoreError::Settings`].
    pub fn parse(options: &Options) -> Result<Self, StoreError> {
        let host = Host::parse(options.text(HOSTNAME).unwrap_or_default())
            .map_err(|why| wrong(HOSTNAME, &why))?;
        let (bucket, prefix) = bucket::parse(options.text(BUCKET_ID).unwrap_or_default())
            .map_err(|why| wrong(BUCKET_ID, why))?;
        let mut list = options.list(STORE_ID).map_err(of_error)?;
        let account = Account::take(options, &mut list)?;
        Self::with_list(host, bucket, prefix, account, list).map_err(|why| of_list(&why))
    }

    fn with_list(
        host: Host,
        bucket: String,
        prefix: String,
        account: Account,
        mut list: list::Settings,
    ) -> Result<Self, String> {
        let text_of = |error: list::Error| error.to_string();
        let in_arn = bucket
            .strip_prefix("arn:")
            .and_then(|arn| arn.split(':').nth(2));
        let named = host.region.clone().or_else(|| in_arn.map(str::to_owned));
        let region = list.text("region");
        let endpoint = match (&region, &host.region) {
            // Signed for another region than the name says, whatever it is good for.
            (Some(given), Some(named)) if given != named && host.endpoint.is_none() => {
                Some(host.url.clone())
            }
            _ => host.endpoint.clone(),
        };
        let region = region.or(named).unwrap_or_else(region_of_the_environment);
        let mut kind = host.kind;
        for (key, on) in [
            ("accelerate", &mut kind.accelerate),
            ("dualstack", &mut kind.dualstack),
            ("fips", &mut kind.fips),
        ] {
            *on = list.switch(key).map_err(text_of)?.unwrap_or(*on);
        }
        if kind != Kind::default() && endpoint.is_some() {
            return Err(
                "accelerate, dualstack and fips choose one of Amazon's endpoints: leave s3plugin-hostname empty"
                    .to_owned(),
            );
        }
        let proxy = list.text("proxy").map(|text| proxy(&text)).transpose()?;
        let path_style = list
            .switch("path-style")
            .map_err(text_of)?
            .unwrap_or(!host.aws && in_arn.is_none());
        let ca = list
            .text("ca")
            .map(|path| certificates(&path))
            .transpose()?;
        let checksum = Sent::take(&mut list).map_err(text_of)?;
        let mut duration = |key, default| match list.duration(key).map_err(text_of)? {
            Some(time) if time.is_zero() => Err(format!("{key}: must be more than 0")),
            // The SDK does not support all durations that the syntax allows.
            Some(time) if time > LONGEST => Err(format!("{key}: must be at most 1d")),
            time => Ok(time.unwrap_or(default)),
        };
        let connect_timeout = duration("connect-timeout", SECONDS_5)?;
        let read_timeout = duration("read-timeout", SECONDS_5)?;
        let stall_timeout = duration("stall-timeout", SECONDS_10)?;
        let retries = list
            .number("retries", 0, 100, "a number between 0 and 100")
            .map_err(text_of)?;
        let restore = Restore::take(&mut list).map_err(text_of)?;
        let stored = Stored::take(&mut list, host.sends_in_the_clear())?;
        let requester_pays = list.switch("requester-pays").map_err(text_of)?;
        let conditional_writes = list.switch("conditional-writes").map_err(text_of)?;
        let versions = list.choice("versions", &["keep", "delete"], "keep or delete");
        let versions = versions.map_err(text_of)?;
        list.finish().map_err(text_of)?;
        Ok(Self {
            endpoint,
            bucket,
            prefix,
            account,
            kind,
            proxy,
            region,
            path_style,
            ca,
            checksum,
            connect_timeout,
            read_timeout,
            stall_timeout,
            retries: retries
                .and_then(|number| number.try_into().ok())
                .unwrap_or(8),
            restore,
            stored,
            requester_pays: requester_pays.unwrap_or(false),
            conditional_writes: conditional_writes.unwrap_or(true),
            delete_versions: versions == Some("delete"),
        })
    }

    /// Returns the store's key for the volume's key `key`: with the prefix.
    #[must_use]
    pub fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Whether the store is Amazon S3 itself.
    #[must_use]
    pub fn is_aws(&self) -> bool {
        let endpoint = self.endpoint.as_ref();
        endpoint.is_none_or(|endpoint| endpoint.contains(".amazonaws.com"))
    }

    /// The bucket and its location, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        let region = || format!("AWS region {}", self.region);
        format!(
            "bucket {} at {}",
            self.bucket,
            self.endpoint.clone().unwrap_or_else(region)
        )
    }
}

/// Reads and checks the proxy's URL. The error does not contain it, because of the password.
fn proxy(text: &str) -> Result<Secret, String> {
    let secret = SecretSource::parse(text)
        .read()
        .map_err(|why| format!("proxy: {why}"))?;
    let url = secret.expose();
    if url != "none" {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        if !["http", "https"].contains(&scheme) || ProxyConfig::all(url).is_err() {
            return Err(
                "proxy: expected http://[user:password@]host:port, file:/path or none".to_owned(),
            );
        }
    }
    Ok(secret)
}

fn region_of_the_environment() -> String {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(|name| env::var(name).ok().filter(|region| !region.is_empty()))
        .unwrap_or_else(|| "us-east-1".to_owned())
}

/// Reads and checks the file. The SDK would panic at the first request if it contained no certificates.
fn certificates(path: &str) -> Result<Vec<u8>, String> {
    use rustls::RootCertStore;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let pem = fs::read(path).map_err(|error| format!("ca={path}: {error}"))?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("ca={path}: not PEM: {error}"))?;
        store
            .add(certificate)
            .map_err(|error| format!("ca={path}: {error}"))?;
    }
    if store.is_empty() {
        Err(format!("ca={path}: no certificate in it"))
    } else {
        Ok(pem)
    }
}

#[cfg(test)]
mod tests;

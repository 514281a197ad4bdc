// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses and checks the volume's options. An error names the option and describes what is expected.
//!
//! `cloudsync-store-id` contains the settings that have no option of their own: see [`Settings`] for keys and defaults.

#![forbid(unsafe_code)]

use std::time::Duration;
use std::{env, fs};

use cloudsync_format::{option, settings as list};
use cloudsync_store::{Options, Secret, StoreError};

use self::restore::Restore;

mod restore;

/// The settings of a store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `s3plugin-hostname` as a URL; `None`: AWS's own endpoint of the region.
    pub endpoint: Option<String>,
    /// `s3plugin-bucketid` up to the first `/`.
    pub bucket: String,
    /// The rest of `s3plugin-bucketid`, the prefix of every key: empty, or ending with `/`.
    pub prefix: String,
    /// `s3plugin-keyid` and `s3plugin-seckey`; `None`: the provider chain.
    pub keys: Option<(Secret, Secret)>,
    /// `region=`: default the one in the host name, then `AWS_REGION`, then `us-east-1`.
    pub region: String,
    /// `path-style=on|off`: `https://host/bucket/key` or `https://bucket.host/key`. Default on, off at AWS.
    pub path_style: bool,
    /// `ca=/path`: PEM file of certificate authorities to trust in addition to the system's.
    pub ca: Option<Vec<u8>>,
    /// `checksum=when_required|when_supported`: whether requests have checksums even where they are optional. Default
    /// `when_required`.
    pub checksum_when_supported: bool,
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
}

const HOSTNAME: &str = option::text(option::HOSTNAME);
const BUCKET_ID: &str = option::text(option::BUCKET_ID);
const KEY_ID: &str = option::text(option::KEY_ID);
const SECRET_KEY: &str = option::text(option::SECRET_KEY);
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
        let (bucket, prefix) = bucket(options.text(BUCKET_ID).unwrap_or_default())
            .map_err(|why| wrong(BUCKET_ID, why))?;
        let keys = match (options.secret(KEY_ID)?, options.secret(SECRET_KEY)?) {
            (Some(id), Some(key)) => Some((id, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(wrong(SECRET_KEY, "is not set, but s3plugin-keyid is"));
            }
            (None, Some(_)) => {
                return Err(wrong(KEY_ID, "is not set, but s3plugin-seckey is"));
            }
        };
        let text = options.text(STORE_ID).unwrap_or_default();
        Self::with_list(host, bucket, prefix, keys, text).map_err(|why| wrong(STORE_ID, &why))
    }

    fn with_list(
        host: Host,
        bucket: String,
        prefix: String,
        keys: Option<(Secret, Secret)>,
        text: &str,
    ) -> Result<Self, String> {
        let text_of = |error: list::Error| error.to_string();
        let mut list = list::Settings::parse(text).map_err(text_of)?;
        let region = match (list.text("region"), host.region) {
            (Some(given), Some(named)) if given != named => {
                return Err(format!("region={given}: the host name says {named}"));
            }
            (Some(region), _) | (None, Some(region)) => region,
            (None, None) => region_of_the_environment(),
        };
        let path_style = list
            .switch("path-style")
            .map_err(text_of)?
            .unwrap_or(!host.aws);
        let ca = list
            .text("ca")
            .map(|path| certificates(&path))
            .transpose()?;
        let choices = &["when_required", "when_supported"];
        let checksum = list
            .choice("checksum", choices, "when_required or when_supported")
            .map_err(text_of)?;
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
        list.finish().map_err(text_of)?;
        Ok(Self {
            endpoint: host.endpoint,
            bucket,
            prefix,
            keys,
            region,
            path_style,
            ca,
            checksum_when_supported: checksum == Some("when_supported"),
            connect_timeout,
            read_timeout,
            stall_timeout,
            retries: retries
                .and_then(|number| number.try_into().ok())
                .unwrap_or(8),
            restore,
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

fn wrong(option: &str, why: &str) -> StoreError {
    StoreError::Settings(format!("option {option}: {why}"))
}

/// The parsed `s3plugin-hostname`.
struct Host {
    endpoint: Option<String>,
    region: Option<String>,
    aws: bool,
}

impl Host {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self {
                endpoint: None,
                region: None,
                aws: true,
            });
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (authority, None),
        };
        let name_is_good = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        // Rust accepts numbers with a leading plus, which a URL's port may not have.
        let port_is_good =
            |port: &str| !port.starts_with('+') && port.parse::<u16>().is_ok_and(|port| port > 0);
        let six = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let good = ["http", "https"].contains(&scheme)
            && port.is_none_or(port_is_good)
            && six.map_or(!name.is_empty() && name.chars().all(name_is_good), |six| {
                six.parse::<std::net::Ipv6Addr>().is_ok()
            });
        if !good {
            return Err(format!(
                "'{text}' is neither a host, host:port nor a URL http(s)://host:port without a path"
            ));
        }
        let name = name.to_ascii_lowercase();
        let aws = name.ends_with(".amazonaws.com") || name.ends_with(".amazonaws.com.cn");
        match (regional(&name), scheme, port) {
            // Let the SDK choose the endpoint of the region.
            (Some(region), "https", None) => Ok(Self {
                endpoint: None,
                region,
                aws,
            }),
            (region, _, _) => {
                let endpoint = Some(format!("{scheme}://{authority}"));
                Ok(Self {
                    endpoint,
                    region: region.flatten(),
                    aws,
                })
            }
        }
    }
}

/// Returns the region in the name of one of AWS's public S3 endpoints, or `Some(None)` if the name has none. `None`:
/// not such an endpoint.
fn regional(name: &str) -> Option<Option<String>> {
    let name = name
        .strip_suffix(".cn")
        .unwrap_or(name)
        .strip_suffix(".amazonaws.com")?;
    if name == "s3" {
        return Some(None);
    }
    let region = name
        .strip_prefix("s3.")
        .or_else(|| name.strip_prefix("s3-"))?;
    (!region.contains('.')).then(|| Some(region.to_owned()))
}

fn region_of_the_environment() -> String {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(|name| env::var(name).ok().filter(|region| !region.is_empty()))
        .unwrap_or_else(|| "us-east-1".to_owned())
}

fn bucket(text: &str) -> Result<(String, String), &'static str> {
    let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
    if bucket.is_empty() {
        return Err("is not set: expected bucket or bucket/prefix");
    }
    if !bucket
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    {
        return Err("is not a valid bucket name or bucket/prefix");
    }
    let prefix = prefix.trim_matches('/');
    let prefix = if prefix.is_empty() {
        String::new()
    } else {
        format!("{prefix}/")
    };
    Ok((bucket.to_owned(), prefix))
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

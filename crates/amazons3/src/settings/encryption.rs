// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses how the store encrypts objects: `sse=`, `kms-key=`, `sse-c-key-file=`.

#![forbid(unsafe_code)]

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use cloudsync_store::SecretSource;
use cloudsync_store::settings::Settings as List;
use md5::{Digest, Md5};

use super::name::consists_of;

/// How the store encrypts objects.
#[derive(Clone, Debug, Default)]
pub enum Encryption {
    /// As the bucket's own settings say.
    #[default]
    Bucket,
    /// `sse=AES256`: with the store's key.
    Store,
    /// `sse=aws:kms`, `kms-key=`: with a key of a key service; `None`: the bucket's, or the account's.
    Service(Option<String>),
    /// `sse-c-key-file=`: with a key that every request carries, and that the store does not keep.
    Customer(CustomerKey),
}

/// A key of 32 bytes, as requests carry it. No text shows it.
#[derive(Clone)]
pub struct CustomerKey {
    /// In base64.
    key: String,
    /// The MD5 of the key, in base64, by which the store notices that it was damaged on the way.
    sum: String,
}

impl Encryption {
    /// Takes these settings out of the list. `plain`: requests are not encrypted on their way.
    pub(super) fn take(list: &mut List, plain: bool) -> Result<Self, String> {
        let sse = list
            .choice("sse", &["AES256", "aws:kms"], "AES256 or aws:kms")
            .map_err(|error| error.to_string())?;
        let kms = list.text("kms-key");
        let file = list.text("sse-c-key-file");
        match (sse, kms, file) {
            (Some(_), _, Some(_)) => {
                Err("sse= and sse-c-key-file= exclude each other: an object is encrypted once".to_owned())
            }
            (Some("aws:kms"), key, None) => {
                let key = key.map(|key| named(&key)).transpose()?;
                Ok(Self::Service(key))
            }
            (_, Some(_), _) => Err("kms-key= needs sse=aws:kms".to_owned()),
            (Some(_), None, None) => Ok(Self::Store),
            (None, None, Some(_)) if plain => Err(
                "sse-c-key-file: the key would be sent unencrypted: s3plugin-hostname must be https://".to_owned(),
            ),
            (None, None, Some(path)) => CustomerKey::read(&path).map(Self::Customer),
            (None, None, None) => Ok(Self::Bucket),
        }
    }
}

/// Checks the name of a key: an id, an alias or an ARN.
fn named(key: &str) -> Result<String, String> {
    if !consists_of(key, "-_:/.") {
        return Err(format!(
            "'kms-key={key}': expected a key's id, alias or ARN"
        ));
    }
    Ok(key.to_owned())
}

impl CustomerKey {
    fn read(path: &str) -> Result<Self, String> {
        let source = SecretSource::parse(&format!("file:{path}"));
        let text = source
            .read()
            .map_err(|why| format!("sse-c-key-file: {why}"))?;
        let bytes = STANDARD
            .decode(text.expose())
            .ok()
            .filter(|bytes| bytes.len() == 32);
        let bytes = bytes.ok_or_else(|| {
            format!("sse-c-key-file={path}: its first line is not 32 bytes in base64 (openssl rand -base64 32)")
        })?;
        Ok(Self {
            key: STANDARD.encode(&bytes),
            sum: STANDARD.encode(Md5::digest(&bytes)),
        })
    }

    /// The headers of a request with this key.
    pub(crate) fn headers(&self) -> [(&'static str, String); 3] {
        const NAME: &str = "x-amz-server-side-encryption-customer-algorithm";
        [
            (NAME, "AES256".to_owned()),
            (
                "x-amz-server-side-encryption-customer-key",
                self.key.clone(),
            ),
            (
                "x-amz-server-side-encryption-customer-key-md5",
                self.sum.clone(),
            ),
        ]
    }
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests;

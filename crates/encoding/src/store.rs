// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store itself: [`Encoded`], and its two traits.

use std::ops::{ControlFlow, Range};
use std::time::Duration;

use cloudsync_format::encoding::{ENCODING, Encoding, Plain, Version};
use cloudsync_store::restores::Restores;
use cloudsync_store::{
    Archive, Listed, Metadata, Object, Options, Sink, Store, StoreError, Upload,
};

use crate::encode::{encode, is_worth_compressing};
use crate::index::Indexes;
use crate::keys::{self, Identities, KeyFile, Recipients};
use crate::prove::prove;
use crate::settings::Settings;

/// A store whose objects may be compressed and encrypted. `S`: the store that keeps them.
#[derive(Debug)]
pub struct Encoded<S> {
    pub(crate) inner: S,
    compress: Option<i32>,
    recipients: KeyFile<Recipients>,
    pub(crate) identities: KeyFile<Identities>,
    pub(crate) indexes: Indexes,
}

impl<S: Archive> Store for Encoded<S> {
    fn open(options: &Options) -> Result<Self, StoreError> {
        let (settings, rest) = Settings::take(options)?;
        Ok(Self {
            inner: S::open(&rest)?,
            compress: settings.compress,
            recipients: keys::recipients(settings.encrypt),
            identities: keys::identities(settings.identity),
            indexes: Indexes::default(),
        })
    }

    fn head(&self, key: &str) -> Result<Object, StoreError> {
        Ok(self.describe(key)?.0)
    }

    fn fetch(
        &self,
        key: &str,
        object: &Object,
        range: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        let found;
        let etag = match &object.etag {
            Some(etag) => Some(etag),
            // Only the object itself can tell how it is encoded.
            None => {
                found = self.head(key)?;
                found.etag.as_ref()
            }
        };
        match etag.and_then(|etag| Version::parse(etag)) {
            None => self.inner.fetch(key, object, range, sink),
            Some(version) => self.decode(key, object.size, &version, &range, sink),
        }
    }
}

/// The object as it is shown to those above: as if it were the file's bytes.
fn plain(object: Object, plain: &Plain) -> Object {
    let version = Version {
        encoding: plain.encoding,
        stored: object.size,
        etag: object.etag.as_deref().unwrap_or_default(),
    };
    Object {
        size: plain.size,
        etag: Some(version.to_string()),
        checksum: Some(plain.checksum),
    }
}

impl<S: Archive> Archive for Encoded<S> {
    fn put(&self, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError> {
        let level = match self.compress {
            Some(level) if is_worth_compressing(upload, level)? => Some(level),
            _ => None,
        };
        let recipients = match self.recipients.is_set() {
            true => Some(self.recipients.get()?),
            false => None,
        };
        let encoding = Encoding {
            zstd: level.is_some(),
            age: recipients.is_some(),
        };
        if encoding.is_none() {
            return self.inner.put(key, upload);
        }
        let made_of = Plain {
            encoding,
            size: upload.size,
            checksum: upload.checksum,
        };
        let encoded = encode(upload, level, recipients.as_deref())?;
        let identities = match encoding.age && self.identities.is_there() {
            true => Some(self.identities.get()?),
            false => None,
        };
        prove(&encoded, &made_of, identities.as_deref())?;
        let mut metadata = upload.metadata.clone();
        metadata.insert(ENCODING.to_owned(), made_of.to_string());
        let upload = Upload {
            size: encoded.bytes,
            checksum: encoded.checksum,
            metadata: &metadata,
            source: &encoded,
            rate: upload.rate,
        };
        Ok(plain(self.inner.put(key, &upload)?, &made_of))
    }

    fn describe(&self, key: &str) -> Result<(Object, Metadata), StoreError> {
        let (object, mut metadata) = self.inner.describe(key)?;
        let Some(text) = metadata.remove(ENCODING) else {
            return Ok((object, metadata));
        };
        let made_of = Plain::parse(&text).ok_or_else(|| {
            StoreError::Other(format!(
                "this version of cloudsync cannot read how it is encoded: {ENCODING}: {text}"
            ))
        })?;
        Ok((plain(object, &made_of), metadata))
    }

    fn class(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.inner.class(key)
    }

    fn restores(&self) -> Option<&dyn Restores> {
        self.inner.restores()
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.inner.list(prefix, each)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key)
    }

    fn delete_all(&self, keys: &[&str]) -> Vec<(String, StoreError)> {
        self.inner.delete_all(keys)
    }

    fn hidden(&self) -> u64 {
        self.inner.hidden()
    }

    fn unfinished(
        &self,
        prefix: &str,
        age: Duration,
        remove: bool,
    ) -> Result<Vec<String>, StoreError> {
        self.inner.unfinished(prefix, age, remove)
    }
}

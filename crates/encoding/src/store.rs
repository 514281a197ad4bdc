// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store itself: [`Encoded`], and its two traits.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use cloudsync_format::encoding::{ENCODING, Encoded as Made, Encoding, Version};
use cloudsync_store::restores::Restores;
use cloudsync_store::{
    Archive, Checksum, Listed, Metadata, Object, Options, Sink, Store, StoreError, Upload,
};

use crate::encode::{encode, is_worth_compressing};
use crate::index::Indexes;
use crate::keys::{self, Identities, KeyFile, Recipients};
use crate::prove::prove;
use crate::read::Reader;
use crate::settings::Settings;

/// A store whose objects may be compressed and encrypted. `S`: the store that keeps them.
#[derive(Debug)]
pub struct Encoded<S> {
    inner: S,
    compress: Option<i32>,
    recipients: KeyFile<Recipients>,
    identities: KeyFile<Identities>,
    indexes: Indexes,
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
                if found.size != object.size {
                    let (theirs, ours) = (found.size, object.size);
                    let why = format!("it has {theirs} bytes, but the file has {ours}");
                    return Err(StoreError::Corrupt(why));
                }
                found.etag.as_ref()
            }
        };
        match etag.and_then(|etag| Version::parse(etag)) {
            None => self.inner.fetch(key, object, range, sink),
            Some(version) => self.decode(key, object.size, &version, &range, sink),
        }
    }
}

impl<S: Archive> Encoded<S> {
    /// Passes on a range of the file, which has `size` bytes.
    fn decode(
        &self,
        key: &str,
        size: u64,
        version: &Version<'_>,
        range: &Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        let encoding = version.encoding;
        let identities = encoding.age.then(|| self.identities.get()).transpose()?;
        let object = Object {
            size: version.stored,
            etag: Some(version.etag.to_owned()).filter(|etag| !etag.is_empty()),
            checksum: None,
        };
        let fetch = |range, sink: &mut dyn Sink| self.inner.fetch(key, &object, range, sink);
        let reader = Reader {
            encoding,
            stored: version.stored,
            size,
            identities: identities.as_deref(),
            fetch: &fetch,
        };
        if reader.without_index(range) {
            return reader.whole(range, sink);
        }
        let of = (key.to_owned(), version.to_string());
        let index = self.indexes.get(of, || reader.index(sink))?;
        reader.range(&index, range, sink)
    }

    /// For whom objects are encrypted; `None` if they are not.
    fn recipients(&self) -> Result<Option<Arc<Recipients>>, StoreError> {
        let set = self.recipients.is_set();
        set.then(|| self.recipients.get()).transpose()
    }
}

/// The object as it is shown to those above: as if it were the file's bytes.
fn plain(object: &Object, made_of: &Made) -> Object {
    let version = Version {
        encoding: made_of.encoding,
        stored: object.size,
        etag: object.etag.as_deref().unwrap_or_default(),
    };
    Object {
        size: made_of.size,
        etag: Some(version.to_string()),
        checksum: Some(made_of.checksum),
    }
}

/// Takes out of an object's metadata what it was made of; `None` if it is the file's bytes.
fn made_of(metadata: &mut Metadata) -> Result<Option<Made>, StoreError> {
    let Some(text) = metadata.remove(ENCODING) else {
        return Ok(None);
    };
    match Made::parse(&text) {
        Some(made_of) => Ok(Some(made_of)),
        None => Err(StoreError::Other(format!(
            "this version of cloudsync cannot read how it is encoded: {ENCODING}: {text}"
        ))),
    }
}

/// Whether the object is the one that its metadata is about, as far as the store tells without sending it.
fn check(object: &Object, made_of: &Made) -> Result<(), StoreError> {
    let same = |sum: Checksum| {
        sum.algorithm() != made_of.stored_checksum.algorithm() || sum == made_of.stored_checksum
    };
    if object.size == made_of.stored && object.checksum.is_none_or(same) {
        return Ok(());
    }
    let sum = object
        .checksum
        .map_or_else(|| "none".to_owned(), |sum| sum.to_string());
    Err(StoreError::Corrupt(format!(
        "it was stored with {} bytes and checksum {}, and has {} bytes and checksum {sum}",
        made_of.stored, made_of.stored_checksum, object.size
    )))
}

impl<S: Archive> Archive for Encoded<S> {
    fn put(&self, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError> {
        let level = match self.compress {
            Some(level) if is_worth_compressing(upload, level)? => Some(level),
            _ => None,
        };
        let recipients = self.recipients()?;
        let encoding = Encoding {
            zstd: level.is_some(),
            age: recipients.is_some(),
        };
        if encoding.is_none() {
            return self.inner.put(key, upload);
        }
        let encoded = encode(upload, level, recipients.as_deref())?;
        if !encoding.age || self.identities.is_there() {
            let identities = encoding.age.then(|| self.identities.get()).transpose()?;
            let identities = identities.as_deref();
            prove(&encoded, encoding, upload.size, upload.checksum, identities)?;
        }
        let made_of = Made {
            encoding,
            size: upload.size,
            checksum: upload.checksum,
            stored: encoded.bytes,
            stored_checksum: encoded.checksum,
            recipients: recipients.as_deref().map(keys::sum),
        };
        let mut metadata = upload.metadata.clone();
        metadata.insert(ENCODING.to_owned(), made_of.to_string());
        let upload = Upload {
            size: encoded.bytes,
            checksum: encoded.checksum,
            metadata: &metadata,
            source: &encoded,
            rate: upload.rate,
            // Encrypted again, they are other bytes.
            resumable: upload.resumable && !encoding.age,
        };
        let object = self.inner.put(key, &upload)?;
        check(&object, &made_of)?;
        Ok(plain(&object, &made_of))
    }

    fn describe(&self, key: &str) -> Result<(Object, Metadata), StoreError> {
        let (object, mut metadata) = self.inner.describe(key)?;
        let Some(made_of) = made_of(&mut metadata)? else {
            return Ok((object, metadata));
        };
        check(&object, &made_of)?;
        Ok((plain(&object, &made_of), metadata))
    }

    fn is_current(&self, key: &str) -> Result<bool, StoreError> {
        let Some(recipients) = self.recipients()? else {
            return Ok(true);
        };
        let (_, mut metadata) = self.inner.describe(key)?;
        let made_of = made_of(&mut metadata)?;
        let for_whom = made_of.and_then(|made_of| made_of.recipients);
        Ok(for_whom == Some(keys::sum(&recipients)))
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

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Decides whether an object holds the file that was archived.
//!
//! | etag | the object holds the file if |
//! |---|---|
//! | as recorded when archived | its size is the file's, and no checksum differs |
//! | differs | its size and full checksum are those of the file's record; without a record, size, mtime, gfid and volume in its metadata are the file's, and it has a checksum |
//!
//! A deep check reads the bytes and compares them with every known checksum. The record is an attribute of the file, so
//! its checksum survives a copy of the object that loses the metadata.

use cloudsync_format::claim::Time;
use cloudsync_format::object::Notes;
use cloudsync_store::checksum::Computing;
use cloudsync_store::{Archive, Checksum, Object, Rate, Sink, StoreError};

use crate::crawl::Marks;
use crate::interrupt::interrupted;

/// A check that reads the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deep<'a> {
    /// Limits the bytes fetched per second.
    pub(super) rate: Option<&'a Rate>,
}

/// A cold file's attributes.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) size: u64,
    pub(super) gfid: &'a str,
    pub(super) volume: &'a str,
    pub(super) marks: &'a Marks,
}

/// An object that holds the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Good {
    /// Whether a checksum is known, from the object or from the record.
    pub(super) with_checksum: bool,
    /// The object's etag, if it is not the recorded one.
    pub(super) other_version: Option<String>,
}

/// An object that does not hold the file, or could not be checked.
#[derive(Debug)]
pub(super) enum Bad {
    Wrong(String),
    Store(StoreError),
    NotChecked(String),
}

impl From<StoreError> for Bad {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

const SUGGESTION: &str = "if this is the right object (a copy, another provider), verify --deep compares its bytes \
    with the file's record, and --adopt accepts it; otherwise restore the object from a backup of the bucket";

/// Checks a file's object; a deep check fetches its bytes, at most at `rate`. `mtime` is called only if it is needed.
pub(super) fn check(
    store: &dyn Archive,
    file: &File<'_>,
    deep: Option<Deep<'_>>,
    mtime: &dyn Fn() -> Result<Time, String>,
) -> Result<Good, Bad> {
    let wrong = |why: String| Err(Bad::Wrong(why));
    let (object, metadata) = store.describe(&file.marks.key)?;
    if object.size != file.size {
        let (theirs, ours) = (object.size, file.size);
        return wrong(format!(
            "the object has {theirs} bytes, but the file has {ours}"
        ));
    }
    let record = file.marks.record.as_ref();
    // A record of another file came with copied marks; one of another key is of an earlier archive. Neither counts.
    let record = record.filter(|record| {
        let is_its = record.gfid == file.gfid && record.size == file.size;
        let key = &file.marks.key;
        // Scripts use the path as the key, with or without a leading slash.
        is_its && (record.is_of(key.as_bytes()) || record.is_of(format!("/{key}").as_bytes()))
    });
    let recorded = record.and_then(|record| record.checksum);
    let notes = Notes::of_metadata(&metadata);
    if notes.as_ref().is_some_and(|notes| notes.size != file.size) {
        return wrong("the object's metadata is of another file".to_owned());
    }
    let same = match (recorded, object.checksum) {
        (Some(ours), Some(theirs)) if ours.algorithm() == theirs.algorithm() => {
            if ours != theirs {
                return wrong(format!(
                    "the object's checksum is {theirs}, but the file was archived with {ours}"
                ));
            }
            true
        }
        _ => false,
    };
    if let Some(deep) = deep {
        let expected = [object.checksum, recorded.filter(|_| !same)];
        fetch(
            store,
            &file.marks.key,
            &object,
            expected.iter().flatten(),
            deep,
        )?;
    }
    let version = &file.marks.version;
    let other = object
        .etag
        .as_ref()
        .filter(|etag| !version.is_empty() && *etag != version);
    if let Some(etag) = other {
        let proven = match recorded {
            Some(_) => same || deep.is_some(),
            None => object.checksum.is_some() && is_its(file, notes.as_ref(), &mtime)?,
        };
        if !proven {
            return wrong(format!(
                "the object is version {etag}, but the file was archived as {version}, and nothing proves that the \
                 bytes are the same; {SUGGESTION}"
            ));
        }
    }
    Ok(Good {
        with_checksum: object.checksum.is_some() || recorded.is_some(),
        other_version: other.cloned(),
    })
}

/// Whether the object's metadata describes this file in its current state.
fn is_its(
    file: &File<'_>,
    notes: Option<&Notes>,
    mtime: &dyn Fn() -> Result<Time, String>,
) -> Result<bool, Bad> {
    let Some(notes) = notes else {
        return Ok(false);
    };
    Ok(notes.gfid == file.gfid
        && notes.volume == file.volume
        && notes.size == file.size
        && notes.mtime == mtime().map_err(Bad::NotChecked)?)
}

/// Computes checksums of all bytes, without keeping them.
struct Summing<'a> {
    sums: Vec<(Checksum, Computing)>,
    rate: Option<&'a Rate>,
}

impl Sink for Summing<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(rate) = self.rate {
            #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact")]
            rate.wait(bytes.len() as f64);
        }
        for (_, computing) in &mut self.sums {
            computing.update(bytes);
        }
        Ok(())
    }

    fn cancelled(&self) -> bool {
        interrupted()
    }
}

/// Reads the whole object, and compares its bytes with the expected checksums.
fn fetch<'a>(
    store: &dyn Archive,
    key: &str,
    object: &Object,
    expected: impl Iterator<Item = &'a Checksum>,
    deep: Deep<'_>,
) -> Result<(), StoreError> {
    let sums = expected.map(|sum| (*sum, sum.algorithm().compute()));
    let mut sink = Summing {
        sums: sums.collect(),
        rate: deep.rate,
    };
    if object.size > 0 {
        store.fetch(key, object, 0..object.size, &mut sink)?;
    }
    for (expected, computing) in sink.sums {
        let found = computing.finish();
        if found != expected {
            return Err(StoreError::Corrupt(format!(
                "its bytes have the checksum {found}, not {expected}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cloudsync_format::holes::Holes;
    use std::ops::{ControlFlow, Range};
    use std::time::Duration;

    use cloudsync_format::record::Record;
    use cloudsync_store::checksum::Algorithm;
    use cloudsync_store::{Listed, Metadata, Options, Store, Upload};

    use super::*;

    const GFID: &str = "16b9ff79-211f-4fa1-b140-c7fadb218766";
    const VOLUME: &str = "8a45823a-57e8-4fe2-a80c-c265638ce08f";
    const BYTES: &[u8] = b"bytes";
    const THEN: Time = Time {
        seconds: 7,
        nanos: 8,
    };

    /// One object.
    struct Fake {
        object: Object,
        metadata: Metadata,
        bytes: &'static [u8],
    }

    impl Store for Fake {
        fn open(_: &Options) -> Result<Self, StoreError> {
            Err(StoreError::Cancelled)
        }
        fn head(&self, _: &str) -> Result<Object, StoreError> {
            Ok(self.object.clone())
        }
        fn fetch(
            &self,
            _: &str,
            _: &Object,
            _: Range<u64>,
            sink: &mut dyn Sink,
        ) -> Result<(), StoreError> {
            sink.write(self.bytes)
        }
    }

    impl Archive for Fake {
        fn put(&self, _: &str, _: &Upload<'_>) -> Result<Object, StoreError> {
            Err(StoreError::Cancelled)
        }
        fn describe(&self, _: &str) -> Result<(Object, Metadata), StoreError> {
            Ok((self.object.clone(), self.metadata.clone()))
        }
        fn list(
            &self,
            _: &str,
            _: &mut dyn FnMut(Listed) -> ControlFlow<()>,
        ) -> Result<(), StoreError> {
            Ok(())
        }
        fn delete(&self, _: &str) -> Result<(), StoreError> {
            Err(StoreError::Cancelled)
        }
        fn unfinished(&self, _: &str, _: Duration, _: bool) -> Result<Vec<String>, StoreError> {
            Ok(Vec::new())
        }
    }

    /// An object with another etag than recorded.
    fn moved(checksum: Option<Checksum>, notes: bool) -> Fake {
        let noted = Notes {
            path: None,
            size: 5,
            mtime: THEN,
            mode: 0,
            uid: 0,
            gid: 0,
            gfid: GFID.to_owned(),
            volume: VOLUME.to_owned(),
            holes: Holes::default(),
        };
        Fake {
            object: Object {
                size: 5,
                etag: Some("\"new\"".to_owned()),
                checksum,
            },
            metadata: if notes {
                noted.to_metadata()
            } else {
                Metadata::new()
            },
            bytes: BYTES,
        }
    }

    /// `Ok` if the object is good, else the text of the refusal.
    fn verdict(store: &Fake, record: Option<Record>, deep: bool) -> Result<(), String> {
        let marks = Marks {
            key: "key".to_owned(),
            version: "\"old\"".to_owned(),
            record,
        };
        let file = File {
            size: 5,
            gfid: GFID,
            volume: VOLUME,
            marks: &marks,
        };
        let deep = deep.then_some(Deep { rate: None });
        match check(store, &file, deep, &|| Ok(THEN)) {
            Ok(good) => {
                assert_eq!(good.other_version.as_deref(), Some("\"new\""));
                Ok(())
            }
            Err(Bad::Wrong(why) | Bad::NotChecked(why)) => Err(why),
            Err(Bad::Store(error)) => Err(error.to_string()),
        }
    }

    fn record(checksum: Option<Checksum>) -> Option<Record> {
        Some(Record {
            gfid: GFID.to_owned(),
            size: 5,
            mtime: THEN,
            checksum,
            holes: Holes::default(),
            store: None,
            key: Record::sum_of(b"key"),
        })
    }

    #[test]
    fn another_version_is_good_if_the_record_s_checksum_proves_it() {
        let (crc64, crc32) = (Algorithm::Crc64Nvme.of(BYTES), Algorithm::Crc32c.of(BYTES));
        let ours = || record(Some(crc64));
        assert_eq!(verdict(&moved(Some(crc64), false), ours(), false), Ok(()));
        // Another algorithm proves nothing until the bytes are read.
        for theirs in [Some(crc32), None] {
            let store = moved(theirs, true);
            let why = verdict(&store, ours(), false).unwrap_err();
            assert!(
                why.contains("nothing proves") && why.contains("--deep"),
                "{why}"
            );
            assert_eq!(verdict(&store, ours(), true), Ok(()));
        }
        let other = Algorithm::Crc64Nvme.of(b"other");
        let why = verdict(&moved(Some(other), true), ours(), false).unwrap_err();
        assert!(why.contains("the object's checksum is"), "{why}");
        let mut rotten = moved(None, true);
        rotten.bytes = b"other";
        let why = verdict(&rotten, ours(), true).unwrap_err();
        assert!(why.contains("its bytes have the checksum"), "{why}");
    }

    #[test]
    fn without_a_record_the_notes_beside_the_object_and_a_checksum_prove_it() {
        let sum = Some(Algorithm::Crc64Nvme.of(BYTES));
        assert_eq!(verdict(&moved(sum, true), None, false), Ok(()));
        assert_eq!(verdict(&moved(sum, true), record(None), false), Ok(()));
        for store in [moved(sum, false), moved(None, true)] {
            assert!(verdict(&store, None, false).is_err());
            assert!(verdict(&store, None, true).is_err());
        }
    }

    #[test]
    fn another_file_s_record_proves_nothing() {
        let sum = Some(Algorithm::Crc64Nvme.of(BYTES));
        let mut copied = record(sum).unwrap();
        copied.gfid = VOLUME.to_owned();
        assert!(verdict(&moved(sum, false), Some(copied), true).is_err());
        let mut earlier = record(sum).unwrap();
        earlier.key = Record::sum_of(b"another key");
        assert!(verdict(&moved(sum, false), Some(earlier), true).is_err());
    }
}

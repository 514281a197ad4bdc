// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests recalls between a store and a volume, both implemented by the tests.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::writer::{Buffer, WRITE_SIZE};
use crate::{Object, Options, Sink};

/// A store with one object, which it sends in chunks of an odd size.
struct OneObject {
    object: Object,
    bytes: Vec<u8>,
    fails_with: Option<StoreError>,
}

impl OneObject {
    fn new(bytes: Vec<u8>) -> Self {
        let object = Object {
            size: bytes.len() as u64,
            ..Object::default()
        };
        Self {
            object,
            bytes,
            fails_with: None,
        }
    }
}

impl Store for OneObject {
    fn open(_: &Options) -> Result<Self, StoreError> {
        Ok(Self::new(Vec::new()))
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
        for chunk in self.bytes.chunks(70_001) {
            sink.write(chunk)?;
        }
        self.fails_with.clone().map_or(Ok(()), Err)
    }
}

impl Buffer for Vec<u8> {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// A volume in memory that answers each write from another thread, not necessarily in order.
#[derive(Default)]
struct Memory {
    file: Arc<Mutex<Vec<u8>>>,
    sizes: RefCell<Vec<usize>>,
    fail_write: Option<(usize, i32)>,
    refuse_write: Option<usize>,
    cancel_after: Option<usize>,
    writes: Cell<usize>,
}

impl Volume for Memory {
    type Buffer = Vec<u8>;

    fn buffer(&self, size: usize) -> Result<Vec<u8>, i32> {
        Ok(vec![0; size])
    }

    fn write(
        &self,
        buffer: Vec<u8>,
        size: usize,
        offset: u64,
        acks: &Arc<Acks>,
    ) -> Result<(), i32> {
        let number = self.writes.replace(self.writes.get() + 1);
        self.sizes.borrow_mut().push(size);
        if self.refuse_write == Some(number) {
            return Err(libc::ENOMEM);
        }
        let result = match self.fail_write {
            Some((failing, errno)) if failing == number => Err(errno),
            _ => Ok(()),
        };
        let (file, acks) = (Arc::clone(&self.file), Arc::clone(acks));
        thread::spawn(move || {
            let mut file = file.lock().unwrap();
            let start = usize::try_from(offset).unwrap();
            if file.len() < start + size {
                file.resize(start + size, 0);
            }
            file[start..start + size].copy_from_slice(&buffer[..size]);
            drop(file);
            acks.end(result);
        });
        Ok(())
    }

    fn cancelled(&self) -> bool {
        self.cancel_after
            .is_some_and(|writes| self.writes.get() >= writes)
    }
}

fn noise(size: usize) -> Vec<u8> {
    (0..size as u64)
        .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

fn of_size(size: usize) -> Wanted<'static> {
    Wanted {
        key: "key",
        size: size as u64,
        version: None,
    }
}

fn with_checksum(bytes: Vec<u8>, checksum: &str) -> OneObject {
    let mut store = OneObject::new(bytes);
    store.object.checksum = Some(Checksum::parse(checksum).unwrap());
    store
}

#[test]
fn every_byte_arrives_in_writes_of_full_size() {
    for size in [
        0,
        1,
        WRITE_SIZE - 1,
        WRITE_SIZE,
        WRITE_SIZE + 1,
        3 * WRITE_SIZE + 17,
    ] {
        let (store, volume) = (OneObject::new(noise(size)), Memory::default());
        recall(&store, &volume, of_size(size)).unwrap();
        assert!(*volume.file.lock().unwrap() == store.bytes);
        let sizes = volume.sizes.into_inner();
        let full = sizes.iter().filter(|size| **size == WRITE_SIZE).count();
        assert_eq!(
            (full, sizes.len()),
            (size / WRITE_SIZE, size.div_ceil(WRITE_SIZE))
        );
    }
}

#[test]
fn more_writes_than_the_concurrency_limit_all_arrive() {
    let size = 40 * WRITE_SIZE;
    let (store, volume) = (OneObject::new(noise(size)), Memory::default());
    recall(&store, &volume, of_size(size)).unwrap();
    assert!(*volume.file.lock().unwrap() == store.bytes);
}

#[test]
fn object_of_a_different_size_is_refused() {
    let (store, volume) = (OneObject::new(noise(10)), Memory::default());
    let error = recall(&store, &volume, of_size(11)).unwrap_err();
    assert_eq!(
        error,
        StoreError::Corrupt("it has 10 bytes, but the file has 11".to_owned())
    );
    assert_eq!(volume.writes.get(), 0);
}

#[test]
fn different_version_is_refused() {
    let mut store = OneObject::new(noise(10));
    let one = Wanted {
        version: Some("\"one\""),
        ..of_size(10)
    };
    assert_eq!(
        recall(&store, &Memory::default(), one),
        Ok(()),
        "a store without versions"
    );
    store.object.etag = Some("\"one\"".to_owned());
    assert_eq!(recall(&store, &Memory::default(), one), Ok(()));
    store.object.etag = Some("\"two\"".to_owned());
    let error = recall(&store, &Memory::default(), one).unwrap_err();
    assert!(matches!(error, StoreError::Changed(_)), "{error}");
}

#[test]
fn too_few_or_too_many_bytes_are_refused() {
    for sent in [99, 101, 0] {
        let mut store = OneObject::new(noise(sent));
        store.object.size = 100;
        let error = recall(&store, &Memory::default(), of_size(100)).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    }
}

#[test]
fn checksum_mismatch_is_refused() {
    let bytes = || b"123456789".to_vec();
    let good = with_checksum(bytes(), "crc32c:4waSgw==");
    assert_eq!(recall(&good, &Memory::default(), of_size(9)), Ok(()));
    let bad = with_checksum(bytes(), "crc32c:4waSgg==");
    let error = recall(&bad, &Memory::default(), of_size(9)).unwrap_err();
    assert_eq!(
        error,
        StoreError::Corrupt("checksum crc32c:4waSgw==, expected crc32c:4waSgg==".to_owned())
    );
    let empty = with_checksum(Vec::new(), "crc32:AAAAAQ==");
    assert!(recall(&empty, &Memory::default(), of_size(0)).is_err());
}

#[test]
fn first_write_error_is_returned_after_the_last_write() {
    let size = 8 * WRITE_SIZE;
    let mut store = OneObject::new(noise(size));
    store.fails_with = Some(StoreError::Other("something else".to_owned()));
    let volume = Memory {
        fail_write: Some((2, libc::ENOSPC)),
        ..Memory::default()
    };
    assert_eq!(
        recall(&store, &volume, of_size(size)),
        Err(StoreError::Sink(libc::ENOSPC))
    );
    let volume = Memory {
        refuse_write: Some(3),
        ..Memory::default()
    };
    assert_eq!(
        recall(&store, &volume, of_size(size)),
        Err(StoreError::Sink(libc::ENOMEM))
    );
    assert_eq!(volume.writes.get(), 4);
}

#[test]
fn cancelled_recall_stops() {
    let size = 8 * WRITE_SIZE;
    let store = OneObject::new(noise(size));
    for after in [0, 2] {
        let volume = Memory {
            cancel_after: Some(after),
            ..Memory::default()
        };
        assert_eq!(
            recall(&store, &volume, of_size(size)),
            Err(StoreError::Cancelled)
        );
        assert_eq!(volume.writes.get(), after);
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A file's way to each server and back, by the requests of the archiver and of a recall: upload in parts, description,
//! ranges of parts at once, and the checksum of the whole.

use std::ops::Range;
use std::thread;

use amazons3::S3;
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Archive, Object, Store};
use cloudsync_store_conformance::{Bytes, Memory, Subject, pattern};

use crate::Spoken;
use crate::server::Dialect;
use crate::servers;

const SIZE: usize = (40 << 20) + 7;
/// What a recall asks for at once.
const RANGE: usize = 8 << 20;

fn fetch(store: &S3, object: &Object, range: Range<u64>) -> Vec<u8> {
    let mut sink = Memory::default();
    store
        .fetch("volume/gfid/archive", object, range, &mut sink)
        .unwrap();
    // The recall learns the checksum of the whole from any of its answers.
    assert_eq!(sink.described.unwrap().checksum, object.checksum);
    sink.bytes
}

fn there_and_back(dialect: &'static Dialect) {
    let bytes = pattern(5, SIZE);
    let source = Bytes::new(bytes.clone()).keeping("path", "/films/\u{e4} 1.mov");
    let store = Spoken(dialect).open();
    store.put("volume/gfid/archive", &source.upload()).unwrap();
    let (object, kept) = Spoken(dialect)
        .open()
        .describe("volume/gfid/archive")
        .unwrap();
    assert_eq!(
        (object.size, object.checksum),
        (SIZE as u64, Some(source.checksum()))
    );
    assert_eq!(&kept, source.upload().metadata);
    let parts: Vec<Vec<u8>> = thread::scope(|scope| {
        let read = |start: usize| {
            let range = start as u64..(start + RANGE).min(SIZE) as u64;
            let (store, object) = (&store, &object);
            scope.spawn(move || fetch(store, object, range))
        };
        let running: Vec<_> = (0..SIZE).step_by(RANGE).map(read).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(
        Some(Algorithm::Crc64Nvme.of(&parts.concat())),
        object.checksum
    );
    store.delete("volume/gfid/archive").unwrap();
}

#[test]
fn a_file_goes_to_moto_and_back() {
    there_and_back(&servers::MOTO);
}

#[test]
fn a_file_goes_to_s3rver_and_back() {
    there_and_back(&servers::S3RVER);
}

#[cfg(feature = "emulators-built")]
#[test]
fn a_file_goes_to_s3s_and_back() {
    there_and_back(&servers::S3S);
}

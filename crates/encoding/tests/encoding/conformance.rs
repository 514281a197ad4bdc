// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What every store must do, done by one that encodes: objects that are encrypted, and ones that are compressed, too.

use cloudsync_directory::Directory;
use cloudsync_encoding::Encoded;
use cloudsync_store::{Archive, Options, Store, StoreError};
use cloudsync_store_conformance::{Bytes, Lack, Memory, Subject};
use tempfile::TempDir;

use crate::keys::Keys;

struct Folder {
    folder: TempDir,
    keys: Keys,
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            keys: Keys::new(),
        }
    }
}

impl Subject for Folder {
    type Store = Encoded<Directory>;

    fn options(&self) -> Options {
        let list = format!(
            "path={},compress=zstd,{}",
            self.folder.path().display(),
            self.keys.settings()
        );
        [("cloudsync-store-id", list)].into_iter().collect()
    }

    fn place(&self, key: &str, bytes: &[u8]) {
        let store = self.open();
        store.delete(key).unwrap();
        let source = Bytes::new(bytes.to_vec());
        let object = store.put(key, &source.upload()).unwrap();
        assert!(object.etag.unwrap().contains("age:"));
    }

    fn remove(&self, key: &str) {
        self.open().delete(key).unwrap();
    }

    fn forbidden(&self, _: &str) -> Option<Options> {
        let path = self.folder.path().display();
        Some(
            [("cloudsync-store-id", format!("path={path}"))]
                .into_iter()
                .collect(),
        )
    }

    fn away(&self) -> Options {
        [("cloudsync-store-id", "path=/nonexistent/folder")]
            .into_iter()
            .collect()
    }

    fn wrong(&self) -> Vec<(Options, &'static str)> {
        [
            ("path=/srv,compress=gzip", "compress"),
            ("path=/srv,encrypt=age", "encrypt"),
            ("path=/srv,identity=secret", "identity"),
            (
                "path=/srv,part=8M",
                "known: path, mounted, compress, encrypt, identity",
            ),
        ]
        .map(|(list, word)| ([("cloudsync-store-id", list)].into_iter().collect(), word))
        .to_vec()
    }

    /// Listings show what is stored, and paid for.
    fn lacks(&self) -> Vec<(&'static str, Lack)> {
        vec![
            ("any_key_can_be_put_and_is_listed", Lack::Always),
            ("a_listing_shows_what_begins_with_a_prefix", Lack::Always),
        ]
    }
}

cloudsync_store_conformance::reads!(Folder::new());
cloudsync_store_conformance::archives!(Folder::new());

/// Who has no identity, or another one, is told so.
#[test]
fn without_the_identity_it_is_refused() {
    let folder = Folder::new();
    folder.place("secret", b"of the house");
    for (settings, word) in [
        (String::new(), "identity=file:FILE"),
        (Keys::new().settings(), "for other recipients"),
        ("identity=file:/nonexistent".to_owned(), "/nonexistent"),
    ] {
        let list = format!("path={},{settings}", folder.folder.path().display());
        let options = [("cloudsync-store-id", list)].into_iter().collect();
        let store = Encoded::<Directory>::open(&options).unwrap();
        // Its size and checksum are known to all.
        let object = store.head("secret").unwrap();
        assert_eq!(object.size, 12);
        let mut sink = Memory::default();
        let error = store
            .fetch("secret", &object, 0..12, &mut sink)
            .unwrap_err();
        assert!(matches!(error, StoreError::Encrypted(_)), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

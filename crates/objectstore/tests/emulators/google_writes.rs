// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests Google's store with a server that supports the client's writes.

use super::*;
use crate::player::Player;

fn player() -> &'static Player {
    static PLAYER: OnceLock<Player> = OnceLock::new();
    PLAYER.get_or_init(Player::start)
}

/// Credentials, which the client needs for writing even if the server does not check them.
pub(crate) const CREDENTIALS: &str =
    r#"{"private_key":"x","private_key_id":"x","client_email":"x","disable_oauth":true}"#;

fn list() -> String {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let file = std::env::temp_dir().join(format!("cloudsync-{}.json", std::process::id()));
        std::fs::write(&file, CREDENTIALS).unwrap();
        file
    });
    format!("credentials={},timeout=2s,retries=4", file.display())
}

/// A store with a separate prefix for each test.
struct Played(&'static str);

impl Played {
    fn place_of(&self, key: &str) -> String {
        format!("{}/{key}", self.0)
    }
}

impl Subject for Played {
    type Store = GoogleCloud;

    fn options(&self) -> Options {
        let bucket = format!("films/{}", self.0);
        options(&[
            ("s3plugin-hostname", &player().url),
            ("s3plugin-bucketid", &bucket),
            ("cloudsync-store-id", &list()),
        ])
    }

    fn place(&self, key: &str, bytes: &[u8]) {
        player().place(&self.place_of(key), bytes);
    }

    fn remove(&self, key: &str) {
        player().remove(&self.place_of(key));
    }

    fn forbidden(&self, _: &str) -> Option<Options> {
        None
    }

    fn away(&self) -> Options {
        self.options()
    }

    fn wrong(&self) -> Vec<(Options, &'static str)> {
        Vec::new()
    }
}

cloudsync_store_conformance::archives!(Played("below"));

#[test]
fn large_object_is_uploaded_in_parts() {
    let played = Played("large");
    large::multipart_upload(&played, |key, bytes| played.place(key, bytes));
}

#[test]
fn lost_answer_loses_nothing() {
    let own = Player::start();
    let store = GoogleCloud::open(&options(&[
        ("s3plugin-hostname", &own.url),
        ("s3plugin-bucketid", "films"),
        ("cloudsync-store-id", &list()),
    ]))
    .unwrap();
    let source = Bytes::new(pattern(1, 1000)).keeping("path", "/one");
    own.lose_an_answer();
    let object = store.put("one", &source.upload()).unwrap();
    assert_eq!(store.head("one").unwrap(), object);
    own.lose_an_answer();
    store.delete("one").unwrap();
    assert_eq!(own.keys(), Vec::<String>::new());
    // An object of another upload, which differs only in its metadata, is not mistaken for ours.
    own.place("two", &pattern(1, 1000));
    let error = store.put("two", &source.upload()).unwrap_err();
    assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
}

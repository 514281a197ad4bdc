// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests Azure's store with Azurite.

use super::*;

// Azurite's well-known account and key.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Creates the container, which the crate cannot do.
const MAKE: &str = "
    const [url, account, key] = process.argv.slice(1);
    const date = new Date().toUTCString(), version = '2021-08-06', path = new URL(url).pathname;
    const text = `PUT\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\nx-ms-date:${date}\\nx-ms-version:${version}\\n/${account}${path}\\nrestype:container`;
    const mac = require('crypto').createHmac('sha256', Buffer.from(key, 'base64')).update(text).digest('base64');
    fetch(url + '?restype=container', { method: 'PUT', headers: { 'x-ms-date': date, 'x-ms-version': version,
        authorization: `SharedKey ${account}:${mac}` } }).then(answer => process.exit(answer.status == 201 ? 0 : answer.status % 255));
";

fn endpoint() -> &'static str {
    static ENDPOINT: OnceLock<String> = OnceLock::new();
    ENDPOINT.get_or_init(start)
}

/// Starts an emulator with a container `films` in the calling thread's network.
pub(crate) fn start() -> String {
    let program = emulators().join("node_modules/.bin/azurite-blob");
    let address = serve(move |port| {
        let mut command = Command::new(program);
        let port = port.to_string();
        command.args([
            "--inMemoryPersistence",
            "--skipApiVersionCheck",
            "--blobPort",
            &port,
        ]);
        command
    });
    let endpoint = format!("http://{address}/{ACCOUNT}");
    let container = format!("{endpoint}/films");
    let made = Command::new("node")
        .args(["-e", MAKE, &container, ACCOUNT, KEY])
        .status();
    assert!(made.unwrap().success());
    endpoint
}

fn client() -> impl ObjectStore {
    let builder = object_store::azure::MicrosoftAzureBuilder::new();
    let builder = builder
        .with_account(ACCOUNT)
        .with_access_key(KEY)
        .with_container_name("films");
    builder
        .with_endpoint(endpoint().to_owned())
        .with_allow_http(true)
        .build()
        .unwrap()
}

struct Azurite;

impl Subject for Azurite {
    type Store = AzureBlob;

    fn options(&self) -> Options {
        options(&[
            ("s3plugin-hostname", endpoint()),
            ("s3plugin-bucketid", "films/below"),
            ("s3plugin-keyid", ACCOUNT),
            ("s3plugin-seckey", KEY),
            ("cloudsync-store-id", "timeout=2s,retries=4"),
        ])
    }

    fn place(&self, key: &str, bytes: &[u8]) {
        put(&client(), key, bytes);
    }

    fn remove(&self, key: &str) {
        delete(&client(), key);
    }

    fn forbidden(&self, _: &str) -> Option<Options> {
        let wrong = KEY.replace("Eby8", "Eby9");
        Some(options(&[
            ("s3plugin-hostname", endpoint()),
            ("s3plugin-bucketid", "films/below"),
            ("s3plugin-keyid", ACCOUNT),
            ("s3plugin-seckey", &wrong),
        ]))
    }

    fn can_name(&self, key: &str) -> bool {
        !key.contains('\\')
    }

    fn away(&self) -> Options {
        options(&[
            ("s3plugin-hostname", "http://127.0.0.1:1/devstoreaccount1"),
            ("s3plugin-bucketid", "films"),
            ("s3plugin-keyid", ACCOUNT),
            ("s3plugin-seckey", KEY),
            ("cloudsync-store-id", "retries=2"),
        ])
    }

    fn wrong(&self) -> Vec<(Options, &'static str)> {
        let with = |host, bucket, account, list| {
            options(&[
                ("s3plugin-hostname", host),
                ("s3plugin-bucketid", bucket),
                ("s3plugin-keyid", account),
                ("s3plugin-seckey", KEY),
                ("cloudsync-store-id", list),
            ])
        };
        vec![
            (with("localhost", "films", ACCOUNT, ""), "s3plugin-hostname"),
            (with("", "", ACCOUNT, ""), "s3plugin-bucketid"),
            (with("", "films", "", ""), "s3plugin-keyid"),
            (with("", "films", ACCOUNT, "tiemout=1s"), "tiemout"),
        ]
    }
}

cloudsync_store_conformance::reads!(Azurite);
cloudsync_store_conformance::archives!(Azurite);

#[test]
fn large_object_is_uploaded_in_parts() {
    large::multipart_upload(&Azurite, |key, bytes| put(&client(), key, bytes));
}

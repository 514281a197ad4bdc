// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs the conformance suite against emulators: Microsoft's Azurite, and fake-gcs-server. The latter does not support
//! the requests with which the client writes, so the tests have their own server for these (`player`).
//! `scripts/emulators.sh DIR` installs the emulators, CLOUDSYNC_EMULATORS=DIR names the directory, and the feature
//! `emulators` enables the tests.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

mod azure;
mod google;
mod google_writes;
mod large;
mod player;
mod volume;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_objectstore::{AzureBlob, GoogleCloud};
use cloudsync_store::{Archive, Listed, Options, Store, StoreError};
use cloudsync_store_conformance::{Bytes, Memory, Subject, pattern};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

fn emulators() -> PathBuf {
    let folder = std::env::var_os("CLOUDSYNC_EMULATORS");
    folder
        .expect("CLOUDSYNC_EMULATORS is the directory in which scripts/emulators.sh installed the emulators")
        .into()
}

/// Starts a server on a free port, which ends with this process. Returns its address.
fn serve(command: impl FnOnce(u16) -> Command + Send + 'static) -> String {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // The kernel kills the server when the thread that started it ends; this one lives as long as the process.
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
    let started = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "no emulator at {address}"
        );
        thread::sleep(Duration::from_millis(50));
    }
    address
}

fn options(pairs: &[(&str, &str)]) -> Options {
    pairs.iter().copied().collect()
}

/// Access to the back-end that bypasses the store under test: the crate's own calls.
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

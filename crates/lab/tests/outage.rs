// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Stopping the S3 server, in a separate lab because it would disturb other tests.

use std::time::{Duration, Instant};

use cloudsync_lab::{Lab, Options};

#[test]
fn objects_survive_an_outage() {
    let started = Instant::now();
    let lab = Lab::start(Options::default()).unwrap();
    println!("lab: {:?}", started.elapsed());
    let started = Instant::now();
    let server = lab.s3().unwrap();
    println!("store: {:?}", started.elapsed());
    let bucket = server.bucket("outage").unwrap();
    bucket.put("key", b"bytes").unwrap();

    server.stop_service().unwrap();
    let refusal = bucket.get("key").unwrap_err().to_string();
    assert!(refusal.contains("no answer of the S3 server"), "{refusal}");
    let started = Instant::now();
    server.resume_service().unwrap();
    println!("resume: {:?}", started.elapsed());
    assert_eq!(bucket.get("key").unwrap(), b"bytes");

    server.freeze().unwrap();
    let url = format!("{}/{}/key", server.http_url(), bucket.name());
    let output = lab.run_with(
        Duration::from_secs(60),
        "curl",
        ["-sS", "-m", "1", &url],
        |_| {},
    );
    assert_eq!(
        output.unwrap().code(),
        Some(28),
        "curl's code for a timeout"
    );
    server.thaw().unwrap();
    assert_eq!(bucket.get("key").unwrap(), b"bytes");
}

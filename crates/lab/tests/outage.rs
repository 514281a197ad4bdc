// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Stopping the S3 server: in a lab of its own, because others would notice.

use std::time::{Duration, Instant};

use cloudsync_lab::{Lab, Options};

#[test]
fn what_is_stored_survives_an_outage() {
    let begun = Instant::now();
    let lab = Lab::start(Options::default()).unwrap();
    println!("lab: {:?}", begun.elapsed());
    let begun = Instant::now();
    let server = lab.s3().unwrap();
    println!("store: {:?}", begun.elapsed());
    let bucket = server.bucket("outage").unwrap();
    bucket.put("key", b"bytes").unwrap();

    server.stop_service().unwrap();
    let refusal = bucket.get("key").unwrap_err().to_string();
    assert!(refusal.contains("no answer of the S3 server"), "{refusal}");
    let begun = Instant::now();
    server.resume_service().unwrap();
    println!("resume: {:?}", begun.elapsed());
    assert_eq!(bucket.get("key").unwrap(), b"bytes");

    server.freeze().unwrap();
    let url = format!("{}/{}/key", server.http_url(), bucket.name());
    let said = lab.run_with(
        Duration::from_secs(60),
        "curl",
        ["-sS", "-m", "1", &url],
        |_| {},
    );
    assert_eq!(said.unwrap().code(), Some(28), "curl's code for a timeout");
    server.thaw().unwrap();
    assert_eq!(bucket.get("key").unwrap(), b"bytes");
}

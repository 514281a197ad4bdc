// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An upload of as many parts as stores accept, with small parts: begun, interrupted, and gone on with.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::sync::{Arc, Mutex};

use cloudsync_lab::http::Request;
use cloudsync_lab::relay::listen;
use cloudsync_store::checksum::Algorithm;
use cloudsync_store::network::runtime;
use cloudsync_store::{Metadata, Options, Source};

use super::*;

const MOST_PARTS: u64 = 10_000;
const SMALL: u64 = 64;
/// Parts that the first run sends before the store fails.
const FIRST: usize = 9_990;

/// Bytes that no two parts have in common.
struct Numbers;

impl Source for Numbers {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        for (at, bytes) in (offset..).step_by(8).zip(buffer.chunks_mut(8)) {
            bytes.copy_from_slice(&at.to_le_bytes()[..bytes.len()]);
        }
        Ok(())
    }
}

#[derive(Default)]
struct State {
    /// The etags of the parts.
    parts: BTreeMap<u64, String>,
    sent: usize,
    lists: usize,
    completed: bool,
    fails: bool,
}

fn after<'a>(target: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = target.split_once(&format!("{name}="))?;
    value.split('&').next()
}

fn answer(state: &mut State, request: &Request) -> (u16, String, String) {
    let ok = |body: String| (200, String::new(), body);
    let target = request.target.as_str();
    let number = after(target, "partNumber").and_then(|number| number.parse().ok());
    match (request.method.as_str(), number) {
        ("HEAD", _) => (404, String::new(), String::new()),
        ("PUT", Some(_)) if state.fails && state.parts.len() >= FIRST => {
            (503, String::new(), String::new())
        }
        ("PUT", Some(number)) => {
            let etag = resume::md5(&request.body);
            state.sent += 1;
            state.parts.insert(number, etag.clone());
            (200, format!("etag: \"{etag}\"\r\n"), String::new())
        }
        ("GET", _) if target.contains("uploadId=") => {
            state.lists += 1;
            let marker = after(target, "part-number-marker");
            let marker: u64 = marker.map_or(0, |marker| marker.parse().unwrap());
            let page: Vec<_> = state.parts.range(marker + 1..).take(1000).collect();
            let last = page.last().map_or(0, |(number, _)| **number);
            let more = state.parts.range(last + 1..).next().is_some();
            let parts = page.iter().map(|(number, etag)| {
                format!(
                    "<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag><Size>{SMALL}</Size></Part>"
                )
            });
            ok(format!(
                "<ListPartsResult>{}<IsTruncated>{more}</IsTruncated>\
                 <NextPartNumberMarker>{last}</NextPartNumberMarker></ListPartsResult>",
                parts.collect::<String>()
            ))
        }
        ("GET", _) if state.parts.is_empty() => ok("<ListMultipartUploadsResult/>".to_owned()),
        ("GET", _) => ok(
            "<ListMultipartUploadsResult><Upload><Key>key</Key><UploadId>u</UploadId></Upload>\
             </ListMultipartUploadsResult>"
                .to_owned(),
        ),
        ("POST", _) if target.contains("uploadId=") => {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let all = body.matches("<PartNumber>").count() as u64 == MOST_PARTS;
            state.completed = all && state.parts.values().all(|etag| body.contains(etag));
            ok("<CompleteMultipartUploadResult/>".to_owned())
        }
        ("POST", _) => ok(
            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
                .to_owned(),
        ),
        _ => (204, String::new(), String::new()),
    }
}

#[test]
fn ten_thousand_parts_are_sent_and_resumed() {
    let state = Arc::new(Mutex::new(State {
        fails: true,
        ..State::default()
    }));
    let shared = Arc::clone(&state);
    let listening = listen("127.0.0.1", move |mut stream| {
        let mut from = BufReader::new(stream.try_clone()?);
        loop {
            let request = Request::read(&mut from)?;
            let (status, headers, body) = answer(&mut shared.lock().unwrap(), &request);
            let length = body.len();
            stream.write_all(
                format!("HTTP/1.1 {status} S\r\n{headers}content-length: {length}\r\n\r\n{body}")
                    .as_bytes(),
            )?;
        }
    });
    let host = format!("http://{}", listening.unwrap());
    let options: Options = [
        ("s3plugin-hostname", host.as_str()),
        ("s3plugin-bucketid", "archive"),
        ("s3plugin-keyid", "AKID"),
        ("s3plugin-seckey", "secret"),
        ("cloudsync-store-id", "retries=0"),
    ]
    .into_iter()
    .collect();
    let runtime = runtime("test").unwrap();
    let _entered = runtime.enter();
    let store = S3::new(&options).unwrap();
    let size = MOST_PARTS * SMALL;
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    Numbers.read_exact_at(&mut bytes, 0).unwrap();
    let upload = Upload {
        size,
        checksum: Algorithm::Crc64Nvme.of(&bytes),
        metadata: &Metadata::new(),
        source: &Numbers,
        rate: None,
        resumable: true,
    };
    let put = Put {
        store: &store,
        key: "key",
        upload: &upload,
        metadata: std::collections::HashMap::new(),
    };
    let failed = runtime.block_on(parts::in_parts(&put, SMALL));
    assert!(
        matches!(failed, Err(StoreError::Throttled(_))),
        "{failed:?}"
    );
    let before = {
        let mut state = state.lock().unwrap();
        state.fails = false;
        state.sent
    };
    assert_eq!(runtime.block_on(parts::in_parts(&put, SMALL)), Ok(true));
    let state = state.lock().unwrap();
    assert!(state.completed);
    assert_eq!((state.sent, state.lists), (MOST_PARTS as usize, 10));
    println!("{before} parts, and then {} more", state.sent - before);
}

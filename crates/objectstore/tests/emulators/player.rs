// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Emulates the part of Google's XML interface that the client uses for writing, because fake-gcs-server only supports
//! reads through it. Conditions, multipart uploads, copies and lists follow Google's documentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use cloudsync_lab::http;
use cloudsync_lab::relay::listen;

/// Objects per page of a list.
const PAGE: usize = 3;

#[derive(Clone, Default)]
struct Kept {
    bytes: Vec<u8>,
    meta: Vec<(String, String)>,
    generation: u64,
    date: String,
}

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Kept>,
    uploads: BTreeMap<String, (Kept, BTreeMap<u32, Vec<u8>>)>,
    generation: u64,
    /// The number of further write requests that are executed, but answered with an error.
    lost: u32,
}

/// A server with one bucket.
#[derive(Clone)]
pub(crate) struct Player {
    pub(crate) url: String,
    bucket: Arc<Mutex<Bucket>>,
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn error(status: u16, code: &str) -> Self {
        Self::new(status).body(format!("<Error><Code>{code}</Code></Error>"))
    }

    fn of(kept: &Kept) -> Self {
        let tag = format!("\"{:x}\"", kept.generation);
        let mut answer = Self::new(200)
            .with("etag", tag)
            .with("x-goog-generation", kept.generation)
            .with("last-modified", date("+%a, %d %b %Y %H:%M:%S GMT"));
        for (name, value) in &kept.meta {
            answer = answer.with(name, value);
        }
        answer
    }
}

fn decode(text: &str) -> String {
    cloudsync_store::network::decode_text(text, false)
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}

impl Player {
    pub(crate) fn start() -> Self {
        let mut player = Self {
            url: String::new(),
            bucket: Arc::default(),
        };
        let server = player.clone();
        let listening = listen("127.0.0.1", move |stream| server.serve(&stream));
        player.url = format!("http://{}", listening.unwrap());
        player
    }

    /// Executes the next write request, but answers it with a server error.
    pub(crate) fn lose_an_answer(&self) {
        self.bucket.lock().unwrap().lost = 1;
    }

    pub(crate) fn place(&self, key: &str, bytes: &[u8]) {
        let mut bucket = self.bucket.lock().unwrap();
        let kept = Kept {
            bytes: bytes.to_vec(),
            ..Kept::default()
        };
        bucket.keep(key, kept);
    }

    pub(crate) fn remove(&self, key: &str) {
        self.bucket.lock().unwrap().objects.remove(key);
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let bucket = self.bucket.lock().unwrap();
        bucket.objects.keys().cloned().collect()
    }

    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let request = request(http::Request::read(&mut reader)?);
            let mut bucket = self.bucket.lock().unwrap();
            let mut answer = bucket.answer(&request);
            if request.method != "GET" && request.method != "HEAD" && bucket.lost > 0 {
                bucket.lost -= 1;
                answer = Answer::error(503, "ServiceUnavailable");
            }
            drop(bucket);
            let mut head = format!("HTTP/1.1 {} so\r\n", answer.status);
            for (name, value) in &answer.headers {
                let _ = write!(head, "{name}: {value}\r\n");
            }
            if !answer
                .headers
                .iter()
                .any(|(name, _)| name == "content-length")
            {
                let _ = write!(head, "content-length: {}\r\n", answer.body.len());
            }
            head += "\r\n";
            stream.write_all(head.as_bytes())?;
            stream.write_all(&answer.body)?;
        }
    }
}

fn request(asked: http::Request) -> Request {
    let target = asked.target.as_str();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = cloudsync_store::network::decode_text(value, true);
        (name.to_owned(), value)
    });
    let headers = http::headers(&asked.head);
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Request {
        path: decode(path),
        query: query.collect(),
        headers: headers.collect(),
        method: asked.method,
        body: asked.body,
    }
}

impl Bucket {
    fn keep(&mut self, key: &str, mut kept: Kept) -> u64 {
        self.generation += 1;
        kept.generation = self.generation;
        kept.date = date("+%Y-%m-%dT%H:%M:%SZ");
        self.objects.insert(key.to_owned(), kept);
        self.generation
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let path = request.path.trim_start_matches('/');
        let Some(key) = path.strip_prefix("films/") else {
            return self.list(request);
        };
        let upload = request.query.get("uploadId");
        match (request.method.as_str(), upload) {
            ("GET" | "HEAD", _) => self.read(key, request),
            ("DELETE", Some(id)) => {
                self.uploads.remove(id);
                Answer::new(204)
            }
            ("DELETE", None) if self.objects.remove(key).is_some() => Answer::new(204),
            ("DELETE", None) => Answer::error(404, "NoSuchKey"),
            ("POST", None) => {
                self.generation += 1;
                let id = self.generation.to_string();
                let begun = (kept(request), BTreeMap::new());
                self.uploads.insert(id.clone(), begun);
                Answer::new(200).body(format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ))
            }
            ("PUT", Some(id)) => {
                let number = request.query["partNumber"].parse().unwrap();
                let Some((_, parts)) = self.uploads.get_mut(id) else {
                    return Answer::error(404, "NoSuchUpload");
                };
                parts.insert(number, request.body.clone());
                Answer::new(200).with("etag", format!("\"p{number}\""))
            }
            ("POST", Some(id)) => {
                let Some((mut kept, parts)) = self.uploads.remove(id) else {
                    return Answer::error(404, "NoSuchUpload");
                };
                kept.bytes = parts.into_values().flatten().collect();
                let generation = self.keep(key, kept);
                Answer::new(200).with("x-goog-generation", generation).body(format!(
                    "<CompleteMultipartUploadResult><ETag>\"{generation:x}\"</ETag></CompleteMultipartUploadResult>"
                ))
            }
            ("PUT", None) => self.put(key, request),
            _ => Answer::error(405, "MethodNotAllowed"),
        }
    }

    fn put(&mut self, key: &str, request: &Request) -> Answer {
        let condition = request.headers.get("x-goog-if-generation-match");
        if condition.is_some_and(|text| text == "0") && self.objects.contains_key(key) {
            return Answer::error(412, "PreconditionFailed");
        }
        let source = request.headers.get("x-goog-copy-source");
        let kept = match source {
            None => kept(request),
            Some(source) => {
                let source = decode(source);
                let from = source.trim_start_matches('/').strip_prefix("films/");
                match from.and_then(|from| self.objects.get(from)) {
                    Some(kept) => kept.clone(),
                    None => return Answer::error(404, "NoSuchKey"),
                }
            }
        };
        let generation = self.keep(key, kept);
        Answer::new(200)
            .with("etag", format!("\"{generation:x}\""))
            .with("x-goog-generation", generation)
    }

    fn read(&self, key: &str, request: &Request) -> Answer {
        let Some(kept) = self.objects.get(key) else {
            return Answer::error(404, "NoSuchKey");
        };
        let mut answer = Answer::of(kept);
        let tag = format!("\"{:x}\"", kept.generation);
        if request
            .headers
            .get("if-match")
            .is_some_and(|wanted| *wanted != tag)
        {
            return Answer::error(412, "PreconditionFailed");
        }
        let length = kept.bytes.len();
        if request.method == "HEAD" {
            return answer.with("content-length", length);
        }
        let range = request.headers.get("range");
        let range = range.and_then(|text| text.strip_prefix("bytes=")?.split_once('-'));
        answer.body = match range {
            None => kept.bytes.clone(),
            Some((first, last)) => {
                let first: usize = first.parse().unwrap();
                let last = last
                    .parse()
                    .map_or(length, |last: usize| last + 1)
                    .min(length);
                if first >= last {
                    return Answer::error(416, "InvalidRange");
                }
                answer.status = 206;
                let shown = format!("bytes {first}-{}/{length}", last - 1);
                answer = answer.with("content-range", shown);
                kept.bytes[first..last].to_vec()
            }
        };
        answer
    }

    fn list(&self, request: &Request) -> Answer {
        let text = |name: &str| request.query.get(name).map(String::as_str);
        let prefix = text("prefix").unwrap_or_default();
        let after = text("continuation-token").unwrap_or_default();
        let mut found = self.objects.iter().filter(|(key, _)| {
            key.starts_with(prefix) && (after.is_empty() || key.as_str() > after)
        });
        let mut body = "<ListBucketResult>".to_owned();
        let mut last = "";
        for (key, kept) in found.by_ref().take(PAGE) {
            let (name, size, tag) = (escape(key), kept.bytes.len(), kept.generation);
            let date = &kept.date;
            let _ = write!(
                body,
                "<Contents><Key>{name}</Key><Size>{size}</Size><LastModified>{date}</LastModified><ETag>\"{tag:x}\"</ETag></Contents>"
            );
            last = key;
        }
        if found.next().is_some() {
            let _ = write!(
                body,
                "<NextContinuationToken>{}</NextContinuationToken>",
                escape(last)
            );
        }
        Answer::new(200).body(body + "</ListBucketResult>")
    }
}

fn kept(request: &Request) -> Kept {
    let meta = request.headers.iter();
    let meta = meta.filter(|(name, _)| name.starts_with("x-goog-meta-"));
    Kept {
        bytes: request.body.clone(),
        meta: meta
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        ..Kept::default()
    }
}

/// The current time.
fn date(format: &str) -> String {
    let output = std::process::Command::new("date")
        .env("LC_ALL", "C")
        .args(["-u", format])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

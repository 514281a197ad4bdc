// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A store whose answers the test determines, with one request per connection.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

pub(crate) use cloudsync_lab::http::Request;
use cloudsync_lab::relay::{listen, reset};

/// How the answer ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing is sent until the client gives up.
    Stall,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    end: End,
    silent: bool,
    raw: Option<Vec<u8>>,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            end: End::Close,
            silent: false,
            raw: None,
        }
    }

    /// Exactly these bytes, including the headers.
    pub(crate) fn raw(bytes: &[u8]) -> Self {
        Self {
            raw: Some(bytes.to_vec()),
            ..Self::new(0)
        }
    }

    /// Accepts the request and never answers.
    pub(crate) fn silence() -> Self {
        Self {
            silent: true,
            ..Self::new(0)
        }
    }

    /// An error in the format of S3.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let xml = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>says the test</Message></Error>"
        );
        Self::new(status).body(xml.as_bytes())
    }

    /// The correct answer to `request` for an existing object.
    pub(crate) fn object(request: &Request, bytes: &[u8]) -> Self {
        if request.method == "HEAD" {
            return Self::new(200)
                .header("content-length", bytes.len())
                .header("etag", "\"one\"");
        }
        let (first, last) = request.range().unwrap();
        let last = last.min(bytes.len() - 1);
        Self::new(206)
            .header(
                "content-range",
                format!("bytes {first}-{last}/{}", bytes.len()),
            )
            .header("etag", "\"one\"")
            .body(&bytes[first..=last])
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn body(self, bytes: &[u8]) -> Self {
        let mut reply = self.header("content-length", bytes.len());
        reply.body = bytes.to_vec();
        reply
    }

    /// Sends only this number of bytes of the body, whatever the headers say, and then ends with `end`.
    pub(crate) fn truncate_body(mut self, bytes: usize, end: End) -> Self {
        self.body.truncate(bytes);
        self.end = end;
        self
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        if self.silent {
            return wait_for_the_client(stream);
        }
        if let Some(bytes) = &self.raw {
            return stream.write_all(bytes);
        }
        let mut head = format!("HTTP/1.1 {} Whatever\r\nconnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        stream.write_all(&self.body)?;
        match self.end {
            End::Close => Ok(()),
            End::Reset => reset(stream),
            End::Stall => wait_for_the_client(stream),
        }
    }
}

fn wait_for_the_client(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.read(&mut [0]).map(drop)
}

/// The store. Its threads run until the process ends.
pub(crate) struct Server {
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `answer` gets the number of earlier requests and the request.
    pub(crate) fn start(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let listening = listen("127.0.0.1", move |mut stream| {
            let request = Request::read(&mut BufReader::new(&stream))?;
            let before = {
                let mut log = log.lock().unwrap();
                log.push(request.clone());
                log.len() - 1
            };
            answer(before, &request).send(&mut stream)
        });
        let address = listening.unwrap().to_string();
        Self { address, requests }
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// `METHOD range` of every request so far.
    pub(crate) fn summary(&self) -> Vec<String> {
        let line = |request: &Request| {
            let range = request.header("range").unwrap_or_default();
            format!("{} {range}", request.method).trim_end().to_owned()
        };
        self.requests().iter().map(line).collect()
    }
}

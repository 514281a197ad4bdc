// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A faulty proxy to the S3 server: each object can have a fault, and injections are counted, because a fault that never
//! occurred has tested nothing.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cloudsync_lab::http;
use cloudsync_lab::relay::{Exchange, reset};

use crate::gate::store_proxy;

/// How long a stalled response stalls: far longer than any client waits.
pub(crate) const STALL: Duration = Duration::from_secs(60);

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Close,
    Reset,
}

/// A fault of an object. "GET" stands for responses that carry its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// This percentage of requests is answered with 503 SlowDown.
    SlowDown(u64),
    /// This many requests are answered with this status and code.
    Refused(u32, u16, &'static str),
    /// Like `Refused`, but HEAD succeeds.
    GetRefused(u32, u16, &'static str),
    /// 403 with a body that is not S3's.
    Page,
    /// This many times, GET breaks off after this many bytes.
    Breaks(u32, usize, End),
    /// This many times, GET stalls after this many bytes.
    Stalls(u32, usize),
    /// GET sends a byte now and then.
    Trickles,
    /// This many requests are not answered.
    Silent(u32),
    /// This many responses are not HTTP.
    Noise(u32),
    /// One bit of this byte is flipped.
    Flipped(usize),
    /// HEAD's Content-Length is off by this much.
    HeadLength(i64),
    /// GET's Content-Length is off by this much.
    GetLength(i64),
    /// GET has no Content-Length; its body ends with the connection.
    NoLength,
    /// GET's Content-Range names a range that begins later.
    NamesAnotherRange,
    /// GET's Content-Range names a larger object.
    NamesAnotherTotal,
    /// GET sends other bytes of the object than it names.
    SendsAnotherRange,
    /// GET ignores the requested range.
    Whole,
    /// GET's ETag is of another version.
    AnotherVersion,
}

#[derive(Debug, Default)]
struct Shared {
    faults: Mutex<HashMap<String, (Fault, u32)>>,
    /// How many requests there were, and the state of the random generator.
    requests: Mutex<(u32, u64)>,
}

/// See the module. It runs until the test program ends.
#[derive(Debug)]
pub(crate) struct Proxy {
    url: String,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy without faults.
    pub(crate) fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        Self {
            url: store_proxy(move |exchange| serving.answer(exchange)),
            shared,
        }
    }

    /// The value for the server's address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on, requests for this object have this fault.
    pub(crate) fn set(&self, name: &str, fault: Fault) {
        let mut faults = self.shared.faults.lock().unwrap();
        faults.insert(name.to_owned(), (fault, 0));
    }

    /// How often the fault was injected.
    pub(crate) fn hits(&self, name: &str) -> u32 {
        self.shared.faults.lock().unwrap()[name].1
    }

    /// Removes all faults.
    pub(crate) fn clear_faults(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> u32 {
        self.shared.requests.lock().unwrap().0
    }
}

/// A response, with its body in memory.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn refusal(status: u16, code: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on purpose</Message></Error>"
        );
        let kind = "content-type: application/xml";
        let length = body.len();
        Self {
            head: format!("HTTP/1.1 {status} No\r\n{kind}\r\ncontent-length: {length}\r\n\r\n"),
            body: body.into_bytes(),
        }
    }

    fn set(&mut self, name: &str, value: Option<&str>) {
        let is_it = |line: &&str| {
            line.split_once(':')
                .is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let lines = self.head.lines().filter(|line| !line.is_empty());
        let mut lines: Vec<_> = lines.filter(|line| !is_it(line)).collect();
        let line = value.map(|value| format!("{name}: {value}"));
        lines.extend(line.as_deref());
        self.head = format!("{}\r\n\r\n", lines.join("\r\n"));
    }

    fn lengthen(&mut self, by: i64) {
        let length: i64 = header(&self.head, "content-length").parse().unwrap();
        self.set("content-length", Some(&(length + by).to_string()));
    }

    fn range(&mut self, change: impl Fn(u64, u64, u64) -> (u64, u64, u64)) {
        let text = header(&self.head, "content-range");
        let numbers: Vec<u64> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|digits| digits.parse().ok())
            .collect();
        let (first, last, total) = change(numbers[0], numbers[1], numbers[2]);
        let text = format!("bytes {first}-{last}/{total}");
        self.set("content-range", Some(&text));
    }
}

/// How the connection continues after a response.
enum After {
    Continues,
    /// It ends after this many bytes of the body.
    Ends(usize, End),
    Stalls(usize),
    Trickles,
}

impl Shared {
    fn answer(&self, exchange: Exchange<'_>) -> io::Result<()> {
        self.requests.lock().unwrap().0 += 1;
        let (request, to_client) = (exchange.request, exchange.client);
        let mut answer = Answer {
            head: exchange.answer,
            body: Vec::new(),
        };
        let is_head = request.method == "HEAD";
        if !is_head {
            let length = header(&answer.head, "content-length").parse();
            answer.body = vec![0; length.map_err(io::Error::other)?];
            exchange.server.read_exact(&mut answer.body)?;
        }
        let path = request.target.split('?').next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let after = self.apply(name, is_head, &mut answer);
        to_client.write_all(answer.head.as_bytes())?;
        let body = if is_head { &[][..] } else { &answer.body };
        match after {
            After::Continues => to_client.write_all(body)?,
            After::Ends(bytes, end) => {
                to_client.write_all(&body[..bytes.min(body.len())])?;
                if end == End::Reset {
                    // Lets the client receive what was sent; a reset would discard it.
                    thread::sleep(Duration::from_millis(20));
                    reset(to_client)?;
                }
                return Err(ErrorKind::ConnectionAborted.into());
            }
            // Until the client gives up.
            After::Trickles => {
                for byte in body {
                    to_client.write_all(&[*byte])?;
                    thread::sleep(Duration::from_millis(100));
                }
            }
            After::Stalls(bytes) => {
                to_client.write_all(&body[..bytes.min(body.len())])?;
                // Until the client gives up, or the time is up.
                to_client.set_read_timeout(Some(STALL))?;
                if matches!(to_client.read(&mut [0]), Ok(0)) {
                    return Err(ErrorKind::ConnectionAborted.into());
                }
                to_client.set_read_timeout(None)?;
                to_client.write_all(&body[bytes.min(body.len())..])?;
            }
        }
        Ok(())
    }

    /// Applies the object's fault to the response.
    fn apply(&self, name: &str, is_head: bool, answer: &mut Answer) -> After {
        let mut faults = self.faults.lock().unwrap();
        let Some((fault, hits)) = faults.get_mut(name) else {
            return After::Continues;
        };
        let good = answer.head.starts_with("HTTP/1.1 2");
        // Not every fault applies to HEAD, or to responses without the object's bytes.
        let exempt = match *fault {
            Fault::SlowDown(percent) => self.random() >= percent,
            Fault::Refused(times, ..) | Fault::Silent(times) | Fault::Noise(times) => {
                *hits >= times
            }
            Fault::GetRefused(times, ..) | Fault::Breaks(times, ..) | Fault::Stalls(times, _) => {
                is_head || !good || *hits >= times
            }
            Fault::Page => false,
            Fault::HeadLength(_) => !is_head || !good,
            _ => is_head || !good,
        };
        if exempt {
            return After::Continues;
        }
        *hits += 1;
        match *fault {
            Fault::SlowDown(_) => *answer = Answer::refusal(503, "SlowDown"),
            Fault::Refused(_, status, code) | Fault::GetRefused(_, status, code) => {
                *answer = Answer::refusal(status, code);
            }
            Fault::Page => {
                *answer = Answer::refusal(403, "");
                answer.body = b"<html><body>Who are you?</body></html>".to_vec();
                answer.set("content-length", Some(&answer.body.len().to_string()));
            }
            Fault::Breaks(_, bytes, end) => return After::Ends(bytes, end),
            Fault::Stalls(_, bytes) => return After::Stalls(bytes),
            Fault::Trickles => return After::Trickles,
            Fault::Silent(_) => {
                answer.head.clear();
                return After::Stalls(0);
            }
            Fault::Noise(_) => {
                answer.head = "\u{1}\u{2}this is not the protocol\r\n\r\n".to_owned();
                return After::Ends(0, End::Close);
            }
            Fault::Flipped(byte) => answer.body[byte] ^= 0x10,
            Fault::HeadLength(by) => answer.lengthen(by),
            Fault::GetLength(by) => {
                answer.lengthen(by);
                return After::Ends(usize::MAX, End::Close);
            }
            Fault::NoLength => {
                answer.set("content-length", None);
                answer.set("connection", Some("close"));
                return After::Ends(usize::MAX, End::Close);
            }
            Fault::NamesAnotherRange => {
                answer.range(|first, last, total| (first + 8, last + 8, total + 8));
            }
            Fault::NamesAnotherTotal => answer.range(|first, last, total| (first, last, total + 8)),
            Fault::SendsAnotherRange => answer.body.rotate_left(8),
            Fault::Whole => {
                let rest = answer.head.split_once("\r\n").unwrap_or_default().1;
                answer.head = format!("HTTP/1.1 200 OK\r\n{rest}");
                answer.set("content-range", None);
            }
            Fault::AnotherVersion => answer.set("etag", Some("\"another\"")),
        }
        After::Continues
    }

    /// 0 to 99, from the same sequence in every run.
    fn random(&self) -> u64 {
        let mut requests = self.requests.lock().unwrap();
        requests.1 = requests
            .1
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (requests.1 >> 33) % 100
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    http::header(head, name).unwrap_or_default()
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The part of HTTP that a test needs to act as a server: requests, and the heads of answers.

use std::io::{self, BufRead, ErrorKind};

/// A request as received.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, for example.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The request line and the headers, including the empty line at the end.
    pub head: String,
    /// The body, as long as `Content-Length`.
    pub body: Vec<u8>,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// When the client has closed the connection or sent something that is not a request.
    pub fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let head = head(from)?;
        let mut words = head.split(' ').map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(ErrorKind::InvalidData.into());
        };
        let length = header(&head, "content-length").map_or(Ok(0), str::parse);
        let mut body = vec![0; length.map_err(io::Error::other)?];
        from.read_exact(&mut body)?;
        Ok(Self {
            method,
            target,
            head,
            body,
        })
    }

    /// The value of a header. Case does not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The first and the last byte of the requested range, if there is one. The last is `usize::MAX` if the range has
    /// no end.
    #[must_use]
    pub fn range(&self) -> Option<(usize, usize)> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse().ok()?, last.parse().unwrap_or(usize::MAX)))
    }
}

/// The head of a request or an answer: everything up to and including the empty line.
///
/// # Errors
/// When the connection ends before that.
pub fn head(from: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        if from.read_line(&mut text)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(text)
}

/// The names and values of all headers in a head.
pub fn headers(head: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name, value.trim()))
}

/// The value of a header. Case does not matter.
#[must_use]
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let found = headers(head).find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

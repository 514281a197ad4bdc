// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Stands for a storage class that must be restored before it can be read, which costs money and takes hours. The real S3
//! server has no such class: a proxy in front of it refuses the objects below `cold/` until a restore was asked for and has
//! ended.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::relay::{Exchange, exchanges};
use crate::{Failure, Lab};

/// The proxy, and what it was asked for.
#[derive(Clone, Debug, Default)]
pub struct Glacier(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The paths of the objects, without the query.
    asked: BTreeSet<String>,
    bodies: Vec<String>,
    ended: bool,
}

impl Glacier {
    /// Starts it in front of the lab's server. Returns its URL, too.
    ///
    /// # Errors
    /// When there is no server, or it cannot listen.
    pub fn start(lab: &Lab) -> Result<(Self, String), Failure> {
        let port = lab.s3()?.http_port();
        let glacier = Self::default();
        let serving = glacier.clone();
        let listening =
            lab.listen(move |client| exchanges(client, port, |exchange| serving.answer(exchange)));
        let listening = listening.map_err(|error| Failure::new(error.to_string()))?;
        Ok((glacier, format!("http://{listening}")))
    }

    /// How many objects are to be restored.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.state().asked.len()
    }

    /// The requests' bodies.
    #[must_use]
    pub fn bodies(&self) -> Vec<String> {
        self.state().bodies.clone()
    }

    /// Ends all restores, also those that are asked for later.
    pub fn end(&self) {
        self.state().ended = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, exchange: Exchange<'_>) -> io::Result<()> {
        const EMPTY: &str = "Content-Length: 0\r\n\r\n";
        let length = exchange.length();
        let mut body = exchange.server.take(length);
        let method = exchange.request.method.as_str();
        let path = exchange.request.target.split('?').next();
        let path = path.unwrap_or_default();
        let mut state = self.state();
        let asked = state.asked.contains(path);
        let header = format!("x-amz-restore: ongoing-request=\"{}\"", !state.ended);
        let with_state = || format!("{}\r\n{header}\r\n\r\n", exchange.answer.trim_end());
        let answer = match method {
            _ if !path.contains("/cold/") => exchange.answer,
            "POST" if asked => format!("HTTP/1.1 409 Conflict\r\n{EMPTY}"),
            "POST" => {
                state.asked.insert(path.to_owned());
                let body = String::from_utf8_lossy(&exchange.request.body);
                state.bodies.push(body.into_owned());
                format!("HTTP/1.1 202 Accepted\r\n{EMPTY}")
            }
            "HEAD" if asked => with_state(),
            "GET" if asked && state.ended => with_state(),
            "HEAD" => exchange.answer,
            _ => {
                io::copy(&mut body, &mut io::sink())?;
                let error = "<Error><Code>InvalidObjectState</Code></Error>";
                let length = error.len();
                format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\n\r\n{error}")
            }
        };
        drop(state);
        if method == "POST" {
            io::copy(&mut body, &mut io::sink())?;
        }
        exchange.client.write_all(answer.as_bytes())?;
        io::copy(&mut body, exchange.client).map(drop)
    }
}

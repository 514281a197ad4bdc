// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A proxy to the S3 server that can delay objects, so that a recall runs as long as a test needs. The connection never
//! stalls, so it does not time out.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cloudsync_lab::http::header;
use cloudsync_lab::relay::{Exchange, exchanges};
use cloudsync_lab::until;

use crate::scene::{PATIENCE, lab};

/// This much of the beginning of a held object passes at full speed: more than the client gathers before it writes.
pub(crate) const BURST: usize = 3 << 20;
/// After that, this much in each pause.
const TRICKLE: usize = 16;
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Held,
    /// No request is answered. What is delayed already stays so.
    Silent,
    /// Connections with a held object are broken; later requests pass.
    Broken,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// The first byte of each range requested so far.
    ranges: Mutex<Vec<u64>>,
    /// How many requests arrived while none was answered.
    unanswered: AtomicUsize,
}

/// See the module. It runs until the test program ends.
#[derive(Debug)]
pub(crate) struct Gate {
    url: String,
    shared: Arc<Shared>,
}

impl Gate {
    /// An open gate.
    pub(crate) fn new() -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::Open),
            changed: Condvar::new(),
            ranges: Mutex::default(),
            unanswered: AtomicUsize::new(0),
        });
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

    /// From now on, objects below `held/` are delayed.
    pub(crate) fn hold(&self) {
        self.shared.switch_to(State::Held);
    }

    /// From now on, no request is answered; what is delayed already stays so.
    pub(crate) fn silence(&self) {
        self.shared.switch_to(State::Silent);
    }

    /// Waits until this many requests are unanswered.
    pub(crate) fn await_requests(&self, number: usize) {
        until(PATIENCE, "unanswered requests", || {
            (self.shared.unanswered.load(Ordering::SeqCst) >= number).then_some(())
        })
        .unwrap();
    }

    /// From now on, everything passes at full speed.
    pub(crate) fn open(&self) {
        self.shared.switch_to(State::Open);
    }

    /// The first byte of each range requested so far.
    pub(crate) fn ranges(&self) -> Vec<u64> {
        self.shared.ranges.lock().unwrap().clone()
    }

    /// Breaks the connections on which held objects are transferred.
    pub(crate) fn break_off(&self) {
        self.shared.switch_to(State::Broken);
    }
}

/// A proxy to the S3 server; `answer` forwards the responses. Returns its URL.
pub(crate) fn store_proxy(
    answer: impl Fn(Exchange<'_>) -> io::Result<()> + Send + Sync + 'static,
) -> String {
    let port = lab().s3().unwrap().http_port();
    let listening = lab().listen(move |client| exchanges(client, port, &answer));
    format!("http://{}", listening.unwrap())
}

/// Lets waiting requests end if a test fails.
impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Shared {
    fn switch_to(&self, state: State) {
        *self.state.lock().unwrap() = state;
        self.changed.notify_all();
    }

    fn answer(&self, exchange: Exchange<'_>) -> io::Result<()> {
        self.keep_silent();
        exchange.client.write_all(exchange.answer.as_bytes())?;
        let request = exchange.request;
        if request.method == "HEAD" {
            return Ok(());
        }
        let first = request.range().map(|(first, _)| first);
        self.ranges
            .lock()
            .unwrap()
            .extend(first.map(|first| first as u64));
        let length = header(&exchange.answer, "content-length").and_then(|text| text.parse().ok());
        let length = length.ok_or(io::ErrorKind::InvalidData)?;
        let held = request.target.contains("/held/") && *self.state.lock().unwrap() == State::Held;
        let slow_from = held.then(|| BURST.saturating_sub(first.unwrap_or_default()));
        self.body(exchange.server, exchange.client, length, slow_from)
    }

    fn keep_silent(&self) {
        let state = self.state.lock().unwrap();
        if *state == State::Silent {
            self.unanswered.fetch_add(1, Ordering::SeqCst);
        }
        let waiting = |state: &mut State| *state == State::Silent;
        drop(self.changed.wait_while(state, waiting).unwrap());
    }

    /// Forwards a body; from `narrow` bytes on, if given, slowly.
    fn body(
        &self,
        from: &mut impl Read,
        to: &mut impl Write,
        length: usize,
        slow_from: Option<usize>,
    ) -> io::Result<()> {
        let mut done = 0;
        let mut buffer = vec![0; 64 << 10];
        while done < length {
            let most = self.most(slow_from.is_some_and(|from| done >= from))?;
            let most = most.min(length - done).min(buffer.len());
            let got = from.read(&mut buffer[..most])?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            to.write_all(&buffer[..got])?;
            done += got;
        }
        Ok(())
    }

    /// How much may pass now. Waits if the body is delayed.
    fn most(&self, slow_from: bool) -> io::Result<usize> {
        let state = self.state.lock().unwrap();
        if !slow_from || *state == State::Open {
            return Ok(usize::MAX);
        }
        let waiting = |state: &mut State| matches!(*state, State::Held | State::Silent);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, PAUSE, waiting)
            .unwrap();
        match *state {
            State::Held | State::Silent => Ok(TRICKLE),
            State::Open => Ok(usize::MAX),
            State::Broken => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

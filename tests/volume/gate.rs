// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A way to the S3 server that a test can narrow: an object that is held comes so slowly that its recall is under way
//! for as long as the test likes. The connection never stalls, so nobody gives it up.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cloudsync_lab::http::header;
use cloudsync_lab::relay::{Exchange, exchanges};
use cloudsync_lab::until;

use crate::scene::{PATIENCE, lab};

/// So much of the beginning of a held object comes at once: more than is gathered before it is written.
pub(crate) const AT_ONCE: usize = 3 << 20;
/// And then so much in each pause.
const TRICKLE: usize = 16;
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    Held,
    /// Nobody hears anything.
    Silent,
    /// Connections with a held object are broken; what is asked for then passes.
    Broken,
}

#[derive(Debug)]
struct Shared {
    way: Mutex<Way>,
    changed: Condvar,
    /// The first byte that each request for an object asked for.
    ranges: Mutex<Vec<u64>>,
    /// Requests that came when none was answered.
    unanswered: AtomicUsize,
}

/// See the module. It serves until the test program ends.
#[derive(Debug)]
pub(crate) struct Gate {
    url: String,
    shared: Arc<Shared>,
}

impl Gate {
    /// Open.
    pub(crate) fn new() -> Self {
        let shared = Arc::new(Shared {
            way: Mutex::new(Way::Open),
            changed: Condvar::new(),
            ranges: Mutex::default(),
            unanswered: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        Self {
            url: before_the_store(move |exchange| serving.answer(exchange)),
            shared,
        }
    }

    /// What to set as the server's address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on the objects below `held/` come slowly.
    pub(crate) fn hold(&self) {
        self.shared.become_(Way::Held);
    }

    /// From now on no request is answered.
    pub(crate) fn silence(&self) {
        self.shared.become_(Way::Silent);
    }

    /// Waits for so many requests that are not answered.
    pub(crate) fn await_requests(&self, number: usize) {
        until(PATIENCE, "a request", || {
            (self.shared.unanswered.load(Ordering::SeqCst) >= number).then_some(())
        })
        .unwrap();
    }

    /// They come as fast as they can.
    pub(crate) fn open(&self) {
        self.shared.become_(Way::Open);
    }

    /// The first byte that each request so far asked for.
    pub(crate) fn ranges(&self) -> Vec<u64> {
        self.shared.ranges.lock().unwrap().clone()
    }

    /// The connections on which they come break.
    pub(crate) fn break_off(&self) {
        self.shared.become_(Way::Broken);
    }
}

/// A proxy in front of the S3 server, whose answers `answer` forwards. Returns its URL.
pub(crate) fn before_the_store(
    answer: impl Fn(Exchange<'_>) -> io::Result<()> + Send + Sync + 'static,
) -> String {
    let port = lab().s3().unwrap().http_port();
    let listening = lab().listen(move |client| exchanges(client, port, &answer));
    format!("http://{}", listening.unwrap())
}

/// A test that fails leaves nothing that waits.
impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Shared {
    fn become_(&self, way: Way) {
        *self.way.lock().unwrap() = way;
        self.changed.notify_all();
    }

    fn answer(&self, exchange: Exchange<'_>) -> io::Result<()> {
        self.keep_silent();
        exchange.client.write_all(exchange.answer.as_bytes())?;
        let asked = exchange.request;
        if asked.method == "HEAD" {
            return Ok(());
        }
        let first = asked.range().map(|(first, _)| first);
        self.ranges
            .lock()
            .unwrap()
            .extend(first.map(|first| first as u64));
        let length = header(&exchange.answer, "content-length").and_then(|text| text.parse().ok());
        let length = length.ok_or(io::ErrorKind::InvalidData)?;
        let held = asked.target.contains("/held/") && *self.way.lock().unwrap() == Way::Held;
        let narrow = held.then(|| AT_ONCE.saturating_sub(first.unwrap_or_default()));
        self.body(exchange.server, exchange.client, length, narrow)
    }

    fn keep_silent(&self) {
        let way = self.way.lock().unwrap();
        if *way == Way::Silent {
            self.unanswered.fetch_add(1, Ordering::SeqCst);
        }
        let waiting = |way: &mut Way| *way == Way::Silent;
        drop(self.changed.wait_while(way, waiting).unwrap());
    }

    /// Passes a body on; from `narrow` bytes on, if so, slowly.
    fn body(
        &self,
        from: &mut impl Read,
        to: &mut impl Write,
        length: usize,
        narrow: Option<usize>,
    ) -> io::Result<()> {
        let mut done = 0;
        let mut buffer = vec![0; 64 << 10];
        while done < length {
            let most = self.most(narrow.is_some_and(|from| done >= from))?;
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

    /// How much may go now. Waits where the way is narrow.
    fn most(&self, narrow: bool) -> io::Result<usize> {
        let way = self.way.lock().unwrap();
        if !narrow || matches!(*way, Way::Open | Way::Silent) {
            return Ok(usize::MAX);
        }
        let waiting = |way: &mut Way| *way == Way::Held;
        let (way, _) = self
            .changed
            .wait_timeout_while(way, PAUSE, waiting)
            .unwrap();
        match *way {
            Way::Held => Ok(TRICKLE),
            Way::Open | Way::Silent => Ok(usize::MAX),
            Way::Broken => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

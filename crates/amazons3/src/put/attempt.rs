// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One attempt to send a body, watched for as long as it moves.

#![forbid(unsafe_code)]

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cloudsync_store::Tries;
use cloudsync_store::network::Failure;
use tokio::time::timeout_at;

use crate::line::{BUFFERED, Line, Moved};

/// An attempt.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    line: &'a Line,
    moved: Arc<Moved>,
    size: u64,
    least: Duration,
    tried: u32,
    place: &'a str,
}

impl<'a> Attempt<'a> {
    /// An attempt to send `size` bytes to `place`, after so many that failed. A silence shorter than `least` is none.
    pub(super) fn new(
        line: &'a Line,
        least: Duration,
        place: &'a str,
        size: u64,
        tried: u32,
    ) -> Self {
        Self {
            line,
            moved: Arc::new(Moved::new()),
            size,
            least,
            tried,
            place,
        }
    }

    /// For the body, which records in it how it moves.
    pub(super) fn moved(&self) -> Arc<Moved> {
        Arc::clone(&self.moved)
    }

    /// Waits for the request while its body moves.
    pub(super) async fn watch<T>(&self, request: impl Future<Output = T>) -> Result<T, Failure> {
        let mut request = pin!(request);
        let due = || {
            let patience = self
                .line
                .patience(self.least, self.size, &self.moved, self.tried);
            self.moved.last() + patience
        };
        let mut until = due();
        loop {
            if let Ok(done) = timeout_at(until.into(), request.as_mut()).await {
                self.line.answered(self.size, self.moved.took());
                return Ok(done);
            }
            let now = due();
            if now <= until {
                let (moved, size) = (self.moved.bytes(), self.size);
                let why = if moved < size {
                    format!("the connection took only {moved} of {size} bytes")
                } else {
                    "no answer in time".to_owned()
                };
                return Err(Failure::passing(&why, self.place));
            }
            until = now;
        }
    }

    /// Tells the number and the time of retries how far this one came: bytes count that must have left this host.
    pub(super) fn count(&self, tries: &mut Tries) {
        if self.moved.bytes() > BUFFERED {
            tries.worked_until(self.moved.last());
        }
    }
}

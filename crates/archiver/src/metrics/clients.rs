// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Asks the clients of mounts for their metrics. One that hangs does not hold up the others.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use cloudsync_format::command::METRICS;
use cloudsync_metrics::gather::gather;

use crate::client::{self, PATIENCE, hangs};
use crate::parallel::lock;

/// The clients of some mounts.
pub(super) struct Clients {
    all: Vec<Client>,
    /// One asks at a time; others wait for their turn.
    turn: Mutex<()>,
}

struct Client {
    mount: PathBuf,
    /// A thread is still asking: it hangs.
    asking: Arc<AtomicBool>,
}

/// What each client has answered, or why it has not.
pub(super) struct Answers(Vec<(PathBuf, Result<String, String>)>);

impl Clients {
    pub(super) fn new(mounts: &[PathBuf]) -> Self {
        let client = |mount: &PathBuf| Client {
            mount: mount.clone(),
            asking: Arc::default(),
        };
        Self {
            all: mounts.iter().map(client).collect(),
            turn: Mutex::default(),
        }
    }

    /// Asks all of them at the same time.
    pub(super) fn ask(&self) -> Answers {
        let _turn = lock(&self.turn);
        let end = Instant::now() + PATIENCE;
        let asked: Vec<_> = self.all.iter().map(Client::ask).collect();
        let answer = |(client, asked): (&Client, Option<Receiver<io::Result<String>>>)| {
            let answer = asked.ok_or_else(hangs).and_then(|asked| {
                let left = end.saturating_duration_since(Instant::now());
                asked.recv_timeout(left).map_err(|_| hangs())?
            });
            let answer = answer.map_err(|error| error.to_string());
            (client.mount.clone(), answer)
        };
        Answers(self.all.iter().zip(asked).map(answer).collect())
    }
}

impl Client {
    /// Asks on a thread of its own; `None` if the last one still waits.
    fn ask(&self) -> Option<Receiver<io::Result<String>>> {
        if self.asking.swap(true, Ordering::AcqRel) {
            return None;
        }
        let asking = Arc::clone(&self.asking);
        let ended = move || asking.store(false, Ordering::Release);
        let asked = client::begin(&self.mount, METRICS, ended);
        if asked.is_err() {
            self.asking.store(false, Ordering::Release);
        }
        asked.ok()
    }
}

impl Answers {
    /// The mounts that have not answered, and why.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0.iter().filter_map(|(mount, answer)| {
            let why = answer.as_ref().err()?;
            Some((mount.as_path(), why.as_str()))
        })
    }

    /// All metrics, with the mount as a label.
    pub(super) fn text(&self) -> String {
        let each = self.0.iter().map(|(mount, answer)| {
            let up = format!(
                "# HELP cloudsync_up Whether the mount's client answers.\n# TYPE cloudsync_up gauge\ncloudsync_up {}\n",
                u8::from(answer.is_ok())
            );
            (mount.display().to_string(), up + answer.as_deref().unwrap_or_default())
        });
        let each: Vec<_> = each.collect();
        let each = each
            .iter()
            .map(|(mount, text)| (mount.as_str(), text.as_str()));
        gather("mount", each)
    }
}

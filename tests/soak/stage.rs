// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The cluster: a volume on three bricks, the store, two FUSE clients; and what an administrator waits for.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::{Artifacts, Backing, Lab, Layout, Options, Volume, until};

use crate::Answer;
use crate::client::{Pages, Slot};
use crate::settings::Settings;
use crate::store::Store;

/// Of each brick. With all files local it is about half full.
const BRICK: u64 = 640 << 20;

/// Short, so that a fault of some seconds is one.
pub(crate) const TIMEOUTS: &str = "retries=3,connect-timeout=1s,read-timeout=2s,stall-timeout=3s";

/// The running parts.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) lab: Arc<Lab>,
    pub(crate) volume: Volume,
    pub(crate) store: Store,
    /// One lives through all of it, and the other is killed now and then.
    pub(crate) clients: [Slot; 2],
}

impl Stage {
    pub(crate) fn new(settings: &Settings) -> Answer<Self> {
        // Each change of a file is an object, and gc keeps what a file that was changed today has been.
        let minutes = settings.length.as_secs() / 60 + 1;
        let lab = Arc::new(Lab::start(Options {
            artifacts: Some(Artifacts::find(&["amazons3"])?),
            ram: "80%".to_owned(),
            store_bytes: (2 << 30) + minutes * (320 << 20),
        })?);
        let volume = lab.volume("soak", Layout::Replica(3), Backing::Sized(BRICK))?;
        let store = Store::new(&lab)?;
        let settings = store.settings();
        let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
        let more = [("features.cloudsync-store-id", TIMEOUTS)];
        volume.set_all(&settings.chain(more).collect::<Vec<_>>())?;
        let clients = [
            Slot::new("fuse-1", Pages::Cached, &volume)?,
            Slot::new("fuse-2", Pages::Direct, &volume)?,
        ];
        Ok(Self {
            lab,
            volume,
            store,
            clients,
        })
    }

    /// Waits until the bricks have nothing to heal. While files are changed that is so only for moments, so it looks often.
    pub(crate) fn await_heal(&self, patience: Duration) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let name = self.volume.name();
            let info = self.lab.gluster(["volume", "heal", name, "info"]);
            let last = info.unwrap_or_else(|failure| failure.to_string());
            let counts: Vec<_> = last
                .lines()
                .filter_map(|line| line.strip_prefix("Number of entries: "))
                .collect();
            if counts.len() == self.volume.bricks().len()
                && counts.iter().all(|count| *count == "0")
            {
                return Ok(());
            }
            if begun.elapsed() > patience {
                return Err(last);
            }
            let _started = self.lab.gluster(["volume", "heal", name]);
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until each FUSE client is connected to every brick.
    pub(crate) fn await_connections(&self) -> Answer<()> {
        for slot in &self.clients {
            let count = self.volume.bricks().len();
            let file = |number| {
                format!(
                    "graphs/active/{}-client-{number}/private",
                    self.volume.name()
                )
            };
            until(
                Duration::from_secs(120),
                "connections to all bricks",
                || {
                    let connected = |number| {
                        let text = slot.ask(|mount| mount.meta(&file(number)));
                        text.is_some_and(|text| {
                            text.is_ok_and(|text| !text.contains("connected = 0"))
                        })
                    };
                    (0..count).all(connected).then_some(())
                },
            )?;
        }
        Ok(())
    }

    /// State, blocked frames and log of each FUSE client.
    pub(crate) fn report(&self) -> String {
        let reports = self.clients.iter();
        let reports = reports.filter_map(|slot| slot.ask(cloudsync_lab::Mount::report));
        reports.collect::<Vec<_>>().join("\n")
    }
}

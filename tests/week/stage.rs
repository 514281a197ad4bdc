// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The volume, people's mount of it, and the way to the store, on which requests are counted as the store's bill does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloudsync_lab::{Backing, Bucket, Lab, Layout, Mount, MountOptions, Relay, Volume, until};

use crate::Answer;
use crate::ledger::Day;
use crate::variant::Variant;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Requests since the volume exists.
#[derive(Debug, Default)]
struct Requests {
    put: AtomicU64,
    get: AtomicU64,
    head: AtomicU64,
    other: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    lab: &'a Lab,
    volume: Volume,
    bucket: Bucket,
    requests: Arc<Requests>,
    /// Those of the days before.
    before: [u64; 4],
    mount: Option<Mount>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(lab: &'a Lab, variant: Variant) -> Answer<Self> {
        let volume = lab.volume(variant.name(), Layout::Single, Backing::Ram)?;
        let server = lab.s3()?;
        let port = server.http_port();
        let requests = Arc::new(Requests::default());
        let counting = Arc::clone(&requests);
        // A request begins a segment: the clients send the next one when the last is answered.
        let address =
            Relay::default().to(lab, move || Ok(port), move |bytes| counting.see(bytes))?;
        // What is asked here is not on the bill.
        let bucket = server.bucket(variant.name())?;
        let counted = bucket.at(format!("http://{address}"));
        let rules = [("features.cloudsync-product-id", variant.product_id())];
        volume.set_store(&counted, &rules)?;
        let mount = volume.mount(&MountOptions::default())?;
        Ok(Self {
            lab,
            volume,
            bucket,
            requests,
            before: [0; 4],
            mount: Some(mount),
        })
    }

    fn mount(&self) -> Answer<&Mount> {
        Ok(self.mount.as_ref().ok_or("not mounted")?)
    }

    /// Where people see the volume.
    pub(crate) fn place(&self) -> Answer<String> {
        Ok(self.mount()?.inside().display().to_string())
    }

    pub(crate) fn brick(&self) -> String {
        let bricks = self.volume.bricks();
        self.lab.inner(&bricks[0]).display().to_string()
    }

    /// Runs a script. Its output, whatever its exit code.
    pub(crate) fn sh(&self, script: &str) -> Answer<(String, String)> {
        let outcome = self
            .lab
            .run_with(PATIENCE * 5, "bash", ["-c", script], |_| {})?;
        let errors = String::from_utf8_lossy(&outcome.stderr).into_owned();
        match outcome.code() {
            Some(_) => Ok((outcome.text(), errors)),
            None => Err(format!("{outcome}\n{}", self.mount()?.report()).into()),
        }
    }

    /// Which of these files are cold.
    pub(crate) fn cold<'n>(&self, names: impl Iterator<Item = &'n str>) -> BTreeSet<String> {
        let cold = names.filter(|name| self.volume.is_cold_now(name));
        cold.map(str::to_owned).collect()
    }

    /// What people's client has counted since it was mounted.
    fn metric(&self, name: &str) -> Answer<u64> {
        let place = self.place()?;
        let (text, errors) = self.sh(&format!(
            "getfattr --only-values -n glusterfs.cloudsync.metrics {place}"
        ))?;
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        let values = lines.filter(|rest| rest.starts_with(['{', ' ']));
        let values: Vec<f64> = values
            .filter_map(|rest| rest.rsplit(' ').next()?.parse().ok())
            .collect();
        if values.is_empty() {
            return Err(format!("no metric {name}: {errors}\n{text}").into());
        }
        Ok(whole(values.iter().sum()))
    }

    /// Waits until no recall is under way.
    pub(crate) fn await_idle(&self) -> Answer<()> {
        let idle = || (self.metric("cloudsync_jobs").ok()? == 0).then_some(());
        until(PATIENCE, "the end of all recalls", idle)?;
        Ok(())
    }

    /// Adds up the day of people's client, and ends it: what is open is not archived, and what is cached is not read.
    pub(crate) fn close(&mut self, day: &mut Day) -> Answer<()> {
        day.recalled = self.metric("cloudsync_recalls_finished_total")?;
        day.recalled_bytes = self.metric("cloudsync_recalled_bytes_total")?;
        day.received_bytes = self.metric("cloudsync_store_received_bytes_total")?;
        day.remote_reads = self.metric("cloudsync_remote_reads_total")?;
        self.mount.take().ok_or("not mounted")?.unmount()?;
        Ok(())
    }

    pub(crate) fn open(&mut self) -> Answer<()> {
        self.mount = Some(self.volume.mount(&MountOptions::default())?);
        Ok(())
    }

    /// The requests of this day, and what is stored.
    pub(crate) fn count(&mut self, day: &mut Day) {
        let Requests {
            put,
            get,
            head,
            other,
        } = &*self.requests;
        let now = [put, get, head, other].map(|counter| counter.load(Ordering::Relaxed));
        let mut new = now;
        for (new, before) in new.iter_mut().zip(self.before) {
            *new -= before;
        }
        self.before = now;
        [day.put, day.get, day.head, day.other] = new;
    }

    /// The sizes of all objects, in bytes.
    pub(crate) fn stored_bytes(&self) -> Answer<u64> {
        let mut bytes = 0;
        for key in self.bucket.list("")? {
            bytes += self.bucket.head(&key)?.map_or(0, |head| {
                head.header("content-length")
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0)
            });
        }
        Ok(bytes)
    }
}

impl Requests {
    fn see(&self, bytes: &[u8]) {
        let counter = match bytes {
            [b'P', b'U', b'T', b' ', ..] => &self.put,
            [b'G', b'E', b'T', b' ', ..] => &self.get,
            [b'H', b'E', b'A', b'D', b' ', ..] => &self.head,
            [b'P', b'O', b'S', b'T', b' ', ..] | [b'D', b'E', b'L', b'E', b'T', b'E', b' ', ..] => {
                &self.other
            }
            // The rest of a body.
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

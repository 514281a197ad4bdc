// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Restores objects in a storage class that cannot be read (Glacier, Deep Archive, the archive tiers of
//! Intelligent-Tiering): requests a readable copy; until it exists, the reader gets `EBUSY` or waits.
//!
//! That an object cannot be read is not derived from its class, but from the error InvalidObjectState of a GET. The
//! progress of a restore is in the header `x-amz-restore` of the response to a HEAD.

#![forbid(unsafe_code)]

pub(crate) mod bulk;

use std::time::{Duration, Instant};

use aws_sdk_s3::types::{GlacierJobParameters, RestoreRequest, Tier};
use cloudsync_store::{Object, Sink, StoreError};
use tokio::time::sleep;

use crate::failure;
use crate::s3::S3;
use cloudsync_store::network::Failure;
use cloudsync_store::network::persist;

/// The state of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not requested. `tiered`: in Intelligent-Tiering, where a restore is permanent.
    Archived { tiered: bool },
    /// In progress.
    Ongoing,
    /// The object can be read.
    Done,
}

/// The interval between checks: short at first, for fast tiers, then longer.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The interval between checks for cancellation.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Restores the object `key` according to the settings, after the store has refused to read it (`refusal`). Returns
/// once it can be read.
pub(crate) async fn restore(
    store: &S3,
    key: &str,
    refusal: StoreError,
    sink: &mut dyn Sink,
) -> Result<(), StoreError> {
    let settings = &store.settings.restore;
    if settings.tier.is_none() && settings.wait.is_zero() {
        return Err(refusal);
    }
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut requested = false;
    loop {
        let state = state(store, key).await?;
        match (state, &settings.tier) {
            (State::Done, _) => return Ok(()),
            (State::Archived { .. }, None) => return Err(refusal),
            (State::Archived { tiered }, Some(tier)) if !requested => {
                if !sink.may_restore() {
                    return Err(StoreError::Archived(format!(
                        "it must be restored first, and guard-files and guard-bytes allow no more restores now ({})",
                        store.place
                    )));
                }
                let asking = Asking {
                    tier: tier.clone(),
                    days: settings.days,
                };
                ask(store, key, &asking, tiered).await?;
                requested = true;
            }
            (State::Archived { .. } | State::Ongoing, _) => {}
        }
        let left = settings.wait.saturating_sub(started.elapsed());
        if left.is_zero() || !sink.waits(true) {
            return Err(StoreError::Archived(under_way(store, state)));
        }
        let rested = rest(pause.min(left), sink).await;
        sink.waits(false);
        rested?;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits, unless the request is cancelled.
async fn rest(mut left: Duration, sink: &dyn Sink) -> Result<(), StoreError> {
    while !left.is_zero() {
        if sink.cancelled() {
            return Err(StoreError::Cancelled);
        }
        let now = left.min(LOOK_AGAIN);
        sleep(now).await;
        left -= now;
    }
    Ok(())
}

/// Forwards bytes to a sink and records whether there were any.
pub(crate) struct Watched<'s> {
    pub(crate) sink: &'s mut dyn Sink,
    pub(crate) began: bool,
}

impl Sink for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.began = true;
        self.sink.write(bytes)
    }

    fn cancelled(&self) -> bool {
        self.sink.cancelled()
    }

    fn describe(&mut self, object: &Object) {
        self.sink.describe(object);
    }

    fn throttled(&mut self) {
        self.sink.throttled();
    }

    fn may_restore(&mut self) -> bool {
        self.sink.may_restore()
    }

    fn waits(&mut self, begins: bool) -> bool {
        self.sink.waits(begins)
    }
}

fn under_way(store: &S3, state: State) -> String {
    let settings = &store.settings.restore;
    let tier = settings.tier.as_ref().map_or("", Tier::as_str);
    let what = match state {
        State::Archived { .. } => format!("a restore ({tier}) was asked for"),
        State::Ongoing | State::Done => "a restore is in progress".to_owned(),
    };
    let place = &store.place;
    format!("{what}; read the file again later, or let readers wait with restore-wait= ({place})")
}

/// Queries the state of the restore.
async fn state(store: &S3, key: &str) -> Result<State, StoreError> {
    persist(store.settings.retries, async || {
        let request = store.client.head_object().bucket(&store.settings.bucket);
        let answer = request.key(store.settings.key(key)).send().await;
        let answer = answer.map_err(|error| failure::of(&error, &store.place, failure::GET))?;
        Ok(parse(answer.restore(), answer.archive_status().is_some()))
    })
    .await
}

/// Parses `ongoing-request="true"` or `ongoing-request="false", expiry-date="..."`. Without the header, no restore was
/// requested.
fn parse(header: Option<&str>, tiered: bool) -> State {
    let value = header.and_then(|text| {
        text.split(',')
            .find_map(|part| part.trim().strip_prefix("ongoing-request="))
    });
    match value.map(|value| value.trim_matches('"')) {
        Some("true") => State::Ongoing,
        Some("false") => State::Done,
        _ => State::Archived { tiered },
    }
}

/// What is asked for.
struct Asking {
    tier: Tier,
    days: i32,
}

/// Requests a readable copy. Returns false if that has already been requested.
async fn ask(store: &S3, key: &str, asking: &Asking, tiered: bool) -> Result<bool, StoreError> {
    let tier = asking.tier.clone();
    let job = GlacierJobParameters::builder().tier(tier.clone()).build();
    let job = job.map_err(|error| StoreError::Other(error.to_string()))?;
    let what = RestoreRequest::builder()
        .glacier_job_parameters(job)
        .set_days((!tiered).then_some(asking.days))
        .build();
    persist(store.settings.retries, async || {
        let request = store.client.restore_object().bucket(&store.settings.bucket);
        let request = request
            .key(store.settings.key(key))
            .restore_request(what.clone());
        let Err(error) = request.send().await else {
            return Ok(true);
        };
        let code = error
            .as_service_error()
            .and_then(|error| error.meta().code());
        Err(match code {
            // Another client has already requested it.
            Some("RestoreAlreadyInProgress") => return Ok(false),
            Some("GlacierExpeditedRetrievalNotAvailable") => {
                Failure::final_(StoreError::Archived(format!(
                    "the store has no capacity for the tier Expedited now; try later or another tier ({})",
                    store.place
                )))
            }
            _ => match failure::of(&error, &store.place, "s3:RestoreObject") {
                Failure {
                    error: StoreError::PermissionDenied(text),
                    passing,
                } => Failure {
                    error: StoreError::PermissionDenied(format!(
                        "{text}; a restore needs s3:RestoreObject"
                    )),
                    passing,
                },
                other => other,
            },
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_decides() {
        let archived = State::Archived { tiered: false };
        for (header, state) in [
            (None, archived),
            (Some(""), archived),
            (Some("ongoing-request=\"true\""), State::Ongoing),
            (
                Some("ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\""),
                State::Done,
            ),
            (
                Some("expiry-date=\"x\", ongoing-request=\"false\""),
                State::Done,
            ),
            (Some("nonsense"), archived),
        ] {
            assert_eq!(parse(header, false), state, "{header:?}");
        }
    }
}

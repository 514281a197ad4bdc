// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Asks for restores on behalf of the archiver: of one object after the other, without waiting for any.

#![forbid(unsafe_code)]

use aws_sdk_s3::types::Tier;
use cloudsync_store::StoreError;
use cloudsync_store::network::{Failure, persist};
use cloudsync_store::restores::{Restored, Speed, Wanted};

use super::{Asking, State, ask, state};
use crate::failure;
use crate::s3::S3;

/// Asks for the restore of the object `key`, if it cannot be read and something is wanted.
pub(crate) async fn restore(
    store: &S3,
    key: &str,
    wanted: Option<&Wanted>,
) -> Result<Restored, StoreError> {
    // As for reads, the refusal decides, and not the storage class.
    let read = persist(store.settings.retries, async || {
        try_to_read(store, key).await
    })
    .await;
    match read {
        Ok(restored) => return Ok(restored),
        Err(StoreError::Archived(_)) => {}
        Err(error) => return Err(error),
    }
    let tiered = match state(store, key).await? {
        State::Archived { tiered } => tiered,
        State::Ongoing => return Ok(Restored::UnderWay),
        State::Done => return Ok(Restored::Back),
    };
    let Some(wanted) = wanted else {
        return Ok(Restored::Archived);
    };
    let settings = &store.settings.restore;
    let asking = Asking {
        tier: match wanted.speed {
            Some(Speed::Standard) => Tier::Standard,
            Some(Speed::Bulk) => Tier::Bulk,
            Some(Speed::Expedited) => Tier::Expedited,
            None => settings.tier.clone().unwrap_or(Tier::Standard),
        },
        days: wanted.days.map_or(settings.days, |days| {
            i32::try_from(days).unwrap_or(i32::MAX)
        }),
    };
    match ask(store, key, &asking, tiered).await? {
        true => Ok(Restored::Archived),
        false => Ok(Restored::UnderWay),
    }
}

/// Reads one byte.
async fn try_to_read(store: &S3, key: &str) -> Result<Restored, Failure> {
    let request = store.client.get_object().bucket(&store.settings.bucket);
    let request = request.key(store.settings.key(key)).range("bytes=0-0");
    match request.send().await {
        Ok(answer) if answer.restore().is_some() => Ok(Restored::Back),
        Ok(_) => Ok(Restored::NotNeeded),
        Err(error) => Err(failure::of(&error, &store.place, failure::GET)),
    }
}

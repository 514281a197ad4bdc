// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Multipart uploads.

#![forbid(unsafe_code)]

use aws_sdk_s3::types::CompletedPart;
use cloudsync_store::network::memory::Piece;
use cloudsync_store::network::persist;
use cloudsync_store::network::upload::check;
use cloudsync_store::{Checksum, StoreError, Tries};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::request::{self, Part, Put};

/// The number of parts of one upload in flight at once.
const AT_ONCE: usize = 8;

pub(super) async fn in_parts(put: &Put<'_>, part: u64) -> Result<(), StoreError> {
    // Few stores check the condition when the upload completes, so check before sending the bytes.
    put.refuse_existing()
        .await
        .map_err(|failure| failure.error)?;
    let id = persist(put.store.settings.retries, async || {
        request::create(put).await
    })
    .await?;
    let done = match send_all(put, &id, part).await {
        Ok(parts) => complete(put, &id, parts).await,
        Err(error) => Err(error),
    };
    if done.is_err() {
        request::abort(put, &id).await;
    }
    done
}

/// Sends all parts. After an error, parts in flight are cancelled.
async fn send_all(put: &Put<'_>, id: &str, size: u64) -> Result<Vec<CompletedPart>, StoreError> {
    let whole = put.upload.size;
    let mut under_way = JoinSet::new();
    let mut done = Vec::new();
    let mut sum: Option<Checksum> = None;
    let mut offset = 0;
    for number in 1.. {
        if offset >= whole {
            break;
        }
        let bytes = size.min(whole - offset);
        let room = put.store.memory.take(bytes).await?;
        let (piece, checksum) = room.read(put.upload.source, put.algorithm(), offset)?;
        sum = Some(sum.map_or(checksum, |sum| sum.then(checksum, bytes)));
        let part = Part::new(put, id, number, checksum);
        under_way.spawn(send(part, piece, put.store.settings.retries));
        if under_way.len() >= AT_ONCE {
            done.extend(next(&mut under_way).await?);
        }
        offset += bytes;
    }
    // The object does not exist before the upload is completed, so a wrong checksum leaves nothing.
    if let Some(sum) = sum {
        check(put.upload, sum)?;
    }
    while !under_way.is_empty() {
        done.extend(next(&mut under_way).await?);
    }
    done.sort_by_key(CompletedPart::part_number);
    Ok(done)
}

async fn next(
    under_way: &mut JoinSet<Result<CompletedPart, StoreError>>,
) -> Result<Option<CompletedPart>, StoreError> {
    match under_way.join_next().await {
        None => Ok(None),
        Some(Ok(part)) => part.map(Some),
        Some(Err(error)) => Err(StoreError::Other(error.to_string())),
    }
}

/// Sends one part, as often as necessary.
async fn send(part: Part, piece: Piece, retries: u32) -> Result<CompletedPart, StoreError> {
    let mut tries = Tries::new(retries);
    loop {
        let attempt = part.attempt(&piece, tries.failed());
        match part.send(&piece, &attempt).await {
            Ok(done) => return Ok(done),
            Err(failure) => {
                attempt.count(&mut tries);
                sleep(tries.again(failure.error, failure.passing)?).await;
            }
        }
    }
}

async fn complete(put: &Put<'_>, id: &str, parts: Vec<CompletedPart>) -> Result<(), StoreError> {
    let mut tries = Tries::new(put.store.settings.retries);
    let mut first = true;
    loop {
        match request::complete(put, id, parts.clone()).await {
            Ok(()) => return Ok(()),
            // The response to an earlier try may have been lost: then the object exists, and the upload does not.
            Err(failure) if !first && !failure.passing => {
                return if put.is_there().await? {
                    Ok(())
                } else {
                    Err(failure.error)
                };
            }
            Err(failure) => sleep(tries.again(failure.error, failure.passing)?).await,
        }
        first = false;
    }
}

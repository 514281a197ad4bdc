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

use super::multipart::{self, Part};
use super::request::Put;
use super::resume::{Begun, There, is_kept};

/// The number of parts of one upload in flight at once.
const AT_ONCE: usize = 8;

/// How an upload in parts ended that goes on with an earlier one.
enum Resumed {
    Done,
    /// The earlier one is of no use.
    Useless,
}

/// Uploads it in parts of `part` bytes. Goes on with the upload of an earlier run, if there is one with the same bytes;
/// returns whether it did.
pub(super) async fn in_parts(put: &Put<'_>, part: u64) -> Result<bool, StoreError> {
    // Few stores check the condition when the upload completes, so check before sending the bytes.
    put.refuse_existing().await?;
    if put.upload.resumable
        && let Some(begun) = Begun::find(put).await
    {
        if let Resumed::Done = resume(put, &begun, part).await? {
            return Ok(true);
        }
        put.refuse_existing().await?;
    }
    let id = persist(put.store.settings.retries, async || {
        multipart::create(put).await
    })
    .await?;
    let begun = Begun::new(id);
    let done = match send_all(put, &begun, part).await {
        Ok(parts) => complete(put, &begun.id, parts.unwrap_or_default()).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &done
        && !(put.upload.resumable && is_kept(error))
    {
        multipart::abort(put, &begun.id).await;
    }
    done.map(|()| false)
}

/// Goes on with an upload. It is never aborted, because the run that has begun it may not have ended.
async fn resume(put: &Put<'_>, begun: &Begun, part: u64) -> Result<Resumed, StoreError> {
    let done = match send_all(put, begun, part).await {
        Ok(None) => return Ok(Resumed::Useless),
        Ok(Some(parts)) => complete(put, &begun.id, parts).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => Ok(Resumed::Done),
        // It was completed or aborted in the meantime, or the store does not take its parts.
        Err(StoreError::Missing(_) | StoreError::Other(_)) => {
            if put.is_there().await? {
                Ok(Resumed::Done)
            } else {
                Ok(Resumed::Useless)
            }
        }
        Err(error) => Err(error),
    }
}

/// Sends all parts that are not there yet; `None` if what is there are other bytes. After an error, parts in flight are
/// cancelled.
async fn send_all(
    put: &Put<'_>,
    begun: &Begun,
    size: u64,
) -> Result<Option<Vec<CompletedPart>>, StoreError> {
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
        offset += bytes;
        let named = put.named(&piece.bytes(), checksum);
        match begun.part(number, &piece.bytes(), checksum, &named) {
            There::Same(part) => {
                done.push(*part);
                continue;
            }
            There::Other => return Ok(None),
            There::No => {}
        }
        let part = Part::new(put, &begun.id, number, named);
        under_way.spawn(send(part, piece, put.store.settings.retries));
        if under_way.len() >= AT_ONCE {
            done.extend(next(&mut under_way).await?);
        }
    }
    // The object does not exist before the upload is completed, so a wrong checksum leaves nothing.
    if let Some(sum) = sum {
        check(put.upload, sum)?;
    }
    while !under_way.is_empty() {
        done.extend(next(&mut under_way).await?);
    }
    done.sort_by_key(CompletedPart::part_number);
    Ok(Some(done))
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
    // Once more: another run may have created it while the bytes were sent, and few stores check the condition.
    put.refuse_existing().await?;
    loop {
        match multipart::complete(put, id, parts.clone()).await {
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

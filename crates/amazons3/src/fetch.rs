// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Fetches bytes by GET, with retries. The sink gets every byte of the range once, in order, from one version of the
//! object; otherwise the caller gets an error.
//!
//! The future runs on the recall's thread, which may block. While the sink waits for the volume, nothing is read from
//! the connection, which provides back-pressure.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::time::{Duration, Instant};

use cloudsync_store::network::while_wanted;
use cloudsync_store::{Checksum, Object, Sink, StoreError, Tries};
use tokio::time::{sleep, timeout};

use crate::answer::{bare_etag, bytes_to_skip, is_compressed, strong_etag};
use crate::direct::{Answer, Asked};
use crate::failure;
use crate::metadata::CHECKSUM_METADATA;
use crate::s3::S3;
use cloudsync_store::network::Failure;

/// A connection that delivers fewer bytes than this within the stall timeout counts as stalled. The time spent writing
/// to the volume does not count.
const TRICKLE: usize = 1 << 10;

/// Passes the bytes `range` of the object `key` to `sink`.
pub(crate) async fn fetch(
    store: &S3,
    key: &str,
    object: &Object,
    range: Range<u64>,
    sink: &mut dyn Sink,
) -> Result<(), StoreError> {
    let mut tries = Tries::new(store.settings.retries);
    let mut left = range;
    while !left.is_empty() {
        let before = left.start;
        let result = once(store, key, object, &mut left, sink).await;
        tries.brought(left.start - before);
        if let Err(failure) = result {
            if matches!(failure.error, StoreError::Throttled(_)) {
                sink.throttled();
            }
            let pause = tries.again(failure.error, failure.passing)?;
            while_wanted(sink, sleep(pause)).await?;
        }
    }
    Ok(())
}

/// Sends one GET. Removes the bytes passed to the sink from the front of `left`.
async fn once(
    store: &S3,
    key: &str,
    object: &Object,
    left: &mut Range<u64>,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let answer = ask(store, key, object, left, sink).await?;
    if let (Some(etag), Some(now)) = (&object.etag, &answer.etag)
        && bare_etag(etag) != bare_etag(now)
    {
        let why = format!("version {now} instead of {etag} ({})", store.place);
        return Err(Failure::final_(StoreError::Changed(why)));
    }
    let encoding = answer.encoding.as_deref();
    if is_compressed(encoding, answer.length) {
        let encoding = encoding.unwrap_or_default();
        let why = format!(
            "the response was compressed on its way ({encoding}), which the proxy before the store must not do ({})",
            store.place
        );
        return Err(Failure::final_(StoreError::Other(why)));
    }
    let mut skip = bytes_to_skip(left, object.size, answer.range.as_deref(), answer.length)
        .map_err(|why| {
            Failure::final_(StoreError::Other(format!(
                "invalid response of the store: {why} ({})",
                store.place
            )))
        })?;

    // Our own metadata is in every response, for any part. The store's own checksum may be missing, or be the part's.
    let checksum = answer.checksum.as_deref();
    if let Some(checksum) = checksum.and_then(Checksum::parse) {
        sink.describe(&Object {
            size: object.size,
            etag: answer.etag.clone(),
            checksum: Some(checksum),
        });
    }

    let mut body = answer.body;
    let (mut waited, mut received) = (Duration::ZERO, 0);
    while !left.is_empty() {
        let started = Instant::now();
        let next = timeout(store.settings.stall_timeout, body.next());
        let chunk = match while_wanted(sink, next).await.map_err(Failure::final_)? {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(error))) => {
                let why = format!("the connection was lost at byte {}: {error}", left.start);
                return Err(Failure::passing(&why, &store.place));
            }
            Ok(None) => {
                let why = format!("the response ended at byte {} of {}", left.start, left.end);
                return Err(Failure::passing(&why, &store.place));
            }
            Err(_) => {
                let why = format!("no data for {:?}", store.settings.stall_timeout);
                return Err(Failure::passing(&why, &store.place));
            }
        };
        waited += started.elapsed();
        received += chunk.len();
        let mut bytes: &[u8] = &chunk;
        let skipped = bytes.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
        skip -= skipped as u64;
        bytes = &bytes[skipped..];
        let wanted = usize::try_from(left.end - left.start).unwrap_or(usize::MAX);
        // More than requested arrives only if the response is the whole object.
        bytes = &bytes[..bytes.len().min(wanted)];
        if !bytes.is_empty() {
            sink.write(bytes).map_err(Failure::final_)?;
            left.start += bytes.len() as u64;
        }
        if received >= TRICKLE {
            (waited, received) = (Duration::ZERO, 0);
        } else if waited >= store.settings.stall_timeout && !left.is_empty() {
            let why = format!("only {received} bytes received in {waited:?}");
            return Err(Failure::passing(&why, &store.place));
        }
    }
    Ok(())
}

/// Asks for what is left of a range.
async fn ask(
    store: &S3,
    key: &str,
    object: &Object,
    left: &Range<u64>,
    sink: &dyn Sink,
) -> Result<Answer, Failure> {
    let key = store.settings.key(key);
    let range = format!("bytes={}-{}", left.start, left.end - 1);
    // A weak one never matches; a proxy has made it weak.
    let etag = object.etag.as_deref().map(strong_etag);
    let direct = store.direct.get(&key, &range, etag, &store.place);
    let direct = while_wanted(sink, direct).await.map_err(Failure::final_)?;
    let refused = match direct? {
        Asked::Answer(answer) => return Ok(answer),
        Asked::Refused(_) => true,
        Asked::Unknown => false,
    };
    let request = store.client.get_object().bucket(&store.settings.bucket);
    let request = request
        .key(&key)
        .range(range)
        .set_if_match(etag.map(str::to_owned));
    let request = request.customize().interceptor(store.direct.watching(&key));
    let answer = while_wanted(sink, request.send())
        .await
        .map_err(Failure::final_)?;
    let answer = answer.map_err(|error| failure::of(&error, &store.place, failure::GET))?;
    store.direct.learn(refused);
    let metadata = answer.metadata();
    Ok(Answer {
        etag: answer.e_tag().map(str::to_owned),
        encoding: answer.content_encoding().map(str::to_owned),
        length: answer.content_length(),
        range: answer.content_range().map(str::to_owned),
        checksum: metadata.and_then(|metadata| metadata.get(CHECKSUM_METADATA).cloned()),
        body: answer.body,
    })
}

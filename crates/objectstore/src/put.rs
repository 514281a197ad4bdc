// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Puts a new object: whole, or, after an error, with nothing visible under its key.
//!
//! An object of up to one part is a single request, conditional on the key being unused. Neither cloud supports that
//! condition for joining parts. So larger objects are uploaded in parts under a unique name, and the store copies them
//! from there to the key, again on condition that it is unused.

#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};

use cloudsync_store::network::upload::{COMPLETING, PART, check, part_size, turn};
use cloudsync_store::network::{Failure, persist};
use cloudsync_store::{Checksum, Object, StoreError, Tries, Upload};
use object_store::path::Path;
use object_store::{
    MultipartUpload, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::backend::Connection;
use crate::failure;
use crate::kept::attributes;
use crate::list::UPLOADS;

/// Parts in flight per upload.
const AT_ONCE: usize = 8;

impl Connection {
    /// See [`cloudsync_store::Archive::put`].
    pub(crate) async fn put(&self, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError> {
        let name = self
            .name(key)
            .map_err(|_| StoreError::Other(format!("{key:?} cannot be the name of an object")))?;
        if upload.size <= PART {
            self.whole(key, &name, upload).await?;
        } else {
            self.in_parts(key, &name, upload).await?;
        }
        let object = self.head(key).await?;
        if object.size == upload.size && object.checksum == Some(upload.checksum) {
            return Ok(object);
        }
        let why = format!(
            "sent {} bytes, checksum {}; the store has {} bytes, checksum {:?} ({})",
            upload.size, upload.checksum, object.size, object.checksum, self.place
        );
        // We created the object, and it is wrong.
        let _ = self.remove(&name).await;
        Err(StoreError::Corrupt(why))
    }

    async fn whole(&self, key: &str, name: &Path, upload: &Upload<'_>) -> Result<(), StoreError> {
        let room = self.memory.take(upload.size).await?;
        turn(upload, upload.size).await;
        let (piece, checksum) = room.read(upload.source, upload.checksum.algorithm(), 0)?;
        check(upload, checksum)?;
        self.only_once(key, upload, async || {
            let options = PutOptions {
                mode: PutMode::Create,
                attributes: attributes(upload),
                ..PutOptions::default()
            };
            let put = self
                .client
                .put_opts(name, PutPayload::from(piece.bytes()), options);
            put.await.map(drop)
        })
        .await
    }

    /// Repeats `create`, which creates the object if there is none, until its outcome is known.
    async fn only_once(
        &self,
        key: &str,
        upload: &Upload<'_>,
        create: impl AsyncFn() -> object_store::Result<()>,
    ) -> Result<(), StoreError> {
        let mut tries = Tries::new(self.retries);
        let mut first = true;
        loop {
            let failed = match timeout(COMPLETING, create()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => failure::of(&error, &self.place),
                Err(_) => Failure::passing("no answer in time", &self.place),
            };
            match failed.error {
                error @ (StoreError::Exists(_) | StoreError::Changed(_)) => {
                    // It may be ours: the answer to an earlier attempt may have been lost.
                    if !first && self.is_there(key, upload).await? {
                        return Ok(());
                    }
                    return Err(StoreError::Exists(error.to_string()));
                }
                error => sleep(tries.again(error, failed.passing)?).await,
            }
            first = false;
        }
    }

    /// Whether the object under the key is the one of this upload.
    async fn is_there(&self, key: &str, upload: &Upload<'_>) -> Result<bool, StoreError> {
        match self.describe(key).await {
            Ok((object, kept)) => Ok(object.size == upload.size
                && object.checksum == Some(upload.checksum)
                && kept == *upload.metadata),
            Err(StoreError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn in_parts(
        &self,
        key: &str,
        name: &Path,
        upload: &Upload<'_>,
    ) -> Result<(), StoreError> {
        // To fail before the upload and not only at the copy.
        match self.head(key).await {
            Err(StoreError::Missing(_)) => {}
            Ok(_) => return Err(StoreError::Exists(format!("{key} ({})", self.place))),
            Err(error) => return Err(error),
        }
        let aside = self.aside(key)?;
        let done = match self.send_all(&aside, upload).await {
            Ok(()) => self.publish(&aside, key, name, upload).await,
            Err(error) => Err(error),
        };
        // If this fails, `unfinished` finds it.
        let _ = self.remove(&aside).await;
        done
    }

    /// A unique name for an upload in parts.
    fn aside(&self, key: &str) -> Result<Path, StoreError> {
        // Every `RandomState` has a new random seed.
        let random = || RandomState::new().hash_one(key);
        let name = format!(
            "{}{UPLOADS}{:016x}{:016x}/{key}",
            self.prefix,
            random(),
            random()
        );
        Path::parse(name).map_err(|error| StoreError::Other(error.to_string()))
    }

    async fn send_all(&self, aside: &Path, upload: &Upload<'_>) -> Result<(), StoreError> {
        let of = |error: &object_store::Error| failure::of(error, &self.place).error;
        let options = PutMultipartOptions {
            attributes: attributes(upload),
            ..PutMultipartOptions::default()
        };
        let mut parts = self
            .uploads
            .put_multipart_opts(aside, options)
            .await
            .map_err(|error| of(&error))?;
        let sent = self.send(parts.as_mut(), upload).await;
        let done = match sent {
            Ok(()) => parts.complete().await.map(drop).map_err(|error| of(&error)),
            Err(error) => Err(error),
        };
        if done.is_err() {
            let _ = parts.abort().await;
        }
        done
    }

    /// Sends every part. An error cancels those in flight.
    async fn send(
        &self,
        parts: &mut dyn MultipartUpload,
        upload: &Upload<'_>,
    ) -> Result<(), StoreError> {
        let size = part_size(upload.size);
        let mut in_flight = JoinSet::new();
        let mut sum: Option<Checksum> = None;
        let mut offset = 0;
        while offset < upload.size {
            let bytes = size.min(upload.size - offset);
            let room = self.memory.take(bytes).await?;
            // The client takes a part as a whole, so the rate holds from part to part.
            turn(upload, bytes).await;
            let algorithm = upload.checksum.algorithm();
            let (piece, checksum) = room.read(upload.source, algorithm, offset)?;
            sum = Some(sum.map_or(checksum, |sum| sum.then(checksum, bytes)));
            let part = parts.put_part(piece.bytes().into());
            in_flight.spawn(async move {
                let _kept = piece;
                part.await
            });
            if in_flight.len() >= AT_ONCE {
                self.next(&mut in_flight).await?;
            }
            offset += bytes;
        }
        if let Some(sum) = sum {
            check(upload, sum)?;
        }
        while !in_flight.is_empty() {
            self.next(&mut in_flight).await?;
        }
        Ok(())
    }

    async fn next(
        &self,
        in_flight: &mut JoinSet<object_store::Result<()>>,
    ) -> Result<(), StoreError> {
        match in_flight.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(failure::of(&error, &self.place).error),
            Some(Err(error)) => Err(StoreError::Other(error.to_string())),
        }
    }

    /// Has the store copy the upload to its key, and waits for the end: Azure may answer when the copy has only
    /// started.
    async fn publish(
        &self,
        aside: &Path,
        key: &str,
        name: &Path,
        upload: &Upload<'_>,
    ) -> Result<(), StoreError> {
        self.only_once(key, upload, async || {
            self.client.copy_if_not_exists(aside, name).await
        })
        .await?;
        let copied = persist(self.retries, async || {
            let size = self.head(key).await.map_err(Failure::final_)?.size;
            if size == upload.size {
                return Ok(());
            }
            let why = format!("the store has copied {size} of {} bytes", upload.size);
            Err(Failure::passing(&why, &self.place))
        });
        let copied = copied.await;
        if copied.is_err() {
            let _ = self.remove(name).await;
        }
        copied
    }
}

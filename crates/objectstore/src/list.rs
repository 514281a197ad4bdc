// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Lists and removes objects, and finds abandoned uploads in parts.

#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime};

use cloudsync_store::network::{Circle, Failure, persist};
use cloudsync_store::{Listed, StoreError};
use object_store::list::{PaginatedListOptions, PaginatedListResult};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::time::timeout;

use crate::backend::Connection;
use crate::failure;

/// Prefix of uploads in parts until they are complete: `.uploads/RANDOM/KEY`. No key begins with it.
pub(crate) const UPLOADS: &str = ".uploads/";

/// A page of a listing, and the token of the next one.
pub(crate) struct Page {
    pub(crate) objects: Vec<Listed>,
    pub(crate) next: Option<String>,
}

impl Connection {
    /// Fetches a page of the objects whose keys begin with `prefix`; the first one for `None`.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        next: Option<String>,
        circle: &mut Circle<String>,
    ) -> Result<Page, StoreError> {
        let begins = format!("{}{prefix}", self.prefix);
        let listed = |meta: ObjectMeta| {
            let key = meta.location.as_ref().strip_prefix(&self.prefix)?;
            // In a listing for `a`, one cloud includes the object `a` itself and the other does not, so it is added by
            // `named`.
            (key != prefix && !key.starts_with(UPLOADS)).then(|| listed(key, &meta))
        };
        let first = match next {
            None => self.named(prefix).await?,
            Some(_) => None,
        };
        let begins = (!begins.is_empty()).then_some(begins.as_str());
        let page = self.server_page(begins, next.as_ref(), circle).await?;
        let others = page.result.objects.into_iter().filter_map(listed);
        Ok(Page {
            objects: first.into_iter().chain(others).collect(),
            next: page.page_token,
        })
    }

    /// A page of the server's list, below `prefix`. Fails if it refers to an earlier one.
    async fn server_page(
        &self,
        prefix: Option<&str>,
        next: Option<&String>,
        circle: &mut Circle<String>,
    ) -> Result<PaginatedListResult, StoreError> {
        let page = persist(self.retries, async || {
            let options = PaginatedListOptions {
                page_token: next.cloned(),
                ..PaginatedListOptions::default()
            };
            match timeout(self.timeout, self.client.list_paginated(prefix, options)).await {
                Ok(page) => page.map_err(|error| failure::of(&error, &self.place)),
                Err(_) => Err(Failure::passing("no listing in time", &self.place)),
            }
        })
        .await?;
        let next = page.page_token.as_ref();
        if next.is_some_and(|next| next.is_empty() || circle.closes(next)) {
            return Err(StoreError::Other(format!(
                "{}: the server's list cannot be trusted: a page has an empty or repeated continuation token",
                self.place
            )));
        }
        Ok(page)
    }

    /// The object with exactly this key, if there is one.
    async fn named(&self, key: &str) -> Result<Option<Listed>, StoreError> {
        if key.is_empty() || key.ends_with('/') {
            return Ok(None);
        }
        let Ok(name) = self.name(key) else {
            return Ok(None);
        };
        match self.metadata(&name).await {
            Ok(found) => Ok(Some(listed(key, &found.meta))),
            Err(StoreError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.name(key) {
            Ok(name) => self.remove(&name).await,
            Err(_) => Ok(()),
        }
    }

    /// Removes the object of this name. Succeeds if the object does not exist.
    pub(crate) async fn remove(&self, name: &Path) -> Result<(), StoreError> {
        let removed = persist(self.retries, async || {
            match timeout(self.timeout, self.client.delete(name)).await {
                Ok(done) => done.map_err(|error| failure::of(&error, &self.place)),
                Err(_) => Err(Failure::passing("no answer in time", &self.place)),
            }
        });
        match removed.await {
            Ok(()) | Err(StoreError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// See [`cloudsync_store::Archive::unfinished`]. Only uploads whose parts were joined can be listed, below
    /// [`UPLOADS`]. Parts before that cannot; Azure drops them after a week, Google by a lifecycle rule of the bucket.
    pub(crate) async fn unfinished(
        &self,
        prefix: &str,
        age: Duration,
        remove: bool,
    ) -> Result<Vec<String>, StoreError> {
        let before = SystemTime::now()
            .checked_sub(age)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let below = format!("{}{UPLOADS}", self.prefix);
        let mut found = Vec::new();
        let mut next = None;
        let mut circle = Circle::default();
        loop {
            let page = self
                .server_page(Some(&below), next.as_ref(), &mut circle)
                .await?;
            for meta in page.result.objects {
                let key = meta.location.as_ref().strip_prefix(&below);
                let Some((_, key)) = key.and_then(|rest| rest.split_once('/')) else {
                    continue;
                };
                if !key.starts_with(prefix) || SystemTime::from(meta.last_modified) > before {
                    continue;
                }
                if remove {
                    self.remove(&meta.location).await?;
                }
                found.push(key.to_owned());
            }
            next = page.page_token;
            if next.is_none() {
                return Ok(found);
            }
        }
    }
}

fn listed(key: &str, meta: &ObjectMeta) -> Listed {
    Listed {
        key: key.to_owned(),
        size: meta.size,
        modified: meta.last_modified.into(),
    }
}

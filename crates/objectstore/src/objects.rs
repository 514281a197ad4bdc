// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Describes and fetches objects, for any client. Whatever fails on the way, either the sink gets every byte of the
//! range once, in order and of one version of the object, or the caller gets an error.

#![forbid(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use cloudsync_store::network::{Circle, Failure, in_pages, persist, runtime, while_wanted};
use cloudsync_store::{
    Archive, Listed, Metadata, Object, Options, Sink, Store, StoreError, Tries, Upload,
};
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetResult};
use tokio::time::{sleep, timeout};

use crate::backend::{Backend, Connection};
use crate::failure;
use crate::kept::{checksum, kept};
use crate::list::UPLOADS;

/// Name of the runtime's threads.
const THREADS: &str = "glfs_csobj";

/// A bucket or container, or the part of one below a prefix.
pub struct Objects<B> {
    connection: Connection,
    backend: PhantomData<fn() -> B>,
}

impl<B> fmt::Debug for Objects<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects({})", self.connection.place)
    }
}

impl<B: Backend> Store for Objects<B> {
    fn open(options: &Options) -> Result<Self, StoreError> {
        // Some clients start timers when they are created.
        let _entered = runtime(THREADS)?.enter();
        Ok(Self {
            connection: B::connect(options)?,
            backend: PhantomData,
        })
    }

    fn head(&self, key: &str) -> Result<Object, StoreError> {
        runtime(THREADS)?.block_on(self.connection.head(key))
    }

    fn fetch(
        &self,
        key: &str,
        object: &Object,
        range: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        runtime(THREADS)?.block_on(self.connection.fetch(key, object, range, sink))
    }
}

impl<B: Backend> Archive for Objects<B> {
    fn put(&self, key: &str, upload: &Upload<'_>) -> Result<Object, StoreError> {
        runtime(THREADS)?.block_on(self.connection.put(key, upload))
    }

    fn describe(&self, key: &str) -> Result<(Object, Metadata), StoreError> {
        runtime(THREADS)?.block_on(self.connection.describe(key))
    }

    fn list(
        &self,
        prefix: &str,
        each: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut circle = Circle::default();
        let page = |next| {
            let page = self.connection.page(prefix, next, &mut circle);
            let page = runtime(THREADS)?.block_on(page)?;
            Ok((page.objects, page.next))
        };
        in_pages(page, each)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        runtime(THREADS)?.block_on(self.connection.delete(key))
    }

    fn unfinished(
        &self,
        prefix: &str,
        age: Duration,
        remove: bool,
    ) -> Result<Vec<String>, StoreError> {
        runtime(THREADS)?.block_on(self.connection.unfinished(prefix, age, remove))
    }
}

impl Connection {
    /// The object's name in the store. Keys that cannot be names are refused, so that none stands for another key's
    /// object.
    pub(crate) fn name(&self, key: &str) -> Result<Path, StoreError> {
        let name = format!("{}{key}", self.prefix);
        let another = key.starts_with(UPLOADS) || (!self.backslash && key.contains('\\'));
        Path::parse(&name)
            .ok()
            .filter(|path| path.as_ref() == name && !another)
            .ok_or_else(|| {
                StoreError::Missing(format!("no object can have this name ({})", self.place))
            })
    }

    async fn get(&self, name: &Path, options: GetOptions) -> Result<GetResult, Failure> {
        match timeout(self.timeout, self.client.get_opts(name, options)).await {
            Ok(answer) => answer.map_err(|error| failure::of(&error, &self.place)),
            Err(_) => Err(Failure::passing("no answer in time", &self.place)),
        }
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Object, StoreError> {
        self.describe(key).await.map(|(object, _)| object)
    }

    pub(crate) async fn describe(&self, key: &str) -> Result<(Object, Metadata), StoreError> {
        let name = self.name(key)?;
        let answer = self.metadata(&name).await?;
        Ok((describe(&answer), kept(&answer.attributes)))
    }

    /// Requests an object's metadata without its bytes.
    pub(crate) async fn metadata(&self, name: &Path) -> Result<GetResult, StoreError> {
        persist(self.retries, async || {
            let options = GetOptions {
                head: true,
                ..GetOptions::default()
            };
            self.get(name, options).await
        })
        .await
    }

    async fn fetch(
        &self,
        key: &str,
        object: &Object,
        range: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), StoreError> {
        let name = self.name(key)?;
        let mut tries = Tries::new(self.retries);
        let mut left = range;
        while !left.is_empty() {
            let before = left.start;
            let result = self.once(&name, object, &mut left, sink).await;
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

    /// One GET. Removes the range that it wrote to the sink from the front of `left`.
    async fn once(
        &self,
        name: &Path,
        object: &Object,
        left: &mut Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let options = GetOptions {
            if_match: object.etag.clone(),
            range: Some(left.clone().into()),
            ..GetOptions::default()
        };
        let answer = while_wanted(sink, self.get(name, options)).await;
        let answer = answer.map_err(Failure::final_)??;
        // Not every store checks If-Match.
        let now = describe(&answer);
        if now.etag != object.etag || now.size != object.size || answer.range != *left {
            let why = format!(
                "it is version {:?}, but was {:?} ({})",
                now.etag, object.etag, self.place
            );
            return Err(Failure::final_(StoreError::Changed(why)));
        }
        if now.checksum.is_some() {
            sink.describe(&now);
        }
        let mut body = answer.into_stream();
        while !left.is_empty() {
            let next = timeout(self.timeout, body.next());
            let chunk = match while_wanted(sink, next).await.map_err(Failure::final_)? {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => return Err(failure::of(&error, &self.place)),
                Ok(None) => {
                    let why = format!("the answer ended at byte {} of {}", left.start, left.end);
                    return Err(Failure::passing(&why, &self.place));
                }
                Err(_) => {
                    let why = format!("no bytes arrived for {:?}", self.timeout);
                    return Err(Failure::passing(&why, &self.place));
                }
            };
            sink.write(&chunk).map_err(Failure::final_)?;
            left.start += chunk.len() as u64;
        }
        Ok(())
    }
}

fn describe(answer: &GetResult) -> Object {
    Object {
        size: answer.meta.size,
        etag: answer.meta.e_tag.clone(),
        checksum: checksum(&answer.attributes),
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Adds headers of the settings to requests: what a new object is stored as, the customer's key, who pays.
//!
//! Here and not where each request is made, so that one table says which requests carry them: an object that was put
//! with a customer's key cannot be read by a request that was forgotten.

#![forbid(unsafe_code)]

use std::fmt;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;

use crate::settings::{Encryption, Settings, Stored};

/// Requests that create an object.
const CREATE: &[&str] = &["PutObject", "CreateMultipartUpload"];
/// Requests that need a customer's key: all that write or read an object's bytes, or describe it.
const KEYED: &[&str] = &[
    "PutObject",
    "CreateMultipartUpload",
    "UploadPart",
    "ListParts",
    "CompleteMultipartUpload",
    "HeadObject",
    "GetObject",
];

/// The headers of a store's requests.
pub(crate) struct Headers {
    every: Vec<(&'static str, String)>,
    create: Vec<(&'static str, String)>,
    keyed: Vec<(&'static str, String)>,
}

impl Headers {
    pub(crate) fn new(settings: &Settings) -> Self {
        let payer = settings
            .requester_pays
            .then(|| ("x-amz-request-payer", "requester".to_owned()));
        Self {
            every: payer.into_iter().collect(),
            create: create(&settings.stored),
            keyed: match &settings.stored.encryption {
                Encryption::Customer(key) => key.headers().into(),
                _ => Vec::new(),
            },
        }
    }

    /// The headers of one operation.
    pub(crate) fn of(&self, operation: &str) -> impl Iterator<Item = &(&'static str, String)> {
        let create = CREATE.contains(&operation).then_some(&self.create);
        let keyed = KEYED.contains(&operation).then_some(&self.keyed);
        let some = create.into_iter().chain(keyed).flatten();
        self.every.iter().chain(some)
    }
}

fn create(stored: &Stored) -> Vec<(&'static str, String)> {
    const SSE: &str = "x-amz-server-side-encryption";
    const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
    let (sse, key) = match &stored.encryption {
        Encryption::Store => (Some("AES256"), None),
        Encryption::Service(key) => (Some("aws:kms"), key.clone()),
        Encryption::Bucket | Encryption::Customer(_) => (None, None),
    };
    let all = [
        ("x-amz-storage-class", stored.class.clone()),
        ("x-amz-tagging", stored.tagging()),
        ("x-amz-acl", stored.acl.map(str::to_owned)),
        (SSE, sse.map(str::to_owned)),
        (KMS_KEY, key),
    ];
    let given = all
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    given.collect()
}

impl Intercept for Headers {
    fn name(&self) -> &'static str {
        "Headers"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map_or("", Metadata::name);
        let headers = context.request_mut().headers_mut();
        for (name, value) in self.of(operation) {
            headers.try_insert(*name, value.clone())?;
        }
        Ok(())
    }

    /// Not signed, because proxies change it.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // An object's bytes are wanted as they are.
        let headers = context.request_mut().headers_mut();
        headers.try_insert("accept-encoding", "identity")?;
        Ok(())
    }
}

/// Without values, because one of them is a key.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Headers").finish_non_exhaustive()
    }
}

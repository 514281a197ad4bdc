// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store plugin `amazons3`: objects in Amazon S3 or in any compatible store.
//!
//! - [`settings`]: parses and checks the volume's options;
//! - `place`: a bucket and its location; `client`: sets up the AWS SDK; `direct`: GET and HEAD without its orchestrator;
//! - `credentials`, `shared_files`: keys that change while the volume is mounted;
//! - `headers`: what an object is stored as, and who pays, in the headers of requests;
//! - `head`, `fetch`: the two requests of a [`Store`](cloudsync_store::Store);
//! - `restore`: restores objects in a storage class that cannot be read;
//! - `line`: how long to wait for an upload;
//! - `put`, `list`, `metadata`: the requests of the archiver ([`Archive`](cloudsync_store::Archive));
//! - `versions`: deletes objects in buckets that keep versions;
//! - `answer`: checks that a response matches its request; `failure`: classifies errors, and decides whether to retry.

mod answer;
mod client;
mod credentials;
mod direct;
mod failure;
mod fetch;
mod head;
mod headers;
mod line;
mod list;
mod metadata;
mod place;
mod put;
mod restore;
mod s3;
pub mod settings;
mod shared_files;
mod store;
mod versions;

pub use s3::S3;

cloudsync_store::export_store!(cloudsync_encoding::Encoded<S3>);

#[global_allocator]
static ALLOCATOR: cloudsync_store::Pages = cloudsync_store::Pages;

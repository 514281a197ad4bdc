// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! SDK for store plugins: implement [`Store`], name the type in [`export_store!`], link as a cdylib.
//!
//! A store answers two questions: what is this object ([`Store::head`]), and give me these bytes of it
//! ([`Store::fetch`]). Everything else of a recall is here: the C tables, panics, options, the log, writing to the
//! volume, waiting for its acknowledgements, and the proof that what arrived is the object.
//!
//! ```text
//!   host -> export (C tables, panic guard) -> recall (head, size, fetch, proof) -> Store::fetch
//!                                                |                                     | bytes
//!                                                +- writer (1 MiB writes, CRC)  <------+ Sink
//!                                                      +- abi -> shim.c -> writev of the child
//! ```
//!
//! Plugins need no more than that. The archiver links a store as a library and asks more of it: [`Archive`].
//!
//! A store whose client is asynchronous asks for the feature `network`, and finds the client's threads there,
//! and an allocator that gives back what it read into ([`Pages`]).
//!
//! The macros of [`log`] write to the host's log, with the volume's name, in whatever a store is called for.
//!
//! Only `abi`, `export` and `pages` contain unsafe code.

pub mod abi;
mod acks;
mod archive;
mod error;
pub mod export;
#[cfg(feature = "network")]
pub mod network;
mod options;
#[cfg(feature = "network")]
mod pages;
mod recall;
mod retry;
mod store;
mod writer;

pub use cloudsync_format::settings;
pub use log;

pub use abi::{block_signals, with_signals_blocked};
pub use archive::{Archive, Listed, Metadata, Source, Upload};
pub use cloudsync_format::checksum::{self, Checksum};
pub use error::{Level, StoreError};
pub use options::{Options, Secret};
#[cfg(feature = "network")]
pub use pages::Pages;
pub use retry::Tries;
pub use store::{Object, Sink, Store};

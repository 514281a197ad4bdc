// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! SDK for store plugins: implement [`Store`], name the type in [`export_store!`], link as a cdylib.
//!
//! A store provides two operations: describe an object ([`Store::head`]), and fetch bytes of it ([`Store::fetch`]). The
//! SDK does the rest of a recall: the C tables, panics, options, the log, writing to the volume, waiting for its
//! acknowledgements, and the check that the bytes are the object.
//!
//! ```text
//!   host -> export (C tables, panic guard) -> recall (head, size, fetch, proof) -> Store::fetch
//!                                                |                                     | bytes
//!                                                +- writer (1 MiB writes, CRC)  <------+ Sink
//!                                                      +- abi -> shim.c -> writev of the child
//! ```
//!
//! A plugin for recalls needs no more. The archiver links stores as libraries and needs [`Archive`] as well.
//!
//! A store with an asynchronous client enables the feature `network`, which has a runtime for the client, and an
//! allocator that returns read buffers to the system ([`Pages`]).
//!
//! The macros of [`log`] write to the host's log, under the volume's name, in every call to a store.
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
mod rate;
mod recall;
pub mod restores;
mod retry;
mod store;
mod writer;

pub use cloudsync_format::{option, settings};
pub use log;

pub use abi::{block_signals, with_signals_blocked};
pub use archive::{Archive, Listed, Metadata, Source, Upload};
pub use cloudsync_format::checksum::{self, Checksum};
pub use error::{Level, StoreError};
pub use options::{Options, Secret, SecretSource};
#[cfg(feature = "network")]
pub use pages::Pages;
pub use rate::Rate;
pub use retry::Tries;
pub use store::{Object, Sink, Store};

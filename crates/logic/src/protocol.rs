// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The protocols between clients and bricks: which operations a job sends, in which order, and what it does when one
//! fails, the client dies or another client gets in between.
//!
//! They reach the bricks through one trait, [`brick_file::BrickFile`]. The translator implements it with the host's
//! operations; tests/protocol implements it with a model and injects a fault at every step.
//!
//! | module | protocol |
//! |---|---|
//! | [`job`] | lock, heal, do the job's own work; retry if the lock was lost |
//! | [`lock`] | the lock that all clients take before they archive or recall a file |
//! | [`lease`] | whether a job still has that lock |
//! | [`heal`] | settle what a dead client left, and bytes that no recall wrote |
//! | [`recall`] | mark, allocate, fetch, commit; on failure make the file cold again |
//! | [`handshake`] | mark, wait for writers, compare, write the marks, truncate |
#![forbid(unsafe_code)]

pub mod brick_file;
pub mod handshake;
pub mod heal;
pub mod job;
pub mod lease;
pub mod lock;
pub mod recall;

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Recalls files from the store.
//!
//! The first operation that needs a cold file's bytes is parked and starts a job ([`cloudsync_logic::recall::job`]); later
//! ones join it ([`cloudsync_logic::recall::engine`]; [`engine`] has it work on our volumes). The job runs on a worker
//! thread ([`crate::work::workers`]): [`steps`] checks whether there is anything to do and runs the protocol
//! ([`cloudsync_logic::protocol`]), which calls the others: [`evidence`] compares bytes with the object, [`bring`] and
//! [`fetch`] write them (and [`plugin_writes`], what a plugin writes), [`tracker`] counts them, [`truncation`] truncates as the caller.
//!
//! ```text
//! check -> lock -> check again, heal (evidence) -> reserve space (bricks::space) -> mark -> write (fetch; tracker
//! counts) -> drain -> compare -> fsync -> times -> remove the marks -> resume operations -> unlock
//! ```
//!
//! **The commit is the removal of the marks, `cs.remote` among them**: one operation, or one for each mark on volumes
//! that cannot do that. It happens only after every write was acknowledged, the ranges written are exactly the file,
//! the checksum agrees, and fsync returned. A crash before it leaves a cold file that the next recall heals; a crash
//! after it leaves a local file, at worst with a left-over size attribute, which the next lookup has removed.

pub mod adopt;
pub mod bring;
pub mod engine;
pub mod evidence;
pub mod fetch;
pub mod job;
pub mod moved;
pub mod plugin_writes;
pub mod steps;
pub mod tracker;
pub mod truncation;

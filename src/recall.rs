// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Bringing a file back.
//!
//! The first operation that needs a cold file's bytes is parked and starts a job; later ones join it ([`engine`]).
//! The job runs on a thread of ours ([`workers`]) and goes through these steps ([`job`]):
//!
//! ```text
//! look -> lock -> look again, heal -> mark -> plugin writes ([`tracker`] counts) -> drain -> check -> fsync
//!      -> times -> unmark -> remove cs.remote -> remove the rest -> unlock -> resume everybody
//! ```
//!
//! **The commit is the removal of `cs.remote`.** It happens only after every write was acknowledged, the ranges
//! written are exactly the file, the plugin vouches for the checksum, and fsync returned. A crash before it leaves a
//! file that is cold and heals (the brick cuts what was written); a crash after it leaves one that is local, at
//! worst with the size attribute of the cold file, which the next lookup notices and has removed.

pub mod busy;
pub mod engine;
pub mod job;
pub mod lease;
pub mod parts;
pub mod ranges;
pub mod tracker;
pub mod workers;

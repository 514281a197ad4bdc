// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The translator's decisions and protocols, its objects in memory and its jobs, without GlusterFS, so that they build
//! and are tested on any machine, in seconds. GlusterFS is behind traits ([`host::Host`], [`recall::recalls::Recalls`],
//! [`store::Store`], [`protocol::brick_file::BrickFile`]).
//!
//! | module | contents |
//! |---|---|
//! | [`decision`] | `(class, state, settings, attempt) -> action`: the whole policy |
//! | [`config`] | the parser of the volume's options |
//! | [`allowance`] | how much reads may recall within a time window |
//! | [`budget`] | how many bytes may be fetched from the store within a time window |
//! | [`callers`] | who may bring files back |
//! | [`history`] | which events get a line in the log |
//! | [`protocol`] | the order of a job's operations on the bricks: recall, truncation, handshake, healing |
//! | [`status`] | a file's state, attributes and marks on the bricks |
//! | [`queue`] | the parts of an object that are not fetched yet, in order of demand |
//! | [`coverage`] | which ranges of an object are in memory or in flight |
//! | [`ahead`] | how far to read ahead of each reader |
//! | [`ranges`] | a set of byte ranges |
//! | [`labels`] | which reads need not ask whether their file is cold |
//! | [`marks`] | the values of the marks that the translator writes |
//! | [`sizes`] | sizes of parts and requests |
//! | [`host`] | the host as objects and recalls see it |
//! | [`store`] | the store as objects see it |
//! | [`remote`] | checks a plugin's answer to a remote read |
//! | [`objects`] | objects being read or recalled, shared by readers and recalls |
//! | [`recall`] | jobs that recall files, and the tracker of their writes |
//! | [`work`] | tasks for worker threads, and the count of work in progress |
//! | [`sync`] | locks: the standard library's, or those of `shuttle` for tests/races |
//! | [`gfid`] | a file's identity |
//! | [`errno`] | failures, and the errno that the application gets for each |
//! | [`crash`] | the steps at which tests kill the process |

pub mod ahead;
pub mod allowance;
pub mod budget;
pub mod callers;
pub mod config;
pub mod coverage;
pub mod crash;
pub mod decision;
pub mod errno;
pub mod gfid;
pub mod history;
pub mod host;
pub mod labels;
pub mod marks;
pub mod objects;
pub mod protocol;
pub mod queue;
pub mod ranges;
pub mod recall;
pub mod remote;
pub mod sizes;
pub mod status;
pub mod store;
pub mod sync;
pub mod work;

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The translator's decisions and protocols, its objects in memory and its jobs, without GlusterFS: it builds and is tested
//! on any machine, in seconds. What they need of GlusterFS is behind traits ([`host::Host`], [`recall::recalls::Recalls`],
//! [`store::Store`], [`protocol::brick_file::BrickFile`]).
//!
//! | module | what it is |
//! |---|---|
//! | [`decision`] | `(class, state, settings, attempt) -> action`: the whole policy |
//! | [`config`] | the volume's options, parsed |
//! | [`allowance`] | how much reads may recall within a time window |
//! | [`protocol`] | the operations of jobs on the bricks, in their order: recall, truncation, handshake, healing |
//! | [`status`] | what the bricks say of a file |
//! | [`queue`] | the parts of an object that are not fetched yet, in order of demand |
//! | [`coverage`] | which ranges of an object are in memory or requested |
//! | [`ahead`] | how far to read ahead of each reader |
//! | [`ranges`] | which bytes were written |
//! | [`marks`] | the values of the marks that the translator writes |
//! | [`sizes`] | sizes of parts and requests |
//! | [`host`] | what objects and recalls need of the host |
//! | [`store`] | what is asked of a store |
//! | [`objects`] | objects that are read or recalled, shared by their readers and recalls |
//! | [`recall`] | jobs that bring files back, and the count of their writes |
//! | [`work`] | work on threads, and the count of it |
//! | [`sync`] | locks: the standard library's, or those of the tests that explore orders of events |
//! | [`gfid`] | a file's identity |
//! | [`errno`] | what can fail, and the errno that an application gets for it |
//! | [`crash`] | the steps at which tests kill the process |

pub mod ahead;
pub mod allowance;
pub mod config;
pub mod coverage;
pub mod crash;
pub mod decision;
pub mod errno;
pub mod gfid;
pub mod host;
pub mod marks;
pub mod objects;
pub mod protocol;
pub mod queue;
pub mod ranges;
pub mod recall;
pub mod sizes;
pub mod status;
pub mod store;
pub mod sync;
pub mod work;

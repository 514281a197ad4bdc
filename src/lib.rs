// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync`: the GlusterFS translator that makes a cold file whole again when somebody touches it.
//!
//! A cold file's bytes lie in an object store; on the bricks it is an empty stub with its size and its key in
//! extended attributes. Data flows one way through this crate:
//!
//! ```text
//! host -> shim (C macros) -> entry (panics stop here) -> fops (class of the operation) -> decision (one table)
//!           local: wound to the child
//!           cold:  parked -> recall (one job for each file) -> plugin -> tracker -> child -> commit -> resumed
//! ```
//!
//! What needs nothing of the host (the decision table, the settings, the coverage of ranges), or needs it behind a trait
//! (objects in memory, jobs and who waits for them, the count of writes), is in crates/logic.
//! The modules here stand on floors, and each uses only what is on a lower one (tests/floors.rs holds that). One arrow leads
//! back up: an operation that goes on after its recall ([`host::ticket::Ticket::again`]).
//!
//! | floor | module        | what it is                                                              | unsafe |
//! |-------|---------------|-------------------------------------------------------------------------|--------|
//! | 9 | [`entry`]     | what the host calls: `xlator_api` and the functions the shim calls      | yes    |
//! | 8 | [`instance`]  | one volume's translator: the way of an operation through it             | no     |
//! | 7 | [`read`]      | where a read of a cold file gets its bytes                              | no     |
//! | 7 | [`control`]   | what users ask and tell: state, recall, cancel                          | no     |
//! | 7 | [`ask`]       | questions to the bricks that an operation waits for                     | no     |
//! | 6 | [`recall`]    | bringing a file back: what its job does on the volume                   | no     |
//! | 6 | [`archive`]   | cutting a file: the handshake with the archiver                         | no     |
//! | 6 | [`fops`]      | each operation's class; what an answer of the bricks teaches            | no     |
//! | 5 | [`volume`]    | what a volume has: settings, store, bricks, objects, counters           | no     |
//! | 4 | [`objects`]   | GlusterFS as the host of jobs and of the objects that they bring        | no     |
//! | 3 | [`plugin`]    | from a store's name to a loaded plugin                                  | yes    |
//! | 3 | [`bricks`]    | what is known of the bricks: whether they check a file's state, their room, the marks on files | no |
//! | 3 | [`work`]      | threads of ours, and tasks for them                                     | no     |
//! | 2 | [`host`]      | safe handles of the host's objects: tickets, inodes, the child          | yes    |
//! | 0 | `sys`         | the installed host's types and functions, made by bindgen               | yes    |

#![cfg(not(without_glusterfs))]

pub mod archive;
pub mod ask;
pub mod bricks;
pub mod control;
pub mod entry;
pub mod fops;
pub mod host;
pub mod instance;
pub mod objects;
pub mod plugin;
pub mod read;
pub mod recall;
mod sys;
pub mod volume;
pub mod work;

pub use cloudsync_logic::sizes;

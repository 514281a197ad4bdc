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
//! | module       | what it is                                                              | unsafe |
//! |--------------|-------------------------------------------------------------------------|--------|
//! | [`entry`]    | what the host calls: `xlator_api` and the functions the shim calls      | yes    |
//! | [`host`]     | safe handles of the host's objects: tickets, inodes, the child          | yes    |
//! | [`fops`]     | each operation's class; what an answer of the bricks teaches            | no     |
//! | [`decision`] | `(class, state, settings, attempt) -> action`: the whole policy         | no     |
//! | [`recall`]   | bringing a file back: jobs, the write tracker, the commit               | no     |
//! | [`read`]     | where a read of a cold file gets its bytes                              | no     |
//! | [`objects`]  | objects that are read or recalled: what is in memory, what is on its way | no     |
//! | [`work`]     | threads of ours, and what is under way                                  | no     |
//! | [`allowance`] | how much reads may bring back                                           | no     |
//! | [`archive`]  | cutting a file: the hand-shake with the archiver                        | no     |
//! | [`bricks`]   | whether they look at a file's state before they read and write               | no     |
//! | [`control`]  | what users ask and tell: state, recall, cancel                          | no     |
//! | [`plugin`]   | from a store's name to a loaded plugin                                  | yes    |
//! | [`instance`] | what one volume's translator has: settings, store, jobs                 | no     |
//! | [`config`]   | the volume's options, parsed                                            | no     |
//! | [`errno`]    | what went wrong, and which errno an application gets for it             | no     |

pub mod allowance;
pub mod archive;
pub mod ask;
pub mod bricks;
pub mod config;
pub mod control;
pub mod decision;
pub mod entry;
pub mod errno;
pub mod fops;
pub mod host;
pub mod instance;
pub mod objects;
pub mod plugin;
pub mod read;
pub mod recall;
pub mod sizes;
mod sync;
mod sys;
pub mod volume;
pub mod work;

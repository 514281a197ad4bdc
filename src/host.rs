// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Safe handles of the host's objects. Together with `entry` and `plugin` this is where `unsafe` lives.
//!
//! The rules that the handles stand on:
//! - a handle that is kept holds a reference of the host's; it is given back on drop, with the host's notion of the
//!   current translator (`THIS`) set, see [`xlator::Entered`];
//! - an operation that arrived is a [`ticket::Ticket`], which answers exactly once;
//! - no lock of ours is held across a call into the host that may wind or unwind.

pub mod arguments;
pub mod attributes;
pub mod beside;
pub mod buffer;
pub mod child;
pub mod dict;
pub mod fd;
pub mod guard;
pub mod inode;
pub mod log;
pub mod reply;
pub mod thread;
pub mod ticket;
pub mod write;
pub mod xlator;

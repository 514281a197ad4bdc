// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Safe handles for the host's objects. Most `unsafe` code is here, in `entry` and in `plugin`. The handles rely on
//! these rules:
//! - an owning handle holds a reference to the host's object and releases it on drop, which requires that the host's
//!   current translator (`THIS`) is set, see [`xlator::Entered`];
//! - an operation of the host is a [`ticket::Ticket`], which answers it exactly once;
//! - none of our locks is held during a call into the host that may wind or unwind.

pub mod arguments;
pub mod attributes;
pub mod beside;
pub mod buffer;
pub mod child;
pub mod dict;
pub mod errnos;
pub mod fd;
pub mod guard;
pub mod inode;
pub mod log;
pub mod process;
pub mod reply;
pub mod thread;
pub mod ticket;
pub mod write;
pub mod xlator;

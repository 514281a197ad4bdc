// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A read in flight to the bricks during a recall of its file: what its answer needs of the recall, which is on a
//! higher floor.

#![forbid(unsafe_code)]

use std::fmt::Debug;

use crate::host::attributes::Attributes;
use cloudsync_logic::recall::tracker::Reading;

/// The recall during which a read is in flight. It does not truncate the file until this is dropped.
pub trait Beside: Debug + Send + Sync {
    /// The file's attributes. Those on the bricks change as the recall writes.
    fn attributes(&self) -> Attributes;

    /// Whether the recall still has its lock. If not, another client may have changed the bytes that were read.
    fn is_sure(&self) -> bool;
}

impl<C: Debug + Send + Sync> Beside for Reading<C, Attributes> {
    fn attributes(&self) -> Attributes {
        self.attributes()
    }

    fn is_sure(&self) -> bool {
        self.is_sure()
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A read that is on the bricks beside a recall of the file. The recall is above us; here is what its answer needs of it.

#![forbid(unsafe_code)]

use std::fmt::Debug;

use crate::host::attributes::Attributes;
use cloudsync_logic::recall::tracker::Reading;

/// What a recall vouches for while the read is on the bricks. The recall cuts nothing until it is dropped.
pub trait Beside: Debug + Send + Sync {
    /// What the file's attributes are; those on the bricks change as the recall writes.
    fn attributes(&self) -> Attributes;

    /// Whether the recall has its lock still: if not, what was read may be what another client made of the file.
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

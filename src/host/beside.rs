// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the answer to a read in flight needs of higher floors: of the recall that its file is in, or of the object from which
//! it is answered if the file is still that object's stub.

#![forbid(unsafe_code)]

use std::fmt::Debug;
use std::sync::Arc;

use crate::host::attributes::Attributes;
use crate::host::ticket::Ticket;
use cloudsync_logic::labels::Looks;
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

/// The object of a file that was a stub when the bricks were last asked.
pub trait Stored: Debug + Send + Sync {
    /// Remembers looks at the stub's label.
    fn remember(&self, looks: Looks);

    /// Answers the read. Never blocks.
    fn read(self: Arc<Self>, ticket: Ticket);
}

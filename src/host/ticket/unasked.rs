// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads that do not ask the bricks for the file's state, and what their answers are compared with.

use std::fmt::Debug;
use std::sync::Arc;

use super::Ticket;
use crate::host::beside::Beside;
use crate::host::dict::DictRef;
use crate::host::inode;
use cloudsync_format::xattr;
use cloudsync_logic::errno::Errno;
use cloudsync_logic::labels::Looks;

/// Why the bricks were not asked for the state.
#[derive(Debug)]
pub enum Unasked {
    /// A recall has written the range.
    During(Box<dyn Beside>),
    /// The answer is to have the label that is remembered of the local file.
    Label,
    /// The answer is to have the label that is remembered of the object's stub.
    Stub(Arc<dyn Stored>),
}

/// The object of a file that was a stub when the bricks were last asked. Objects are on a higher floor.
pub trait Stored: Debug + Send + Sync {
    /// Remembers looks at the stub's label.
    fn remember(&self, looks: Looks);

    /// Answers the read. Never blocks.
    fn read(self: Arc<Self>, ticket: Ticket);
}

impl Ticket {
    /// Why the bricks were not asked, if they were not.
    #[must_use]
    pub fn unasked(&self) -> Option<&Unasked> {
        self.inner.unasked.as_ref()
    }

    /// Looks up what is remembered of the file's label, before a read is dispatched. Returns whether the bricks need not be
    /// asked for the state. Does not allocate.
    #[must_use]
    pub fn look_up_label(&mut self) -> bool {
        // SAFETY: the call holds a reference to its inode.
        let looks = unsafe { inode::looks(self.raw_inode(), self.inner.this) };
        self.inner.looks = Some(looks);
        looks.suffice() && !self.inner.must_ask
    }

    /// Whether an answer did not have the label that was remembered, so that the bricks must be asked.
    #[must_use]
    pub fn must_ask(&self) -> bool {
        self.inner.must_ask
    }

    /// What was remembered of the label when the read was dispatched; `None` if labels do not matter.
    #[must_use]
    pub fn looks(&self) -> Option<Looks> {
        self.inner.looks
    }

    /// Remembers looks at the file's label. Does not allocate.
    pub fn remember(&self, looks: Looks) {
        // SAFETY: the call holds a reference to its inode.
        unsafe { inode::remember(self.raw_inode(), self.inner.this, looks) };
    }

    /// Winds a read of a file whose label is trusted. It arrives just now, so it has never asked.
    pub fn wind_trusting(mut self) {
        self.inner.unasked = Some(Unasked::Label);
        self.wind(&[]);
    }

    /// Winds a read because `recall` has written the range.
    pub fn wind_during(self, recall: Box<dyn Beside>) {
        self.wind_without_asking(Unasked::During(recall));
    }

    /// Winds a read of a stub of `object`, only to get the stub's label. `looks`: what is remembered of it.
    pub fn wind_to_stub(mut self, object: Arc<dyn Stored>, looks: Looks) {
        self.inner.looks = Some(looks);
        self.wind_without_asking(Unasked::Stub(object));
    }

    /// Takes back what the read may have asked before it was parked.
    fn wind_without_asking(mut self, why: Unasked) {
        // SAFETY: the call holds a reference to its xdata, or has none.
        if let Some(asked) = unsafe { DictRef::from_raw(self.inner.call.xdata) } {
            asked.remove(xattr::STATUS);
        }
        self.inner.unasked = Some(why);
        self.wind(&[]);
    }

    /// Answers a read with an error, unless the bricks were not asked whether its file still has the object that it waited for:
    /// then they are. Never blocks.
    pub fn fail_if_asked(mut self, errno: Errno) {
        if self.inner.is_doubtful {
            self.inner.is_doubtful = false;
            self.inner.must_ask = true;
            self.read_again();
        } else {
            self.fail(errno);
        }
    }
}

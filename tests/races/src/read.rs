// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! In place of src/read.rs: what asks the bricks first.

use crate::host::inode::Inode;
use crate::host::ticket::Ticket;
use crate::instance::Instance;
use crate::sync::Arc;

/// Serves a read: it is answered at once.
pub fn serve(_: &Arc<Instance>, ticket: Ticket, _: Option<Inode>) {
    ticket.answer();
}

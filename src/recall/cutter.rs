// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An operation that cuts a cold file, done on the bricks as its caller's: see [`super::cut`].

#![forbid(unsafe_code)]

use crate::host::ticket::{Done, Late, NotDone, Ticket};
use cloudsync_logic::crash;
use cloudsync_logic::errno::{Errno, Failure};

/// The operation that cuts, and what the bricks said of it.
#[derive(Debug)]
pub struct Cutter {
    /// The operation.
    pub ticket: Ticket,
    /// Done: what they answered.
    pub done: Option<Done>,
    /// It waits on the bricks for a mandatory lock of somebody's.
    pub late: Option<Late>,
}

impl Cutter {
    /// Has the bricks do it.
    ///
    /// # Errors
    /// [`Failure::NotAccepted`].
    pub fn cut(&mut self) -> Result<(), Failure> {
        let _step = crash::step("cut as the caller");
        match self.ticket.do_as_caller() {
            Ok(done) => {
                self.done = Some(done);
                Ok(())
            }
            Err(NotDone::Refused(errno)) => Err(Failure::NotAccepted(errno)),
            Err(NotDone::Yet(late)) => {
                self.late = Some(late);
                Err(Failure::NotAccepted(Errno::EAGAIN))
            }
        }
    }
}

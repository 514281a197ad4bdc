// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The operation that truncates a cold file (by path, descriptor or `O_TRUNC`): done on the bricks as its caller's, and
//! answered. See [`cloudsync_logic::protocol::recall`] for when.

#![forbid(unsafe_code)]

use crate::host::ticket::{Done, Late, NotDone, Ticket};
use crate::recall::job::Job;
use cloudsync_logic::crash;
use cloudsync_logic::errno::{Errno, Failure};

/// The operation, and what the bricks answered.
#[derive(Debug)]
pub struct Cutter {
    ticket: Ticket,
    /// Done: their answer.
    done: Option<Done>,
    /// It waits on the bricks for a mandatory lock of somebody's.
    late: Option<Late>,
}

impl Cutter {
    /// Takes the operation from those that wait for the job; `None` if it does not wait any more.
    #[must_use]
    pub fn of(job: &Job) -> Option<Self> {
        job.take_cutter().map(|ticket| Self {
            ticket,
            done: None,
            late: None,
        })
    }

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

    /// The operation waits for the job as before.
    pub fn give_back(self, job: &Job) {
        job.wait_again(self.ticket);
    }

    /// The job is done, with this `outcome`: answers the operation, or has it wait again. Returns the job's own outcome:
    /// that the bricks refused the operation is no error of the job's.
    ///
    /// # Errors
    /// The outcome's.
    pub fn answer(
        self,
        job: &Job,
        path: &str,
        outcome: Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Some(late) = self.late {
            // Other clients may want the file: its lock is given back, and the operation goes on when it is answered.
            if let Some((ticket, answer)) = self.ticket.leave(late) {
                go_on(ticket, answer);
            }
            return Ok(());
        }
        match (outcome, self.done) {
            (Ok(()), Some(done)) => {
                self.ticket.answer_done(done);
                Ok(())
            }
            (Err(Failure::NotAccepted(errno)), _) => {
                log::debug!("{path}: not truncated: {errno}");
                self.ticket.fail(errno);
                Ok(())
            }
            (outcome, _) => {
                job.wait_again(self.ticket);
                outcome
            }
        }
    }
}

/// An operation that had to wait on the bricks was answered. Done there, it is done again, in whatever state the file is
/// by now. Never blocks.
pub fn go_on(ticket: Ticket, answer: Result<(), Errno>) {
    match answer {
        Ok(()) => ticket.again(),
        Err(errno) => ticket.fail(errno),
    }
}

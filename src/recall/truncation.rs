// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs an operation that truncates a cold file (by path, descriptor or `O_TRUNC`) on the bricks as its caller, and
//! answers it. See [`cloudsync_logic::protocol::recall`] for the order.

#![forbid(unsafe_code)]

use crate::host::ticket::{Done, Late, NotDone, Ticket};
use crate::recall::job::Job;
use cloudsync_logic::crash;
use cloudsync_logic::errno::{Errno, Failure};

/// The operation and the bricks' answer.
#[derive(Debug)]
pub struct Truncation {
    ticket: Ticket,
    /// The bricks' answer, if the operation succeeded.
    done: Option<Done>,
    /// The operation in flight, if it waits on the bricks for another process's mandatory lock.
    late: Option<Late>,
}

impl Truncation {
    /// Takes the operation from the job's waiters; `None` if it no longer waits.
    #[must_use]
    pub fn of(job: &Job) -> Option<Self> {
        job.take_truncation().map(|ticket| Self {
            ticket,
            done: None,
            late: None,
        })
    }

    /// Runs the operation on the bricks.
    ///
    /// # Errors
    /// [`Failure::NotAccepted`].
    pub fn run(&mut self) -> Result<(), Failure> {
        let _step = crash::step("truncate as the caller");
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

    /// Returns the operation to the job's waiters.
    pub fn give_back(self, job: &Job) {
        job.wait_again(self.ticket);
    }

    /// Answers the operation, or returns it to the waiters, after the job ended with `outcome`. Returns the job's own
    /// outcome, for which the bricks' refusal of the operation is not an error.
    ///
    /// # Errors
    /// As in `outcome`.
    pub fn answer(
        self,
        job: &Job,
        path: &str,
        outcome: Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Some(late) = self.late {
            // Release the file's lock for other clients; the operation continues when the bricks have answered it.
            if let Some((ticket, answer)) = self.ticket.leave(late) {
                resume(ticket, answer);
            }
            return Ok(());
        }
        match (outcome, self.done) {
            (Ok(()), Some(done)) => {
                self.ticket.answer_done(done);
                Ok(())
            }
            (Err(Failure::NotAccepted(errno)), _) => {
                log::debug!("{path}: the bricks refused the truncation: {errno}");
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

/// Continues an operation that had to wait on the bricks. If it succeeded there, it is run again, because the file's
/// state may have changed. Never blocks.
pub fn resume(ticket: Ticket, answer: Result<(), Errno>) {
    match answer {
        Ok(()) => ticket.again(),
        Err(errno) => ticket.fail(errno),
    }
}

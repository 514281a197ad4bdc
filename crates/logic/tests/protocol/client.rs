// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client that runs a protocol against the model, with a fault at one of its operations.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::time::Duration;

use cloudsync_format::xattr::State;
use cloudsync_logic::errno::{Errno, Failure};
use cloudsync_logic::protocol::brick_file::BrickFile;
use cloudsync_logic::protocol::handshake::STRAGGLERS;
use cloudsync_logic::status::{Reading, Status};

use crate::others::Act;
use crate::world::{Attributes, World};

/// A fault at an operation. `after`: the bricks carry the operation out, but its answer is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The operation fails.
    Fail { after: bool },
    /// The client dies.
    Die { after: bool },
    /// The connection breaks, the brick drops the client's locks, others do something, and the client reconnects.
    Disconnect { after: bool, others: Act },
    /// Several bricks disconnect one after the other: the operation succeeds, but its answer takes so long that the
    /// lock is lost in the meantime, and others do something.
    Quiet(Act),
    /// The brick's machine loses power and restarts.
    PowerLoss { after: bool },
    /// No fault, but another client does something before the operation.
    Meanwhile(Act),
}

pub(crate) struct Client<'w> {
    pub(crate) world: &'w RefCell<World>,
    id: usize,
    /// The operation at which the fault occurs, counted from 0.
    fault: Option<(usize, Fault)>,
    next: Cell<usize>,
    dead: Cell<bool>,
    disconnects: Cell<u64>,
}

const DISCONNECTED: Failure = Failure::Brick {
    step: "the model",
    errno: Errno::ENOTCONN,
};
const FAILED: Failure = Failure::Brick {
    step: "the model",
    errno: Errno::EINVAL,
};

impl<'w> Client<'w> {
    pub(crate) fn new(world: &'w RefCell<World>, id: usize, fault: Option<(usize, Fault)>) -> Self {
        Self {
            world,
            id,
            fault,
            next: Cell::new(0),
            dead: Cell::new(false),
            disconnects: Cell::new(0),
        }
    }

    /// Number of operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.next.get()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.get()
    }

    fn note(&self, what: &'static str) {
        self.world.borrow_mut().history.push((self.id, what));
    }

    fn die(&self) {
        self.note("dies");
        self.dead.set(true);
        let mut world = self.world.borrow_mut();
        world.forget_locks(self.id);
        world.times_count &= world.own_times;
    }

    fn disconnect(&self, others: Act) {
        self.note("is disconnected");
        self.disconnects.set(self.disconnects.get() + 1);
        {
            let mut world = self.world.borrow_mut();
            world.forget_locks(self.id);
            world.times_count &= world.own_times;
        }
        others.run(self.world, self.id + 1);
    }

    /// The fault at this operation, if it has one.
    fn fault(&self) -> Option<Fault> {
        let number = self.next.replace(self.next.get() + 1);
        self.fault
            .filter(|(at, _)| *at == number)
            .map(|(_, fault)| fault)
    }

    /// Runs an operation on the bricks.
    pub(crate) fn operation<T>(
        &self,
        name: &'static str,
        effect: impl FnOnce(&mut World) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.dead.get() {
            return Err(DISCONNECTED);
        }
        let fault = self.fault();
        if let Some(Fault::Meanwhile(act)) = fault {
            act.run(self.world, self.id + 1);
        }
        self.note(name);
        let (carried_out, fails) = match fault {
            None | Some(Fault::Meanwhile(_) | Fault::Quiet(_)) => (true, false),
            Some(
                Fault::Fail { after }
                | Fault::Die { after }
                | Fault::Disconnect { after, .. }
                | Fault::PowerLoss { after },
            ) => (after, true),
        };
        let answer = carried_out.then(|| {
            let answer = effect(&mut self.world.borrow_mut());
            self.world.borrow().check();
            answer
        });
        if let Some(fault) = fault {
            self.apply_fault(fault);
            self.world.borrow().check();
        }
        match (answer, fault) {
            (Some(answer), _) if !fails => answer,
            (_, Some(Fault::Fail { .. })) => Err(FAILED),
            _ => Err(DISCONNECTED),
        }
    }

    fn apply_fault(&self, fault: Fault) {
        match fault {
            Fault::Fail { .. } => {
                self.note("that fails");
                let mut world = self.world.borrow_mut();
                world.times_count &= world.own_times;
            }
            Fault::Die { .. } => self.die(),
            Fault::Disconnect { others, .. } | Fault::Quiet(others) => self.disconnect(others),
            Fault::PowerLoss { .. } => {
                self.world.borrow_mut().power_loss();
                self.disconnect(Act::Nothing);
            }
            Fault::Meanwhile(_) => {}
        }
    }

    /// Waits for the store or for an application. If a connection to the bricks breaks in the meantime, it is restored
    /// by the end, and nothing fails.
    pub(crate) fn wait(&self, name: &'static str) -> Result<(), Failure> {
        if self.dead.get() {
            return Err(DISCONNECTED);
        }
        self.note(name);
        let fault = self.fault();
        match fault {
            Some(Fault::Fail { .. }) => return Err(Failure::Store(Errno::EREMOTEIO)),
            Some(Fault::Meanwhile(act)) => act.run(self.world, self.id + 1),
            Some(fault) => self.apply_fault(fault),
            None => {}
        }
        self.world.borrow().check();
        if self.dead.get() {
            Err(DISCONNECTED)
        } else {
            Ok(())
        }
    }
}

impl BrickFile for Client<'_> {
    type Attributes = Attributes;
    type Fd = ();

    fn path(&self) -> String {
        "file".to_owned()
    }

    fn disconnects(&self) -> u64 {
        self.disconnects.get()
    }

    fn status(&self) -> Result<Status<Attributes>, Failure> {
        self.operation("status", |world| Ok(world.status()))
    }

    fn attribute(&self, name: &CStr) -> Result<Option<Vec<u8>>, Failure> {
        self.operation("attribute", |world| Ok(world.mark(name)))
    }

    fn try_lock(&self) -> Result<(), Failure> {
        let locked = self.operation("lock", |world| Ok(world.lock(self.id)))?;
        if locked { Ok(()) } else { Err(Failure::Locked) }
    }

    fn lock_again(&self) -> Result<(), Failure> {
        self.try_lock().map_err(|_| FAILED)
    }

    fn unlock(&self) -> Result<(), Failure> {
        let had_it = self.operation("unlock", |world| Ok(world.unlock(self.id)))?;
        if had_it { Ok(()) } else { Err(FAILED) }
    }

    fn open(&self) -> Result<(), Failure> {
        self.operation("open", |_| Ok(()))
    }

    fn open_accessing(&self, accessed: &Attributes) -> Result<(), Failure> {
        self.operation("open", |world| {
            world.access(accessed);
            Ok(())
        })
    }

    fn open_briefly(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn set(&self, (): &(), step: &'static str, values: &[(&CStr, &str)]) -> Result<(), Failure> {
        self.operation(step, |world| {
            for (name, value) in values {
                world.set_mark(name, value);
            }
            Ok(())
        })
    }

    fn remove_one(&self, (): &(), step: &'static str, name: &CStr) -> Result<(), Failure> {
        self.operation(step, |world| {
            world.remove_mark(name);
            Ok(())
        })
    }

    fn remove_as_change(&self, (): &(), step: &'static str, name: &CStr) -> Result<(), Failure> {
        self.operation(step, |world| {
            world.remove_mark(name);
            world.change();
            Ok(())
        })
    }

    fn remove_all(&self, (): &(), step: &'static str, names: &[&CStr]) -> Result<(), Failure> {
        if self.world.borrow().removes_singly {
            return Err(Failure::Brick {
                step,
                errno: Errno::EOPNOTSUPP,
            });
        }
        self.operation(step, |world| {
            for name in names {
                world.remove_mark(name);
            }
            Ok(())
        })
    }

    fn resize(&self, (): &(), step: &'static str, size: u64) -> Result<bool, Failure> {
        self.operation(step, |world| Ok(world.resize(size)))
    }

    fn fsync(&self, (): &()) -> Result<Option<Attributes>, Failure> {
        self.operation("fsync", |world| {
            world.sync();
            Ok((!world.is_replicated).then(|| world.attributes()))
        })
    }

    fn set_times(&self, (): &(), attributes: &Attributes) -> Result<(), Failure> {
        self.operation("times", |world| {
            world.set_times(attributes);
            Ok(())
        })
    }

    fn write_nothing(&self, (): &(), accessed: &Attributes) -> Result<(), Failure> {
        self.operation("write nothing", |world| {
            world.carry_out_stragglers();
            world.access(accessed);
            Ok(())
        })
    }

    fn try_to_read(&self, (): &()) -> Result<Reading, Failure> {
        self.operation("try to read", |world| {
            Ok(match world.status().state {
                State::Local => Reading::Checked,
                _ => Reading::Refused,
            })
        })
    }

    fn compare_copies(&self) -> Result<(), Failure> {
        if !self.world.borrow().is_replicated {
            return Ok(());
        }
        self.operation("look up", |_| Ok(()))
    }

    fn pause(&self, time: Duration) {
        if time == STRAGGLERS {
            let mut world = self.world.borrow_mut();
            world.pause();
            world.carry_out_stragglers();
        }
    }
}

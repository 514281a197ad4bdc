// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What one volume's translator has: its settings, its store, its jobs; and the way of an operation through it.

#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::allowance::{Allowance, Answer};
use crate::archive;
use crate::ask;
use crate::bricks::{Bricks, Check};
use crate::config::{self, Config};
use crate::control;
use crate::decision::{self, Action, MAX_ATTEMPTS, Want};
use crate::errno::Errno;
use crate::fops;
use crate::host::dict::DictRef;
use crate::host::inode::{Gfid, Inode};
use crate::host::ticket::Ticket;
use crate::host::xlator::Xlator;
use crate::objects::limits::LIMITS;
use crate::objects::registry::Objects;
use crate::plugin::store::LoadedStore;
use crate::read;
use crate::recall::engine::{self, Engine};
use crate::work::busy::Busy;
use crate::work::task::Home;

/// See the module.
#[derive(Debug)]
pub struct Instance {
    /// The host's side of it.
    pub this: Xlator,
    /// Its jobs.
    pub engine: Engine,
    /// The objects that it reads.
    pub objects: Objects,
    /// What its bricks do.
    pub bricks: Bricks,
    /// What is at work for it: jobs, requests, and operations that a thread of ours works on.
    pub busy: Arc<Busy>,
    allowance: Mutex<Allowance>,
    config: RwLock<Config>,
    store: RwLock<Option<Arc<LoadedStore>>>,
    /// One reconfigure at a time.
    changing: Mutex<()>,
}

/// The text of an option, empty if it is not set.
fn option(options: Option<DictRef<'_>>, name: &std::ffi::CStr) -> String {
    options
        .and_then(|options| options.text(name))
        .unwrap_or_default()
}

const STORETYPE: &std::ffi::CStr = c"cloudsync-storetype";
const PRODUCT_ID: &std::ffi::CStr = c"cloudsync-product-id";
const REMOTE_READ: &std::ffi::CStr = c"cloudsync-remote-read";

impl Instance {
    /// An instance with these options. Whatever is wrong with them, it comes up: local files must work. What is
    /// wrong is in the log.
    #[must_use]
    pub fn new(this: Xlator, options: Option<DictRef<'_>>) -> Arc<Self> {
        let mut config = Config::parse(&option(options, PRODUCT_ID)).unwrap_or_else(|error| {
            log::error!("{}: {error}; the defaults are used", config::PRODUCT_ID);
            Config::default()
        });
        config.remote_read = config::is_on(&option(options, REMOTE_READ));
        LIMITS.set(&config);
        let busy = Arc::new(Busy::default());
        let instance = Arc::new(Self {
            this,
            engine: Engine::new(&busy),
            objects: Objects::new(&busy),
            bricks: Bricks::default(),
            busy,
            allowance: Mutex::default(),
            config: RwLock::new(config),
            store: RwLock::new(None),
            changing: Mutex::new(()),
        });
        let name = option(options, STORETYPE);
        if name.is_empty() {
            log::info!(
                "no store ({} is not set): local files work, cold ones cannot be read",
                config::STORETYPE
            );
        } else {
            instance.load(&name, None);
        }
        instance.say_if_no_remote_read();
        instance
    }

    /// The options changed: `options` holds all of them. What is right is taken, and what is wrong keeps its old
    /// value; returns whether all was right.
    pub fn reconfigure(&self, options: DictRef<'_>) -> bool {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fine = true;
        let config = Config::parse(&option(Some(options), PRODUCT_ID)).unwrap_or_else(|error| {
            log::error!("{}: {error}; the old settings stay", config::PRODUCT_ID);
            fine = false;
            self.config()
        });
        self.set_config(Config {
            remote_read: config::is_on(&option(Some(options), REMOTE_READ)),
            ..config
        });
        let name = option(Some(options), STORETYPE);
        let store = self.store();
        match store {
            _ if name.is_empty() => {
                if store.is_some() {
                    log::info!("the store was taken away: cold files cannot be read");
                }
                self.set_store(None);
            }
            Some(store) if store.name() == name => {
                if store.reconfigure(options).is_err() {
                    log::error!(
                        "store '{name}': the new settings are not right, the old ones stay"
                    );
                    fine = false;
                }
            }
            _ => fine &= self.load(&name, Some(options)),
        }
        self.say_if_no_remote_read();
        fine
    }

    fn set_config(&self, config: Config) {
        LIMITS.set(&config);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    fn say_if_no_remote_read(&self) {
        if self.config().remote_read
            && let Some(store) = self.store()
            && !store.can_fetch()
        {
            log::warn!(
                "store '{}' cannot read parts of an object: with cloudsync-remote-read on, reads bring the file back \
                 all the same",
                store.name()
            );
        }
    }

    fn load(&self, name: &str, options: Option<DictRef<'_>>) -> bool {
        match LoadedStore::load(self.this, name, options) {
            Ok(store) => {
                log::info!("store '{name}' is up");
                self.set_store(Some(store));
                true
            }
            Err(error) => {
                let rest = match self.store() {
                    Some(old) => format!("store '{}' stays", old.name()),
                    None => String::from("local files work, cold ones answer 'Object is remote'"),
                };
                log::error!("{error}; {rest}");
                false
            }
        }
    }

    /// The store, if one is up.
    #[must_use]
    pub fn store(&self) -> Option<Arc<LoadedStore>> {
        self.store
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_store(&self, store: Option<Arc<LoadedStore>>) {
        let old = std::mem::replace(
            &mut *self.store.write().unwrap_or_else(PoisonError::into_inner),
            store,
        );
        // Outside the lock: the last reference runs the plugin's fop_fini.
        drop(old);
    }

    /// The settings of recalls.
    #[must_use]
    pub fn config(&self) -> Config {
        *self.config.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does with an operation what the table says. Never blocks.
    pub fn proceed(self: &Arc<Self>, ticket: Ticket) {
        let check = self.bricks.check();
        let class = fops::class_on(
            ticket.fop(),
            ticket.class(),
            check,
            check == Check::Unknown && ticket.is_surely_local(),
        );
        match decision::on_arrival(class, ticket.known(), ticket.attempt()) {
            Action::Wind => ticket.wind(&[]),
            Action::WindAsking => {
                let questions = fops::questions(ticket.fop(), class);
                ticket.wind(questions);
            }
            Action::Recall => {
                let inode = ticket.inode();
                let want = fops::want(&ticket.arguments(), ticket.known(), check);
                self.park(ticket, want, inode, None);
            }
            Action::Archive => archive::start(self, ticket),
            Action::Control => control::start(self, ticket),
            Action::Pretend => {
                log::debug!("{ticket:?}: marks are not set by ordinary clients");
                ticket.answer();
            }
            Action::Refuse(errno) => {
                log::debug!("{ticket:?}: {errno}");
                ticket.fail(errno);
            }
        }
    }

    /// Parks an operation until `want` holds for its file, whose identity is `gfid` if an answer has told it. Counts the
    /// attempt, which nobody else does. Never blocks.
    pub fn park(
        self: &Arc<Self>,
        mut ticket: Ticket,
        want: Want,
        inode: Option<Inode>,
        gfid: Option<Gfid>,
    ) {
        if ticket.attempt() >= MAX_ATTEMPTS {
            log::warn!("{ticket:?}: the file is archived again and again, giving up");
            return ticket.fail(Errno::EBUSY);
        }
        ticket.count_attempt();
        if gfid.is_none() && ticket.is_nameless() {
            ask::find_file(self, ticket, move |instance, ticket, inode, gfid| {
                let want = match want {
                    Want::Read if inode.gfid().is_none() => Want::Bytes,
                    want => want,
                };
                instance.park_on(ticket, want, Some(inode), Some(gfid));
            });
        } else {
            self.park_on(ticket, want, inode, gfid);
        }
    }

    fn park_on(
        self: &Arc<Self>,
        ticket: Ticket,
        want: Want,
        inode: Option<Inode>,
        gfid: Option<Gfid>,
    ) {
        match want {
            Want::Read => read::serve(self, ticket, inode),
            Want::Bytes | Want::Look | Want::First(_) | Want::Tidy | Want::LookInto => {
                engine::park(self, ticket, want, inode, gfid);
            }
        }
    }

    /// Whether a read may bring a file of `size` bytes back; if not, it is served from the store.
    #[must_use]
    pub fn may_recall(&self, gfid: Gfid, size: u64) -> bool {
        let config = self.config();
        if config.remote_read || self.engine.is_full() {
            return false;
        }
        if self.engine.job(gfid).is_some() {
            return true;
        }
        let mut allowance = self
            .allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let answer = allowance.ask(&config.allowed, size, Instant::now());
        drop(allowance);
        if answer == Answer::NoMore {
            log::warn!(
                "reads brought back as much as guard-files and guard-bytes of {} allow in {:?}: more files are served \
                 from the store and stay cold",
                config::PRODUCT_ID,
                config.allowed.window
            );
        }
        answer == Answer::Yes
    }

    /// The graph is being replaced or taken down: nobody waits for our jobs any more.
    pub fn stop(&self) {
        self.engine.cancel_all();
    }

    /// Waits for what is at work and gives the store back. Returns whether all of it ended in time.
    #[must_use]
    pub fn shut_down(&self, at_most: Duration) -> bool {
        self.engine.end();
        self.objects.end();
        let idle = self.busy.wait_until_idle(at_most);
        if idle {
            self.set_store(None);
        }
        idle
    }
}

impl Home for Instance {
    fn this(&self) -> Xlator {
        self.this
    }

    fn busy(&self) -> &Arc<Busy> {
        &self.busy
    }
}

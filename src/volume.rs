// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The state of one volume: its settings, store, bricks, objects in use, and metrics. The modules above handle
//! operations.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::bricks::Bricks;
use crate::bricks::file::File;
use crate::bricks::pins::Pins;
use crate::bricks::space::Space;
use crate::history::History;
use crate::host::buffer::spare::SPARES;
use crate::host::child::Status;
use crate::host::dict::DictRef;
use crate::host::errnos;
use crate::host::inode::{self, Inode};
use crate::host::xlator::{Entered, Xlator};
use crate::objects::Objects;
use crate::plugin::store::LoadedStore;
use crate::plugin::store::remote::Readings;
use crate::plugin::stores::Stores;
use cloudsync_format::message;
use cloudsync_format::option::{PRODUCT_ID, REMOTE_READ, STORETYPE};
use cloudsync_logic::allowance::Allowance;
use cloudsync_logic::budget::Budget;
use cloudsync_logic::callers::counts::Counts;
use cloudsync_logic::config::{self, Config};
use cloudsync_logic::errno::Failure;
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::objects::depths::DEPTHS;
use cloudsync_logic::objects::limits::LIMITS;
use cloudsync_logic::work::busy::Busy;
use cloudsync_logic::work::task::Home;
use cloudsync_metrics::client::Client as Metrics;

/// The state of one volume.
#[derive(Debug)]
pub struct Volume {
    /// The host's translator.
    pub this: Xlator,
    /// Objects in use.
    pub objects: Objects,
    /// Remote reads by the plugin, in flight.
    pub readings: Arc<Readings>,
    /// What is known about the bricks.
    pub bricks: Bricks,
    /// Space on the bricks reserved by recalls.
    pub space: Space,
    /// Counts work in progress: jobs, requests, and operations on a worker thread.
    pub busy: Arc<Busy>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What happened, for the log.
    pub history: History,
    /// How much reads may recall.
    pub allowance: Arc<Allowance>,
    /// The pins of folders.
    pub pins: Pins,
    /// How many cold files processes read.
    pub counts: Counts,
    config: RwLock<Config>,
    /// [`Config::trust`], where that is possible.
    trusts_labels: AtomicBool,
    /// The same of stubs.
    trusts_stubs: AtomicBool,
    stores: Stores,
}

/// Applies the settings that all instances of the process share.
fn set_process(config: &Config) {
    LIMITS.set(config);
    DEPTHS.set(config);
    errnos::choose(config.errnos);
}

/// Returns the text of an option; empty if it is not set.
fn option(options: Option<DictRef<'_>>, name: &std::ffi::CStr) -> String {
    options
        .and_then(|options| options.text(name))
        .unwrap_or_default()
}

impl Volume {
    /// Creates a volume. Invalid options are logged and do not prevent it from starting, because local files must work.
    #[must_use]
    pub fn new(this: Xlator, options: Option<DictRef<'_>>) -> Arc<Self> {
        let mut config = Config::parse(&option(options, PRODUCT_ID)).unwrap_or_else(|error| {
            log::error!(
                id = message::SETTINGS;
                "{}: {error}; the defaults are used", config::PRODUCT_ID
            );
            Config::default()
        });
        config.remote_read = config::is_on(&option(options, REMOTE_READ));
        set_process(&config);
        let busy = Arc::new(Busy::default());
        let budget = Budget::of_volume(&this.name(), config.budget);
        let allowance = Arc::new(Allowance::new(config.allowed, budget));
        let name = this.name();
        let metrics = Arc::new(Metrics::new(
            name.strip_suffix("-cloudsync").unwrap_or(&name),
            env!("CARGO_PKG_VERSION"),
            env!("CLOUDSYNC_HOST_MAJOR"),
        ));
        let volume = Arc::new(Self {
            this,
            objects: Objects::new(&busy, &allowance),
            readings: Arc::default(),
            bricks: Bricks::default(),
            space: Space::default(),
            stores: Stores::new(this, &metrics),
            metrics,
            history: History::default(),
            busy,
            allowance,
            pins: Pins::default(),
            counts: Counts::default(),
            trusts_labels: AtomicBool::new(false),
            trusts_stubs: AtomicBool::new(false),
            config: RwLock::new(config),
        });
        SPARES.open(this);
        volume.set_trust(&volume.config());
        volume.history.set(volume.config().history);
        if option(options, STORETYPE).is_empty() {
            log::info!(
                id = message::STORE_NOT_SET;
                "no store ({} is not set): local files work, cold ones cannot be read",
                config::STORETYPE
            );
        }
        if let Some(options) = options {
            volume.stores.apply(options, volume.config().remote_read);
        }
        volume.warn_if_no_remote_read();
        volume
    }

    /// Returns a handle to the file `gfid` on the bricks for the calling thread, which must be one that may block: see
    /// [`File::of`].
    ///
    /// # Errors
    /// ENOMEM.
    pub fn file<'a, T>(
        &'a self,
        inode: &'a Inode,
        gfid: Gfid,
        owner: &T,
    ) -> Result<File<'a>, Failure> {
        File::of(self.this, &self.bricks, &self.metrics, inode, gfid, owner)
    }

    /// Applies changed options; `options` holds all of them. Invalid options keep their old values. Returns whether all
    /// were valid.
    pub fn reconfigure(&self, options: DictRef<'_>) -> bool {
        let mut valid = true;
        let config = Config::parse(&option(Some(options), PRODUCT_ID)).unwrap_or_else(|error| {
            log::error!(
                id = message::SETTINGS;
                "{}: {error}; the old settings remain in effect",
                config::PRODUCT_ID
            );
            valid = false;
            self.config()
        });
        self.set_config(Config {
            remote_read: config::is_on(&option(Some(options), REMOTE_READ)),
            ..config
        });
        valid &= self.stores.apply(options, self.config().remote_read);
        // An open object may be in a store of the old options: the next read asks, and opens it again.
        inode::age();
        self.warn_if_no_remote_read();
        self.metrics.options_changed();
        valid
    }

    fn set_config(&self, config: Config) {
        set_process(&config);
        self.history.set(config.history);
        self.set_trust(&config);
        self.allowance.set(config.allowed);
        self.allowance.budget.set(config.budget);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// An erasure-coded volume makes an answer from those of several bricks, which may have seen the file at different times.
    ///
    /// A file of which reads may only be served from the store is not asked about if nobody must be judged and its label is
    /// trusted. A truncation of an empty file may change no time but the volume's own.
    fn set_trust(&self, config: &Config) {
        let trusts = config.trust && !self.is_erasure_coded();
        self.trusts_labels.store(trusts, Ordering::Relaxed);
        let judges = config.pins || config.callers.exist();
        let of_stubs = trusts && config.remote_read && !judges && self.keeps_own_times();
        self.trusts_stubs.store(of_stubs, Ordering::Relaxed);
    }

    /// Whether reads of files whose label is trusted do not ask: see [`cloudsync_logic::labels`].
    #[must_use]
    pub fn trusts_labels(&self) -> bool {
        self.trusts_labels.load(Ordering::Relaxed)
    }

    /// Whether reads that leave a file cold do not ask either, if its stub's label is trusted.
    #[must_use]
    pub fn trusts_stubs(&self) -> bool {
        self.trusts_stubs.load(Ordering::Relaxed)
    }

    fn warn_if_no_remote_read(&self) {
        if !self.config().remote_read {
            return;
        }
        for store in self.stores.all() {
            if !store.can_fetch() && !store.can_read() {
                log::warn!(
                    id = message::NO_REMOTE_READ;
                    "store '{}' cannot read parts of an object: reads recall the file although cloudsync-remote-read is on",
                    store.name()
                );
            }
        }
    }

    /// Returns the volume's own store, if it is loaded.
    #[must_use]
    pub fn store(&self) -> Option<Arc<LoadedStore>> {
        self.stores.get(None)
    }

    /// Returns the store of this name; `None` is the name of the volume's own.
    ///
    /// # Errors
    /// It is not loaded.
    pub fn store_named(&self, name: Option<&str>) -> Result<Arc<LoadedStore>, Failure> {
        self.stores.get(name).ok_or_else(|| match name {
            None => Failure::NoStore,
            Some(name) => Failure::NoSuchStore(name.to_owned()),
        })
    }

    /// Returns the store that has a cold file's object.
    ///
    /// # Errors
    /// It is not loaded.
    pub fn store_of(&self, status: &Status) -> Result<Arc<LoadedStore>, Failure> {
        self.store_named(status.store())
    }

    /// Returns a store that is like the store of any cold file in what it can do; `None` if they differ, or there is none.
    #[must_use]
    pub fn store_of_any(&self) -> Option<Arc<LoadedStore>> {
        let abilities = |store: &LoadedStore| (store.can_fetch(), store.can_read());
        let own = self.stores.get(None)?;
        let stores = self.stores.all();
        let alike = stores
            .iter()
            .all(|store| abilities(store) == abilities(&own));
        alike.then_some(own)
    }

    /// Whether parts of every object can be fetched, whichever store has it.
    #[must_use]
    pub fn all_can_fetch(&self) -> bool {
        let stores = self.stores.all();
        !stores.is_empty() && stores.iter().all(|store| store.can_fetch())
    }

    /// What the store of this name is called in the history: its name, or the kind of the volume's own; empty if that is
    /// not loaded.
    #[must_use]
    pub fn store_name(&self, name: Option<&str>) -> String {
        if let Some(name) = name {
            return name.to_owned();
        }
        let store = self.store();
        store.map_or_else(String::new, |store| store.name().to_owned())
    }

    /// Returns the current settings.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether the volume keeps its files' times itself (`features.ctime`), so that our operations do not change them.
    /// Walks the graph: too slow for every operation.
    #[must_use]
    pub fn keeps_own_times(&self) -> bool {
        self.this.is_below(c"features/utime")
    }

    /// Whether the volume is erasure-coded. Walks the graph.
    #[must_use]
    pub fn is_erasure_coded(&self) -> bool {
        self.this.is_above(c"cluster/disperse")
    }

    /// Stops further requests, waits for work in progress and unloads the store. Returns whether all work ended within
    /// `at_most`.
    #[must_use]
    pub fn shut_down(&self, at_most: Duration) -> bool {
        self.objects.end();
        self.readings.end();
        for store in self.stores.all() {
            store.abort();
        }
        let idle = self.busy.wait_until_idle(at_most);
        SPARES.close(self.this);
        self.history.end();
        if idle {
            self.stores.clear();
        }
        idle
    }
}

impl Home for Volume {
    type Entered = Entered;

    fn enter(&self) -> Entered {
        self.this.enter()
    }

    fn busy(&self) -> &Arc<Busy> {
        &self.busy
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The loaded stores of a volume: its own, and those with names ([`cloudsync_format::stores`]).

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use cloudsync_format::message;
use cloudsync_format::option::{
    BUCKET_ID, HOSTNAME, KEY_ID, SECRET_KEY, STORE_ID, STORETYPE, text,
};
use cloudsync_format::stores::{self, OWN};
use cloudsync_logic::errno::Errno;
use cloudsync_metrics::client::Client as Metrics;

use super::store::LoadedStore;
use crate::host::dict::{Dict, DictRef};
use crate::host::xlator::Xlator;

/// The options that describe one store.
const OF_ONE: [&CStr; 6] = [STORETYPE, HOSTNAME, BUCKET_ID, KEY_ID, SECRET_KEY, STORE_ID];

/// The loaded stores of a volume.
#[derive(Debug)]
pub struct Stores {
    this: Xlator,
    metrics: Arc<Metrics>,
    /// By name; the volume's own is [`OWN`].
    loaded: RwLock<BTreeMap<String, Arc<LoadedStore>>>,
    /// One change at a time.
    changing: Mutex<()>,
}

/// A store that the options describe.
struct Described {
    kind: String,
    options: Dict,
}

impl Stores {
    /// None is loaded yet.
    #[must_use]
    pub fn new(this: Xlator, metrics: &Arc<Metrics>) -> Self {
        Self {
            this,
            metrics: Arc::clone(metrics),
            loaded: RwLock::default(),
            changing: Mutex::new(()),
        }
    }

    /// The store of this name, if it is loaded; `None` is the name of the volume's own.
    #[must_use]
    pub fn get(&self, name: Option<&str>) -> Option<Arc<LoadedStore>> {
        self.loaded().get(stores::shown(name)).cloned()
    }

    /// All that are loaded.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<LoadedStore>> {
        self.loaded().values().cloned().collect()
    }

    /// Loads, changes and removes stores as all the options of the volume say. What is wrong is logged, and leaves its
    /// store as it was. Returns whether all is right.
    pub fn apply(&self, options: DictRef<'_>, remote_read: bool) -> bool {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let list = options.text(STORE_ID).unwrap_or_default();
        let (own, named) = stores::divide(&list);
        let mut valid = true;
        for name in self.names() {
            if name != OWN && !named.contains_key(&name) {
                log::warn!(
                    id = message::STORE_REMOVED;
                    "store '{name}' was removed: files whose objects are in it cannot be read"
                );
                self.set(&name, None);
            }
        }
        let kind = options.text(STORETYPE).unwrap_or_default();
        if kind.is_empty() {
            if self.get(None).is_some() {
                log::info!(
                    id = message::STORE_REMOVED;
                    "the store was removed: cold files cannot be read"
                );
            }
            self.set(OWN, None);
        } else {
            let given = match named.is_empty() {
                true => Ok(options.keep()),
                false => own_options(options, &own),
            };
            valid &= self.settle(
                OWN,
                given.map(|options| Described { kind, options }),
                remote_read,
            );
        }
        for (name, settings) in &named {
            match settings.options(name) {
                Ok(given) => {
                    let described = described(options, given);
                    valid &= self.settle(name, described, remote_read);
                }
                Err(why) => {
                    log::error!(
                        id = message::SETTINGS;
                        "{}: {why}; store '{name}' stays as it was", text(STORE_ID)
                    );
                    valid = false;
                }
            }
        }
        valid
    }

    fn loaded(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<LoadedStore>>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> Vec<String> {
        self.loaded().keys().cloned().collect()
    }

    /// Changes a store, or loads it, as it is described.
    fn settle(&self, name: &str, store: Result<Described, Errno>, remote_read: bool) -> bool {
        let Ok(Described { kind, options }) = store else {
            log::error!(id = message::STORE_NOT_LOADED; "store '{name}': no memory");
            return false;
        };
        let called = if name == OWN { kind.as_str() } else { name };
        match self.get(Some(name)) {
            Some(store) if store.name() == kind => {
                store.set_remote_read(remote_read);
                let changed = store.reconfigure(options.borrow()).is_ok();
                if !changed {
                    log::error!(
                        id = message::STORE_OPTIONS;
                        "store '{called}': the new settings are invalid, the old ones remain in effect"
                    );
                }
                changed
            }
            old => self.load(name, &kind, &options, remote_read, old.as_ref()),
        }
    }

    fn load(
        &self,
        name: &str,
        kind: &str,
        options: &Dict,
        remote_read: bool,
        old: Option<&Arc<LoadedStore>>,
    ) -> bool {
        let loaded = LoadedStore::load(
            self.this,
            kind,
            options.borrow(),
            remote_read,
            &self.metrics,
        );
        match loaded {
            Ok(store) => {
                if name != OWN {
                    log::info!(id = message::STORE_UP; "it is the store named '{name}'");
                }
                self.set(name, Some(store));
                true
            }
            Err(error) => {
                let which = match name {
                    OWN => String::new(),
                    name => format!("the store named '{name}': "),
                };
                let rest = match old {
                    Some(old) => format!("store '{}' remains in use", old.name()),
                    None => String::from("local files work, cold ones answer 'Object is remote'"),
                };
                log::error!(id = message::STORE_NOT_LOADED; "{which}{error}; {rest}");
                false
            }
        }
    }

    fn set(&self, name: &str, store: Option<Arc<LoadedStore>>) {
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let old = match store {
            Some(store) => loaded.insert(name.to_owned(), store),
            None => loaded.remove(name),
        };
        // Outside the lock: dropping the last reference calls the plugin's fop_fini.
        drop(loaded);
        drop(old);
    }

    /// Unloads all.
    pub fn clear(&self) {
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::take(&mut *loaded);
        // As in `set`.
        drop(loaded);
        drop(old);
    }
}

/// The options without the settings of named stores, which the volume's own does not know.
fn own_options(options: DictRef<'_>, list: &str) -> Result<Dict, Errno> {
    let own = options.copy()?;
    own.set_option(STORE_ID, list)?;
    Ok(own)
}

/// A named store: the volume's options, but what describes a store is its own.
fn described(
    options: DictRef<'_>,
    given: Vec<(&'static CStr, String)>,
) -> Result<Described, Errno> {
    let copy = options.copy()?;
    for name in OF_ONE {
        copy.borrow().remove(name);
    }
    let mut kind = String::new();
    for (name, value) in given {
        copy.set_option(name, &value)?;
        if name == STORETYPE {
            kind = value;
        }
    }
    Ok(Described {
        kind,
        options: copy,
    })
}

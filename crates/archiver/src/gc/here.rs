// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store whose objects are examined, among the volume's stores: what marks that name another one mean for its objects.

use cloudsync_format::stores;
use cloudsync_store::{Archive, StoreError};

use crate::outage::Trouble;
use crate::remote::Stores;

/// See the module.
pub(super) struct Here<'a> {
    pub(super) store: &'a dyn Archive,
    /// Its name, as [`stores::shown`].
    name: String,
    all: &'a Stores,
    /// The names of all the volume's stores.
    known: Vec<String>,
}

impl<'a> Here<'a> {
    pub(super) fn new(name: Option<&str>, store: &'a dyn Archive, all: &'a Stores) -> Self {
        let shown = |name: Option<&str>| stores::shown(name).to_owned();
        Self {
            store,
            name: shown(name),
            known: all
                .all()
                .iter()
                .map(|name| shown(name.as_deref()))
                .collect(),
            all,
        }
    }

    /// Whether marks with this store name an object in another one. A store that the volume does not have now, perhaps
    /// because it was renamed, may be this one.
    pub(super) fn is_elsewhere(&self, store: Option<&str>) -> bool {
        let store = stores::shown(store);
        store != self.name && self.known.iter().any(|known| known == store)
    }

    /// Whether another store has the object, too.
    pub(super) fn is_also_in(&self, store: Option<&str>, key: &str) -> Result<bool, Trouble> {
        let ours = match self.store.head(key) {
            Ok(ours) => ours,
            // There is nothing to delete.
            Err(StoreError::Missing(_)) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        match self.all.of(store)?.head(key) {
            Ok(theirs) => Ok(theirs.size == ours.size),
            Err(StoreError::Missing(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

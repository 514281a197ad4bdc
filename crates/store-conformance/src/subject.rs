// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the suite must know of a store and its back-end.

use cloudsync_store::{Options, Store};

/// A store under test, and the way to its back-end that does not lead through the store. Cheap to make: every test
/// makes one.
pub trait Subject: Send + Sync + Sized + 'static {
    /// The store.
    type Store: Store;

    /// The volume's options with which the store works.
    fn options(&self) -> Options;

    /// Puts an object there, or replaces it, without the store.
    fn place(&self, key: &str, bytes: &[u8]);

    /// Removes an object without the store.
    fn remove(&self, key: &str);

    /// Options with which an object placed under `key` may not be read. `None` where nothing is forbidden (a process
    /// of root's).
    fn forbidden(&self, key: &str) -> Option<Options>;

    /// Options that lead to a back-end that is not there. The store should find that out within seconds.
    fn away(&self) -> Options;

    /// Options that must be refused, each with a word that the refusal must contain.
    fn wrong(&self) -> Vec<(Options, &'static str)>;

    /// Whether the back-end can tell an object of this key from all others. Keys that it cannot are missing objects.
    fn can_name(&self, _key: &str) -> bool {
        true
    }

    /// Runs a test where the back-end can be reached. Its threads inherit where that is.
    fn wrap(self, test: impl FnOnce(&Self) + Send + 'static) {
        test(&self);
    }

    /// The store with [`Subject::options`].
    fn open(&self) -> Self::Store {
        Self::Store::open(&self.options()).unwrap()
    }
}

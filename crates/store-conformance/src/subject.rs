// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The trait by which the suite accesses a store and its back-end.

use cloudsync_store::{Options, Store};

/// How a back-end does not fulfil a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Never: the test must fail.
    Always,
    /// Depending on the order of events: the test is not run.
    Sometimes,
}

/// A store under test, and access to its back-end that bypasses the store. Cheap to create: every test creates one.
pub trait Subject: Send + Sync + Sized + 'static {
    /// The store.
    type Store: Store;

    /// The volume's options for a working store.
    fn options(&self) -> Options;

    /// Creates or replaces an object, without the store.
    fn place(&self, key: &str, bytes: &[u8]);

    /// Removes an object without the store.
    fn remove(&self, key: &str);

    /// Options with which the object placed under `key` may not be read. `None` if nothing can be forbidden (to a
    /// process of root).
    fn forbidden(&self, key: &str) -> Option<Options>;

    /// Options for a back-end that is down. The store should detect that within seconds.
    fn away(&self) -> Options;

    /// Options that must be refused, each with a word that the error must contain.
    fn wrong(&self) -> Vec<(Options, &'static str)>;

    /// Whether the back-end can distinguish this key from all others. Keys for which it cannot must be missing objects.
    fn can_name(&self, _key: &str) -> bool {
        true
    }

    /// Requirements that this back-end is known not to fulfil. A test of one that it never fulfils must fail, so that the
    /// list stays true.
    fn lacks(&self) -> Vec<(&'static str, Lack)> {
        Vec::new()
    }

    /// Runs a test in an environment that can reach the back-end. Threads that the test starts inherit it.
    fn wrap(self, test: impl FnOnce(&Self) + Send + 'static) {
        test(&self);
    }

    /// Opens the store with [`Subject::options`].
    fn open(&self) -> Self::Store {
        Self::Store::open(&self.options()).unwrap()
    }
}

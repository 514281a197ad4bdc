// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The requirements on every store, as tests. A store's crate implements access to its back-end ([`Subject`]) and names
//! the suite in a test file of its own, in which every requirement becomes a test:
//!
//! ```ignore
//! struct Mine;
//! impl Subject for Mine { /* ... */ }
//!
//! cloudsync_store_conformance::reads!(Mine);     // any store
//! cloudsync_store_conformance::archives!(Mine);  // one that can be archived to as well
//! ```
//!
//! - [`mod@reads`]: ranges and sizes, names, missing and forbidden objects, an object that changes before or while it
//!   is read, a reader that cancels, one that is slow, settings that change during reads;
//! - [`mod@archives`]: an object that was put is whole, has its metadata, is never overwritten, is listed, can be
//!   removed, and leaves nothing behind if it fails;
//! - [`Memory`], [`Bytes`]: a sink and a source for a store's own tests.
//!
//! Tests run concurrently and share a back-end, so every one uses its own keys, which begin with its name.

#![forbid(unsafe_code)]
// A test can only fail on an error.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::panic::{AssertUnwindSafe, catch_unwind};

pub mod archives;
mod memory;
pub mod reads;
mod subject;

pub use memory::{Bytes, Memory, pattern};
pub use subject::{Lack, Subject};

/// Defines the tests of [`mod@reads`] for a value of a type that implements [`Subject`].
#[macro_export]
macro_rules! reads {
    ($subject:expr) => {
        mod conforming_reads {
            use super::*;
            $crate::tests!($subject, reads:
                any_range_is_those_bytes,
                objects_of_any_size_arrive_whole,
                keys_are_encoded_exactly,
                a_missing_object_is_missing,
                an_object_may_not_be_readable,
                a_store_that_is_away_is_unreachable,
                wrong_settings_are_refused_by_name,
                an_object_that_changed_is_not_read,
                bytes_of_two_versions_are_never_mixed,
                an_object_that_goes_while_it_is_read_is_whole_or_an_error,
                who_does_not_want_the_bytes_gets_no_more,
                what_the_sink_says_is_handed_on,
                a_slow_sink_gets_everything,
                many_readers_at_once,
                settings_change_while_reads_run,
            );
        }
    };
}

/// Defines the tests of [`mod@archives`] for a value of a type that implements [`Subject`], whose store implements
/// [`cloudsync_store::Archive`].
#[macro_export]
macro_rules! archives {
    ($subject:expr) => {
        mod conforming_archives {
            use super::*;
            $crate::tests!($subject, archives:
                what_is_put_is_there,
                objects_of_any_size_are_put_whole,
                any_key_can_be_put_and_is_listed,
                what_is_kept_beside_an_object_comes_back,
                an_object_is_never_overwritten,
                of_many_that_put_the_same_key_one_wins,
                bytes_of_another_checksum_are_refused,
                a_source_that_fails_leaves_nothing,
                a_listing_shows_what_begins_with_a_prefix,
                a_listing_ends_when_it_is_told_to,
                what_is_removed_is_gone,
                a_key_can_be_put_again_after_it_was_removed,
                what_failed_is_not_left_unfinished,
            );
        }
    };
}

/// Not for direct use.
#[doc(hidden)]
#[macro_export]
macro_rules! tests {
    ($subject:expr, $suite:ident: $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::run($subject, stringify!($name), $crate::$suite::$name);
            }
        )*
    };
}

/// Not for direct use.
#[doc(hidden)]
pub fn run<S: Subject>(subject: S, name: &str, test: fn(&S)) {
    let lack = subject
        .lacks()
        .into_iter()
        .find(|(lacking, _)| *lacking == name);
    match lack {
        None => subject.wrap(test),
        Some((_, Lack::Sometimes)) => {}
        Some((_, Lack::Always)) => {
            let failed = catch_unwind(AssertUnwindSafe(|| subject.wrap(test))).is_err();
            assert!(
                failed,
                "{name} is fulfilled, and need not be listed as lacking"
            );
        }
    }
}

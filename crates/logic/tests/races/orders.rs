// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! How orders of events are tried.

use cloudsync_logic::sync::new_execution;

/// Runs `body` in so many orders, or as many as CLOUDSYNC_ORDERS says: half at random, half with few changes of thread,
/// which finds what is rare otherwise.
///
/// # Panics
/// When one of them fails, and when CLOUDSYNC_ORDERS is no number.
pub(crate) fn explore(orders: usize, body: impl Fn() + Send + Sync + Clone + 'static) {
    let orders = std::env::var("CLOUDSYNC_ORDERS").map_or(orders, |text| {
        text.parse().expect("CLOUDSYNC_ORDERS is a number")
    });
    let body = move || {
        new_execution();
        body();
    };
    shuttle::check_random(body.clone(), orders / 2);
    shuttle::check_pct(body, orders / 2, 3);
}

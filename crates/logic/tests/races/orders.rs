// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Exploring orders of events.

use cloudsync_logic::sync::new_execution;

/// Runs `body` in this number of orders, or in CLOUDSYNC_ORDERS: half of them random, half with few thread switches,
/// which finds rare cases.
///
/// # Panics
/// When one of them fails, and when CLOUDSYNC_ORDERS is not a number.
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

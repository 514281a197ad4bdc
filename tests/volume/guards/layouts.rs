// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The guards of `kinds` on replicated, dispersed, distributed and sharded volumes: one brick may refuse what another one has
//! already done.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cloudsync_lab::{Backing, Layout};

use super::kinds::{locked, read_only, retained, squash};
use crate::scene::Scene;

type Named = (&'static str, fn(Scene));

#[track_caller]
fn on_each_guard(name: &str, layout: Layout, settings: &[(&str, &str)]) {
    let guards: [Named; 4] = [
        ("ro", read_only),
        ("squash", squash),
        ("lock", locked),
        ("worm", retained),
    ];
    let name_of = |(guard, _): &Named| format!("{name}-{guard}");
    let failed_on = |guard: &Named| {
        let scene = Scene::on(&name_of(guard), layout, settings, Backing::Ram);
        catch_unwind(AssertUnwindSafe(|| guard.1(scene))).is_err()
    };
    let failed: Vec<_> = guards
        .iter()
        .filter(|guard| failed_on(guard))
        .map(name_of)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn guards_on_replica_3() {
    on_each_guard("copies", Layout::Replica(3), &[]);
}

#[test]
fn guards_on_a_dispersed_volume() {
    let layout = Layout::Disperse {
        bricks: 3,
        redundancy: 1,
    };
    on_each_guard("fragments", layout, &[]);
}

#[test]
fn guards_on_a_distributed_volume() {
    on_each_guard("spread", Layout::Distribute(2), &[]);
}

#[test]
fn guards_with_shard() {
    on_each_guard("blocks", Layout::Single, &[("features.shard", "on")]);
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The same where a file has several copies, is cut into fragments or blocks, or lies on one of several bricks: a guard
//! may speak on one brick and act on another.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cloudsync_lab::{Backing, Layout};

use super::kinds::{locked, read_only, retained, squash};
use crate::scene::Scene;

type Named = (&'static str, fn(Scene));

#[track_caller]
fn each(name: &str, layout: Layout, settings: &[(&str, &str)]) {
    let guards: [Named; 4] = [
        ("ro", read_only),
        ("squash", squash),
        ("lock", locked),
        ("worm", retained),
    ];
    let name_of = |(guard, _): &Named| format!("{name}-{guard}");
    let fails = |guard: &Named| {
        let scene = Scene::on(&name_of(guard), layout, settings, Backing::Ram);
        catch_unwind(AssertUnwindSafe(|| guard.1(scene))).is_err()
    };
    let failed: Vec<_> = guards
        .iter()
        .filter(|guard| fails(guard))
        .map(name_of)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn on_replica_3() {
    each("copies", Layout::Replica(3), &[]);
}

#[test]
fn on_a_dispersed_volume() {
    let layout = Layout::Disperse {
        bricks: 3,
        redundancy: 1,
    };
    each("fragments", layout, &[]);
}

#[test]
fn on_a_distributed_volume() {
    each("spread", Layout::Distribute(2), &[]);
}

#[test]
fn with_shard() {
    each("blocks", Layout::Single, &[("features.shard", "on")]);
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests on real components: glusterd, bricks, FUSE clients and a real S3 server, in namespaces of their own. One topic per
//! file. They need root, the packages that scripts/deps.sh installs, and the shared objects of this build (`cargo build
//! --workspace`).

// A test has no better answer to an error than to fail.
#![allow(clippy::unwrap_used)]

mod acts;
mod answers;
mod archive;
mod around;
mod budget;
mod caches;
mod calls;
mod change;
mod clients;
mod control;
mod copier;
mod copies;
mod crash;
mod evidence;
mod failures;
mod far;
mod faults;
mod features;
mod gate;
mod gfapi;
mod glacier;
mod guards;
mod host;
mod hostile;
mod identity;
mod layouts;
mod leaks;
mod meanwhile;
mod memory;
mod metrics;
mod native;
mod off;
mod operations;
mod options;
mod part;
mod plugins;
mod program;
mod read;
mod remote;
mod scene;
mod secrets;
mod sparse;
mod stubs;
mod threads;
mod trust;
mod unchecked;
mod upgrade;
mod waiters;

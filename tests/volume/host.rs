// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Faults of GlusterFS: bricks, network, space, options, clients. Every operation ends in the file's bytes or an errno, in
//! time, and nothing is lost.

mod bricks;
mod ending;
mod errors;
mod graph;
mod held;
mod lock;
mod moving;
mod network;
mod space;
mod torn;
mod wire;

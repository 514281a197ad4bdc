// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Faults of the host: bricks, network, space, options, clients.

mod lock;
mod wire;

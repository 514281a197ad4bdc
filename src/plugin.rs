// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Finds, loads and calls store plugins.
//!
//! - [`table`]: maps a store's name to its library and lists the installed plugins;
//! - [`store`]: safe calls into a loaded plugin;
//! - [`stores`]: the loaded plugins of a volume.

pub mod store;
pub mod stores;
pub mod table;

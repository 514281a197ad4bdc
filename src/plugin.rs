// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! From a store's name to a loaded plugin.
//!
//! - [`table`]: which library a name means, and which ones are installed;
//! - [`store`]: a loaded plugin with its configuration, called safely.

pub mod store;
pub mod table;

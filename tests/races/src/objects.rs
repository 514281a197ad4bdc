// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The requests of readers, with sizes that are small.

#[path = "../../../src/objects/chunk.rs"]
pub mod chunk;
#[path = "../../../src/objects/get.rs"]
pub mod get;
#[path = "../../../src/objects/identity.rs"]
pub mod identity;
#[path = "../../../src/objects/object.rs"]
pub mod object;
#[path = "../../../src/objects/registry.rs"]
pub mod registry;
#[path = "../../../src/objects/source.rs"]
pub mod source;

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Recalls of files. The [`engine`] runs one [`job`] for each file, for which operations wait. What a job does on its
//! volume is behind the trait in [`recalls`]. The [`tracker`] tracks a recall's writes, and [`written`] is their
//! outcome; [`gather`] makes large ones of a plugin's small ones.

#![forbid(unsafe_code)]

pub mod engine;
pub mod gather;
pub mod job;
pub mod recalls;
pub mod tracker;
pub mod written;

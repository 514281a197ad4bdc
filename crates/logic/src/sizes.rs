// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The sizes of requests to the store.

#![forbid(unsafe_code)]

/// The maximum size of one request in bytes, as is usual for S3 clients. With larger parts, a broken connection costs
/// more; with smaller ones, there are more round trips.
pub const PART: u64 = 8 << 20;

/// A file of up to this many bytes is fetched as a whole, and its checksum is verified before any byte of it is
/// returned.
pub const PIECE: u64 = 1 << 20;

/// A file of up to this many bytes is only fetched by its recall, because fetching all of it takes no longer than a
/// part.
pub const SMALL: u64 = 256 << 10;

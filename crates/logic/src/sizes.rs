// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! How large what is fetched at once is.

#![forbid(unsafe_code)]

/// The most that one request asks for: what S3's clients agree on. Larger, and a broken connection costs more; smaller,
/// and each costs a round trip.
pub const PART: u64 = 8 << 20;

/// A file of at most so many bytes is one piece: fetched as a whole, and compared with its checksum before anybody sees
/// a byte of it.
pub const PIECE: u64 = 1 << 20;

/// A file of at most so many bytes is fetched by its recall alone: all of it comes as fast as a part would.
pub const SMALL: u64 = 256 << 10;

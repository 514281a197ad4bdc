// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The numbers of the messages that an administrator can see: `[MSGID: 190020]` in the host's log. docs/TROUBLESHOOTING.md
//! says of each what it means and what to do, and tests/documents.rs compares it with this list.
//!
//! GlusterFS gives each of its components a thousand numbers, from 100000 on (its glfs-message-id.h). Ours begin far above
//! them.
//!
//! **Append only**: people search for these numbers, and monitoring counts them. A number keeps its meaning for ever; that
//! of a message which no longer exists is not used again.

/// The translator's first number.
pub const TRANSLATOR: u64 = 190_000;
/// The first number of plugins that are written with crates/store.
pub const PLUGIN: u64 = 191_000;

/// The translator starts; its version.
pub const STARTED: u64 = 190_001;
/// It was built for another version of GlusterFS.
pub const WRONG_HOST: u64 = 190_002;
/// It stands in the wrong place of a volume file.
pub const WRONG_GRAPH: u64 = 190_003;
/// There is no memory to start with.
pub const NO_MEMORY: u64 = 190_004;
/// The volume is taken down, and work is still in progress.
pub const SHUTDOWN_WAITS: u64 = 190_005;
/// It was taken down while work was in progress.
pub const NOT_FREED: u64 = 190_006;
/// No thread can be started.
pub const NO_THREAD: u64 = 190_007;
/// A bug, which failed one operation.
pub const INTERNAL: u64 = 190_008;

/// The store is ready.
pub const STORE_UP: u64 = 190_010;
/// No store is set.
pub const STORE_NOT_SET: u64 = 190_011;
/// The store was removed from the volume's options.
pub const STORE_REMOVED: u64 = 190_012;
/// The store's plugin cannot be loaded, or does not accept its options.
pub const STORE_NOT_LOADED: u64 = 190_013;
/// Changed options of the store are wrong.
pub const STORE_OPTIONS: u64 = 190_014;
/// The settings in `cloudsync-product-id` are wrong.
pub const SETTINGS: u64 = 190_015;
/// The store cannot read parts of objects.
pub const NO_REMOTE_READ: u64 = 190_016;
/// The bricks do not check whether a file is cold.
pub const BRICKS_DO_NOT_CHECK: u64 = 190_017;

/// History: a file was recalled.
pub const RECALLED: u64 = 190_020;
/// History: a recall failed.
pub const RECALL_FAILED: u64 = 190_021;
/// History: a file was archived.
pub const ARCHIVED: u64 = 190_022;
/// History: more happened than is listed one by one.
pub const UNLISTED: u64 = 190_023;
/// History: a file was read from the store and stayed cold, because of who read it or its pin.
pub const SERVED: u64 = 190_024;

/// An operation failed because an operation on the bricks did.
pub const ON_BRICKS: u64 = 190_030;
/// ... because the bricks are full.
pub const BRICKS_FULL: u64 = 190_031;
/// ... because no store is loaded.
pub const NO_STORE: u64 = 190_032;
/// ... because the store's plugin reports an error.
pub const STORE_FAILED: u64 = 190_033;
/// ... because the object is not the file's.
pub const WRONG_OBJECT: u64 = 190_034;
/// ... because the plugin did not deliver the file.
pub const BAD_PLUGIN: u64 = 190_035;
/// ... because the file's attributes are damaged.
pub const DAMAGED: u64 = 190_036;
/// ... because bricks disconnected.
pub const DISCONNECTED: u64 = 190_037;
/// ... because the file is larger than its bricks.
pub const TOO_LARGE: u64 = 190_038;
/// ... because the bricks refuse it to the caller.
pub const NOT_ACCEPTED: u64 = 190_039;
/// ... because the budget is used up.
pub const OVER_BUDGET: u64 = 190_040;
/// ... because another client has the file's lock.
pub const LOCKED: u64 = 190_041;
/// ... because it was cancelled.
pub const CANCELLED: u64 = 190_042;
/// A file is not archived, and why.
pub const NOT_ARCHIVED: u64 = 190_043;
/// ... because the setting `callers` does not allow it.
pub const NOT_ALLOWED: u64 = 190_044;

/// Reads recalled as much as the guard allows.
pub const GUARD: u64 = 190_050;
/// The budget is used up.
pub const BUDGET_USED_UP: u64 = 190_051;
/// The budget has bytes left again.
pub const BUDGET_AGAIN: u64 = 190_052;
/// Recalls would use more connections if there were more memory.
pub const MEMORY_LIMITS: u64 = 190_053;
/// A file is archived again after each of its recalls.
pub const ARCHIVED_AGAIN: u64 = 190_054;

/// The object has another version in the store, and the same bytes.
pub const OTHER_VERSION: u64 = 190_060;
/// Another version of the object was accepted as the file's.
pub const ADOPTED: u64 = 190_061;
/// A cold file had bytes that no recall wrote; they were kept.
pub const BYTES_KEPT: u64 = 190_062;
/// What were holes are not all zeros in the object.
pub const HOLES_DIFFER: u64 = 190_063;
/// Marks could not be removed; a later operation does it.
pub const MARKS_LEFT: u64 = 190_064;
/// A file's lock could not be released.
pub const UNLOCK_FAILED: u64 = 190_065;
/// A file's lock was lost together with a brick.
pub const LOCK_LOST: u64 = 190_066;

/// A plugin starts; its version.
pub const PLUGIN_STARTED: u64 = 191_001;
/// A plugin does not accept its options.
pub const PLUGIN_OPTIONS: u64 = 191_002;
/// A plugin: a message of the library with which it speaks to the store.
pub const PLUGIN_LIBRARY: u64 = 191_003;
/// A bug in a plugin.
pub const PLUGIN_BUG: u64 = 191_004;

/// A plugin: there is no such object.
pub const OBJECT_MISSING: u64 = 191_010;
/// A plugin: the store denies the operation.
pub const PERMISSION_DENIED: u64 = 191_011;
/// A plugin: the store refuses the credentials.
pub const BAD_CREDENTIALS: u64 = 191_012;
/// A plugin: the object must be restored from its storage class first.
pub const OBJECT_ARCHIVED: u64 = 191_013;
/// A plugin: the store does not answer.
pub const UNREACHABLE: u64 = 191_014;
/// A plugin: the store asks for fewer requests.
pub const THROTTLED: u64 = 191_015;
/// A plugin: the object changed.
pub const OBJECT_CHANGED: u64 = 191_016;
/// A plugin: an object of that key exists.
pub const OBJECT_EXISTS: u64 = 191_017;
/// A plugin: the store is full.
pub const STORE_FULL: u64 = 191_018;
/// A plugin: the bytes that came are not the object's.
pub const CORRUPT: u64 = 191_019;
/// A plugin: the volume did not take or give the bytes.
pub const VOLUME_REFUSED: u64 = 191_020;
/// A plugin: a setting is wrong.
pub const BAD_SETTING: u64 = 191_021;
/// A plugin: any other error.
pub const STORE_ERROR: u64 = 191_022;
/// A plugin: no key decrypts the object.
pub const OBJECT_ENCRYPTED: u64 = 191_023;

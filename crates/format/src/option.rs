// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Names of the volume's options as the volume file has them: without `features.`, by which `gluster volume set` knows
//! some of them. glusterd has them compiled in.

use std::ffi::CStr;

/// The store's plugin.
pub const STORETYPE: &CStr = c"cloudsync-storetype";
/// The settings of recalls and reads, as a list.
pub const PRODUCT_ID: &CStr = c"cloudsync-product-id";
/// The settings of the store, as a list.
pub const STORE_ID: &CStr = c"cloudsync-store-id";
/// Whether reads leave a cold file cold.
pub const REMOTE_READ: &CStr = c"cloudsync-remote-read";
/// Where the store is.
pub const HOSTNAME: &CStr = c"s3plugin-hostname";
/// The bucket, or `bucket/prefix`.
pub const BUCKET_ID: &CStr = c"s3plugin-bucketid";
/// The account's name.
pub const KEY_ID: &CStr = c"s3plugin-keyid";
/// The account's secret.
pub const SECRET_KEY: &CStr = c"s3plugin-seckey";

/// The name as text.
///
/// # Panics
/// If it is not UTF-8; the names here are.
#[must_use]
pub const fn text(name: &'static CStr) -> &'static str {
    match name.to_str() {
        Ok(text) => text,
        Err(_) => panic!("the name of an option is text"),
    }
}

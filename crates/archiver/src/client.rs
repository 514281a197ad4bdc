// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Asks the client of a mount about itself.

use std::ffi::CStr;
use std::io;
use std::path::Path;

use crate::crawl::text;

/// The value of a virtual attribute of the mount's root ([`cloudsync_format::command`]).
///
/// # Errors
/// The mount has no translator, the caller is not root, or the client is too busy to tell (EAGAIN).
pub(crate) fn ask(mount: &Path, attribute: &CStr) -> io::Result<String> {
    let none = || io::Error::other("not the root of a mounted volume with features.cloudsync on");
    let value = match xattr::get(mount, text(attribute)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Err(none()),
        value => value?.ok_or_else(none)?,
    };
    String::from_utf8(value).map_err(io::Error::other)
}

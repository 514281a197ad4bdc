// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Asks the client of a mount about itself.

use std::ffi::CStr;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::crawl::text;
use crate::interrupt::interrupted;

/// How long a client may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// As [`ask`], but gives up after [`PATIENCE`] or when a signal has come: the kernel does not end a request to a client
/// that hangs.
///
/// # Errors
/// Those of [`ask`], ETIMEDOUT, EINTR.
pub(crate) fn ask_patiently(mount: &Path, attribute: &'static CStr) -> io::Result<String> {
    const STEP: Duration = Duration::from_millis(100);
    let asked = begin(mount, attribute, || {})?;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && !interrupted() {
        if let Ok(answer) = asked.recv_timeout(STEP) {
            return answer;
        }
    }
    if interrupted() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    Err(hangs())
}

/// Asks on a thread of its own, which calls `ended` when the client has answered.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn begin(
    mount: &Path,
    attribute: &'static CStr,
    ended: impl FnOnce() + Send + 'static,
) -> io::Result<Receiver<io::Result<String>>> {
    let (send, receive) = channel();
    let mount = mount.to_owned();
    thread::Builder::new().spawn(move || {
        let answer = ask(&mount, attribute);
        ended();
        // Nobody waits for a late answer.
        let _late = send.send(answer);
    })?;
    Ok(receive)
}

/// The error of a client that takes longer than [`PATIENCE`].
pub(crate) fn hangs() -> io::Error {
    let why = format!("does not answer within {} s", PATIENCE.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, why)
}

/// The value of a virtual attribute of the mount's root ([`cloudsync_format::command`]).
///
/// # Errors
/// The mount has no translator, the caller is not root, or the client is too busy to tell (EAGAIN).
fn ask(mount: &Path, attribute: &CStr) -> io::Result<String> {
    let none = || io::Error::other("not the root of a mounted volume with features.cloudsync on");
    // The mount may be given by a symbolic link.
    let value = match xattr::get_deref(mount, text(attribute)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Err(none()),
        value => value?.ok_or_else(none)?,
    };
    String::from_utf8(value).map_err(io::Error::other)
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Checks whether a file is local, and repairs one that is in neither state.

use std::ffi::CStr;
use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_format::{command, xattr as names};

use super::outcome::{Problem, Why};
use crate::crawl::{State, parse_state, text};

/// A handshake marks the file for a few tens of milliseconds. A mark that stays for this long was left by a client that
/// died.
const SETTLED: Duration = Duration::from_millis(700);
/// How long the translator may take to remove such a mark.
const SETTLING: Duration = Duration::from_secs(10);

/// Reads one of the file's marks.
pub(super) fn get(file: &File, name: &CStr) -> Result<Option<String>, Problem> {
    use xattr::FileExt;
    let value = file.get_xattr(text(name));
    let value = value.map_err(|error| Problem::Io("reading its attributes", error))?;
    Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
}

/// Succeeds if the file is local. Cold files and those in between are [`Problem::Left`].
pub(super) fn check_local(file: &File) -> Result<(), Problem> {
    use xattr::FileExt;
    let state = file
        .get_xattr(text(command::STATE))
        .map_err(|error| Problem::Io("reading its state", error))?;
    match state.as_deref().map(parse_state) {
        Some(State::Local) => Ok(()),
        Some(State::Cold) => Err(Problem::Left(Why::Cold)),
        Some(State::Between) => Err(Problem::Left(Why::Busy)),
        None => Err(Problem::Other(
            "the volume's clients do not run this version of the translator: \
             install it, restart glusterd, set features.cloudsync on, and mount again"
                .to_owned(),
        )),
    }
}

/// A client that died during a handshake leaves a local file with a mark. The translator removes it when asked to
/// recall the file, on finding that there is nothing to recall.
pub(super) fn settle(file: &File) -> Result<(), Problem> {
    use xattr::FileExt;
    let failed = |error| Problem::Io("reading its state", error);
    thread::sleep(SETTLED);
    check_busy(file)?;
    if get(file, names::REMOTE)?.is_some() {
        return Err(Problem::Left(Why::Busy));
    }
    file.set_xattr(text(command::RECALL), b"1")
        .map_err(failed)?;
    let started = Instant::now();
    while started.elapsed() < SETTLING && check_local(file).is_err() {
        thread::sleep(SETTLED / 10);
    }
    Ok(())
}

/// Succeeds if the file is still in neither state; otherwise returns how to end or retry.
fn check_busy(file: &File) -> Result<(), Problem> {
    match check_local(file) {
        Err(Problem::Left(Why::Busy)) => Ok(()),
        Err(other) => Err(other),
        Ok(()) => Err(Problem::Again),
    }
}

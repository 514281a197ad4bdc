// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whether a file is local, and what to do about one that is neither that nor cold.

use std::ffi::CStr;
use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_format::{command, xattr as names};

use super::outcome::{Problem, Why};
use crate::crawl::{State, parse_state, text};

/// A handshake marks the file for a few hundredths of a second. A mark that stays longer is of a client that died.
const SETTLED: Duration = Duration::from_millis(700);
/// How long the translator may take to clear up.
const SETTLING: Duration = Duration::from_secs(10);

/// One of its marks.
pub(super) fn get(file: &File, name: &CStr) -> Result<Option<String>, Problem> {
    use xattr::FileExt;
    let value = file.get_xattr(text(name));
    let value = value.map_err(|error| Problem::Io("reading its marks", error))?;
    Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
}

pub(super) fn check_local(file: &File) -> Result<(), Problem> {
    use xattr::FileExt;
    let state = file
        .get_xattr(text(command::STATE))
        .map_err(|error| Problem::Io("asking for its state", error))?;
    match state.as_deref().map(parse_state) {
        Some(State::Local) => Ok(()),
        Some(State::Cold) => Err(Problem::Left(Why::Cold)),
        Some(State::Between) => Err(Problem::Left(Why::Busy)),
        None => Err(Problem::Other(
            "the volume's clients have not the translator of this version: \
             install it, restart glusterd, set features.cloudsync on"
                .to_owned(),
        )),
    }
}

/// A client that died in the middle of a handshake leaves a local file with a mark. The translator removes it
/// when it is asked to recall the file, which finds that there is nothing to recall.
pub(super) fn settle(file: &File) -> Result<(), Problem> {
    use xattr::FileExt;
    let failed = |error| Problem::Io("asking for its state", error);
    thread::sleep(SETTLED);
    check_busy(file)?;
    if get(file, names::REMOTE)?.is_some() {
        return Err(Problem::Left(Why::Busy));
    }
    file.set_xattr(text(command::RECALL), b"1")
        .map_err(failed)?;
    let begun = Instant::now();
    while begun.elapsed() < SETTLING && check_local(file).is_err() {
        thread::sleep(SETTLED / 10);
    }
    Ok(())
}

/// Ends the matter unless the file is neither local nor cold.
fn check_busy(file: &File) -> Result<(), Problem> {
    match check_local(file) {
        Err(Problem::Left(Why::Busy)) => Ok(()),
        Err(other) => Err(other),
        Ok(()) => Err(Problem::Again),
    }
}

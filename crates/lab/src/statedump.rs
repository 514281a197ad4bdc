// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client's statedump, which can be taken without using its mount.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::client::Client;
use crate::process;
use crate::run::{Failure, until};
use crate::space::Space;

/// Makes the client write a statedump and returns its text.
pub(crate) fn statedump(space: &Space, client: &Client) -> Result<String, Failure> {
    let dir = space.outer("/run/gluster".as_ref());
    let stem = format!("glusterdump.{}.dump.", client.inner);
    let dumps = || {
        let names = fs::read_dir(&dir).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.path());
        let ours = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&stem))
        };
        names.filter(ours).collect::<Vec<_>>()
    };
    // File names have a resolution of one second: two dumps in the same second would share a file.
    for old in dumps() {
        let _ = fs::remove_file(old);
    }
    process::signal(space, client.pid, Signal::USR1)?;
    until(Duration::from_secs(30), "a statedump", || {
        let texts = dumps()
            .into_iter()
            .filter_map(|path| fs::read_to_string(path).ok());
        let mut complete = texts.filter(|text| text.contains("DUMP-END-TIME"));
        complete.next()
    })
}

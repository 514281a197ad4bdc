// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the lab knows of every FUSE client in it, also when its mount hangs.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::process::Signal;

use crate::process;
use crate::run::{Failure, until};
use crate::space::Space;

/// What the lab remembers of a client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) volume: String,
    /// Mount point and log as the lab sees them.
    pub(crate) point: PathBuf,
    pub(crate) log: PathBuf,
    /// Pid here and in the lab.
    pub(crate) pid: u32,
    pub(crate) inner: u32,
    /// Whether its state was printed already.
    pub(crate) told: AtomicBool,
}

impl Client {
    /// Has it write a statedump and returns that.
    pub(crate) fn statedump(&self, space: &Space) -> Result<String, Failure> {
        let dir = space.outer("/run/gluster".as_ref());
        let stem = format!("glusterdump.{}.dump.", self.inner);
        let dumps = || {
            let names = fs::read_dir(&dir).into_iter().flatten().flatten();
            let names = names.map(|entry| entry.path());
            let ours = |path: &PathBuf| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(&stem))
            };
            names.filter(ours).collect::<Vec<_>>()
        };
        // Their names count seconds: two in the same second would share a file.
        for old in dumps() {
            let _ = fs::remove_file(old);
        }
        process::signal(space, self.pid, Signal::USR1)?;
        until(Duration::from_secs(30), "a statedump", || {
            let texts = dumps()
                .into_iter()
                .filter_map(|path| fs::read_to_string(path).ok());
            let mut complete = texts.filter(|text| text.contains("DUMP-END-TIME"));
            complete.next()
        })
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync keep-on VOLUME`, for glusterd's hooks: turns features.cloudsync back on if it is off while a brick of
//! this host has cold files.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::is_cold;
use crate::child;
use crate::crawl::{Extent, Walked, show, walk_extent};
use crate::exit::{Ended, Error};
use crate::volume::folder::{self, leaving, not_leaving};
use crate::volume::{Volume, gluster};

/// Time limit of the search for a cold file on a volume that is known to have had the feature.
const LONG: Duration = Duration::from_secs(600);
/// Time limit on any other volume: hooks run for every volume whose options are reset.
pub(crate) const SHORT: Duration = Duration::from_secs(20);
/// Attempts, one per second: glusterd may be busy with the command that called the hook.
const ATTEMPTS: usize = 60;

/// Runs the command.
pub(crate) fn command(name: &str) -> Result<Ended, Error> {
    let volume = Volume::named(name)?;
    let marker = leaving(&volume);
    let folder = folder::of(&volume);
    if volume.archives() {
        not_leaving(&volume);
        // The folder's existence records that the volume has had the feature.
        fs::create_dir_all(&folder).map_err(|error| Error::start(folder.display(), error))?;
        return Ok(Ended::Well);
    }
    if marker.exists() {
        return Ok(Ended::Well);
    }
    let limit = if folder.exists() { LONG } else { SHORT };
    let path = match first_cold(&volume, limit) {
        Search::Cold(path) => path,
        Search::Clean => return Ok(Ended::Well),
        Search::Unfinished => {
            log(
                name,
                &format!(
                    "features.cloudsync of volume {name} is off, and not all files could be checked within {} s. To \
                     see whether some are cold: cloudsync status --summary BRICK",
                    limit.as_secs()
                ),
            );
            return Ok(Ended::Well);
        }
    };
    log(
        name,
        &format!(
            "features.cloudsync of volume {name} was turned off while files are cold ({}, ...): every cold file reads \
             as empty; turning it back on. Do not write to those files. To turn it off: cloudsync prepare-off {name} \
             --recall, or --accept-loss. After a reset, set the store's options again.",
            show(&path)
        ),
    );
    let mut failure = String::new();
    for _ in 0..ATTEMPTS {
        match gluster(None, &["volume", "set", name, "features.cloudsync", "on"]) {
            Ok(_) => return Ok(Ended::Well),
            Err(why) => failure = why,
        }
        if Volume::named(name).is_ok_and(|volume| volume.archives()) {
            return Ok(Ended::Well);
        }
        thread::sleep(Duration::from_secs(1));
    }
    log(
        name,
        &format!("features.cloudsync of volume {name} cannot be turned back on: {failure}"),
    );
    Err(Error::Start(failure))
}

/// What a search for a cold file found.
pub(crate) enum Search {
    /// A cold file.
    Cold(PathBuf),
    /// None is cold.
    Clean,
    /// None yet, when the time was up.
    Unfinished,
}

/// Searches for a cold file on the bricks of this host.
pub(crate) fn first_cold(volume: &Volume, limit: Duration) -> Search {
    let started = Instant::now();
    let found = Mutex::new(None);
    let slot = || found.lock().unwrap_or_else(PoisonError::into_inner);
    for brick in volume.bricks_of_this_host() {
        walk_extent(&brick, Extent::UsersFiles { root: &brick }, &|walked| {
            if let Walked::File(path) = walked
                && is_cold(path).unwrap_or(false)
            {
                slot().get_or_insert_with(|| path.to_owned());
                return false;
            }
            started.elapsed() < limit
        });
        if let Some(path) = slot().take() {
            return Search::Cold(path);
        }
    }
    if started.elapsed() >= limit {
        return Search::Unfinished;
    }
    Search::Clean
}

/// Logs to syslog, and to a file of its own among GlusterFS's logs, because hooks have no terminal.
fn log(name: &str, text: &str) {
    let _ = child::command("logger")
        .args(["-p", "daemon.crit", "-t", "cloudsync", "--", text])
        .status();
    let path = format!("/var/log/glusterfs/cloudsync-{name}.crit.log");
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(Path::new(&path));
    if let Ok(mut file) = file {
        let now = humantime::format_rfc3339_seconds(SystemTime::now());
        let _ = writeln!(file, "[{now}] C {text}");
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync metrics`: the metrics of mounts, printed, written to a file, or served to Prometheus.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cloudsync_metrics::gather::prometheus;

use crate::cli::MetricsArgs;
use crate::exit::{Ended, Error};

mod clients;
mod serve;

use clients::Clients;

/// Runs the command.
pub(crate) fn command(args: &MetricsArgs) -> Result<Ended, Error> {
    let clients = Clients::new(&args.mounts);
    if let Some(address) = args.listen {
        return serve::until_stopped(address, clients);
    }
    let answers = clients.ask();
    for (mount, why) in answers.failures() {
        eprintln!("cloudsync: {}: {why}", mount.display());
    }
    let text = answers.text();
    match &args.textfile {
        Some(path) => {
            let written = replace(path, &prometheus(&text));
            written.map_err(|error| Error::start(path.display(), error))?;
        }
        // A reader that closes the pipe early (`| head`) is no error.
        None => drop(io::stdout().write_all(text.as_bytes())),
    }
    Ok(Ended::of(answers.failures().next().is_some()))
}

/// Replaces a file at once, so that nobody reads half of it. Other users may read it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

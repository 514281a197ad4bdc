// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync metrics`: the metrics of mounts, printed, written to a file, or served to Prometheus.
//! [`run`]: those of this program's own runs.

use std::io::{self, Write};

use cloudsync_metrics::gather::prometheus;

use crate::cli::MetricsArgs;
use crate::exit::{Ended, Error};
use crate::replace::replace;

mod clients;
pub(crate) mod run;
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
            let written = replace(path, prometheus(&text).as_bytes());
            written.map_err(|error| Error::start(path.display(), error))?;
        }
        None => match io::stdout().write_all(text.as_bytes()) {
            // A reader that closes the pipe early (`| head`) is no error.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(Error::start("standard output", error));
            }
            _ => {}
        },
    }
    Ok(Ended::of(answers.failures().next().is_some()))
}

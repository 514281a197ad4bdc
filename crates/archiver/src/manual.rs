// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Generates man pages and shell completions from the command line's texts.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Ended, Error};

/// Prints a completion script.
pub(crate) fn completions(shell: Shell) -> Ended {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cloudsync", &mut script);
    // A reader that closes the pipe early (`| head`) is no error.
    let _ = std::io::stdout().write_all(&script);
    Ended::Well
}

/// Writes cloudsync.1, and a page for each subcommand.
pub(crate) fn pages(directory: &Path) -> Result<Ended, Error> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|error| Error::start(directory.display(), error))?;
    Ok(Ended::Well)
}

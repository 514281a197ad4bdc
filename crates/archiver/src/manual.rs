// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Generates man pages and shell completions from the command line's texts.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::{self, Cli, EXIT_CODES, examples};
use crate::exit::{Ended, Error};

/// Prints a completion script.
pub(crate) fn completions(shell: Shell) -> Ended {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "cloudsync", &mut script);
    // A reader that closes the pipe early (`| head`) is no error.
    let _ = io::stdout().write_all(&script);
    Ended::Well
}

/// Writes cloudsync.1, and a page for each subcommand.
pub(crate) fn pages(directory: &Path) -> Result<Ended, Error> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let subcommands = program.get_subcommands().filter(|sub| !sub.is_hide_set());
    let all: Vec<_> = subcommands.chain([&program]).cloned().collect();
    std::fs::create_dir_all(directory)
        .and_then(|()| {
            all.into_iter()
                .try_for_each(|command| page(command, directory))
        })
        .map_err(|error| Error::start(directory.display(), error))?;
    Ok(Ended::Well)
}

/// Writes a page: what clap makes of the command, the examples, and the exit codes.
fn page(command: clap::Command, directory: &Path) -> io::Result<()> {
    let examples = examples::of(command.get_name());
    let is_program = command.has_subcommands();
    let man = Man::new(command);
    let mut page = Vec::new();
    man.render(&mut page)?;
    let mut more = Roff::new();
    if !examples.is_empty() {
        more.control("SH", ["EXAMPLES"]);
    }
    for (line, what) in examples {
        more.control("TP", []);
        more.text([bold(*line)]);
        more.text([roman(*what)]);
    }
    // The program's own page has them already, from its help.
    if !is_program {
        more.control("SH", ["EXIT STATUS"]);
        more.text([roman(EXIT_CODES)]);
    }
    more.to_writer(&mut page)?;
    std::fs::write(directory.join(man.get_filename()), page)
}

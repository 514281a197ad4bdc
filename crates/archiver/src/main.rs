// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync`: archives files to the volume's store, recalls them, and checks that files and objects agree.
//!
//! - [`cli`]: the command line; [`exit`]: errors and exit codes; [`report`]: output; [`interrupt`]: signals; [`child`]: other programs;
//! - [`client`]: asks a mount about itself;
//! - [`outage`]: when a run should stop because of the store; [`replace`]: files that other programs read;
//! - [`volume`]: finds the volume of a path and mounts it; [`remote`]: opens its store; [`lock`]: one run per brick;
//! - [`crawl`]: finds, selects and sorts files;
//! - [`archive`], ...: the commands.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

mod archive;
mod catalog;
mod check;
mod child;
mod cli;
mod client;
mod crawl;
mod exit;
mod gc;
mod history;
mod interrupt;
mod jobs;
mod kept;
mod leave;
mod lock;
mod manual;
mod metrics;
mod migrate;
mod outage;
mod parallel;
mod pin;
mod policy;
mod rebuild;
mod recall;
mod recreate;
mod remote;
mod replace;
mod report;
mod restore;
mod status;
mod top;
mod undelete;
mod verify;
mod volume;

use cli::Command;

fn main() -> ExitCode {
    let started = Instant::now();
    let (cli, command) = cli::parse(std::env::args_os());
    log(cli.output.verbose);
    let listening = interrupt::listen().map_err(|error| exit::Error::start("signals", error));
    let ended = listening.and_then(|()| match &cli.command {
        Command::Archive(args) => archive::command(args, &cli.output),
        Command::Recall(args) => recall::command(args, &cli.output),
        Command::Pin(args) => pin::pin(args, &cli.output),
        Command::Unpin(args) => pin::unpin(args, &cli.output),
        Command::Pins(args) => pin::list(args, &cli.output),
        Command::Restore(args) => restore::command(args, &cli.output),
        Command::Migrate(args) => migrate::command(args, &cli.output),
        Command::Cancel(args) => recall::cancel(args, &cli.output),
        Command::Status(args) => status::command(args, &cli.output),
        Command::Verify(args) => verify::command(args, &cli.output),
        Command::Kept(args) => kept::command(args, &cli.output),
        Command::Gc(args) => gc::command(args, &cli.output),
        Command::PrepareOff(args) => leave::command(args, &cli.output),
        Command::KeepOn { volume } => leave::guard::command(volume),
        Command::Catalog(args) => catalog::command(args, &cli.output),
        Command::Rebuild(args) => rebuild::command(args, &cli.output),
        Command::Undelete(args) => undelete::command(args, &cli.output),
        Command::Jobs(args) => jobs::command(args, &cli.output),
        Command::Top(args) => top::command(args, &cli.output),
        Command::History(args) => history::command(args, &cli.output),
        Command::Metrics(args) => metrics::command(args),
        Command::Check(args) => check::command(args, &cli.output),
        Command::Run(args) => policy::command(args, &cli.output),
        Command::Completions { shell } => Ok(manual::completions(*shell)),
        Command::Manual { directory } => manual::pages(directory),
    });
    let code = match ended {
        Ok(ended) => ended.code(),
        Err(error) => {
            eprintln!("cloudsync: {error}");
            error.code()
        }
    };
    if let Some(path) = &cli.output.metrics_file
        && let Err(error) = metrics::run::write(path, &command, started, code)
    {
        eprintln!("cloudsync: {}: {error}", path.display());
        return ExitCode::from(code.max(1));
    }
    ExitCode::from(code)
}

/// Sends the program's own diagnostics to standard error: warnings by default, debug with `-vv`, trace with `-vvv`.
fn log(verbose: u8) {
    use std::io::IsTerminal;
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::fmt::layer;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let level = match verbose {
        0 | 1 => LevelFilter::WARN,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // At the level of trace, the SDK shows whole requests: with signatures, tokens and a customer's key.
    let targets = [
        "aws_sigv4",
        "aws_smithy_runtime",
        "aws_smithy_runtime_api",
        "aws_runtime",
    ]
    .into_iter()
    .fold(Targets::new().with_default(level), |targets, name| {
        targets.with_target(name, level.min(LevelFilter::DEBUG))
    });
    let lines = layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(lines)
        .with(targets)
        .init();
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `memcheck DIR`: counts the reports of a run with `CLOUDSYNC_MEMCHECK=DIR` and prints those caused by our code.
//! Fails if there are any, or if no client ran under valgrind.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: memcheck DIR")?;
    let found = cloudsync_lab::memcheck::reports(Path::new(&folder), "client")?;
    for report in &found.ours {
        println!("{}\n", report.text);
    }
    println!(
        "memcheck: {} processes of clients, {} ended in order and were searched for leaks; {} reports, {} of them ours",
        found.clients,
        found.ended,
        found.all,
        found.ours.len()
    );
    let good = found.clients > 0 && found.ours.is_empty();
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Prints diagnostics when something fails or hangs. Nothing here can hang.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::client::Client;
use crate::memcheck;
use crate::pids;
use crate::process;
use crate::run::Failure;
use crate::space::Space;
use crate::statedump::statedump;

/// Time limit for a request to a client that may hang.
pub(crate) const QUESTION: Duration = Duration::from_secs(10);

/// The last lines of a file in the lab.
pub(crate) fn tail(space: &Space, inside: &Path, lines: usize) -> String {
    let bytes = match fs::read(space.outer(inside)) {
        Ok(bytes) => bytes,
        Err(error) => return format!("--- {}: {error}\n", inside.display()),
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut last: VecDeque<&str> = VecDeque::new();
    for line in text.lines().filter(|line| !of_volfile(line)) {
        if last.len() == lines {
            last.pop_front();
        }
        last.push_back(line);
    }
    let text = Vec::from(last).join("\n");
    format!("--- {} (last {lines} lines)\n{text}\n", inside.display())
}

/// Whether a line belongs to the volfile that every client logs: " 12: option ...".
fn of_volfile(line: &str) -> bool {
    let number = line.trim_start().split_once(':').map(|(number, _)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The frames of a client: from `.meta/frames` or, if that hangs too (a pending create locks its directory), from a
/// statedump, which needs no mount.
pub(crate) fn frames(space: &Space, client: &Client) -> Result<String, Failure> {
    let path = client.point.join(".meta/frames");
    let output = space.run_with(QUESTION, "cat", [path], |_| {})?;
    if output.success() {
        return Ok(output.text());
    }
    let dump = statedump(space, client)?;
    let frames = dump
        .split("\n\n")
        .filter(|part| part.starts_with("[global.callpool"));
    Ok(frames.collect::<Vec<_>>().join("\n"))
}

/// State, blocked frames and log of each client, and the state of the bricks.
pub(crate) fn report(space: &Space, clients: &[Arc<Client>]) -> String {
    let mut text = String::new();
    for client in clients {
        let state = if pids::alive(client.pid) {
            "runs"
        } else {
            "has ended"
        };
        let _ = writeln!(
            text,
            "=== client of {} (pid {}) {state}",
            client.volume, client.pid
        );
        if pids::alive(client.pid) {
            let frames = frames(space, client).unwrap_or_else(|failure| failure.to_string());
            let _ = writeln!(text, "--- blocked frames\n{frames}");
        }
        text.push_str(&tail(space, &client.log, 60));
        // The logs are named after the bricks' paths, which contain the volume's name.
        let bricks = space.ram("log/bricks");
        for entry in fs::read_dir(space.outer(&bricks))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            if name
                .to_string_lossy()
                .contains(&format!("-{}-", client.volume))
            {
                text.push_str(&tail(space, &bricks.join(name), 15));
            }
        }
        let args = ["--mode=script", "volume", "status", &client.volume];
        if let Ok(output) = space.run_with(QUESTION * 2, "gluster", args, |_| {}) {
            let _ = writeln!(text, "{output}");
        }
    }
    text
}

/// Runs `work` on a thread; prints diagnostics and panics if it takes longer than `deadline`.
#[track_caller]
pub(crate) fn within<T: Send + 'static>(
    space: &Space,
    clients: impl FnOnce() -> Vec<Arc<Client>>,
    deadline: Duration,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (send, receive) = mpsc::channel::<Result<T, Box<dyn Any + Send>>>();
    let builder = thread::Builder::new().name(name.to_owned());
    let thread = builder.spawn(move || {
        let _ = send.send(catch_unwind(AssertUnwindSafe(work)));
    });
    if let Err(error) = thread {
        panic!("{name}: no thread: {error}");
    }
    let deadline = memcheck::patience(deadline);
    match receive.recv_timeout(deadline) {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => {
            let clients = clients();
            eprintln!(
                "{name}: no answer within {deadline:?}\n{}",
                report(space, &clients)
            );
            for client in clients {
                // Breaks the FUSE connection: calls that hang in it return ENOTCONN.
                client.reported.store(true, Ordering::Relaxed);
                let _ = process::kill(space, client.pid);
            }
            panic!("{name}: no answer within {deadline:?}");
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The state of a process, as /proc shows it.

use std::fs;
use std::path::Path;

/// Whether the process is in that pid namespace; a zombie is until it is reaped.
pub(crate) fn is_in(namespace: &Path, pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|of| of == namespace)
}

/// The kernel's letter for a process's state; `None` if there is no such process.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether it is still running. A zombie is not, unless some of its threads still run: they keep its files and sockets
/// open.
pub(crate) fn alive(pid: u32) -> bool {
    match state(pid) {
        None => false,
        Some('Z' | 'X') => {
            fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|tasks| tasks.count() > 1)
        }
        Some(_) => true,
    }
}

/// Whether all its threads have stopped.
pub(crate) fn stopped(pid: u32) -> bool {
    let Ok(mut tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    tasks.all(|task| {
        let id = task
            .ok()
            .and_then(|task| task.file_name().to_str()?.parse().ok());
        id.and_then(state) == Some('T')
    })
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the kernel says of a client's process.

use std::fs;
use std::time::Duration;

use crate::Answer;

/// CPU time of all threads that it has. Its threads stay for as long as anything is measured; `/proc/PID/stat` counts
/// ended ones too, but in steps of 10 ms.
pub(crate) fn cpu(pid: u32) -> Answer<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let first = text.split_whitespace().next();
        nanos += first.and_then(|first| first.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Memory in bytes: `VmRSS` is what it has now, `VmHWM` the most that it had.
pub(crate) fn memory(pid: u32, name: &str) -> Answer<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().nth(1));
    let kib: u64 = kib.ok_or(format!("no {name} of process {pid}"))?.parse()?;
    Ok(kib << 10)
}

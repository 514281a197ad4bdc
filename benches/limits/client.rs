// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client process's CPU time and memory, as reported by the kernel.

use std::fs;
use std::time::Duration;

use crate::Answer;

/// CPU time of all its running threads. Its threads live through the whole measurement; `/proc/PID/stat` includes ended
/// threads, but has a resolution of 10 ms.
pub(crate) fn cpu(pid: u32) -> Answer<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let first = text.split_whitespace().next();
        nanos += first.and_then(|first| first.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// CPU time of all its threads, also of those that have ended, with a resolution of 10 ms.
pub(crate) fn cpu_of_all(pid: u32) -> Answer<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may have spaces.
    let (_, fields) = text.rsplit_once(')').ok_or("no name in stat")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || Answer::Ok(times.next().ok_or("no times in stat")?.parse::<u64>()?);
    let ticks = next()? + next()?;
    let nanos = ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second();
    Ok(Duration::from_nanos(nanos))
}

/// Memory in bytes: `VmRSS` is the current size, `VmHWM` the peak.
pub(crate) fn memory(pid: u32, name: &str) -> Answer<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().nth(1));
    let kib: u64 = kib.ok_or(format!("no {name} of process {pid}"))?.parse()?;
    Ok(kib << 10)
}

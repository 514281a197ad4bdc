// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Who calls. FUSE gives the number of the calling thread; people look for its process.

use std::fs;

/// A process of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its user: as which it works with files.
    pub uid: u32,
    /// Its command's name.
    pub command: String,
}

/// The process of a thread, as `ps` shows it; `None` if this machine has no such thread (any more).
#[must_use]
pub fn process(thread: i32) -> Option<Process> {
    // GlusterFS's own have negative numbers; 0 is the kernel, which reads ahead.
    if thread <= 0 {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let pid = field("Tgid:")?.trim().parse().ok()?;
    // Real, effective, saved, and of files (proc_pid_status(5)).
    let uid = field("Uid:")?.split_whitespace().nth(3)?.parse().ok()?;
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Process {
        pid,
        uid,
        command: command.trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_belongs_to_its_process() {
        let tid = std::thread::spawn(|| {
            let link = fs::read_link("/proc/thread-self").unwrap();
            let found = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
            (found, process(found).unwrap().pid)
        });
        let (thread, pid) = tid.join().unwrap();
        let ours = i32::try_from(std::process::id()).unwrap();
        assert!(thread != ours);
        assert_eq!(pid, ours);
        let uid = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap());
        assert_eq!(process(ours).unwrap().uid, uid);
        assert_eq!(process(-1), None);
        assert_eq!(process(0), None);
    }
}

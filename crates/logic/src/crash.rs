// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Crash points for tests: the process can be killed before and after each step of a recall, a handshake or a repair.
//!
//! Only with the feature `crash-points`, which no release build has; without it, a step does nothing. With it, two
//! environment variables control the crash (tests/volume/crash.rs sets them):
//! | variable | value |
//! |---|---|
//! | `CLOUDSYNC_CRASH_AT` | `before STEP#N` or `after STEP#N`: the process kills itself when it reaches this point for the Nth time |
//! | `CLOUDSYNC_CRASH_TRACE` | a file, to which every point that the process reaches is appended, one per line |

/// All steps. The tests fail for a step that is not listed, and for one that they never reach.
pub const STEPS: &[&str] = &[
    "adopt",
    "answer",
    "ask the store",
    "commit",
    "compare",
    "drain",
    "fetch",
    "fsync",
    "lock",
    "look up",
    "make room",
    "mark",
    "open",
    "record the kept object",
    "record the object",
    "restore the times",
    "resume",
    "set cs.remote",
    "tidy up",
    "truncate as the caller",
    "truncate",
    "try to read",
    "undo",
    "unlock",
    "unmark",
    "wait for writes",
    "write",
];

/// A step in progress, which ends when this is dropped.
#[must_use = "the step would end immediately"]
#[derive(Debug)]
pub struct Step {
    #[cfg(feature = "crash-points")]
    name: &'static str,
}

/// Begins the step `name`.
pub fn step(name: &'static str) -> Step {
    before(name);
    Step {
        #[cfg(feature = "crash-points")]
        name,
    }
}

#[cfg(feature = "crash-points")]
impl Drop for Step {
    fn drop(&mut self) {
        after(self.name);
    }
}

/// Marks the beginning of a step that ends elsewhere in the code.
pub fn before(name: &str) {
    #[cfg(feature = "crash-points")]
    armed::pass("before", name);
    let _ = name;
}

/// Marks the end of a step that began elsewhere in the code.
pub fn after(name: &str) {
    #[cfg(feature = "crash-points")]
    armed::pass("after", name);
    let _ = name;
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::collections::HashMap;
    use std::fs::File;
    use std::io::Write;
    use std::sync::{LazyLock, Mutex, PoisonError};

    struct Orders {
        at: Option<String>,
        trace: Option<File>,
        passed: Mutex<HashMap<String, u32>>,
    }

    static ORDERS: LazyLock<Orders> = LazyLock::new(|| {
        let trace = std::env::var_os("CLOUDSYNC_CRASH_TRACE");
        Orders {
            at: std::env::var("CLOUDSYNC_CRASH_AT").ok(),
            trace: trace.and_then(|path| File::options().append(true).create(true).open(path).ok()),
            passed: Mutex::default(),
        }
    });

    pub(super) fn pass(when: &str, name: &str) {
        let point = format!("{when} {name}");
        let mut passed = ORDERS.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let times = passed.entry(point.clone()).or_default();
        *times += 1;
        let point = format!("{point}#{times}");
        if let Some(mut trace) = ORDERS.trace.as_ref() {
            let _ = trace.write_all(format!("{point}\n").as_bytes());
        }
        if ORDERS.at.as_ref() == Some(&point) {
            // SAFETY: no memory is involved. The lock is held, so no other thread passes a point meanwhile.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
    }
}

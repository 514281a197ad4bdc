// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! System calls for which std has no safe function, made by a separate program (calls.c): a fault in mapped memory kills
//! the program, not the tests.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use crate::native::compiled;
use crate::scene::lab;

/// Makes a call and returns its bytes, or the errno; EFAULT for SIGBUS.
pub(crate) fn call<S: AsRef<OsStr>>(words: &[S], input: &[u8]) -> io::Result<Vec<u8>> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| lab().outer(compiled("calls", &[])));
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that fails may not read it.
    let writer = thread::spawn(move || pipe.write_all(&input).is_ok());
    let output = child.wait_with_output()?;
    writer.join().unwrap();
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => Ok(output.stdout),
        (Some(errno), _) => Err(io::Error::from_raw_os_error(errno)),
        (None, Some(libc::SIGBUS)) => Err(io::Error::from_raw_os_error(libc::EFAULT)),
        (None, _) => panic!("calls ended with {}", output.status),
    }
}

/// The arguments of a call: its name, a path, and numbers.
pub(crate) fn words(what: &str, path: &Path, numbers: &[usize]) -> Vec<String> {
    let mut words = vec![what.to_owned(), path.to_str().unwrap().to_owned()];
    words.extend(numbers.iter().map(usize::to_string));
    words
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! System calls that std has no safe name for, by a program of their own (calls.c): a fault in mapped memory ends the
//! program and not the tests.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use cloudsync_lab::Lab;

use crate::scene::lab;

/// Compiles a C program of this folder, once, into the lab's memory. Returns its path in the lab.
pub(crate) fn compiled(name: &str, flags: &[&str]) -> PathBuf {
    compiled_in(lab(), name, flags)
}

/// The same in another lab.
pub(crate) fn compiled_in(lab: &Lab, name: &str, flags: &[&str]) -> PathBuf {
    let program = lab.scratch(name);
    let source = format!("{}/tests/volume/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let mut compiler = Command::new("cc");
    compiler
        .args(["-D_FILE_OFFSET_BITS=64", "-Wall", "-Werror", &source, "-o"])
        .arg(lab.outer(&program))
        .args(flags);
    assert!(compiler.status().unwrap().success(), "{compiler:?}");
    program
}

/// What a call gave: its bytes; or the errno that it failed with, EFAULT where that was a SIGBUS.
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
    // A program that fails does not read it.
    let writer = thread::spawn(move || pipe.write_all(&input).is_ok());
    let output = child.wait_with_output()?;
    writer.join().unwrap();
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => Ok(output.stdout),
        (Some(errno), _) => Err(io::Error::from_raw_os_error(errno)),
        (None, Some(libc::SIGBUS)) => Err(io::Error::from_raw_os_error(libc::EFAULT)),
        (None, _) => panic!("the program ended by {}", output.status),
    }
}

/// The words of a call on a file, with numbers behind it.
pub(crate) fn words(what: &str, path: &Path, numbers: &[usize]) -> Vec<String> {
    let mut words = vec![what.to_owned(), path.to_str().unwrap().to_owned()];
    words.extend(numbers.iter().map(usize::to_string));
    words
}

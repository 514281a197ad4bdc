// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Runs other programs, each in a process group of its own.
//!
//! Ctrl-C in a terminal signals every process of the group in the foreground. Ours finishes what it has begun, and needs
//! its mount and its other children for that.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// A command that Ctrl-C does not reach.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.process_group(0);
    command
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn no_program_is_started_in_another_way() {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("child.rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    assert!(!text.contains("Command::new("), "{}", path.display());
                }
            }
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Examples of every command, for its help and its man page. The test parses each of them.

use clap::Command;

/// A line that can be typed, and what it does.
pub(crate) type Example = (&'static str, &'static str);

/// The examples of a command; none of one that only programs use.
pub(crate) const fn of(command: &str) -> &'static [Example] {
    match command.as_bytes() {
        b"archive" => &[
            (
                "cloudsync archive -n --older-than 90d --larger-than 1M /bricks/b1",
                "list what would be archived",
            ),
            (
                "cloudsync archive --older-than 90d --exclude '*.db' --free-until 20% /bricks/b1",
                "archive the oldest files first, until a fifth of the brick is free",
            ),
        ],
        b"pin" => &[
            (
                "cloudsync pin never-archive /mnt/vol/project",
                "keep a project on the bricks while people work on it",
            ),
            (
                "cloudsync pin archive-soon /mnt/vol/measurement-7",
                "have a folder archived by the next run, although it is young",
            ),
        ],
        b"unpin" => &[(
            "cloudsync unpin /mnt/vol/project",
            "let the rules decide again",
        )],
        b"pins" => &[("cloudsync pins /mnt/vol", "list all pins of a volume")],
        b"recall" => &[
            (
                "cloudsync recall --recursive --wait /mnt/vol/project",
                "bring a tree back, and report what could not be",
            ),
            (
                "cloudsync recall -n -r --archived-within 12h --include '*.mov' /mnt/vol",
                "count the films that last night's run archived, and their bytes",
            ),
            (
                "cloudsync recall /mnt/vol/film.mov",
                "start a recall, and do not wait for it",
            ),
        ],
        b"migrate" => &[
            (
                "cloudsync migrate --from default --to glacier --archived-before 180d /bricks/b1",
                "move what has been cold for half a year to a cheaper store",
            ),
            (
                "cloudsync migrate -n --from default --to new /bricks/b1",
                "list what would be moved, when a provider is to be left",
            ),
        ],
        b"restore" => &[
            (
                "cloudsync restore -n /mnt/vol/project",
                "count what would have to be restored",
            ),
            (
                "cloudsync restore --tier bulk --days 7 --wait /mnt/vol/project",
                "have a whole tree restored, in a day or two; recall it then",
            ),
        ],
        b"status" => &[
            ("cloudsync status /mnt/vol/film.mov", "one file"),
            (
                "cloudsync status --summary /bricks/b1",
                "how much is cold on a brick",
            ),
        ],
        b"verify" => &[
            (
                "cloudsync verify /bricks/b1",
                "is every object there, with the right size and version?",
            ),
            (
                "cloudsync verify --deep --bytes-per-second 20M /bricks/b1",
                "fetch every object and compare its checksum",
            ),
            (
                "cloudsync verify --adopt /bricks/b1",
                "after the objects were copied to another bucket",
            ),
        ],
        b"kept" => &[
            (
                "cloudsync kept --recursive /mnt/vol",
                "list files with bytes that no recall wrote",
            ),
            (
                "cloudsync kept --drop /mnt/vol/report.odt",
                "its bytes are the right ones: forget the objects from before",
            ),
        ],
        b"gc" => &[
            (
                "cloudsync gc /bricks/b1",
                "list and record what no file refers to",
            ),
            (
                "cloudsync gc --delete --grace 30d --also weekly=/mnt/snapshot /bricks/b1",
                "delete what has been seen unreferenced for 30 days, and is not needed by that snapshot",
            ),
        ],
        b"prepare-off" => &[
            ("cloudsync prepare-off vol", "list the cold files"),
            ("cloudsync prepare-off --recall vol", "recall all of them"),
        ],
        b"cancel" => &[(
            "cloudsync cancel /mnt/vol/film.mov",
            "who waits for it gets ECANCELED",
        )],
        b"catalog" => &[(
            "cloudsync catalog /mnt/vol",
            "store the volume's folders, links, ACLs and extended attributes, for rebuild",
        )],
        b"rebuild" => &[(
            "cloudsync rebuild -n --from 7f0f1a4e-6a3f-4a0e-9f59-2f0a3cf4f1b7 /mnt/new",
            "list the cold files that a lost volume's objects make",
        )],
        b"undelete" => &[
            (
                "cloudsync undelete -n /mnt/vol/project",
                "list the removed cold files of a folder that can be had back",
            ),
            (
                "cloudsync undelete --as-of 2026-11-20 --to /mnt/vol/then /mnt/vol/project",
                "have copies of what a folder's archived files were that day",
            ),
        ],
        b"jobs" => &[
            (
                "cloudsync jobs /mnt/vol",
                "what is coming back, and for whom",
            ),
            (
                "cloudsync jobs --json /mnt/vol",
                "for programs: a line for each file",
            ),
        ],
        b"top" => &[
            ("cloudsync top /mnt/vol", "until Ctrl-C"),
            (
                "cloudsync top --once --interval 10s /mnt/vol",
                "the rates of ten seconds",
            ),
        ],
        b"history" => &[
            (
                "cloudsync history --since 12h --summary /mnt/vol",
                "how much came back last night, and for whom",
            ),
            (
                "cloudsync history --failed --under /project /mnt/vol",
                "what could not be recalled, and why",
            ),
        ],
        b"metrics" => &[
            ("cloudsync metrics /mnt/vol", "print them"),
            (
                "cloudsync metrics --listen 127.0.0.1:9942 /mnt/vol /mnt/other",
                "serve them to Prometheus",
            ),
            (
                "cloudsync metrics --textfile /var/lib/prometheus/node-exporter/cloudsync.prom /mnt/vol",
                "write them once, from a timer",
            ),
        ],
        b"check" => &[
            ("cloudsync check", "what glusterfs on this node loads"),
            (
                "cloudsync check vol",
                "before the first file is archived, and when something is wrong",
            ),
        ],
        b"run" => &[
            (
                "cloudsync run --dry-run",
                "what the policy in /etc/cloudsync would archive now",
            ),
            (
                "cloudsync run --config policy.toml --metrics-file /var/lib/prometheus/node-exporter/run.prom",
                "from a timer of one's own",
            ),
        ],
        b"completions" => &[(
            "cloudsync completions bash",
            "print the script, for /usr/share/bash-completion/completions/cloudsync",
        )],
        b"manual" => &[("cloudsync manual /usr/local/share/man/man1", "install them")],
        _ => &[],
    }
}

/// Adds the examples and the exit codes to the help of every command.
pub(super) fn add(command: Command, exit_codes: &'static str) -> Command {
    let names: Vec<_> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(&name, |sub| {
            let examples = of(&name);
            if examples.is_empty() {
                return sub;
            }
            let help = sub.get_after_long_help();
            let mut text = help.map_or_else(String::new, |help| format!("{help}\n\n"));
            text += "Examples:\n";
            for (line, what) in examples {
                text += &format!("  {line}\n      {what}\n");
            }
            text += &format!("\n{exit_codes}");
            sub.after_long_help(text)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::command;
    use super::*;

    #[test]
    fn every_command_has_examples_that_can_be_typed() {
        let all = command();
        for sub in all.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let (name, help) = (sub.get_name(), sub.get_after_long_help());
            let help = help.map(ToString::to_string).unwrap_or_default();
            assert!(
                help.contains("Examples:") && help.contains("Exit codes:"),
                "{name}"
            );
            for (line, what) in of(name) {
                let words = line.split(' ').map(|word| word.trim_matches('\''));
                let parsed = command().try_get_matches_from(words);
                let parsed = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_eq!(parsed.subcommand_name(), Some(name), "{line}");
                assert!(!what.is_empty() && !what.ends_with('.'), "{line}");
            }
        }
    }
}

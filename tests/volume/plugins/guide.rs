// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Follows docs/STORE-PLUGINS.md to the letter: its snippets equal the source files, and its commands lead from an empty
//! directory to a recalled file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cloudsync_lab::{ADDRESS, Artifacts, Backing, Lab, Layout, Options, until};

use super::write_developer_files;
use crate::scene::PATIENCE;

const GUIDE: &str = include_str!("../../../docs/STORE-PLUGINS.md");
const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// The fenced blocks of the guide, each with the comment before it, which names its kind.
fn blocks() -> Vec<(&'static str, String)> {
    let mut blocks = Vec::new();
    let mut lines = GUIDE.lines();
    let mut before = "";
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let mark = before
                .strip_prefix("<!-- ")
                .and_then(|mark| mark.strip_suffix(" -->"));
            let mark = mark
                .unwrap_or_else(|| panic!("no comment before this block:\n{}", block.join("\n")));
            blocks.push((mark, block.join("\n")));
        }
        before = line;
    }
    blocks
}

/// The commands of the guide, by purpose, in order.
fn commands() -> BTreeMap<&'static str, String> {
    let mut commands: BTreeMap<_, String> = BTreeMap::new();
    for (mark, block) in blocks() {
        if let Some(name) = mark.strip_prefix("run ") {
            *commands.entry(name).or_default() += &format!("{block}\n");
        }
    }
    commands
}

#[test]
fn every_snippet_is_a_source_file_or_a_tested_command() {
    let mut files = 0;
    for (mark, block) in blocks() {
        let Some(path) = mark.strip_prefix("file ") else {
            assert!(mark.starts_with("run "), "{mark}");
            continue;
        };
        let text = fs::read_to_string(Path::new(SOURCE).join(path)).unwrap();
        let shown: Vec<_> = text
            .lines()
            .filter(|line| !line.contains("SPDX-License-Identifier"))
            .collect();
        assert_eq!(block.trim(), shown.join("\n").trim(), "{path}");
        files += 1;
    }
    assert_eq!(files, 6);
    let names: Vec<_> = commands().into_keys().collect();
    assert_eq!(
        names,
        ["build-c", "build-rust", "install-rust", "test-rust", "use"]
    );
}

/// Runs commands in the lab as a user would who has followed the guide so far.
fn run(lab: &Lab, script: &str, volume: &str, store: &str, minutes: u64) -> String {
    let outcome = lab.run_with(
        Duration::from_secs(60 * minutes),
        "bash",
        ["-euc", script],
        |shell| {
            let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
            let folder = Path::new(&cargo).parent().unwrap_or(Path::new("/usr/bin"));
            let path = std::env::var("PATH").unwrap_or_default();
            shell
                .env("PATH", format!("{}:{path}", folder.display()))
                // The lab cannot reach a registry and needs none: everything was fetched to build these tests.
                .env("CARGO_NET_OFFLINE", "true")
                // Speed does not matter here.
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
                .env_remove("CARGO_TARGET_DIR")
                .env("PKG_CONFIG_PATH", lab.scratch("developer"))
                .env("CLOUDSYNC", SOURCE)
                .env("VOL", volume)
                .env("HOST", ADDRESS)
                .env("STORE", store);
        },
    );
    outcome.unwrap().check().unwrap()
}

#[test]
fn the_commands_of_the_guide_archive_and_recall_a_file() {
    let commands = commands();
    // A separate lab: restarting glusterd would disturb the other tests.
    let lab = Lab::start(Options {
        artifacts: Some(Artifacts::find(&[]).unwrap()),
        ..Options::default()
    })
    .unwrap();
    let (home, files) = (lab.scratch("guide"), lab.scratch("developer"));
    fs::create_dir_all(lab.outer(&home)).unwrap();
    write_developer_files(&lab.outer(&files), &files);
    // The lab's own /srv and /mnt, which the guide uses.
    let own = home.join("own").display().to_string();
    lab.sh(&format!(
        "set -e; mkdir -p {own}/srv {own}/mnt; mount --bind {own}/srv /srv; mount --bind {own}/mnt /mnt"
    ))
    .unwrap();
    let at_home = |script: &str| format!("cd {}\n{script}", home.display());
    run(&lab, &at_home(&commands["build-rust"]), "", "", 5);
    run(&lab, &at_home(&commands["test-rust"]), "", "", 5);
    run(&lab, &at_home(&commands["install-rust"]), "", "", 1);
    run(&lab, &at_home(&commands["build-c"]), "", "", 1);
    // Like `systemctl restart glusterd`; the lab has no systemd.
    lab.restart_glusterd().unwrap();
    for store in ["mystore", "shelf"] {
        let volume = lab.volume("guide", Layout::Single, Backing::Ram).unwrap();
        let output = run(&lab, &commands["use"], volume.name(), store, 2);
        let (before, after) = output.split_once("Nothing is lost.").unwrap();
        assert!(before.contains("cold size="), "{store}: {output}");
        // The reader has its bytes a moment before the recall ends.
        let ends = ["local", "recalling 100 %"];
        assert!(
            ends.iter().any(|end| after.trim().starts_with(end)),
            "{store}: {output}"
        );
        let state = "getfattr --only-values -n glusterfs.cloudsync.state /mnt/file";
        until(PATIENCE, "the end of the recall", || {
            (lab.sh(state).ok()? == "local").then_some(())
        })
        .unwrap();
        lab.sh("umount /mnt; rm -r /srv/objects").unwrap();
    }
}

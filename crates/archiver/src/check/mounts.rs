// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Checks the clients of a volume that are mounted on this node: whether they have the translator, this version of it, and
//! a store.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cloudsync_format::command::METRICS;

use super::Findings;
use crate::client;
use crate::crawl::show;
use crate::volume::{self, Volume};

pub(super) fn check(volume: &Volume, findings: &mut Findings<'_>) {
    let mounts = match volume::mounts_of(&volume.name) {
        Ok(mounts) => mounts,
        Err(error) => return findings.note("mounts", &error.to_string()),
    };
    for mount in mounts {
        let check = format!("mount {}", show(&mount));
        match client::ask_patiently(&mount, METRICS) {
            Ok(text) => match problem(&text) {
                None => findings.ok(&check, ""),
                Some(why) => findings.problem(&check, &why),
            },
            Err(error) => findings.problem(&check, &error.to_string()),
        }
        if let Some(reads) = reads_at_once(&mount).filter(|reads| *reads < FEW_READS) {
            findings.note(
                &check,
                &format!(
                    "the kernel passes on {reads} reads at once: when so many wait for the store, those of other files wait, \
                     too. Mount with -o background-qlen=1024"
                ),
            );
        }
    }
}

/// GlusterFS's default is 64, and a reader has two: one is of what the kernel reads ahead.
const FEW_READS: u32 = 256;

/// How many reads of a mount the kernel passes on to its client before they are answered; `None` if it does not say.
fn reads_at_once(mount: &Path) -> Option<u32> {
    let device = mount.metadata().ok()?.dev();
    // The kernel's name of a connection is its device (Documentation/filesystems/fuse).
    let place = format!("/sys/fs/fuse/connections/{device}/max_background");
    fs::read_to_string(place).ok()?.trim().parse().ok()
}

/// What is wrong with a client, according to its metrics.
fn problem(metrics: &str) -> Option<String> {
    let ours = env!("CARGO_PKG_VERSION");
    let build = metrics
        .lines()
        .find(|line| line.starts_with("cloudsync_build{"));
    let version = build.and_then(|line| line.split("version=\"").nth(1)?.split('"').next());
    if version != Some(ours) {
        return Some(format!(
            "runs version {}, and {ours} is installed: mount again",
            version.unwrap_or("?")
        ));
    }
    let store = metrics
        .lines()
        .any(|line| line.starts_with("cloudsync_store{"));
    (!store).then(|| "has no store: its log says why (MSGID 190013)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_and_a_missing_store_are_found() {
        let ours = env!("CARGO_PKG_VERSION");
        let build =
            format!("cloudsync_build{{volume=\"v\",version=\"{ours}\",gluster=\"10\"}} 1\n");
        let store = "cloudsync_store{volume=\"v\",name=\"amazons3\"} 1\n";
        assert_eq!(problem(&(build.clone() + store)), None);
        assert!(problem(&build).unwrap().contains("no store"));
        let other = build.replace(ours, "0.0.1");
        assert!(problem(&other).unwrap().contains("runs version 0.0.1"));
    }
}

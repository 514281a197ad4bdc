// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Checks the clients of a volume that are mounted on this node: whether they have the translator, this version of it, and
//! a store.

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
    }
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

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Checks a volume's options as its clients read them, and what else of it is in the way of cold files.

use cloudsync_format::option::{PRODUCT_ID, text};
use cloudsync_logic::config::Config;

use super::Findings;
use crate::crawl::show;
use crate::gc::snapshots;
use crate::leave::guard::{self, Search};
use crate::volume::Volume;

/// Options that hold secrets.
const SECRETS: [&str; 1] = ["s3plugin-seckey"];

pub(super) fn check(volume: &Volume, findings: &mut Findings<'_>) {
    feature(volume, findings);
    settings(volume, findings);
    for name in SECRETS {
        let literal = |value: &&str| !value.starts_with("file:") && !value.starts_with("env:");
        if volume.option(name).filter(literal).is_some() {
            findings.problem(
                &format!("features.{name}"),
                "the key itself is in the option, where every user of every client can read it: put it into a file of \
                 root's on each of them, and set file:/PATH",
            );
        }
    }
    bricks(volume, findings);
    snapshots(volume, findings);
}

fn feature(volume: &Volume, findings: &mut Findings<'_>) {
    const CHECK: &str = "features.cloudsync";
    if volume.archives() {
        return findings.ok(CHECK, "on");
    }
    match guard::first_cold(volume, guard::SHORT) {
        Search::Cold(path) => findings.problem(
            CHECK,
            &format!(
                "off, and files are cold ({}, ...), which read as empty: gluster volume set {} {CHECK} on",
                show(path),
                volume.name
            ),
        ),
        Search::Clean => findings.note(CHECK, "off; no file on this node's bricks is cold"),
        Search::Unfinished => findings.note(
            CHECK,
            "off; there was not enough time to see whether files are cold: cloudsync status --summary BRICK",
        ),
    }
}

fn settings(volume: &Volume, findings: &mut Findings<'_>) {
    let check = format!("features.{}", text(PRODUCT_ID));
    match volume.option(text(PRODUCT_ID)).map(Config::parse) {
        None => {}
        Some(Ok(_)) => findings.ok(&check, ""),
        Some(Err(error)) => findings.problem(
            &check,
            &format!("{error}; clients use the settings from before, or the defaults"),
        ),
    }
}

fn bricks(volume: &Volume, findings: &mut Findings<'_>) {
    for name in ["storage.linux-aio", "storage.linux-io_uring"] {
        if volume.is_on(name) {
            findings.problem(
                name,
                &format!(
                    "on: bricks do not check whether a file is cold, so nothing is archived and reads are slow: gluster \
                     volume set {} {name} off",
                    volume.name
                ),
            );
        }
    }
    if volume.is_on("features.shard") {
        findings.note(
            "features.shard",
            "on: files of more than one shard are not archived",
        );
    }
    let here = volume.bricks_of_this_host();
    if here.len() < volume.bricks.len() {
        let elsewhere = volume
            .bricks
            .iter()
            .filter(|(_, root)| !here.contains(root));
        let mut others: Vec<_> = elsewhere.map(|(host, _)| host.as_str()).collect();
        others.sort_unstable();
        others.dedup();
        findings.note(
            "other servers",
            &format!("run cloudsync check there, too: {}", others.join(", ")),
        );
    }
}

fn snapshots(volume: &Volume, findings: &Findings<'_>) {
    match snapshots::list(volume) {
        Ok(names) if names.is_empty() => {}
        Ok(names) => findings.note(
            "snapshots",
            &format!(
                "their cold files need objects, so gc wants them named: {}",
                names.join(", ")
            ),
        ),
        Err(why) => findings.note("snapshots", &why),
    }
}

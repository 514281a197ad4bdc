// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a client counts, as a mount and a gfapi program show it, and that docs/METRICS.md says the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cloudsync_lab::Backing;

use crate::scene::{Scene, errno, lab, pattern};

const NAME: &str = "glusterfs.cloudsync.metrics";

fn text(scene: &Scene) -> String {
    let root = scene.path("");
    let value = scene.within("the metrics", move || xattr::get(root, NAME));
    String::from_utf8(value.unwrap().unwrap()).unwrap()
}

/// The value of a sample, which is named as the text has it, without the volume.
fn value(text: &str, sample: &str) -> f64 {
    let found = text.lines().find_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        let start = name.find("{volume=\"")?;
        let end = start + 9 + name[start + 9..].find('"')? + 1;
        let rest = name[end..].trim_start_matches(',');
        let plain = match rest {
            "}" => name[..start].to_owned(),
            labels => format!("{}{{{labels}", &name[..start]),
        };
        (plain == sample).then(|| value.parse().unwrap())
    });
    found.unwrap_or_else(|| panic!("no {sample} in {text}"))
}

#[test]
fn a_client_counts_what_it_does() {
    let mut scene = Scene::new("metrics");
    let bytes = pattern(1, 300_000);
    for name in ["read", "gone"] {
        scene.write(name, &bytes);
        scene.archive(name);
    }
    let before = text(&scene);
    assert_eq!(
        value(&before, "cloudsync_handshakes_total{outcome=\"archived\"}"),
        2.0
    );
    assert_eq!(value(&before, "cloudsync_recalls_started_total"), 0.0);
    assert!(
        value(
            &before,
            "cloudsync_store_request_seconds_count{request=\"head\"}"
        ) >= 2.0
    );
    scene.bucket.delete("gone").unwrap();
    // Another client: its counts begin again.
    scene.remount();
    assert_eq!(scene.read("read").unwrap(), bytes);
    scene.await_local("read");
    assert_eq!(errno(scene.read("gone")), libc::ENODATA);
    scene.assert_idle();
    let after = text(&scene);
    for (sample, least) in [
        // The kernel may try to read the second one again.
        ("cloudsync_recalls_started_total", 2.0),
        ("cloudsync_recalls_finished_total", 1.0),
        ("cloudsync_recalled_bytes_total", 300_000.0),
        ("cloudsync_recalls_failed_total{cause=\"missing\"}", 1.0),
        ("cloudsync_store_received_bytes_total", 300_000.0),
        (
            "cloudsync_store_request_seconds_count{request=\"fetch\"}",
            1.0,
        ),
        (
            "cloudsync_store_request_seconds_count{request=\"fetch\"}",
            1.0,
        ),
        ("cloudsync_first_bytes_seconds_count", 1.0),
        ("cloudsync_whole_file_seconds_count", 1.0),
        ("cloudsync_lock_wait_seconds_count", 1.0),
        ("cloudsync_memory_limit_bytes", 1.0),
        ("cloudsync_connections_limit", 1.0),
        ("cloudsync_depth{of=\"parts\"}", 1.0),
        ("cloudsync_store{name=\"amazons3\"}", 1.0),
    ] {
        assert!(value(&after, sample) >= least, "{sample} in {after}");
    }
    assert_eq!(value(&after, "cloudsync_recalls_finished_total"), 1.0);
    assert_eq!(
        value(&after, "cloudsync_recalled_bytes_total"),
        300_000.0,
        "{after}"
    );
    assert_eq!(
        value(&after, "cloudsync_handshakes_total{outcome=\"archived\"}"),
        0.0
    );
    assert_eq!(value(&after, "cloudsync_jobs"), 0.0);
}

#[test]
fn only_root_asks_and_only_the_root_directory_answers() {
    let scene = Scene::new("metrics-root");
    scene.write("folder/file", b"bytes");
    let root = scene.mount().inside().display().to_string();
    for attribute in [NAME, "glusterfs.cloudsync.jobs"] {
        for name in ["folder", "folder/file"] {
            let path = scene.path(name);
            let answer = scene.within("the metrics", move || xattr::get(path, attribute));
            assert!(answer.unwrap().is_none(), "{name}");
        }
        let nobody = format!(
            "setpriv --reuid 65534 --regid 65534 --clear-groups getfattr --only-values -n {attribute} {root} || echo refused"
        );
        assert_eq!(lab().sh(&nobody).unwrap().trim(), "refused");
    }
    // Not listed, so that no program copies it.
    let list = lab().sh(&format!("getfattr -m - {root}")).unwrap();
    assert!(!list.contains("cloudsync"), "{list}");
}

#[test]
fn a_gfapi_program_has_metrics_too() {
    let scene = Scene::new("metrics-api");
    scene.write("file", &pattern(2, 100_000));
    scene.archive("file");
    let (line, _) = crate::gfapi::run(
        &scene,
        &["metrics", "/file", "0", "cloudsync_recalls_started_total"],
    );
    let volume = scene.volume.name();
    assert_eq!(
        line,
        format!("cloudsync_recalls_started_total{{volume=\"{volume}\"}} 1")
    );
}

/// Every family of the text, and no other, has a line in the table.
#[test]
fn the_document_names_every_metric() {
    let scene = Scene::with("metrics-doc", &[], Backing::Ram);
    let text = text(&scene);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let found: BTreeSet<_> = types.map(str::to_owned).collect();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    let document = fs::read_to_string(document).unwrap();
    let client = document
        .split("\n## ")
        .find(|part| part.starts_with("A client"))
        .unwrap();
    let written: BTreeSet<_> = client
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `cloudsync_")?.split('|');
            let name = cells.next()?.trim().trim_end_matches('`');
            let name = name.split('{').next()?;
            Some(format!("cloudsync_{name} {}", cells.next()?.trim()))
        })
        .collect();
    assert_eq!(written, found);
}

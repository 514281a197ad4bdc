// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! docs/SEMANTICS.md and docs/RELIABILITY.md name the tests that prove their promises: each test must exist, and no
//! promise may lack one.

// A test has no better answer to an error than to fail.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cells of the rows of every table that has a column "test", that column last.
fn rows() -> Vec<Vec<String>> {
    let documents = ["docs/SEMANTICS.md", "docs/RELIABILITY.md"];
    let text = documents.map(|path| fs::read_to_string(root().join(path)).unwrap());
    let text = text.join("\n");
    let mut rows = Vec::new();
    let mut column = None;
    for line in text.lines() {
        let Some(row) = line.strip_prefix('|') else {
            column = None;
            continue;
        };
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
        match column {
            None => column = Some(cells.iter().position(|cell| cell == "test")),
            Some(Some(column)) if !cells[0].starts_with("---") => {
                rows.push(vec![cells[0].clone(), cells[column].clone()]);
            }
            Some(_) => {}
        }
    }
    rows
}

/// Names of tests in backticks: `file::function`, `folder::file::function`; those of
/// crates/logic/tests/races begin with `races`, those of crates/logic/tests/protocol with `protocol`, those of
/// tests/loading with `loading`.
fn tests_in(cell: &str) -> impl Iterator<Item = &str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.contains("::"))
}

/// The source file and function that a test's name refers to.
fn source(name: &str) -> (PathBuf, &str) {
    let (modules, function) = name.rsplit_once("::").unwrap();
    let path = match (modules, modules.strip_prefix("races::")) {
        ("loading", _) => "tests/loading/main.rs".to_owned(),
        ("protocol", _) => "crates/logic/tests/protocol/main.rs".to_owned(),
        (_, Some(file)) => format!("crates/logic/tests/races/{file}.rs"),
        (_, None) => format!("tests/volume/{}.rs", modules.replace("::", "/")),
    };
    (root().join(path), function)
}

#[test]
fn every_test_that_the_documents_name_exists() {
    let mut found = 0;
    for row in rows() {
        for name in tests_in(&row[1]) {
            let (path, function) = source(name);
            let text = fs::read_to_string(&path).unwrap_or_default();
            let defined = format!("fn {function}(");
            assert!(
                text.contains(&defined),
                "{name}: no `{defined}` in {}",
                path.display()
            );
            found += 1;
        }
    }
    assert!(found > 50, "the tables were not understood: {found} names");
}

#[test]
fn every_promise_has_a_test() {
    let all = rows();
    for row in &all {
        let named = tests_in(&row[1]).count() > 0 || row[1].starts_with("the same");
        assert!(named, "no test: {}", row[0]);
    }
    assert!(
        all.len() > 30,
        "the tables were not understood: {} rows",
        all.len()
    );
}

/// The README shows some rows of the benchmark, under names of its own. `scripts/bench.sh --save` writes all rows.
#[test]
fn figures_in_the_readme_are_those_of_the_saved_run() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let saved = fs::read_to_string(root().join("docs/figures/benchmarks.md")).unwrap();
    let (_, section) = readme.split_once("\n## How fast\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1);
    let mut shown = 0;
    for row in rows {
        let cells: Vec<_> = row.split(" | ").collect();
        let [_, ours, limit, _, ratio] = cells[..] else {
            panic!("not five cells: {row}");
        };
        let (figures, ratio) = (
            format!("| {ours} | {limit} |"),
            ratio.trim_end_matches(" |"),
        );
        let ratio = format!("| {ratio} |");
        let found = |line: &str| line.contains(&figures) && line.contains(&ratio);
        assert!(
            saved.lines().any(found),
            "not in docs/figures/benchmarks.md: {row}"
        );
        shown += 1;
    }
    assert!(shown >= 5, "the table was not understood: {shown} rows");
}

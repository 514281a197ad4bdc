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

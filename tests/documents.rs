// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! docs/SEMANTICS.md and docs/RELIABILITY.md name the tests that prove their promises: each test must exist, and no
//! promise may lack one. docs/TROUBLESHOOTING.md explains every message, and every message has a number.

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
/// tests/loading with `loading`, that of tests/bitrot.rs with `bitrot`, those of crates/archiver/tests/volume with
/// `archiver`.
fn tests_in(cell: &str) -> impl Iterator<Item = &str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.contains("::"))
}

/// The source file and function that a test's name refers to.
fn source(name: &str) -> (PathBuf, &str) {
    let (modules, function) = name.rsplit_once("::").unwrap();
    let path = match modules.split_once("::") {
        None if modules == "bitrot" => "tests/bitrot.rs".to_owned(),
        None if modules == "loading" => "tests/loading/main.rs".to_owned(),
        None if modules == "protocol" => "crates/logic/tests/protocol/main.rs".to_owned(),
        Some(("races", file)) => format!("crates/logic/tests/races/{file}.rs"),
        Some(("archiver", file)) => format!("crates/archiver/tests/volume/{file}.rs"),
        _ => format!("tests/volume/{}.rs", modules.replace("::", "/")),
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

/// The rows of the table below a heading.
fn rows_of_the_readme(heading: &str) -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once(heading).unwrap();
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    rows.skip(1).map(str::to_owned).collect()
}

/// The README shows some rows of the benchmark, under names of its own. `scripts/bench.sh --save` writes all rows.
#[test]
fn figures_in_the_readme_are_those_of_the_saved_run() {
    let saved = fs::read_to_string(root().join("docs/figures/benchmarks.md")).unwrap();
    let mut shown = 0;
    for row in rows_of_the_readme("\n## How fast\n") {
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

/// So it does of what one build was before and after another.
#[test]
fn figures_before_and_after_are_those_of_their_runs() {
    let saved = fs::read_to_string(root().join("docs/figures/before-and-after.md")).unwrap();
    let mut shown = 0;
    for row in rows_of_the_readme("\n### Before and after\n") {
        let cells: Vec<_> = row.trim_end_matches(" |").split(" | ").collect();
        let [_, before, after, _, ratio_before, ratio_after] = cells[..] else {
            panic!("not six cells: {row}");
        };
        for (figures, ratios) in [(before, ratio_before), (after, ratio_after)] {
            let (numbers, unit) = figures.rsplit_once(' ').unwrap();
            for (number, ratio) in numbers.split(", ").zip(ratios.split(", ")) {
                let found = |line: &str| {
                    line.contains(&format!("| {number} {unit} |"))
                        && line.contains(&format!("| {ratio} |"))
                };
                assert!(saved.lines().any(found), "{number} {unit}, {ratio}: {row}");
                shown += 1;
            }
        }
    }
    assert!(shown >= 20, "the table was not understood: {shown} figures");
}

/// The numbers of messages, by name, in the order of crates/format/src/message.rs.
fn messages() -> Vec<(String, u64)> {
    let text = fs::read_to_string(root().join("crates/format/src/message.rs")).unwrap();
    let constants = text.lines().filter_map(|line| {
        let (name, number) = line.strip_prefix("pub const ")?.split_once(": u64 = ")?;
        let number = number.trim_end_matches(';').replace('_', "");
        Some((name.to_owned(), number.parse().unwrap()))
    });
    // The first number of a range is no message.
    constants.filter(|(_, number)| number % 1000 != 0).collect()
}

#[test]
fn every_message_is_explained() {
    let messages = messages();
    assert!(messages.len() > 50, "{messages:?}");
    let text = fs::read_to_string(root().join("docs/TROUBLESHOOTING.md")).unwrap();
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| 19"))
        .map(|line| {
            let cells: Vec<_> = line
                .split(" | ")
                .map(|cell| cell.trim_matches(['|', ' ']))
                .collect();
            let [number, message, meaning, action] = cells[..] else {
                panic!("not four cells: {line}");
            };
            for cell in [message, meaning, action] {
                assert!(!cell.is_empty(), "{line}");
            }
            number.parse::<u64>().unwrap()
        });
    let explained: Vec<_> = rows.collect();
    let known: Vec<_> = messages.iter().map(|(_, number)| *number).collect();
    // The same numbers in the same order, each once.
    assert_eq!(explained, known);
    assert!(known.is_sorted_by(|one, next| one < next), "append only");
}

/// Every line of our log that an administrator sees has a number, and every number is used.
#[test]
fn every_message_has_a_number() {
    fn sources(folder: &Path, found: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                *found += &fs::read_to_string(&path).unwrap();
            }
        }
    }
    let mut text = String::new();
    for folder in ["src", "crates/logic/src", "crates/store/src"] {
        sources(&root().join(folder), &mut text);
    }
    let mut lines = 0;
    for level in ["error", "warn", "info", "log"] {
        for call in text.split(&format!("log::{level}!(")).skip(1) {
            let call = &call[..call.find('"').unwrap()];
            // src/host/log.rs and its comments show how.
            assert!(call.contains("id = "), "log::{level}!({call}...");
            lines += 1;
        }
    }
    assert!(lines > 40, "the sources were not understood: {lines} lines");
    for (name, number) in messages() {
        assert!(
            text.contains(&format!("message::{name}")),
            "{name} ({number}) is not used"
        );
    }
}

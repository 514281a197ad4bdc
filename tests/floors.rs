// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The map in src/lib.rs assigns each module a layer, called floor, and a module uses only modules of lower floors. In
//! every crate, a dependency cycle has at most two files, both in the same directory.

// A test has no better answer to an error than to fail.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The paths that a file uses, without `crate::`, as lists of names.
type Used = BTreeSet<Vec<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source() -> PathBuf {
    root().join("src")
}

/// The sources of every crate: the translator's first.
fn crates() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("crates")).unwrap();
    let others = entries.map(|entry| entry.unwrap().path().join("src"));
    let mut others: Vec<_> = others.filter(|source| source.is_dir()).collect();
    others.sort();
    [source()].into_iter().chain(others).collect()
}

/// Each file of a crate by its module's path (`recall::engine`), and its text without comments.
fn files(source: &Path) -> BTreeMap<String, String> {
    fn walk(source: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(source, &path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let name = path.strip_prefix(source).unwrap().with_extension("");
                let name = name.to_str().unwrap().replace('/', "::");
                let text = without_comments(&fs::read_to_string(&path).unwrap());
                found.insert(name, text);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(source, source, &mut found);
    found
}

/// Also drops the end of a string that contains `//`; none of those names a module.
fn without_comments(text: &str) -> String {
    let code = text.lines().map(|line| line.split("//").next().unwrap());
    code.collect::<Vec<_>>().join("\n")
}

/// The paths in a tree of `use`: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(tree: &str, before: &[String], found: &mut Used) {
    let tree = tree.trim();
    match tree.split_once('{') {
        Some((start, rest)) => {
            let names = start.split("::").map(str::trim);
            let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
            let before: Vec<_> = before.iter().cloned().chain(names).collect();
            let inner = rest.strip_suffix('}').unwrap();
            let (mut depth, mut begin) = (0, 0);
            for (at, letter) in inner.char_indices() {
                match letter {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        expand(&inner[begin..at], &before, found);
                        begin = at + 1;
                    }
                    _ => {}
                }
            }
            expand(&inner[begin..], &before, found);
        }
        None if tree.is_empty() => {}
        None => {
            let path = tree.split(" as ").next().unwrap();
            let names = path
                .split("::")
                .map(|name| name.trim().to_owned())
                .filter(|name| name != "self" && name != "*");
            found.insert(before.iter().cloned().chain(names).collect());
        }
    }
}

/// The paths that the module `name` uses: in its `use` lines, and elsewhere if they begin with `crate::`.
fn used(name: &str, text: &str) -> Used {
    let mut found = Used::new();
    let here: Vec<String> = name.split("::").map(str::to_owned).collect();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|letter| letter.is_alphanumeric() || "_:".contains(letter)) {
                continue;
            }
            let base = match start {
                "crate::" => &here[..0],
                "super::" => &here[..here.len() - 1],
                _ => &here[..],
            };
            let rest = &text[at + start.len()..];
            let is_use = text[..at].trim_end().ends_with("use");
            let end = if is_use {
                rest.find(';').unwrap()
            } else {
                let part_of_path = |letter: char| letter.is_alphanumeric() || "_:".contains(letter);
                rest.find(|letter| !part_of_path(letter))
                    .unwrap_or(rest.len())
            };
            expand(rest[..end].trim_end_matches(':'), base, &mut found);
        }
    }
    found
}

/// The file that a path names: its longest prefix that is a file.
fn file_of(path: &[String], files: &BTreeMap<String, String>) -> Option<String> {
    let all = (1..=path.len()).rev().map(|names| path[..names].join("::"));
    all.into_iter().find(|name| files.contains_key(name))
}

/// The files that each file uses.
fn uses(files: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let of = |(name, text): (&String, &String)| {
        let used = used(name, text);
        let mut to: BTreeSet<_> = used
            .iter()
            .filter_map(|path| file_of(path, files))
            .collect();
        // `use super::*` of tests, and a name of its own.
        to.remove(name);
        (name.clone(), to)
    };
    files.iter().map(of).collect()
}

/// Groups of files that use each other, directly or not.
fn cycles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |from: &String| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(name) = left.pop() {
            for next in uses.get(&name).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    left.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = uses.keys().map(|name| (name, reach(name))).collect();
    let mut found = BTreeSet::new();
    for (name, reaches) in &reached {
        let mut cycle: Vec<String> = reaches
            .iter()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(*name)))
            .cloned()
            .collect();
        cycle.sort();
        if cycle.len() > 1 {
            found.insert(cycle);
        }
    }
    found.into_iter().collect()
}

/// The floor of each module of the crate, from the map.
fn floors() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let mut floors = BTreeMap::new();
    for line in text.lines() {
        let Some(row) = line.strip_prefix("//! | ") else {
            continue;
        };
        let mut cells = row.split('|').map(str::trim);
        if let (Some(Ok(floor)), Some(names)) = (cells.next().map(str::parse), cells.next()) {
            let name = names.split('`').nth(1).unwrap();
            floors.insert(name.to_owned(), floor);
        }
    }
    floors
}

/// Uses of a module that is not on a lower floor.
fn upward(
    uses: &BTreeMap<String, BTreeSet<String>>,
    floors: &BTreeMap<String, u32>,
) -> Vec<String> {
    let top = |name: &str| name.split("::").next().unwrap().to_owned();
    let mut found = Vec::new();
    for (from, all) in uses.iter().filter(|(from, _)| *from != "lib") {
        for to in all {
            let (above, below) = (top(from), top(to));
            if above != below && floors[&above] <= floors[&below] {
                found.push(format!("{from} uses {to}"));
            }
        }
    }
    found
}

#[test]
fn the_map_has_every_module_and_no_other() {
    let modules: BTreeSet<_> = files(&source())
        .into_keys()
        .filter(|name| name != "lib" && !name.contains("::"))
        .collect();
    let floors: BTreeSet<_> = floors().into_keys().collect();
    assert_eq!(floors, modules);
}

#[test]
fn every_module_uses_only_modules_below_it() {
    let upward = upward(&uses(&files(&source())), &floors());
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn no_cycle_has_more_than_two_files() {
    let folder = |name: &String| name.split("::").next().unwrap().to_owned();
    let one_folder = |cycle: &[String]| cycle.iter().all(|name| folder(name) == folder(&cycle[0]));
    let mut wrong = Vec::new();
    for source in crates() {
        let cycles = cycles(&uses(&files(&source)));
        let fine = |cycle: &Vec<String>| cycle.len() == 2 && one_folder(cycle);
        let of_this = cycles.into_iter().filter(|cycle| !fine(cycle));
        let name = source.strip_prefix(root()).unwrap().to_owned();
        wrong.extend(of_this.map(|cycle| (name.clone(), cycle)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Checks that an upward use and a cycle would be found.
#[test]
fn an_upward_use_and_a_cycle_are_found() {
    let files: BTreeMap<String, String> = [
        ("low", "use crate::{high::part::Name, sys};"),
        ("sys", ""),
        (
            "high",
            "pub mod part;\nuse crate::low::{self, Other as Name};",
        ),
        ("high::part", "fn of() -> super::Name { crate::low::of() }"),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into();
    let floors = [("sys", 0), ("low", 1), ("high", 2)];
    let floors = floors.map(|(name, floor)| (name.to_owned(), floor)).into();
    let uses = uses(&files);
    assert_eq!(upward(&uses, &floors), ["low uses high::part"]);
    let cycle = ["high", "high::part", "low"].map(str::to_owned).to_vec();
    assert_eq!(cycles(&uses), [cycle]);
    assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 4);
}

/// Guards against parsing nothing.
#[test]
fn the_use_lines_of_the_translator_are_parsed() {
    let (translator, logic) = (files(&source()), files(&root().join("crates/logic/src")));
    let (uses, logic_uses) = (uses(&translator), uses(&logic));
    let both = uses.values().chain(logic_uses.values());
    let (files, all) = (
        translator.len() + logic.len(),
        both.map(BTreeSet::len).sum::<usize>(),
    );
    assert!(files > 90 && all > 300, "{files} files, {all} uses");
    assert!(uses["recall::engine"].contains("recall::steps"));
    assert!(uses["entry"].contains("instance"));
    assert!(logic_uses["objects::object"].contains("objects::get"));
    assert!(crates().len() > 10, "{:?}", crates());
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Fuzzes parsers in their unit tests, with texts mutated from a corpus.
//!
//! Uses proptest rather than `cargo fuzz`, which needs a nightly compiler. Every run starts with the same seed, so that
//! CI is reproducible; `CLOUDSYNC_FUZZ_CASES=1000000 CLOUDSYNC_FUZZ_SEED=7 cargo test fuzz` tries more. The corpus is
//! tried first, unchanged: a text that has failed once is added to it.

#![forbid(unsafe_code)]

use std::env;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestRunner};

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A mutation of a text.
#[derive(Clone, Debug)]
enum Change {
    Insert(Index, char),
    Remove(Index),
    Replace(Index, char),
    /// Inserts a copy of a part of the text elsewhere.
    Repeat(Index, Index, Index),
    Truncate(Index),
    Append(&'static str),
}

/// Pieces that parsers often get wrong.
const PIECES: &[&str] = &[
    "",
    ",",
    ";",
    "=",
    ":",
    "-",
    "/",
    ".",
    "\0",
    "\n",
    "%",
    "*",
    "0",
    "-1",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "\u{fc}",
    "\u{1f600}",
    "\u{feff}",
];

fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => select(" ,;=:-/.*+0123456789abkKMTsmdzZ\"'\\\0\n\u{7f}\u{e4}\u{2028}".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), character()).prop_map(|(at, c)| Change::Insert(at, c)),
        at().prop_map(Change::Remove),
        (at(), character()).prop_map(|(at, c)| Change::Replace(at, c)),
        (at(), at(), at()).prop_map(|(from, to, at)| Change::Repeat(from, to, at)),
        at().prop_map(Change::Truncate),
        select(PIECES).prop_map(Change::Append),
    ]
}

fn apply(text: &mut Vec<char>, change: &Change) {
    let place = |at: &Index| at.index(text.len() + 1);
    match change {
        Change::Insert(at, c) => text.insert(place(at), *c),
        Change::Remove(at) | Change::Replace(at, _) if !text.is_empty() => {
            let at = at.index(text.len());
            match change {
                Change::Replace(_, c) => text[at] = *c,
                _ => drop(text.remove(at)),
            }
        }
        Change::Remove(_) | Change::Replace(..) => {}
        Change::Repeat(from, to, at) => {
            let (from, to, at) = (place(from), place(to), place(at));
            let part = text[from.min(to)..from.max(to)].to_vec();
            text.splice(at..at, part);
        }
        Change::Truncate(at) => text.truncate(place(at)),
        Change::Append(piece) => text.extend(piece.chars()),
    }
}

fn texts(corpus: &'static [&'static str]) -> impl Strategy<Value = String> {
    let changed = (select(corpus), vec(change(), 1..6)).prop_map(|(text, changes)| {
        let mut text: Vec<char> = text.chars().collect();
        for change in &changes {
            apply(&mut text, change);
        }
        text.into_iter().collect()
    });
    prop_oneof![
        8 => changed,
        1 => vec(character(), 0..40).prop_map(|text| text.into_iter().collect()),
    ]
}

/// Calls `check` with every text of the corpus and with thousands of mutations. If `check` panics, the message contains
/// the shortest such text found.
///
/// # Panics
/// If `check` does.
pub fn fuzz(corpus: &'static [&'static str], check: impl Fn(&str)) {
    fuzz_slow(4000, corpus, check);
}

/// As [`fuzz`], for a slow check: tries `cases` texts, unless `CLOUDSYNC_FUZZ_CASES` is set.
///
/// # Panics
/// If `check` does.
pub fn fuzz_slow(cases: u64, corpus: &'static [&'static str], check: impl Fn(&str)) {
    corpus.iter().for_each(|text| check(text));
    let cases = number("CLOUDSYNC_FUZZ_CASES", cases);
    let seed = number("CLOUDSYNC_FUZZ_SEED", 1);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: u32::try_from(cases).unwrap_or(u32::MAX),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&texts(corpus), |text| {
        check(&text);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    #[test]
    fn it_tries_the_corpus_and_much_that_is_like_it() {
        let tried = RefCell::new(BTreeSet::new());
        fuzz(&["key=value", "other"], |text| {
            tried.borrow_mut().insert(text.to_owned());
        });
        let tried = tried.into_inner();
        assert!(tried.contains("key=value") && tried.contains("other"));
        assert!(tried.len() > 2000, "{}", tried.len());
        assert!(tried.iter().any(|text| text.contains('\0')));
    }

    #[test]
    #[should_panic(expected = "a NUL")]
    fn it_finds_what_is_not_handled() {
        fuzz(&["key=value"], |text| {
            assert!(!text.contains('\0'), "a NUL")
        });
    }
}

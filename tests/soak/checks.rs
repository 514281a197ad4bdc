// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The final checks, each of which is one test: printed as cargo's tests are, so that scripts/test.sh counts them.

/// The result of a check.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) passed: bool,
    /// What was found.
    pub(crate) found: String,
}

/// The checks made so far.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<Check>);

impl Checks {
    /// Adds one, and prints it.
    pub(crate) fn add(&mut self, name: &'static str, outcome: Result<String, String>) {
        let passed = outcome.is_ok();
        let found = outcome.unwrap_or_else(|why| why);
        let word = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {word}");
        println!("    {}", found.trim_end().replace('\n', "\n    "));
        self.0.push(Check {
            name,
            passed,
            found,
        });
    }

    /// Adds one that passes if there is nothing wrong.
    pub(crate) fn none(&mut self, name: &'static str, wrong: &[String], found: String) {
        let outcome = if wrong.is_empty() {
            Ok(found)
        } else {
            Err(format!("{}\n({found})", wrong.join("\n")))
        };
        self.add(name, outcome);
    }

    pub(crate) fn all(&self) -> &[Check] {
        &self.0
    }

    pub(crate) fn failed(&self) -> usize {
        self.0.iter().filter(|check| !check.passed).count()
    }

    /// Prints the last line.
    pub(crate) fn print_result(&self) {
        let (all, failed) = (self.0.len(), self.failed());
        let word = if failed == 0 { "ok" } else { "FAILED" };
        println!(
            "\ntest result: {word}. {} passed; {failed} failed",
            all - failed
        );
    }
}

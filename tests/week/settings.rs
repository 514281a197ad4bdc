// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The command line.

use crate::Answer;
use crate::variant::Variant;

const USAGE: &str = "\
usage: scripts/week.sh [--days N] [--files N] [--short]
  --days   how many days (default 7)
  --files  how many files the department has at the beginning (default 200)
  --short  only without any rules, and with all of them, as CI runs it";

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) days: usize,
    pub(crate) files: usize,
    short: bool,
}

impl Settings {
    /// Parses the program's arguments.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Answer<Self> {
        let mut settings = Self {
            days: 7,
            files: 200,
            short: false,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(USAGE);
            match word.as_str() {
                "--days" => settings.days = value()?.parse()?,
                "--files" => settings.files = value()?.parse()?,
                "--short" => settings.short = true,
                // cargo passes such words to every test program.
                "--nocapture" => {}
                _ => return Err(USAGE.into()),
            }
        }
        if settings.days < 3 || settings.files < 10 {
            return Err(USAGE.into());
        }
        Ok(settings)
    }

    pub(crate) fn variants(&self) -> Vec<Variant> {
        let all = Variant::all();
        match self.short {
            true => all
                .into_iter()
                .filter(|one| one.callers == one.residency)
                .collect(),
            false => all,
        }
    }
}

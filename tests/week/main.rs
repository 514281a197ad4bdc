// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A week of an imaginary department, in compressed time, on a real volume with a real store: its people, a virus scanner
//! that reads everything each night, a nightly backup, growth, and the bill. The same week is lived with and without rules for
//! callers and residency. docs/ARCHIVER.md shows what it came to; scripts/week.sh runs it.
//!
//! ```text
//! settings -> for each variant: stage (lab, volume, store that counts) -> each day: department (what people do)
//!          -> night (scanner, backup, archive) -> ledger (what it was, and cost) -> report, checks
//! ```

#![forbid(unsafe_code)]

mod department;
mod ledger;
mod night;
mod report;
mod settings;
mod stage;
mod variant;

use std::collections::BTreeSet;
use std::error::Error;
use std::process::ExitCode;

use cloudsync_lab::{Artifacts, Lab, Options};

use department::Department;
use ledger::{Day, Ledger};
use night::Night;
use settings::Settings;
use stage::Stage;
use variant::Variant;

/// The result of a step.
pub(crate) type Answer<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A file that was recalled stays at least for so many days, where residency is respected.
pub(crate) const RESIDENCY: usize = 3;

/// A file is archived when it was not changed for so many days.
pub(crate) const AGE: usize = 2;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}\ntest result: FAILED. 0 passed; 1 failed");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all checks have passed.
fn run() -> Answer<bool> {
    let settings = Settings::parse(std::env::args().skip(1))?;
    println!("{} days, {} files", settings.days, settings.files);
    let lab = Lab::start(Options {
        artifacts: Some(Artifacts::find(&["amazons3"])?),
        ..Options::default()
    })?;
    let mut weeks = Vec::new();
    for variant in settings.variants() {
        let ledger = live(&lab, variant, &settings)?;
        report::print_week(&ledger);
        weeks.push(ledger);
    }
    report::write(&weeks)?;
    Ok(report::check(&weeks))
}

/// Lives one week.
fn live(lab: &Lab, variant: Variant, settings: &Settings) -> Answer<Ledger> {
    let mut stage = Stage::new(lab, variant)?;
    let mut department = Department::new(lab, settings)?;
    department.move_in(&stage)?;
    let mut night = Night::new(lab, variant)?;
    let mut ledger = Ledger::new(variant);
    let mut cold = BTreeSet::new();
    for number in 0..settings.days {
        night.dawn();
        let mut day = Day::default();
        let plan = department.plan(number);
        day.waited_for = plan.touched.intersection(&cold).count();
        day.wrong += department.work(&stage, &plan)?;
        day.refused = night.scan(&stage)?;
        night.back_up(&stage, number + 1 == settings.days)?;
        // Readers are answered before their recalls end.
        stage.await_idle()?;
        let still: BTreeSet<_> = stage.cold(department.names());
        let recalled: BTreeSet<_> = cold.difference(&still).cloned().collect();
        day.not_asked_for = recalled.difference(&plan.touched).count();
        stage.close(&mut day)?;
        let archived = night.archive(&stage, &mut day)?;
        stage.count(&mut day);
        let now = stage.cold(department.names());
        ledger.add(number, day, &recalled, now.difference(&still));
        ledger.fail(archived);
        cold = now;
        stage.open()?;
    }
    ledger.wrong_at_the_end = department.compare_all(&stage)?;
    ledger.fail(night.verify(&stage)?);
    Ok(ledger)
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Random sequences of operations by two clients of one volume, against files in memory.
//!
//! Cases of [`LENGTH`] steps; each has a seed and a directory of its own. After each step the attributes of what it
//! touched are compared as both clients show them, and all bytes that lie on the brick; reads compare bytes, and at the
//! end of a case everything is read through both clients. Archives, recalls, lost objects and dying clients must not
//! show at all.
//!
//! What the two may see of each other's changes:
//!
//! - what a client wrote and has not synced (write-behind), the other one may not look at: the test syncs first.
//!   Archiving such a file is tried all the same, and must lose nothing;
//! - [`a_volume_without_timeouts`]: with all caches in place, but their timeouts 0, each sees the other's synced
//!   changes at once;
//! - [`a_volume_with_default_options`]: for up to a second the kernel, and in series with it md-cache or quick-read for
//!   another one, may show what was. The test waits before the other client goes on and changes no names (see
//!   `harness.rs`). Archives and recalls are no changes: nobody waits
//!   for them, and the other client archives what it may see wrong;
//! - a file that has lost its last name by the other client is gone for who has it open; if the client itself removed
//!   it, an error is allowed, wrong bytes are not;
//! - mtime never moves back (the bricks see to that), and moves with nothing but the bytes and utimens.
//!
//! GlusterFS does not keep all of this by itself. So a case that fails is played again on a volume without cloudsync, and if
//! it fails there too it counts as the host's; a few may.
//!
//! | variable | |
//! |---|---|
//! | CLOUDSYNC_MODEL_SEED | seed of the first case; each following case has the next number |
//! | CLOUDSYNC_MODEL_STEPS | steps of both tests together, 10000 if not set: two to three minutes |
//! | CLOUDSYNC_FSX_SEED, CLOUDSYNC_FSX_OPERATIONS | the same for `fsx.rs`, 100000: as long |
//! | CLOUDSYNC_FSX | fsx, if it need not be installed |
//!
//! A failure prints the seed that repeats its case, and the fewest steps that it could be brought down to. A long run:
//!
//! ```text
//! CLOUDSYNC_MODEL_SEED=$(date +%s)000 CLOUDSYNC_MODEL_STEPS=100000 CLOUDSYNC_FSX_SEED=$(date +%s) CLOUDSYNC_FSX_OPERATIONS=1000000 cargo test --test model -- --nocapture
//! ```

// A test has no better answer to an error than to fail.
#![allow(clippy::unwrap_used)]

mod check;
mod cold;
mod files;
mod fsx;
mod harness;
mod held;
mod names;
mod ops;
mod reference;
#[path = "../volume/scene.rs"]
#[allow(dead_code, reason = "the volume tests use the rest of it")]
mod scene;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cloudsync_lab::MountOptions;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::harness::{Counts, Harness};
use crate::ops::Step;
use crate::reference::Side;
use crate::scene::{PATIENCE, lab};

/// Steps of a case.
const LENGTH: usize = 250;
const STEPS: usize = 10_000;
/// The same each time, so that a failure is news. A long run takes another one.
const SEED: u64 = 1_795_362_797_000;
/// How often a case is played without cloudsync before it is believed to be ours: some of the host's faults are races.
const CONTROLS: usize = 5;
/// How long a case that failed is made smaller.
const SHRINKING: Duration = Duration::from_secs(60);

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number")),
    )
}

/// A kind of volume.
struct Kind {
    name: &'static str,
    settings: &'static [(&'static str, &'static str)],
    options: MountOptions,
    /// See [`Harness::stale`].
    stale: Duration,
}

impl Kind {
    fn harness(&self, feature: bool) -> Arc<Mutex<Harness>> {
        let options = self.options.clone();
        let harness = Harness::new(self.name, self.settings, options, self.stale, feature);
        Arc::new(Mutex::new(harness))
    }
}

/// Runs `share` percent of the steps; `switches` percent of them are by another client than the one before.
fn run(kind: &Kind, share: usize, switches: u32) {
    let harness = kind.harness(true);
    let all = variable("CLOUDSYNC_MODEL_STEPS").map_or(STEPS, |steps| steps as usize);
    let cases = (all * share / 100).div_ceil(LENGTH).max(1);
    let first = variable("CLOUDSYNC_MODEL_SEED").unwrap_or(SEED);
    let name = kind.name;
    eprintln!("{name}: {cases} cases of {LENGTH} steps, CLOUDSYNC_MODEL_SEED={first}");
    let begun = Instant::now();
    let mut of_the_host = 0;
    for seed in (first..).take(cases) {
        of_the_host += usize::from(!case(kind, &harness, seed, switches));
    }
    // A case that the host fails leaves it poisoned.
    let counts = harness
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .counts;
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!(
        "{name}: {:.0} steps/s, {counts:?}, {of_the_host} cases fail without cloudsync too",
        f64::from(counts.steps) / seconds
    );
    assert!(of_the_host <= 1 + cases / 20, "{of_the_host} of {cases}");
    assert_enough(counts);
}

/// A run of some length has archived, recalled and refused something.
fn assert_enough(counts: Counts) {
    let expected = counts.steps / 200;
    assert!(
        counts.archived >= expected && counts.recalled >= expected,
        "{counts:?}"
    );
}

/// Plays one case. Returns false if it fails without cloudsync too.
fn case(kind: &Kind, harness: &Arc<Mutex<Harness>>, seed: u64, switches: u32) -> bool {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let tree = ops::steps(LENGTH, switches).new_tree(&mut runner);
    let steps = tree.unwrap().current();
    let Err(failed) = play(harness, &steps) else {
        return true;
    };
    let control = kind.harness(false);
    if (0..CONTROLS).any(|_| play(&control, &steps).is_err()) {
        eprintln!("CLOUDSYNC_MODEL_SEED={seed} fails without cloudsync too");
        return false;
    }
    let locked = harness.lock().unwrap_or_else(PoisonError::into_inner);
    for side in Side::BOTH {
        eprintln!("{}", locked.mount(side).report());
    }
    drop(locked);
    let steps = fewer(harness, steps[..steps.len().min(failed + 1)].to_vec());
    eprintln!("{} steps remain:", steps.len());
    for step in &steps {
        eprintln!("    {step:?}");
    }
    panic!("CLOUDSYNC_MODEL_SEED={seed} CLOUDSYNC_MODEL_STEPS=1 repeats it");
}

/// Leaves out what the failure does not need, in ever smaller pieces. Proptest does it step by step, and each trial
/// takes seconds.
fn fewer(harness: &Arc<Mutex<Harness>>, mut steps: Vec<Step>) -> Vec<Step> {
    let begun = Instant::now();
    let mut piece = steps.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < steps.len() {
            if begun.elapsed() > SHRINKING {
                return steps;
            }
            let mut trial = steps.clone();
            // The client of what follows stays the same.
            let others = trial
                .drain(at..steps.len().min(at + piece))
                .filter(|step| step.other);
            let odd = others.count() % 2 == 1;
            if let Some(next) = trial.get_mut(at) {
                next.other ^= odd;
            }
            match play(harness, &trial) {
                Err(failed) => {
                    trial.truncate(failed + 1);
                    steps = trial;
                }
                Ok(()) => at += piece,
            }
        }
        piece /= 2;
    }
    steps
}

/// Plays a case; the error is the number of the step that failed.
fn play(harness: &Arc<Mutex<Harness>>, steps: &[Step]) -> Result<(), usize> {
    let within = |what: String, work: Box<dyn FnOnce(&mut Harness) + Send>| {
        let harness = Arc::clone(harness);
        let work = move || work(&mut harness.lock().unwrap_or_else(PoisonError::into_inner));
        // A hang prints the state of all clients.
        catch_unwind(AssertUnwindSafe(|| lab().within(PATIENCE, &what, work)))
    };
    within("begin".to_owned(), Box::new(Harness::begin)).map_err(|_| 0_usize)?;
    for (number, step) in steps.iter().enumerate() {
        let what = format!("{number} {step:?}");
        let step = step.clone();
        within(what, Box::new(move |harness| harness.step(&step))).map_err(|_| number)?;
    }
    within("end".to_owned(), Box::new(Harness::end)).map_err(|_| steps.len())
}

#[test]
fn a_volume_without_timeouts() {
    let kind = Kind {
        name: "strict",
        settings: &[
            ("performance.md-cache-timeout", "0"),
            ("performance.quick-read-cache-timeout", "0"),
        ],
        options: MountOptions::default()
            .arg("--attribute-timeout=0")
            .arg("--entry-timeout=0")
            // Or the kernel's pages are dropped by a message that comes some time after the new times.
            .arg("--auto-invalidation=on"),
        stale: Duration::ZERO,
    };
    run(&kind, 90, 40);
}

#[test]
fn a_volume_with_default_options() {
    let kind = Kind {
        name: "default",
        settings: &[],
        options: MountOptions::default(),
        stale: Duration::from_millis(2200),
    };
    run(&kind, 10, 2);
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Random sequences of operations by two clients of one volume, compared with files in memory.
//!
//! A case has [`LENGTH`] steps, a seed and its own directory. After each step, the attributes of the touched files are
//! compared as both clients show them, and all bytes on the brick; reads compare bytes, and at the end of a case
//! everything is read through both clients. Archives, recalls, lost objects and killed clients must have no visible
//! effect.
//!
//! Which of each other's changes the clients see:
//!
//! - changes that a client has not synced (write-behind) are not accessed by the other one: the test syncs first.
//!   Archiving such a file is tried nevertheless, and must lose nothing;
//! - [`volume_without_timeouts`]: with all caches enabled, but with timeouts of 0, each client sees the other's synced
//!   changes immediately;
//! - [`volume_with_default_options`]: for up to a second the kernel, and then md-cache or quick-read for another one,
//!   may show the old state. The test waits before the other client continues, and changes no names (see
//!   `harness.rs`). Archives and recalls are not changes: the test does not wait for them, and the other client
//!   archives files that it may see wrongly;
//! - a file whose last name was removed by the other client is lost to the client that has it open; if that client
//!   itself removed it, an error is allowed, but not wrong bytes;
//! - mtime never moves back (the bricks ensure that), and is only changed by writes and utimens.
//!
//! GlusterFS by itself does not guarantee all of this. So a case that fails is replayed on a volume without cloudsync,
//! and if it fails there, too, it counts as GlusterFS's fault; a few are tolerated.
//!
//! | variable | |
//! |---|---|
//! | CLOUDSYNC_MODEL_SEED | seed of the first case; each following case has the next number |
//! | CLOUDSYNC_MODEL_STEPS | steps of both tests together, 10000 by default, which takes two to three minutes |
//! | CLOUDSYNC_FSX_SEED, CLOUDSYNC_FSX_OPERATIONS | the same for `fsx.rs`; 100000 by default, which takes as long |
//! | CLOUDSYNC_FSX | path of fsx, if it should not be installed |
//!
//! A failure prints the seed that reproduces its case, and the smallest failing sequence of steps found. A long run:
//!
//! ```text
//! CLOUDSYNC_MODEL_SEED=$(date +%s)000 CLOUDSYNC_MODEL_STEPS=100000 CLOUDSYNC_FSX_SEED=$(date +%s) CLOUDSYNC_FSX_OPERATIONS=1000000 cargo test --test model -- --nocapture
//! ```

// In a test, panicking is the right way to handle an error.
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
#[allow(dead_code, reason = "the rest is used by the volume tests")]
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
/// Fixed, so that a failure means that something changed. Long runs use another one.
const SEED: u64 = 1_795_362_797_000;
/// How often a case is replayed without cloudsync before it counts as our fault: some of the host's faults are races.
const CONTROLS: usize = 5;
/// How long a failed case is reduced.
const SHRINKING: Duration = Duration::from_secs(60);

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is not a number")),
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

/// Runs `share` percent of the steps; `switches` percent of them change to the other client.
fn run(kind: &Kind, share: usize, switches: u32) {
    let harness = kind.harness(true);
    let all = variable("CLOUDSYNC_MODEL_STEPS").map_or(STEPS, |steps| steps as usize);
    let cases = (all * share / 100).div_ceil(LENGTH).max(1);
    let first = variable("CLOUDSYNC_MODEL_SEED").unwrap_or(SEED);
    let name = kind.name;
    eprintln!("{name}: {cases} cases of {LENGTH} steps, CLOUDSYNC_MODEL_SEED={first}");
    let started = Instant::now();
    let mut host_failures = 0;
    for seed in (first..).take(cases) {
        host_failures += usize::from(!case(kind, &harness, seed, switches));
    }
    // A case that fails because of the host leaves it poisoned.
    let counts = harness
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .counts;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "{name}: {:.0} steps/s, {counts:?}, {host_failures} cases fail without cloudsync, too",
        f64::from(counts.steps) / seconds
    );
    assert!(
        host_failures <= 1 + cases / 20,
        "{host_failures} of {cases}"
    );
    assert_enough(counts);
}

/// Asserts that a run of some length has archived, recalled and refused something.
fn assert_enough(counts: Counts) {
    let expected = counts.steps / 200;
    assert!(
        counts.archived >= expected && counts.recalled >= expected,
        "{counts:?}"
    );
}

/// Runs one case. Returns false if it fails without cloudsync, too.
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
        eprintln!("CLOUDSYNC_MODEL_SEED={seed} fails without cloudsync, too");
        return false;
    }
    let locked = harness.lock().unwrap_or_else(PoisonError::into_inner);
    for side in Side::BOTH {
        eprintln!("{}", locked.mount(side).report());
    }
    drop(locked);
    let steps = reduced(harness, steps[..steps.len().min(failed + 1)].to_vec());
    eprintln!("{} steps remain:", steps.len());
    for step in &steps {
        eprintln!("    {step:?}");
    }
    panic!("CLOUDSYNC_MODEL_SEED={seed} CLOUDSYNC_MODEL_STEPS=1 reproduces it");
}

/// Removes steps that the failure does not need, in ever smaller pieces. Proptest would do it step by step, and each
/// trial takes seconds.
fn reduced(harness: &Arc<Mutex<Harness>>, mut steps: Vec<Step>) -> Vec<Step> {
    let started = Instant::now();
    let mut piece = steps.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < steps.len() {
            if started.elapsed() > SHRINKING {
                return steps;
            }
            let mut trial = steps.clone();
            // The steps that follow keep their clients.
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

/// Runs a case; the error is the number of the failed step.
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
fn volume_without_timeouts() {
    let kind = Kind {
        name: "strict",
        settings: &[
            ("performance.md-cache-timeout", "0"),
            ("performance.quick-read-cache-timeout", "0"),
        ],
        options: MountOptions::default()
            .arg("--attribute-timeout=0")
            .arg("--entry-timeout=0")
            // Otherwise the kernel's pages are invalidated some time after the new times arrive.
            .arg("--auto-invalidation=on"),
        stale: Duration::ZERO,
    };
    run(&kind, 90, 40);
}

#[test]
fn volume_with_default_options() {
    let kind = Kind {
        name: "default",
        settings: &[],
        options: MountOptions::default(),
        stale: Duration::from_millis(2200),
    };
    run(&kind, 10, 2);
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A day in production: applications on two FUSE mounts, a gfapi program and a client of Samba read and change files, the
//! archiver makes them cold again and again, and one event after the other disturbs them. Every byte that is read is compared.
//! docs/RELIABILITY.md describes it; scripts/soak.sh runs it.
//!
//! `evening`, `review` and `flat` are the checks at the end; each is one test. All real, in a lab of its own.

#![forbid(unsafe_code)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "sizes of files and numbers for charts"
)]

mod archiver;
mod chart;
mod checks;
mod client;
mod content;
mod copies;
mod day;
mod evening;
mod events;
mod files;
mod flat;
mod metrics;
mod native;
mod program;
mod random;
mod report;
mod review;
mod samba;
mod sampler;
mod settings;
mod stage;
mod store;
mod work;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cloudsync_lab::until;

use archiver::Archiver;
use checks::Checks;
use client::Client;
use day::{Day, Kind};
use evening::Evening;
use events::Events;
use files::{FOLDERS, Files};
use native::Native;
use program::Program;
use random::Random;
use sampler::{Source, Watched};
use settings::Settings;
use stage::Stage;
use work::Worker;

/// The result of a step.
pub(crate) type Answer<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How many applications there are on each FUSE mount.
const ON_A_MOUNT: u64 = 2;

/// How long threads may go on after they were told to end: longer than any operation may take.
const PATIENCE: Duration = Duration::from_secs(300);

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

/// The directory of cargo's profile, which contains the artifacts.
pub(crate) fn profile() -> Answer<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.ancestors().nth(2);
    let folder = folder.ok_or("this program is nowhere")?.to_owned();
    Ok(std::env::var_os("CLOUDSYNC_ARTIFACTS").map_or(folder, PathBuf::from))
}

/// Returns whether all checks have passed.
fn run() -> Answer<bool> {
    let settings = Settings::parse(std::env::args().skip(1))?;
    let seed = settings.seed;
    println!(
        "seed {seed}, {:.1} minutes",
        settings.length.as_secs_f64() / 60.0
    );
    let stage = Arc::new(Stage::new(&settings)?);
    let Native {
        program,
        source,
        log,
    } = native::start(&stage.lab, &stage.volume)?;
    let samba = match settings.samba {
        true => samba::start(&stage.lab, &stage.volume)?,
        false => None,
    };
    let day = Arc::new(Day::new(
        Files::new(seed, settings.files()),
        stage.volume.bricks(),
    ));
    let archiver = Arc::new(Archiver::new(&stage.lab, &stage.volume)?);
    create(&stage, &day)?;
    let mounts = stage.clients.iter();
    let mounts = mounts.map(|slot| (slot.name, Source::Mount(slot.clone())));
    let mut sources: Vec<_> = mounts.chain([(native::NAME, source.clone())]).collect();
    sources.extend(
        samba
            .iter()
            .map(|samba| (samba::NAME, Source::Server(samba.pid))),
    );
    let watched = sources.into_iter();
    let watched = watched.map(|(name, source)| Watched::start(name, source, &day));
    let watched: Vec<_> = watched.collect();

    let events = spawn_events(&stage, &day, &settings);
    let mut names = Vec::new();
    let mut applications = Vec::new();
    for (number, slot) in stage.clients.iter().enumerate() {
        for more in 0..ON_A_MOUNT {
            let name = format!("{} application {more}", slot.name);
            let random = Random::new(seed, 10 + 10 * number as u64 + more);
            names.push(name.clone());
            applications.push(spawn(&day, name, slot.application(), random));
        }
    }
    let mut start = |name: &str, program: Program, stream: u64| {
        names.push(name.to_owned());
        spawn(&day, name.to_owned(), program, Random::new(seed, stream))
    };
    let native = start(native::NAME, program, 40);
    let (server, client) = samba.map(|samba| (samba.server, samba.program)).unzip();
    let client = client.map(|program| start(samba::NAME, program, 45));
    let administrator = {
        let (archiver, day) = (Arc::clone(&archiver), Arc::clone(&day));
        thread::spawn(move || archiver.run(&day, &mut Random::new(seed, 50)))
    };

    // Events end by themselves, and leave everything in order; then the others can.
    let mut ended = joined(events, settings.length + PATIENCE).is_some();
    day.over.store(true, Ordering::Relaxed);
    let end = Instant::now() + PATIENCE;
    let left = || end.saturating_duration_since(Instant::now());
    for application in applications {
        ended &= joined(application, left()).is_some();
    }
    let native = joined(native, left());
    let client = client.map(|client| joined(client, left()));
    // None if Samba is left out.
    ended &= client.as_ref().is_none_or(Option::is_some);
    let mut client = client.flatten();
    ended &= joined(administrator, left()).is_some();
    let length = day.now();
    let mut checks = Checks::default();
    let mut evening = Evening {
        stage: &stage,
        day: &day,
        archiver: &archiver,
        checks: &mut checks,
    };
    if let Some(mut native) = native.filter(|_| ended) {
        let clients: Vec<_> = watched
            .iter()
            .map(|client| (client.name, &client.source))
            .collect();
        evening.rest(&clients);
        evening.archive();
        evening.read_shares(&mut native, &source);
        if let Some(client) = &mut client {
            evening.read_by_samba(client);
        }
        evening.read_all();
        evening.faults();
        review::lives(&stage, &watched, server.as_ref(), &mut checks);
        let mut killed = Vec::new();
        for (name, mut program) in [(native::NAME, Some(native)), (samba::NAME, client)] {
            let ends = program
                .as_mut()
                .is_none_or(|program| program.end(&stage.lab));
            killed.extend((!ends).then(|| name.to_owned()));
        }
        checks.none("the_programs_end", &killed, "closed".to_owned());
    } else {
        day.fault(Kind::Other, "an operation, or the archiver, did not end");
        evening.faults();
    }
    review::counted(&stage, &watched, &mut checks);
    flat::check(&watched, stage.clients[1].name, &mut checks);
    review::struck(&day, &settings.kinds, &mut checks);
    review::worked(&day, &names, &mut checks);
    if checks.failed() > 0 {
        eprintln!(
            "{}\n--- {}\n{}",
            stage.report(),
            native::NAME,
            last_lines(&log)
        );
        if let Some(server) = &server {
            eprintln!("--- {}\n{}", samba::NAME, last_lines(&server.log()));
            eprintln!("--- smbd\n{}", tail(&server.printed()));
        }
    }
    let path = report::write(&settings, length, &day, &watched, checks.all());
    let path = path.map(|path| path.display().to_string());
    checks.add("the_report_is_written", path.map_err(|why| why.to_string()));
    // Killed, not unmounted: that must not take long if something hangs.
    for slot in &stage.clients {
        drop(slot.take());
    }
    if checks.failed() > 0 {
        println!("scripts/soak.sh --seed {seed} makes the same choices again");
    }
    checks.print_result();
    Ok(checks.failed() == 0)
}

/// The last lines of a log.
fn last_lines(log: &Path) -> String {
    tail(&std::fs::read_to_string(log).unwrap_or_default())
}

fn tail(log: &str) -> String {
    let tail: Vec<_> = log.lines().rev().take(60).collect();
    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Creates the directories and files.
fn create(stage: &Stage, day: &Day) -> Answer<()> {
    let (root, ..) = stage.clients[0].current().ok_or("no mount")?;
    for folder in 0..FOLDERS {
        std::fs::create_dir(root.join(format!("folder-{folder}")))?;
    }
    let mut worker = Worker {
        day,
        name: "creation".to_owned(),
        client: &mut stage.clients[0].application(),
        random: Random::new(day.files.seed, 1),
    };
    for number in 0..day.files.count() {
        let mut file = day.files.try_write(number).ok_or("a file is in use")?;
        worker.create(number, &mut file);
    }
    if day.has_faults() {
        return Err("the files cannot be created".into());
    }
    Ok(())
}

/// Starts an application. It returns its client.
fn spawn<C: Client + 'static>(
    day: &Arc<Day>,
    name: String,
    mut client: C,
    random: Random,
) -> JoinHandle<C> {
    let day = Arc::clone(day);
    thread::spawn(move || {
        let mut worker = Worker {
            day: &day,
            name,
            client: &mut client,
            random,
        };
        worker.run();
        client
    })
}

fn spawn_events(stage: &Arc<Stage>, day: &Arc<Day>, settings: &Settings) -> JoinHandle<()> {
    let (stage, day) = (Arc::clone(stage), Arc::clone(day));
    let (seed, end) = (settings.seed, settings.length.as_secs_f64());
    let kinds = settings.kinds.clone();
    thread::spawn(move || {
        let mut events = Events::new(&stage, &day, Random::new(seed, 2), &kinds);
        events.run(day.now() + end);
        if let Err(why) = events.settle() {
            day.fault(Kind::Other, why);
        }
    })
}

/// What a thread returned; `None` if it does not end in time, or has panicked.
fn joined<T>(thread: JoinHandle<T>, patience: Duration) -> Option<T> {
    let ended = until(patience, "a thread", || thread.is_finished().then_some(()));
    ended.ok().and_then(|()| thread.join().ok())
}

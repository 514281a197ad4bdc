// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `--guard`: what the five paths cost, in a client's instructions and in operations on the brick, compared with what they cost
//! when the figures in docs/figures/guard.md were written. Clocks are too noisy for that.
//!
//! Instructions depend on the machine's libraries and on what its processor has, so they are only compared on one like that on
//! which they were written; operations are always compared.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use cloudsync_format::claim::Claim;
use cloudsync_lab::{ADDRESS, Mount, claim};

use crate::Answer;
use crate::instructions::{callgrind, compiled};
use crate::settings::{KIB, MIB, Settings};
use crate::stage::{Stage, write_source};

/// More than this is a failure.
const TOLERANCE: f64 = 1.03;
/// How often a path is measured before it counts as dearer.
const ATTEMPTS: usize = 3;

/// A path, and how many times it is gone.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// For guard.c.
    what: &'static str,
    name: &'static str,
    count: usize,
}

const WAYS: [Way; 5] = [
    Way {
        what: "read",
        name: "local read of 4 KiB",
        count: 500,
    },
    Way {
        what: "lookup",
        name: "first lookup of a local file",
        count: 200,
    },
    Way {
        what: "remote",
        name: "remote read of 128 KiB",
        count: 60,
    },
    Way {
        what: "recall",
        name: "recall of 16 KiB, a write that waits for it",
        count: 60,
    },
    Way {
        what: "archive",
        name: "handshake for 16 KiB",
        count: 60,
    },
];

/// What a path costs.
#[derive(Clone, Debug, PartialEq)]
struct Cost {
    name: String,
    /// Thousands of instructions of the client.
    instructions: f64,
    operations: f64,
    /// How many of each kind.
    kinds: String,
}

/// Measures, and compares or writes. Returns whether nothing is dearer.
pub(crate) fn run(settings: &Settings) -> Answer<bool> {
    let stage = Stage::new(settings)?;
    let program = compiled(&stage, "benches/limits/guard.c")?;
    let mount = stage.mount()?;
    let measure = |way: Way, attempt: usize| {
        let cost = measure(
            &stage,
            &mount,
            &program,
            way,
            attempt,
            settings.profile.as_deref(),
        )?;
        println!("{}", row(&cost));
        Ok::<_, Box<dyn Error + Send + Sync>>(cost)
    };
    let machine = machine()?;
    if settings.save {
        let costs = WAYS.into_iter().map(|way| measure(way, 0));
        fs::write(
            saved(),
            document(&machine, &costs.collect::<Answer<Vec<_>>>()?),
        )?;
        return Ok(true);
    }
    let before = fs::read_to_string(saved())?;
    let mut good = true;
    for way in WAYS {
        // A request that was repeated on a busy machine is no change of ours.
        let mut fits = false;
        for attempt in 0..ATTEMPTS {
            fits = compare(&before, &machine, &measure(way, attempt)?);
            if fits {
                break;
            }
        }
        good &= fits;
    }
    Ok(good)
}

fn saved() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/figures/guard.md")
}

fn measure(
    stage: &Stage,
    mount: &Mount,
    program: &str,
    way: Way,
    attempt: usize,
    folder: Option<&Path>,
) -> Answer<Cost> {
    let remote = if way.what == "remote" { "on" } else { "off" };
    stage.volume.set("features.cloudsync-remote-read", remote)?;
    // What the first of two runs has done cannot be done again.
    let lists = [0, 1].map(|run| list(stage, mount, way, 2 * attempt + run));
    let [counted, profiled] = lists;
    let log = stage.lab.scratch("log/guard.log").display().to_string();
    let arguments = |list: String| {
        let name = stage.volume.name().to_owned();
        [
            name,
            ADDRESS.to_owned(),
            log.clone(),
            way.what.to_owned(),
            list,
        ]
    };
    let kept = stage.lab.scratch("callgrind.out");
    let instructions = callgrind(stage, program, &arguments(counted?), Some(&kept))?;
    if let Some(folder) = folder {
        fs::create_dir_all(folder)?;
        let to = folder.join(format!("{}.callgrind", way.what));
        fs::copy(stage.lab.outer(&kept), to)?;
    }
    let profile = |what: &[&str]| {
        let words = [&["volume", "profile", stage.volume.name()], what].concat();
        stage.lab.gluster(words)
    };
    profile(&["start"])?;
    profile(&["info", "clear"])?;
    let words = arguments(profiled?);
    stage.run(program, &words.each_ref().map(String::as_str))?;
    let text = profile(&["info", "cumulative"])?;
    let kinds = kinds(&text);
    if kinds.is_empty() {
        return Err(format!("no operations in the brick's profile: {text}").into());
    }
    profile(&["stop"])?;
    let count = way.count as f64;
    // The client's own, when it connects, and those of the one to begin with, are not one for each.
    let each = |calls: f64| (calls / count * 10.0).floor() / 10.0;
    let kinds: Vec<_> = kinds
        .into_iter()
        .map(|(kind, calls)| (kind, each(calls)))
        .filter(|(_, calls)| *calls > 0.0)
        .collect();
    let texts = kinds
        .iter()
        .map(|(kind, calls)| format!("{} {calls}", kind.to_lowercase()));
    Ok(Cost {
        name: way.name.to_owned(),
        instructions: instructions / 1e3 / count,
        operations: kinds.iter().map(|(_, calls)| calls).sum::<f64>() + 0.0,
        kinds: texts.collect::<Vec<_>>().join(", "),
    })
}

/// Files to work on, and the list of them, as a path in the lab.
fn list(stage: &Stage, mount: &Mount, way: Way, number: usize) -> Answer<String> {
    let folder = format!("guard-{}-{number}", way.what);
    let place = mount.path().join(&folder);
    fs::create_dir(&place)?;
    let mut lines = String::new();
    match way.what {
        "read" | "remote" => {
            let size = 64 * MIB;
            write_source(&place.join("file"), size)?;
            let step = if way.what == "remote" {
                stage.archive(&folder)?;
                128 * KIB
            } else {
                4 * KIB
            };
            // No two are next to each other, so that nothing is read ahead.
            for read in 0..=way.count as u64 {
                let at = read * 37 % (size / step) * step;
                writeln!(lines, "/{folder}/file\t{at}")?;
            }
        }
        "lookup" => {
            for file in 0..=way.count {
                File::create(place.join(file.to_string()))?;
                writeln!(lines, "/{folder}/{file}")?;
            }
        }
        "recall" => {
            for file in 0..=way.count {
                write_source(&place.join(file.to_string()), 16 * KIB)?;
                writeln!(lines, "/{folder}/{file}")?;
            }
            stage.archive(&folder)?;
        }
        _ => {
            let (_, key) = stage.cold(mount, 16 * KIB)?;
            for file in 0..=way.count {
                let path = place.join(file.to_string());
                File::create(&path)?.set_len(16 * KIB)?;
                let claim = Claim {
                    key: Some(key.clone()),
                    ..claim(&fs::metadata(&path)?)
                };
                writeln!(lines, "/{folder}/{file}\t{claim}")?;
            }
        }
    }
    let list = stage.lab.scratch(&folder);
    fs::write(stage.lab.outer(&list), lines)?;
    Ok(list.display().to_string())
}

/// Calls by kind, from the profile of one brick.
fn kinds(profile: &str) -> BTreeMap<String, f64> {
    let rows = profile.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        // %-latency, average, minimum and maximum with their units, calls, kind.
        match words.as_slice() {
            [_, _, one, _, two, _, three, calls, kind] if one == two && two == three => {
                Some(((*kind).to_owned(), calls.parse().ok()?))
            }
            _ => None,
        }
    });
    let own = ["FORGET", "RELEASE", "RELEASEDIR", "STATFS"];
    rows.filter(|(kind, _): &(String, f64)| !own.contains(&kind.as_str()))
        .collect()
}

/// What instructions depend on.
fn machine() -> Answer<String> {
    let first = |program: &str, words: &[&str]| -> Answer<String> {
        let output = std::process::Command::new(program).args(words).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let flags = cpu.lines().find(|line| line.starts_with("flags"));
    let words: Vec<_> = flags.unwrap_or_default().split_whitespace().collect();
    let known = ["avx2", "sse4_2", "pclmulqdq", "aes", "bmi2"];
    let flags = known.into_iter().filter(|flag| words.contains(flag));
    Ok([
        first("glusterfs", &["--version"])?,
        first("valgrind", &["--version"])?,
        first("ldd", &["--version"])?,
        flags.collect::<Vec<_>>().join(" "),
    ]
    .join(", "))
}

fn row(cost: &Cost) -> String {
    let Cost {
        name,
        instructions,
        operations,
        kinds,
    } = cost;
    format!("| {name} | {instructions:.1} | {operations:.1} | {kinds} |")
}

fn document(machine: &str, costs: &[Cost]) -> String {
    let mut text = format!(
        "<!-- SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later -->\n# What a path costs\n\n\
         Written by `scripts/bench.sh --guard --save`; `--guard` compares with it, also in CI.\n\n\
         Machine: {machine}\n\n\
         | path | thousands of instructions of the client | operations on the brick | which |\n|---|---|---|---|\n"
    );
    for cost in costs {
        text += &row(cost);
        text.push('\n');
    }
    text
}

/// Prints the comparison. Returns whether it is not dearer.
fn compare(before: &str, machine: &str, cost: &Cost) -> bool {
    let same_machine = before.contains(&format!("Machine: {machine}\n"));
    if !same_machine {
        println!("instructions are not compared: this is another machine ({machine})");
    }
    let line = before
        .lines()
        .find(|line| line.starts_with(&format!("| {} |", cost.name)));
    let cells: Vec<_> = line.unwrap_or_default().split(" | ").collect();
    let number = |at: usize| cells.get(at).and_then(|text| text.parse::<f64>().ok());
    let (Some(instructions), Some(operations)) = (number(1), number(2)) else {
        println!("{}: no figure in docs/figures/guard.md", cost.name);
        return false;
    };
    let mut good = true;
    let ratios = [
        (
            "instructions",
            cost.instructions / instructions,
            same_machine,
        ),
        (
            "operations on the brick",
            cost.operations / operations,
            true,
        ),
    ];
    for (what, ratio, counts) in ratios {
        let word = match ratio {
            ratio if ratio > TOLERANCE && counts => {
                good = false;
                "DEARER"
            }
            // It does not do its work.
            ratio if ratio < 0.8 && what != "instructions" => {
                good = false;
                "TOO FEW"
            }
            ratio if ratio < 1.0 / TOLERANCE => "cheaper: --guard --save writes it down",
            _ => "ok",
        };
        println!("{}: {what}: {ratio:.3} of before: {word}", cost.name);
    }
    good
}

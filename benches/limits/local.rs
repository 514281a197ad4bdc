// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 5: the cost of the feature for a local file, on against off: time, the client's CPU time, and, because both are
//! noisy, the client's instructions.

use std::fs::{self, File};
use std::time::Instant;

use cloudsync_lab::Mount;
use serde_json::Value;

use crate::Answer;
use crate::client;
use crate::figures::{Pair, Row, Target};
use crate::instructions;
use crate::settings::{Settings, named};
use crate::stage::Stage;

/// Operations on local files: the name, and fio's arguments.
const JOBS: [(&str, &[&str]); 4] = [
    ("random reads of 4 KiB", &["--rw=randread", "--bs=4k"]),
    ("reads of 1 MiB", &["--rw=read", "--bs=1M"]),
    ("writes of 1 MiB", &["--rw=write", "--bs=1M"]),
    ("create, stat, rename, unlink", &[]),
];

/// Two per cent.
const TARGET: Target = Target::AtMost(1.02);

/// Seconds of a job.
#[derive(Debug, Clone, Copy)]
struct Cost {
    time: f64,
    cpu: f64,
}

pub(crate) fn measure(stage: &Stage, settings: &Settings) -> Answer<Vec<Row>> {
    let mut times = vec![Vec::new(); JOBS.len()];
    let mut cpus = times.clone();
    // The noise is larger than the effect: many short runs are more accurate than a few long ones.
    let runs = if settings.quick { 1 } else { 3 * settings.runs };
    for run in 0..runs {
        let mut costs = [Vec::new(), Vec::new()];
        // Alternate which one is first: the second one finds warm caches.
        for on in [run % 2 == 0, run % 2 != 0] {
            switch(stage, on)?;
            let mount = stage.mount()?;
            for (_, words) in JOBS {
                costs[usize::from(on)].push(cost(stage, &mount, settings, words)?);
            }
        }
        let [off, on] = costs;
        for (job, (on, off)) in on.into_iter().zip(off).enumerate() {
            times[job].push(Pair {
                ours: on.time,
                limit: off.time,
            });
            cpus[job].push(Pair {
                ours: on.cpu,
                limit: off.cpu,
            });
        }
    }
    let counted = instructions::measure(stage, settings, |on| switch(stage, on));
    switch(stage, true)?;
    let counted = counted?;
    let row = |job: usize, what: &str, unit, pairs| Row {
        number: 5,
        name: format!("local {}: {what}", JOBS[job].0),
        unit,
        limit: "feature off".to_owned(),
        target: TARGET,
        pairs,
        note: String::new(),
    };
    let mut rows = Vec::new();
    for (job, ((times, cpus), counted)) in times.into_iter().zip(cpus).zip(counted).enumerate() {
        rows.push(row(job, "time", "s", times));
        rows.push(row(job, "CPU of the client", "s", cpus));
        rows.push(row(job, "instructions of a client", "k/op", vec![counted]));
    }
    rows[0].note = format!(
        "of {}, O_DIRECT; {} files in the loop",
        named(settings.local),
        settings.local_files
    );
    Ok(rows)
}

fn switch(stage: &Stage, on: bool) -> Answer<()> {
    Ok(stage
        .volume
        .set("features.cloudsync", if on { "on" } else { "off" })?)
}

fn cost(stage: &Stage, mount: &Mount, settings: &Settings, words: &[&str]) -> Answer<Cost> {
    let before = client::cpu(mount.pid())?;
    let time = if words.is_empty() {
        metadata(mount, settings.local_files)?
    } else {
        fio(stage, mount, settings.local, words)?
    };
    let cpu = client::cpu(mount.pid())?.saturating_sub(before);
    Ok(Cost {
        time,
        cpu: cpu.as_secs_f64(),
    })
}

/// Seconds that fio took; O_DIRECT, so that no cache answers.
fn fio(stage: &Stage, mount: &Mount, bytes: u64, words: &[&str]) -> Answer<f64> {
    let file = format!("--filename={}", mount.inside().join("fio").display());
    let size = format!("--size={bytes}");
    // A read of 4 KiB takes as long as one of 128.
    let amount = if words[0] == "--rw=randread" {
        bytes / 4
    } else {
        bytes
    };
    let amount = format!("--io_size={amount}");
    let fixed = [
        "--name=job",
        "--ioengine=psync",
        "--direct=1",
        "--output-format=json",
    ];
    let args = [&fixed, words, &[&file, &size, &amount]].concat();
    // The first job would create the file, and that would be included.
    let there = mount.path().join("fio");
    if !fs::metadata(&there).is_ok_and(|file| file.len() == bytes) {
        fs::copy(stage.lab.outer(stage.source(bytes)?), &there)?;
    }
    let output: Value = serde_json::from_str(&stage.run("fio", &args)?.text())?;
    let way = if words[0] == "--rw=write" {
        "write"
    } else {
        "read"
    };
    let millis = output["jobs"][0][way]["runtime"].as_f64();
    Ok(millis.ok_or("fio reported no time")? / 1e3)
}

fn metadata(mount: &Mount, files: usize) -> Answer<f64> {
    let folder = mount.path().join("loop");
    fs::create_dir_all(&folder)?;
    let renamed = folder.join("renamed");
    let started = Instant::now();
    for number in 0..files {
        let new = folder.join(number.to_string());
        File::create(&new)?;
        fs::metadata(&new)?;
        fs::rename(&new, &renamed)?;
        fs::remove_file(&renamed)?;
    }
    Ok(started.elapsed().as_secs_f64())
}

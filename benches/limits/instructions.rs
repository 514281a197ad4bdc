// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Counts a client's instructions with valgrind, in a separate program (gfapi.c), since a mount would be too slow.
//! Threads take turns there, so the count is nearly the same every time, regardless of other load on the machine.

use std::path::Path;
use std::process::Command;

use cloudsync_lab::ADDRESS;

use crate::Answer;
use crate::figures::Pair;
use crate::settings::Settings;
use crate::stage::Stage;

/// The operations, in the order of row 5's jobs.
const OPERATIONS: [&str; 4] = ["randread", "read", "write", "metadata"];

/// Thousands of instructions of each operation, with the feature on and off.
pub(crate) fn measure(
    stage: &Stage,
    settings: &Settings,
    switch: impl Fn(bool) -> Answer<()>,
) -> Answer<Vec<Pair>> {
    let program = compiled(stage, "benches/limits/gfapi.c")?;
    let mut counts = [Vec::new(), Vec::new()];
    for on in [false, true] {
        switch(on)?;
        for operation in OPERATIONS {
            // Two concurrent runs in one folder would interfere.
            counts[usize::from(on)].push(count(stage, &program, operation, settings.counted)?);
        }
    }
    let [off, on] = counts;
    let pairs = on.into_iter().zip(off);
    Ok(pairs.map(|(ours, limit)| Pair { ours, limit }).collect())
}

/// Compiles a program that uses the volume without a mount. Returns its path in the lab.
pub(crate) fn compiled(stage: &Stage, source: &str) -> Answer<String> {
    let program = stage.lab.scratch("counted");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-D_FILE_OFFSET_BITS=64", "-Wall", "-Werror"]);
    compiler
        .arg(source)
        .arg("-o")
        .arg(stage.lab.outer(&program))
        .arg("-lgfapi");
    if compiler.status()?.success() {
        Ok(program.display().to_string())
    } else {
        Err("it does not compile: it needs libglusterfs-dev and valgrind".into())
    }
}

fn count(stage: &Stage, program: &str, operation: &str, count: usize) -> Answer<f64> {
    let log = stage.lab.scratch("log/counted.log").display().to_string();
    // A large operation costs as much as many small ones.
    let count = if operation.ends_with("read") && operation != "read" {
        count
    } else {
        count / 4
    };
    let number = count.to_string();
    let words = [stage.volume.name(), ADDRESS, &log, operation, &number].map(str::to_owned);
    Ok(callgrind(stage, program, &words, None)? / 1e3 / count as f64)
}

/// The instructions of the part of a program that it marks. What callgrind writes of them goes to `kept`, in the lab.
pub(crate) fn callgrind(
    stage: &Stage,
    program: &str,
    words: &[String],
    kept: Option<&Path>,
) -> Answer<f64> {
    let kept = kept.unwrap_or(Path::new("/dev/null")).display();
    let out = format!("--callgrind-out-file={kept}");
    let fixed = ["--tool=callgrind", "--instr-atstart=no", &out, program];
    let words = words.iter().map(String::as_str);
    let args: Vec<_> = fixed.into_iter().chain(words).collect();
    let outcome = stage.run("valgrind", &args)?;
    let output = String::from_utf8_lossy(&outcome.stderr).into_owned();
    let collected = output
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    Ok(collected.ok_or(output.clone())?.1.trim().parse()?)
}

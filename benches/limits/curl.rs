// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store's own speed: curl requests the same bytes, in one process and on one connection, like a client that is
//! already connected. The time is curl's own measurement, from the request to the last byte.

use std::fs;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use crate::Answer;
use crate::stage::{Stage, timed};

const PATIENCE: Duration = Duration::from_secs(600);

/// Seconds that each of the ranges took, requested one after the other: without a pause, or one in each `pace`. A
/// machine that has become idle in between answers later than a busy one.
pub(crate) fn ranges(
    stage: &Stage,
    key: &str,
    ranges: &[Range<u64>],
    pace: Option<Duration>,
) -> Answer<Vec<f64>> {
    let first = ranges.first().ok_or("no range")?;
    // The first is not counted, because it opens the connection.
    let all: Vec<_> = [first].into_iter().chain(ranges).cloned().collect();
    let measured = transfers(stage, key, &all, pace)?;
    let mut seconds = Vec::new();
    for transfer in &measured[1..] {
        if transfer.connects != 0 {
            return Err("curl opened a second connection".into());
        }
        seconds.push(transfer.seconds);
    }
    Ok(seconds)
}

/// Seconds of the slower of two concurrent transfers: `work`, and what curl `fetches`.
pub(crate) fn concurrently(
    fetches: impl FnOnce() -> Answer<f64> + Send,
    work: impl FnOnce() -> Answer<f64>,
) -> Answer<f64> {
    let (worked, fetched) = thread::scope(|scope| {
        let curl = scope.spawn(|| fetches().map_err(|error| error.to_string()));
        (work(), curl.join())
    });
    let fetched = fetched.map_err(|_| "a thread panicked")??;
    Ok(worked?.max(fetched))
}

/// Seconds that a whole object took, including the connection.
pub(crate) fn whole(stage: &Stage, key: &str, size: u64) -> Answer<f64> {
    let whole = 0..size;
    Ok(transfers(stage, key, std::slice::from_ref(&whole), None)?[0].seconds)
}

/// Seconds that an object took in requests of `piece` bytes, one after the other.
pub(crate) fn in_pieces(stage: &Stage, key: &str, size: u64, piece: u64) -> Answer<f64> {
    let pieces = (0..size).step_by(usize::try_from(piece)?);
    let pieces: Vec<_> = pieces.map(|at| at..(at + piece).min(size)).collect();
    let seconds = transfers(stage, key, &pieces, None)?;
    Ok(seconds.iter().map(|transfer| transfer.seconds).sum())
}

/// Seconds that whole objects took, `at_once` of them concurrently, including curl's start.
pub(crate) fn objects(stage: &Stage, keys: &[String], at_once: usize) -> Answer<f64> {
    let options = options(stage)?;
    let transfer = |key: &String| format!("url = \"{}\"\n{options}", url(stage, key));
    let transfers: Vec<String> = keys.iter().map(transfer).collect();
    let config = format!(
        "parallel\nparallel-max = {at_once}\n{}",
        transfers.join("next\n")
    );
    timed(|| run(stage, &config))
}

/// A transfer as reported by curl.
struct Transfer {
    seconds: f64,
    connects: u64,
}

/// One transfer for each of the ranges, one after the other.
fn transfers(
    stage: &Stage,
    key: &str,
    ranges: &[Range<u64>],
    pace: Option<Duration>,
) -> Answer<Vec<Transfer>> {
    let url = url(stage, key);
    let options = options(stage)?;
    // Each transfer needs all options again.
    let config: Vec<String> = ranges
        .iter()
        .map(|range| {
            let (first, last) = (range.start, range.end - 1);
            format!(
                "url = \"{url}\"\nrange = \"{first}-{last}\"\n{options}\
                 write-out = \"%{{time_total}} %{{size_download}} %{{num_connects}}\\n\"\n"
            )
        })
        .collect();
    let pace = pace.map_or_else(String::new, |pace| {
        format!("rate = \"{:.0}/m\"\n", 60.0 / pace.as_secs_f64())
    });
    let text = run(stage, &format!("{pace}{}", config.join("next\n")))?;
    let mut transfers = Vec::new();
    for (line, range) in text.lines().zip(ranges) {
        let mut words = line.split_whitespace();
        let mut word = || words.next().unwrap_or_default();
        let (seconds, size, connects) = (word(), word(), word());
        if size.parse() != Ok(range.end - range.start) {
            return Err(format!("curl for {range:?} of {url}: {line}").into());
        }
        transfers.push(Transfer {
            seconds: seconds.parse()?,
            connects: connects.parse()?,
        });
    }
    if transfers.len() == ranges.len() {
        Ok(transfers)
    } else {
        Err(format!(
            "curl answered {} of {} requests",
            transfers.len(),
            ranges.len()
        )
        .into())
    }
}

fn url(stage: &Stage, key: &str) -> String {
    format!("{}/{}/{key}", stage.bucket.url(), stage.bucket.name())
}

/// The options of each transfer.
fn options(stage: &Stage) -> Answer<String> {
    let s3 = stage.lab.s3()?;
    let owner = s3.owner();
    Ok(format!(
        "output = \"/dev/null\"\nsilent\nshow-error\nfail\n\
         cacert = \"{}\"\naws-sigv4 = \"aws:amz:us-east-1:s3\"\nuser = \"{}:{}\"\n\
         header = \"x-amz-content-sha256: UNSIGNED-PAYLOAD\"\n",
        s3.ca_pem().display(),
        owner.key,
        owner.secret,
    ))
}

/// Runs curl and returns its output.
fn run(stage: &Stage, config: &str) -> Answer<String> {
    let file = stage.lab.scratch("curl.config");
    fs::write(stage.lab.outer(&file), config)?;
    let output = stage
        .lab
        .run_with(PATIENCE, "curl", ["-K".as_ref(), file.as_os_str()], |_| {})?;
    Ok(output.check()?)
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store's own speed: curl asks for the same bytes, in one process and on one connection, as a client that has asked
//! before. What counts is curl's own clock, from the request to the last byte.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use crate::Answer;
use crate::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(600);

/// Seconds that each of the ranges took.
pub(crate) fn ranges(stage: &Stage, key: &str, ranges: &[Range<u64>]) -> Answer<Vec<f64>> {
    let first = ranges.first().ok_or("no range")?;
    // The first is not counted: it makes the connection.
    let all: Vec<_> = [first].into_iter().chain(ranges).cloned().collect();
    let said = transfers(stage, key, &all)?;
    let mut seconds = Vec::new();
    for transfer in &said[1..] {
        if transfer.connects != 0 {
            return Err("curl connected anew".into());
        }
        seconds.push(transfer.seconds);
    }
    Ok(seconds)
}

/// Seconds that the whole object took, and the connection for it.
pub(crate) fn whole(stage: &Stage, key: &str, size: u64) -> Answer<f64> {
    Ok(transfers(stage, key, std::slice::from_ref(&(0..size)))?[0].seconds)
}

/// What curl says of a transfer.
struct Transfer {
    seconds: f64,
    connects: u64,
}

/// One for each of the ranges, one after the other.
fn transfers(stage: &Stage, key: &str, ranges: &[Range<u64>]) -> Answer<Vec<Transfer>> {
    let s3 = stage.lab.s3()?;
    let owner = s3.owner();
    let scheme = if stage.https {
        s3.https_url()
    } else {
        s3.http_url()
    };
    let url = format!("{scheme}/{}/{key}", stage.bucket.name());
    // Every transfer has its options anew.
    let config: Vec<String> = ranges
        .iter()
        .map(|range| {
            format!(
                "url = \"{url}\"\nrange = \"{}-{}\"\noutput = \"/dev/null\"\nsilent\nshow-error\nfail\n\
                 cacert = \"{}\"\naws-sigv4 = \"aws:amz:us-east-1:s3\"\nuser = \"{}:{}\"\n\
                 header = \"x-amz-content-sha256: UNSIGNED-PAYLOAD\"\n\
                 write-out = \"%{{time_total}} %{{size_download}} %{{num_connects}}\\n\"\n",
                range.start,
                range.end - 1,
                s3.ca_pem().display(),
                owner.key,
                owner.secret,
            )
        })
        .collect();
    let file = stage.lab.scratch("curl.config");
    fs::write(stage.lab.outer(&file), config.join("next\n"))?;
    let said = stage
        .lab
        .run_with(PATIENCE, "curl", ["-K".as_ref(), file.as_os_str()], |_| {})?;
    let text = said.check()?;
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

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 1: a recall, compared with `dd` writing the same bytes to the same volume. A recall cannot be faster than the
//! volume's writes; and where client, bricks and store share a machine's cores, not faster than the machine can do
//! both: `dd` to the volume while curl fetches the same number of bytes from the store.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::{Mount, megabytes_per_second};

use crate::Answer;
use crate::curl;
use crate::figures::{Pair, Row, Target};
use crate::settings::{Settings, named};
use crate::stage::{PATIENCE, Stage, make_cold, write_source};

pub(crate) fn measure(stage: &mut Stage, settings: &Settings) -> Answer<Vec<Row>> {
    let mut rows = Vec::new();
    let mut recalls = Vec::new();
    let s3 = stage.lab.s3()?;
    for url in [s3.https_url(), s3.http_url()] {
        stage.use_store_at(url)?;
        let mut of_sizes = Vec::new();
        for &size in &settings.recalled {
            let of_size = of_size(stage, settings, size)?;
            of_sizes.push(of_size[1].clone());
            rows.extend(of_size);
        }
        recalls.push(of_sizes);
    }
    if let [secure, plain] = recalls.as_slice() {
        rows.extend(secure.iter().zip(plain).flat_map(over_tls));
    }
    Ok(rows)
}

/// The same recalls over https and http, and the same of their limits: what TLS costs this machine, on both of its ends.
fn over_tls((secure, plain): (&Row, &Row)) -> [Row; 2] {
    let pairs = |figure: fn(&Pair) -> f64| {
        let both = secure.pairs.iter().zip(&plain.pairs);
        both.map(|(secure, plain)| Pair {
            ours: figure(secure),
            limit: figure(plain),
        })
        .collect()
    };
    let row = |name: String, target, pairs| Row {
        name,
        limit: "the same over http".to_owned(),
        target,
        pairs,
        ..secure.clone()
    };
    let of_curl = secure.name.replace("recall", "dd beside curl");
    [
        row(
            secure.name.clone(),
            Target::AtLeast(0.85),
            pairs(|pair| pair.ours),
        ),
        row(of_curl, Target::None, pairs(|pair| pair.limit)),
    ]
}

fn of_size(stage: &Stage, settings: &Settings, size: u64) -> Answer<[Row; 4]> {
    let maker = stage.mount()?;
    let (name, key) = stage.cold(&maker, size)?;
    write_source(&maker.path().join("local"), size)?;
    let (mut whole, mut beside, mut through) = (Vec::new(), Vec::new(), Vec::new());
    let mut reading = Vec::new();
    for _ in 0..settings.runs {
        let limit = megabytes_per_second(size, dd(stage, &stage.mount()?, size)?);
        let seconds = seconds_of_recall(stage, &stage.mount()?, &name)?;
        make_cold(&maker.path().join(&name), &key)?;
        let recall = megabytes_per_second(size, seconds);
        whole.push(Pair {
            ours: recall,
            limit,
        });
        let writer = stage.mount()?;
        let seconds = curl::concurrently(
            || curl::whole(stage, &key, size),
            || dd(stage, &writer, size),
        )?;
        beside.push(Pair {
            ours: recall,
            limit: megabytes_per_second(size, seconds),
        });
        // See `seconds_beside`.
        drop(writer);
        let seconds = seconds_beside(stage, || curl::whole(stage, &key, size))?;
        let slower = recall.min(megabytes_per_second(size, seconds));
        let reader = stage.mount()?;
        let ours = seconds_of_dd(stage, &reader.inside().join(&name), Path::new("/dev/null"))?;
        stage.await_idle(&reader)?;
        make_cold(&maker.path().join(&name), &key)?;
        let ours = megabytes_per_second(size, ours);
        through.push(Pair { ours, limit });
        reading.push(Pair {
            ours,
            limit: slower,
        });
    }
    fs::remove_file(maker.path().join("local"))?;
    let (scheme, _) = stage.bucket.url().split_once(':').unwrap_or_default();
    let row = |what: &str, limit: &str, target, pairs| Row {
        number: 1,
        name: format!("{what} {}, {scheme}", named(size)),
        unit: "MB/s",
        limit: limit.to_owned(),
        target,
        pairs,
        note: String::new(),
    };
    let dd = "dd bs=1M into the volume";
    let both = "that, while curl fetches as many bytes";
    let slower =
        "the slower of that recall, and of dd of a local file while curl fetches as many bytes";
    Ok([
        row("recall of", dd, Target::AtLeast(0.9), whole),
        row("recall of", both, Target::None, beside),
        row("read of cold", dd, Target::None, through),
        row("read of cold", slower, Target::AtLeast(0.8), reading),
    ])
}

/// Seconds that `dd` takes to write the same number of bytes to a new file.
pub(crate) fn dd(stage: &Stage, mount: &Mount, size: u64) -> Answer<f64> {
    let source = stage.source(size)?;
    let seconds = seconds_of_dd(stage, &source, &mount.inside().join("dd"))?;
    fs::remove_file(mount.path().join("dd"))?;
    Ok(seconds)
}

/// The time printed by `dd` itself, which excludes its start.
pub(crate) fn seconds_of_dd(stage: &Stage, from: &Path, to: &Path) -> Answer<f64> {
    let (from, to) = (
        format!("if={}", from.display()),
        format!("of={}", to.display()),
    );
    let outcome = stage.run("env", &["LC_ALL=C", "dd", "bs=1M", &from, &to])?;
    let output = String::from_utf8_lossy(&outcome.stderr).into_owned();
    let seconds = output
        .split("copied, ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    Ok(seconds.ok_or(output.clone())?.parse()?)
}

/// Seconds that `dd` of the file `local` takes by a new client while curl fetches. The client's end frees the memory of the
/// kernel's cache for the next one: what this machine must give first costs more than to copy the bytes.
pub(crate) fn seconds_beside(
    stage: &Stage,
    fetches: impl FnOnce() -> Answer<f64> + Send,
) -> Answer<f64> {
    let reader = stage.mount()?;
    let local = reader.inside().join("local");
    curl::concurrently(fetches, || {
        seconds_of_dd(stage, &local, Path::new("/dev/null"))
    })
}

/// Seconds from the request for a recall until the file is local.
pub(crate) fn seconds_of_recall(stage: &Stage, mount: &Mount, name: &str) -> Answer<f64> {
    let path = mount.path().join(name);
    fs::metadata(&path)?;
    let started = Instant::now();
    xattr::set(&path, "glusterfs.cloudsync.recall", b"1")?;
    while stage.is_cold(name) {
        if started.elapsed() > PATIENCE {
            return Err(format!("{name} is not recalled\n{}", mount.report()).into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    let seconds = started.elapsed().as_secs_f64();
    stage.await_idle(mount)?;
    Ok(seconds)
}

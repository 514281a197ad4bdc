// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 8: a store that is far away: each answer arrives 40 ms later, and a connection carries 60 MB/s. And the same with
//! both stretched in time, so that what this machine's cores do in between matters less. Compared with what the line
//! allows, and with the programs that people would use instead, through the same line.

mod care;
mod others;
mod small;

use std::fs;
use std::path::Path;
use std::time::Duration;

use cloudsync_lab::far::{Distance, Far};
use cloudsync_lab::{Mount, megabytes_per_second};

use crate::Answer;
use crate::curl;
use crate::figures::{Pair, Row, Target, median};
use crate::recall::{dd, seconds_of_dd, seconds_of_recall};
use crate::settings::{KIB, Settings, named};
use crate::stage::{Stage, key, make_cold, read_at};

pub(crate) const DISTANCE: Distance = Distance {
    delay: Duration::from_millis(40),
    rate: 60_000_000,
};
/// The connections that others open, and those that a target counts with.
const CONNECTIONS: u32 = 16;
const READERS: usize = 32;
const SMALL: u64 = 16 * KIB;
const FIRST: u64 = 128 * KIB;
pub(crate) const REMOTE_READ: &str = "features.cloudsync-remote-read";

pub(crate) fn measure(stage: &mut Stage, settings: &Settings) -> Answer<Vec<Row>> {
    let near = stage.lab.s3()?.http_url();
    let mut rows = Vec::new();
    for &times in &settings.stretches {
        let distance = DISTANCE.stretched(times);
        let far = Far::new(&stage.lab, stage.lab.s3()?.http_port(), distance)?;
        // Files are made cold over the short way.
        let files = Files::make(stage, settings)?;
        stage.use_store_at(format!("http://{}", far.address()))?;
        let measured = Line {
            stage,
            settings,
            distance,
            far: &far,
        }
        .rows(&files);
        stage.use_store_at(near.clone())?;
        rows.extend(measured?);
    }
    Ok(rows)
}

/// Cold files.
struct Files {
    large: (String, String),
    small: Vec<String>,
}

impl Files {
    fn make(stage: &Stage, settings: &Settings) -> Answer<Self> {
        let mount = stage.mount()?;
        let large = stage.cold(&mount, settings.far)?;
        let folder = mount.path().join("far");
        if !folder.exists() {
            fs::create_dir(&folder)?;
            let bytes = fs::read(stage.lab.outer(stage.source(SMALL)?))?;
            for number in 0..settings.far_files {
                fs::write(folder.join(number.to_string()), &bytes)?;
            }
            stage.archive("far")?;
        }
        let small = (0..settings.far_files).map(|number| key(&folder.join(number.to_string())));
        let small = small.collect::<Answer<_>>()?;
        Ok(Self { large, small })
    }
}

/// A way to the store, and what is measured over it.
struct Line<'a> {
    stage: &'a Stage,
    settings: &'a Settings,
    distance: Distance,
    far: &'a Far,
}

impl Line<'_> {
    fn rows(&self, files: &Files) -> Answer<Vec<Row>> {
        let mut rows = self.large(files)?;
        rows.extend(self.small(files)?);
        rows.extend(self.care()?);
        Ok(rows)
    }

    fn row(
        &self,
        name: &str,
        unit: &'static str,
        limit: &str,
        target: Target,
        pairs: Vec<Pair>,
    ) -> Row {
        let Distance { delay, rate } = self.distance;
        Row {
            number: 8,
            name: format!(
                "{name}, {} ms away, {} MB/s a connection",
                delay.as_millis(),
                rate / 1_000_000
            ),
            unit,
            limit: limit.to_owned(),
            target,
            pairs,
            note: String::new(),
        }
    }

    /// Recalls, remote reads and the first bytes of a large file.
    fn large(&self, files: &Files) -> Answer<Vec<Row>> {
        let (stage, size) = (self.stage, self.settings.far);
        let (name, key) = &files.large;
        let maker = stage.mount()?;
        let speed = |seconds| megabytes_per_second(size, seconds);
        let line = speed(self.distance.seconds(size, CONNECTIONS));
        let [mut recalls, mut second, mut remote] = [const { Vec::new() }; 3];
        let mut first = Vec::new();
        for _ in 0..self.settings.runs {
            let limit = line.min(speed(dd(stage, &stage.mount()?, size)?));
            let mount = stage.mount()?;
            let ours = speed(seconds_of_recall(stage, &mount, name)?);
            recalls.push(Pair { ours, limit });
            make_cold(&maker.path().join(name), key)?;
            // The client has learned by now how far the store is.
            let again = speed(seconds_of_recall(stage, &mount, name)?);
            second.push(Pair { ours: again, limit });
            make_cold(&maker.path().join(name), key)?;
            first.push(self.first_bytes(&stage.mount()?, files)?);
            stage.volume.set(REMOTE_READ, "on")?;
            let mount = stage.mount()?;
            let seconds = seconds_of_dd(stage, &mount.inside().join(name), Path::new("/dev/null"));
            stage.volume.set(REMOTE_READ, "off")?;
            remote.push(Pair {
                ours: speed(seconds?),
                limit: ours,
            });
            stage.await_idle(&mount)?;
        }
        let curl = curl::ranges(stage, key, &vec![0..FIRST; 20], None)?;
        let curl = median(curl.into_iter().map(|seconds| seconds * 1e3));
        let first = first.into_iter().map(|ours| Pair { ours, limit: curl });
        let others = [
            ("rclone copy", self.rclone_of(key, &maker)?),
            ("aws s3 cp", self.aws(key, &maker)?),
        ];
        let row = |what: &str, unit, limit: &str, target, pairs: &[Pair]| {
            let name = format!("{what} {}", named(size));
            self.row(&name, unit, limit, target, pairs.to_vec())
        };
        let limit = "dd into the volume, or what 16 connections carry";
        let most = Target::AtLeast(0.8);
        let mut rows = vec![
            row("recall of", "MB/s", limit, most, &recalls),
            row("a second recall of", "MB/s", limit, most, &second),
            row(
                "sequential remote read of",
                "MB/s",
                "a recall of it",
                most,
                &remote,
            ),
            row(
                "first 128 KiB of",
                "ms",
                "curl -r of the same range",
                Target::AtMost(1.3),
                &first.collect::<Vec<_>>(),
            ),
        ];
        for (program, seconds) in others {
            let with = |pair: &Pair| Pair {
                limit: speed(seconds),
                ..*pair
            };
            let pairs: Vec<_> = recalls.iter().map(with).collect();
            let limit = format!("{program} of the object to the volume");
            rows.push(row("recall of", "MB/s", &limit, Target::None, &pairs));
        }
        Ok(rows)
    }

    /// Milliseconds that the first bytes of a cold file took, by a client that is connected.
    fn first_bytes(&self, mount: &Mount, files: &Files) -> Answer<f64> {
        let warm = mount.path().join("far/0");
        fs::read(&warm)?;
        make_cold(&warm, &files.small[0])?;
        let path = mount.path().join(&files.large.0);
        let milliseconds = read_at(&path, 0, FIRST)? * 1e3;
        let _ended = xattr::set(&path, "glusterfs.cloudsync.cancel", b"1");
        self.stage.await_idle(mount)?;
        Ok(milliseconds)
    }
}

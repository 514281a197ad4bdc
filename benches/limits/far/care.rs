// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The archiver's work over a long line: archive, gc and rebuild.

use std::fs;

use super::{Line, READERS, SMALL};
use crate::Answer;
use crate::figures::{Pair, Row, Target};
use crate::settings::named;
use crate::stage::timed;

/// Requests in flight that gc and rebuild are expected to have.
const REQUESTS: f64 = 16.0;

impl Line<'_> {
    /// Archives new files, deletes the objects of removed ones, and rebuilds the others on the volume they are from.
    pub(super) fn care(&self) -> Answer<Vec<Row>> {
        let (stage, count) = (self.stage, self.settings.far_files);
        let maker = stage.mount()?;
        let folder = maker.path().join("cared");
        let bytes = fs::read(stage.lab.outer(stage.source(SMALL)?))?;
        let requests = |at_once: f64| at_once / self.distance.delay.as_secs_f64();
        let [mut archived, mut listed, mut deleted, mut rebuilt] = [const { Vec::new() }; 4];
        let mut copied = Vec::new();
        let [mut deleting, mut rebuilding] = [const { Vec::new() }; 2];
        for run in 0..self.settings.runs {
            fs::create_dir(&folder)?;
            for number in 0..count {
                fs::write(folder.join(number.to_string()), &bytes)?;
            }
            let from = maker.inside().join("cared").display().to_string();
            // A folder of its own: rclone compares with what is there.
            let delay = self.distance.delay.as_millis();
            let to = format!(":s3:{}/copied-{delay}-{run}", stage.bucket.name());
            let limit = stage.rclone(&["copy", "--transfers=32", &from, &to])?;
            copied.push(limit);
            archived.push(timed(|| stage.archive("cared"))?);
            fs::remove_dir_all(&folder)?;
            let brick = stage.lab.inner(stage.on_brick("")).display().to_string();
            // Seen twice, as the grace period requires.
            let grace = ["gc", "--no-progress", "--grace=0s"];
            let list = [&grace[..], &[&brick]].concat();
            listed.push(timed(|| stage.cloudsync(&list).map(drop))?);
            let delete = [&grace[..], &["--delete", &brick]].concat();
            let _before = self.far.most_connections();
            deleted.push(timed(|| stage.cloudsync(&delete).map(drop))?);
            deleting.push(self.far.most_connections());
            // The large and the small files of the other rows, whose archives remain.
            fs::remove_dir_all(maker.path().join("far"))?;
            let from = format!("--from={}", self.volume_id()?);
            let root = maker.inside().display().to_string();
            rebuilt.push(timed(|| {
                stage
                    .cloudsync(&["rebuild", "--no-progress", &from, &root])
                    .map(drop)
            })?);
            rebuilding.push(self.far.most_connections());
        }
        let each = |seconds: &[f64], limit: &dyn Fn(usize) -> f64| -> Vec<Pair> {
            let pair = |(run, seconds): (usize, &f64)| Pair {
                ours: count as f64 / seconds,
                limit: limit(run),
            };
            seconds.iter().enumerate().map(pair).collect()
        };
        let name = |what: &str| format!("{what} {count} objects of {}", named(SMALL));
        let sixteen = format!("{REQUESTS} requests at once");
        let row = |what: &str, limit: &str, target, pairs| {
            self.row(&name(what), "files/s", limit, target, pairs)
        };
        let rclone = |run: usize| count as f64 / copied[run];
        let in_flight = |what: &str, most: &[usize]| {
            let pair = |most: &usize| Pair {
                ours: *most as f64,
                limit: REQUESTS,
            };
            let (target, pairs) = (Target::AtLeast(1.0), most.iter().map(pair).collect());
            self.row(
                &name(what),
                "requests in flight",
                "what is expected",
                target,
                pairs,
            )
        };
        Ok(vec![
            row(
                "archive",
                "rclone copy --transfers 32 to the bucket",
                Target::AtLeast(1.0),
                each(&archived, &rclone),
            ),
            row(
                "gc, without deleting,",
                &format!("{READERS} requests at once"),
                Target::None,
                each(&listed, &|_| requests(READERS as f64)),
            ),
            row(
                "gc --delete",
                &sixteen,
                Target::None,
                each(&deleted, &|_| requests(REQUESTS)),
            ),
            in_flight("gc --delete", &deleting),
            row(
                "rebuild",
                &sixteen,
                Target::None,
                each(&rebuilt, &|_| requests(REQUESTS)),
            ),
            in_flight("rebuild", &rebuilding),
        ])
    }

    /// The first part of its keys.
    fn volume_id(&self) -> Answer<String> {
        let info = self.stage.volume.info()?;
        let id = info
            .lines()
            .find_map(|line| line.strip_prefix("Volume ID: "));
        Ok(id.ok_or("no volume id")?.trim().to_owned())
    }
}

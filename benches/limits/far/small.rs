// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Many small files, by readers and by `cloudsync recall`.

use std::fs;

use super::{Files, Line, READERS, SMALL};
use crate::Answer;
use crate::figures::{Pair, Row, Target};
use crate::stage::{make_cold, on_threads, timed};

impl Line<'_> {
    /// Many small files.
    pub(super) fn small(&self, files: &Files) -> Answer<Vec<Row>> {
        let (stage, count) = (self.stage, files.small.len());
        let maker = stage.mount()?;
        let path = |number: usize| maker.path().join("far").join(number.to_string());
        let speed = |seconds: f64| count as f64 / seconds;
        let again = |count| {
            on_threads(READERS, count, |number| {
                make_cold(&path(number), &files.small[number])
            })
        };
        let mut rows = Vec::new();
        for readers in [1, 8, READERS] {
            let few = count.min(readers * 50);
            let mut pairs = Vec::new();
            for _ in 0..self.settings.runs {
                let reader = stage.mount()?;
                let folder = reader.path().join("far");
                let seconds = on_threads(readers, few, |number| {
                    fs::read(folder.join(number.to_string()))?;
                    Ok(())
                })?;
                stage.await_idle(&reader)?;
                again(few)?;
                let each = self.distance.seconds(SMALL, 1);
                pairs.push(Pair {
                    ours: few as f64 / seconds,
                    limit: readers as f64 / each,
                });
            }
            let name = format!("{few} files of 16 KiB, {readers} readers");
            rows.push(self.row(
                &name,
                "files/s",
                "one request after the other by each reader",
                Target::None,
                pairs.clone(),
            ));
            if readers == READERS && few == count {
                let limit = speed(self.rclone(&files.small, &["--transfers", "32"], &maker)?);
                let pairs = pairs.iter().map(|pair| Pair { limit, ..*pair }).collect();
                rows.push(self.row(
                    &name,
                    "files/s",
                    "rclone copy --transfers 32 to the volume",
                    Target::AtLeast(1.0),
                    pairs,
                ));
            }
        }
        let mut recalled = Vec::new();
        for _ in 0..self.settings.runs {
            let mount = stage.mount()?;
            let folder = mount.inside().join("far").display().to_string();
            let words = ["recall", "--recursive", "--wait", "--no-progress", &folder];
            recalled.push(speed(timed(|| stage.cloudsync(&words))?));
            stage.await_idle(&mount)?;
            again(count)?;
        }
        let ideal = READERS as f64 / self.distance.delay.as_secs_f64();
        let pairs = recalled
            .iter()
            .map(|&ours| Pair { ours, limit: ideal })
            .collect();
        rows.push(self.row(
            &format!("cloudsync recall -r of {count} files of 16 KiB"),
            "files/s",
            &format!("{READERS} requests at once"),
            Target::None,
            pairs,
        ));
        Ok(rows)
    }
}

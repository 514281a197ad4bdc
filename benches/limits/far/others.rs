// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The programs that people would use instead, through the same line.

use std::fs;
use std::time::Instant;

use cloudsync_lab::Mount;

use super::Line;
use crate::Answer;

impl Line<'_> {
    /// Seconds that rclone takes for these objects.
    pub(super) fn rclone(&self, keys: &[String], flags: &[&str], mount: &Mount) -> Answer<f64> {
        let from = format!(":s3:{}/", self.stage.bucket.name());
        let list = self.stage.lab.scratch("rclone.keys");
        fs::write(self.stage.lab.outer(&list), keys.join("\n"))?;
        let list = format!("--files-from-raw={}", list.display());
        let to = mount.inside().join("copied").display().to_string();
        let seconds = self
            .stage
            .rclone(&[&["copy", &list, &from, &to], flags].concat())?;
        fs::remove_dir_all(mount.path().join("copied"))?;
        Ok(seconds)
    }

    /// Seconds that rclone takes for an object.
    pub(super) fn rclone_of(&self, key: &str, mount: &Mount) -> Answer<f64> {
        let from = format!(":s3:{}/{key}", self.stage.bucket.name());
        let to = mount.inside().join("copied").display().to_string();
        let seconds = self.stage.rclone(&["copyto", &from, &to])?;
        fs::remove_file(mount.path().join("copied"))?;
        Ok(seconds)
    }

    /// Seconds that the aws CLI takes for an object.
    pub(super) fn aws(&self, key: &str, mount: &Mount) -> Answer<f64> {
        let from = format!("s3://{}/{key}", self.stage.bucket.name());
        let to = mount.inside().join("copied").display().to_string();
        let started = Instant::now();
        let outcome = self
            .stage
            .bucket
            .aws(["s3", "cp", "--only-show-errors", &from, &to])?;
        outcome.check()?;
        let seconds = started.elapsed().as_secs_f64();
        fs::remove_file(mount.path().join("copied"))?;
        Ok(seconds)
    }
}

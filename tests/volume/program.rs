// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The archiver's program, for tests of losses that only both together could cause.

use std::path::PathBuf;

use cloudsync_lab::Outcome;

use crate::scene::{PATIENCE, Scene, lab};

/// The built program: beside the translator's artifacts, or else beside this test.
fn program() -> PathBuf {
    let folder = std::env::var_os("CLOUDSYNC_ARTIFACTS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| {
        let this = std::env::current_exe().unwrap();
        this.ancestors().nth(2).unwrap().to_owned()
    });
    let program = folder.join("cloudsync");
    assert!(
        program.is_file(),
        "no {}: cargo build --workspace",
        program.display()
    );
    program
}

/// Runs it in the lab, whatever its exit status.
pub(crate) fn cloudsync(args: &[&str]) -> Outcome {
    let program = program();
    lab()
        .run_with(PATIENCE, program.to_str().unwrap(), args, |_| {})
        .unwrap()
}

impl Scene {
    /// Archives every local file of the volume below `name`, as an administrator does.
    #[track_caller]
    pub(crate) fn archive_all(&self, name: &str) {
        let folder = self.mount().inside().join(name).display().to_string();
        let args = ["archive", "--older-than=0s", "--min-residency=0s", &folder];
        cloudsync(&args).check().unwrap();
    }

    /// Deletes every object that no file of the volume refers to.
    #[track_caller]
    pub(crate) fn gc(&self) {
        let brick = lab().inner(&self.volume.bricks()[0]).display().to_string();
        cloudsync(&["gc", "--delete", "--grace=0s", &brick])
            .check()
            .unwrap();
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Shared by the tests: a volume with a bucket, a user's mount of it, and the program.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cloudsync_lab::{
    Artifacts, Backing, Bucket, Lab, Layout, Mount, MountOptions, Options, Outcome, Volume,
};

pub(crate) use cloudsync_store_conformance::pattern;

/// Longer than any operation takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// `PATIENCE`, or longer for runs with more files: `CLOUDSYNC_TEST_SECONDS`.
pub(crate) fn patience() -> Duration {
    let wanted = std::env::var("CLOUDSYNC_TEST_SECONDS").ok();
    wanted.map_or(PATIENCE, |text| Duration::from_secs(text.parse().unwrap()))
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudsync");

/// Archives whatever was just written or recalled.
pub(crate) const ARCHIVE: [&str; 4] =
    ["archive", "--older-than=0s", "--min-residency=0s", "--json"];

/// The program's arguments to do that.
pub(crate) fn archive(target: &str) -> [&str; 5] {
    let [command, age, residency, json] = ARCHIVE;
    [command, age, residency, json, target]
}

/// The lab of this test program.
pub(crate) fn lab() -> &'static Lab {
    Lab::shared(|| Options {
        artifacts: Some(Artifacts::find(&["amazons3", "directory"]).unwrap()),
        ..Options::default()
    })
}

/// A volume with a bucket and a user's mount.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) volume: Volume,
    pub(crate) bucket: Bucket,
    mount: Option<Mount>,
}

impl Scene {
    pub(crate) fn new(name: &str) -> Self {
        Self::on(name, Layout::Single, &[])
    }

    pub(crate) fn on(name: &str, layout: Layout, settings: &[(&str, &str)]) -> Self {
        let volume = lab().volume(name, layout, Backing::Ram).unwrap();
        let bucket = lab().s3().unwrap().bucket(name).unwrap();
        Self::of(volume, bucket, settings)
    }

    /// Creates a volume whose store is that bucket.
    pub(crate) fn of(volume: Volume, bucket: Bucket, settings: &[(&str, &str)]) -> Self {
        volume.set_store(&bucket, settings).unwrap();
        let mount = Some(volume.mount(&MountOptions::default()).unwrap());
        Self {
            volume,
            bucket,
            mount,
        }
    }

    pub(crate) fn mount(&self) -> &Mount {
        self.mount.as_ref().unwrap()
    }

    /// Remounts, so that nothing is cached, and the bricks have closed all files: of an erasure-coded volume they are open for
    /// a moment longer, and open files are not archived.
    pub(crate) fn remount(&mut self) {
        self.mount.take().unwrap().unmount().unwrap();
        self.mount = Some(self.volume.mount(&MountOptions::default()).unwrap());
    }

    /// A path below the mount, as this process sees it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.mount().path().join(name)
    }

    /// A path below the mount, as the program sees it.
    pub(crate) fn inside(&self, name: &str) -> String {
        self.mount().inside().join(name).display().to_string()
    }

    /// The path of a brick, as the program sees it.
    pub(crate) fn brick(&self, number: usize) -> String {
        let brick = &self.volume.bricks()[number];
        lab().inner(brick).display().to_string()
    }

    pub(crate) fn within<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.mount().within(patience(), what, work)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let (path, bytes) = (self.path(name), bytes.to_vec());
        self.within("write", move || {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
        });
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        self.within("read", move || fs::read(path)).unwrap()
    }

    /// Reads a cold file and waits for the end of its recall: readers are answered before the bricks have all bytes,
    /// and until then the file cannot be archived.
    #[track_caller]
    pub(crate) fn recall(&self, name: &str) -> Vec<u8> {
        let bytes = self.read(name);
        self.volume.await_local(name, "the end of the recall");
        bytes
    }

    /// Whether every copy of the file is a stub.
    pub(crate) fn is_cold(&self, name: &str) -> bool {
        self.volume.is_cold_now(name)
    }

    /// The marks of a file on the first brick.
    pub(crate) fn marks(&self, name: &str) -> String {
        let path = self.volume.bricks()[0].join(name);
        format!("{:?}{}", fs::metadata(path), self.volume.marks(name))
    }

    /// Runs the program; its result is not checked.
    pub(crate) fn cloudsync(&self, args: &[&str]) -> Outcome {
        lab().run_with(patience(), PROGRAM, args, |_| {}).unwrap()
    }

    /// Runs the program with another directory first in PATH.
    pub(crate) fn cloudsync_with_path(&self, folder: &str, args: &[&str]) -> Outcome {
        let path = std::env::var("PATH").unwrap();
        let configure = |command: &mut Command| {
            command.env("PATH", format!("{folder}:{path}"));
        };
        lab()
            .run_with(patience(), PROGRAM, args, configure)
            .unwrap()
    }

    /// Runs the program, which must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn done(&self, args: &[&str]) -> String {
        let outcome = self.cloudsync(args);
        assert!(outcome.success(), "{outcome}\n{}", self.mount().report());
        outcome.text()
    }

    /// Sends a signal to the run that holds the first brick's lock; false if no run holds it.
    pub(crate) fn signal(&self, signal: &str) -> bool {
        let name = self.volume.name();
        let script = format!("kill -{signal} $(cat /run/cloudsync/locks/*={name}=0=brick)");
        lab().run("bash", ["-c", &script]).unwrap().success()
    }

    /// Starts the program.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = lab().command(PROGRAM);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    }
}

/// A number from the last line of JSON that the program printed.
#[track_caller]
pub(crate) fn number(output: &str, name: &str) -> u64 {
    let last = output.lines().last().unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(last).unwrap_or_default();
    value[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {output}"))
}

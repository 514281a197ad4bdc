// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Shared by the tests: a volume with the feature on, a bucket, a mount, and common operations on files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use cloudsync_format::checksum::Algorithm;
use cloudsync_format::claim::Claim;
pub(crate) use cloudsync_lab::claim;
use cloudsync_lab::{
    Artifacts, Backing, Bucket, Lab, Layout, Mount, MountOptions, Options, Volume, until,
};

pub(crate) use cloudsync_store_conformance::pattern;

/// For a mount on which more than 32 readers wait: by default the kernel passes on 64 reads at once, among them those that
/// it does ahead, and the others wait in the kernel, even those of `.meta`.
pub(crate) const LONG_QUEUE: &str = "--background-qlen=1024";

/// Longer than anything takes on a slow machine; a hang fails the test with the client's log and frames.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// This test program's lab, with our builds installed.
pub(crate) fn lab() -> &'static Lab {
    Lab::shared(|| Options {
        artifacts: Some(Artifacts::find(&["amazons3"]).unwrap()),
        ..Options::default()
    })
}

/// A volume whose cold files are stored in a bucket of the S3 server, and a client.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) volume: Volume,
    pub(crate) bucket: Bucket,
    /// None only after [`Scene::take_mount`], until [`Scene::put_mount`].
    mount: Option<Mount>,
}

impl Scene {
    /// One brick, with default volume options except for those that the feature needs.
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, &[], Backing::Ram)
    }

    /// Like [`Scene::new`], with more volume options and a backing for the bricks.
    pub(crate) fn with(name: &str, settings: &[(&str, &str)], backing: Backing) -> Self {
        Self::on(name, Layout::Single, settings, backing)
    }

    /// Like [`Scene::with`], on a given layout.
    pub(crate) fn on(
        name: &str,
        layout: Layout,
        settings: &[(&str, &str)],
        backing: Backing,
    ) -> Self {
        let lab = lab();
        let volume = lab.volume(name, layout, backing).unwrap();
        let bucket = lab.s3().unwrap().bucket(name).unwrap();
        volume.set_store(&bucket, settings).unwrap();
        let mount = volume.mount(&MountOptions::default()).unwrap();
        Self {
            volume,
            bucket,
            mount: Some(mount),
        }
    }

    pub(crate) fn mount(&self) -> &Mount {
        self.mount.as_ref().unwrap()
    }

    /// Takes the mount out of the scene, which then has none.
    pub(crate) fn take_mount(&mut self) -> Mount {
        self.mount.take().unwrap()
    }

    /// Sets the mount, for example one with other options, after [`Scene::take_mount`].
    pub(crate) fn put_mount(&mut self, mount: Mount) {
        self.mount = Some(mount);
    }

    /// A path below the mount, as this process sees it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.mount().path().join(name)
    }

    /// A path below the mount, as programs in the lab see it.
    pub(crate) fn inside(&self, name: &str) -> String {
        self.mount().inside().join(name).display().to_string()
    }

    /// Paths of the file on the bricks, as this process sees them: copies, fragments, or one file on one brick; without
    /// DHT's link files.
    pub(crate) fn copies(&self, name: &str) -> Vec<PathBuf> {
        self.volume.copies(name)
    }

    /// The file on the first brick that has it, or its path on the first brick if none has.
    pub(crate) fn brick(&self, name: &str) -> PathBuf {
        let copies = self.copies(name).into_iter();
        let first = || self.volume.bricks()[0].join(name);
        copies.into_iter().next().unwrap_or_else(first)
    }

    /// Starts a new client, without cached data.
    pub(crate) fn remount(&mut self) {
        self.remount_with(&MountOptions::default());
    }

    /// As [`Scene::remount`], with other options.
    pub(crate) fn remount_with(&mut self, options: &MountOptions) {
        self.mount.take().unwrap().unmount().unwrap();
        self.mount = Some(self.volume.mount(options).unwrap());
    }

    /// Kills the client and starts a new one.
    pub(crate) fn crash_and_remount(&mut self) {
        self.mount.take().unwrap().kill9().unwrap();
        self.mount = Some(self.volume.mount(&MountOptions::default()).unwrap());
    }

    /// Runs `work` below the mount; a hang fails the test with the client's log and blocked frames.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.mount().within(PATIENCE, what, work)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let (path, bytes) = (self.path(name), bytes.to_vec());
        self.within("write", move || {
            fs::create_dir_all(path.parent().unwrap())?;
            let mut file = File::create(&path)?;
            file.write_all(&bytes)?;
            close(file)
        })
        .unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = self.path(name);
        self.within("read", move || fs::read(path))
    }

    /// Reads files concurrently, each on its own thread.
    pub(crate) fn read_concurrently(&self, paths: Vec<PathBuf>) -> Vec<io::Result<Vec<u8>>> {
        self.within("concurrent reads", move || {
            let start = |path| thread::spawn(|| fs::read(path));
            let readers: Vec<_> = paths.into_iter().map(start).collect();
            readers
                .into_iter()
                .map(|reader| reader.join().unwrap())
                .collect()
        })
    }

    pub(crate) fn stat(&self, name: &str) -> fs::Metadata {
        let path = self.path(name);
        self.within("stat", move || fs::metadata(path)).unwrap()
    }

    /// The client shows the size of `bytes` and reads them.
    #[track_caller]
    pub(crate) fn assert_has(&self, name: &str, bytes: &[u8]) {
        assert_eq!(self.stat(name).len(), bytes.len() as u64, "{name}");
        assert_same(&self.read(name).unwrap(), bytes, name);
    }

    /// Uploads the file under its path, with a checksum as the archiver does, and performs the handshake.
    pub(crate) fn archive(&self, name: &str) {
        let bytes = self.read(name).unwrap();
        // The archiver's metadata.
        let checksum = Algorithm::Crc64Nvme.of(&bytes).to_string();
        let headers = [("x-amz-meta-cloudsync-checksum", checksum.as_str())];
        self.bucket.put_with(name, &bytes, &headers).unwrap();
        if self.stat(name).nlink() > 1 {
            self.handshake_with_key(name).unwrap();
        } else {
            self.handshake(name).unwrap();
        }
        assert!(self.is_cold(name), "{name} is not cold after the handshake");
    }

    /// A counter of our translator in `.meta`.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let private = self.mount().meta(&self.private()).unwrap();
        let line = private
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name} in {private}"))
            .trim()
            .parse()
            .unwrap()
    }

    /// The stock handshake, with the file's current mtime.
    pub(crate) fn handshake(&self, name: &str) -> io::Result<()> {
        let seconds = self.stat(name).mtime().to_string();
        self.complete(name, &seconds)
    }

    /// The exact handshake, with the file's path as the key; needed for a file with two names, whose path is no key.
    pub(crate) fn handshake_with_key(&self, name: &str) -> io::Result<()> {
        let keyed = Claim {
            key: Some(name.to_owned()),
            ..claim(&self.stat(name))
        };
        self.complete(name, &keyed.to_string())
    }

    /// `setfattr -n trusted.glusterfs.csou.complete -v VALUE`.
    pub(crate) fn complete(&self, name: &str, value: &str) -> io::Result<()> {
        let (path, value) = (self.path(name), value.to_owned());
        self.within("csou.complete", move || {
            xattr::set(path, "trusted.glusterfs.csou.complete", value.as_bytes())
        })
    }

    /// Whether every brick that has the file marks it as archived and has none of its bytes.
    pub(crate) fn is_cold(&self, name: &str) -> bool {
        self.volume.is_cold(name)
    }

    /// The file's marks on every brick, for failure messages.
    pub(crate) fn marks(&self, name: &str) -> String {
        self.volume.marks(name)
    }

    /// Whether no brick has a mark on the file, or soon none has.
    pub(crate) fn is_local(&self, name: &str) -> bool {
        self.volume.is_local(name)
    }

    /// Whether no brick has a mark on the file right now.
    pub(crate) fn is_local_now(&self, name: &str) -> bool {
        self.volume.is_local_now(name)
    }

    /// Waits until the file is local and no mark is left: readers may be answered before that.
    pub(crate) fn await_local(&self, name: &str) {
        self.volume.await_local(name, "the end of the recall");
    }

    /// Waits until the client's log has `text`, and returns it.
    pub(crate) fn await_log(&self, text: &str) -> String {
        until(PATIENCE, "a line in the client's log", || {
            let log = self.mount().log();
            if log.contains(text) { Some(log) } else { None }
        })
        .unwrap_or_else(|failure| panic!("no '{text}': {failure}\n{}", self.mount().log()))
    }

    /// Whether the client's log has, or soon has, a line with `word` about the file. The log may name it by its gfid if the
    /// path is unknown.
    pub(crate) fn logs_about(&self, name: &str, word: &str) -> bool {
        let gfid = xattr::get(self.brick(name), "trusted.gfid").unwrap();
        let hex: String = gfid
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mentions = |line: &str| {
            line.contains(word) && (line.contains(name) || line.replace('-', "").contains(&hex))
        };
        until(
            Duration::from_secs(10),
            "a line in the client's log",
            || self.mount().log().lines().any(mentions).then_some(()),
        )
        .is_ok()
    }

    /// Waits until no operation is blocked and no job runs.
    pub(crate) fn assert_idle(&self) {
        await_idle(self.mount(), &self.volume);
    }

    /// The path of our translator's state below .meta.
    pub(crate) fn private(&self) -> String {
        private(&self.volume)
    }
}

fn private(volume: &Volume) -> String {
    format!("graphs/active/{}-cloudsync/private", volume.name())
}

/// Waits until the client is connected to the first brick, or is not.
pub(crate) fn await_connection(mount: &Mount, scene: &Scene, connected: bool) {
    let file = format!("graphs/active/{}-client-0/private", scene.volume.name());
    let wanted = format!("connected = {}", u8::from(connected));
    let mut last = String::new();
    until(PATIENCE, &wanted, || {
        last = mount.meta(&file).unwrap_or_default();
        last.contains(&wanted).then_some(())
    })
    .unwrap_or_else(|failure| panic!("{failure}\n{last}"));
}

/// Waits until no operation of a client is blocked and no job runs: readers are answered before the recall ends.
pub(crate) fn await_idle(mount: &Mount, volume: &Volume) {
    let mut last = String::new();
    until(PATIENCE, "the end of all jobs", || {
        last = mount.meta(&private(volume)).unwrap();
        let idle = [
            "jobs = 0\n",
            "operations-waiting = 0\n",
            "reads-waiting = 0\n",
        ];
        idle.iter().all(|line| last.contains(line)).then_some(())
    })
    .unwrap_or_else(|failure| panic!("{failure}\n{last}"));
}

/// Writes `filler`, which takes that much of the bricks' space. It is on them when this returns: write-behind may answer
/// earlier.
pub(crate) fn fill(mount: &Mount, bytes: usize) {
    let path = mount.path().join("filler");
    let write = move || {
        let mut file = File::create(path)?;
        file.write_all(&pattern(8, bytes))?;
        file.sync_all()
    };
    mount.within(PATIENCE, "fill the bricks", write).unwrap();
}

/// Closes a file. A failed write may be reported only here, and dropping a file ignores that.
pub(crate) fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor was the file's, which no longer owns it.
    if unsafe { libc::close(file.into_raw_fd()) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Fails with a summary of the difference: the bytes themselves are of no use.
#[track_caller]
pub(crate) fn assert_same(got: &[u8], want: &[u8], what: &str) {
    if got == want {
        return;
    }
    let differs: Vec<usize> = (0..got.len().min(want.len()))
        .filter(|&at| got[at] != want[at])
        .collect();
    let (first, last) = (differs.first().copied(), differs.last().copied());
    let from = first.unwrap_or(got.len().min(want.len()));
    let shown = |bytes: &[u8]| format!("{:02x?}", &bytes[from..bytes.len().min(from + 16)]);
    panic!(
        "{what}: {} bytes instead of {}, {} differ, from {first:?} to {last:?}: {} instead of {}",
        got.len(),
        want.len(),
        differs.len(),
        shown(got),
        shown(want)
    );
}

/// The errno of an error.
#[track_caller]
pub(crate) fn errno(result: io::Result<impl Sized>) -> i32 {
    match result {
        Ok(_) => panic!("succeeded"),
        Err(error) => error.raw_os_error().unwrap(),
    }
}

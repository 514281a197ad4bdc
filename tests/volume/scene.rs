// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the tests share: a volume with the feature on, a bucket, a mount, and the words for what is done to files.

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

/// Longer than anything may take on a slow machine; a hang is a failure with the client's log and frames.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The lab of this test program, with our builds in it.
pub(crate) fn lab() -> &'static Lab {
    Lab::shared(|| Options {
        artifacts: Some(Artifacts::find(&["amazons3"]).unwrap()),
        ..Options::default()
    })
}

/// A volume whose cold files lie in a bucket of the S3 server, and a client of it.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) volume: Volume,
    pub(crate) bucket: Bucket,
    /// Taken out and put back by [`Scene::remount`]; there otherwise.
    mount: Option<Mount>,
}

impl Scene {
    /// One brick, all volume options at their defaults but for those that the feature needs.
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, &[], Backing::Ram)
    }

    /// The same with more volume options.
    pub(crate) fn with(name: &str, settings: &[(&str, &str)], backing: Backing) -> Self {
        Self::on(name, Layout::Single, settings, backing)
    }

    /// The same with a layout of its own.
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

    /// The mount, for a test that keeps it with others. The scene has none then.
    pub(crate) fn take_mount(&mut self) -> Mount {
        self.mount.take().unwrap()
    }

    /// A mount with options of its own, after [`Scene::take_mount`].
    pub(crate) fn put_mount(&mut self, mount: Mount) {
        self.mount = Some(mount);
    }

    /// A path below the mount, for this process.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.mount().path().join(name)
    }

    /// A path below the mount, for programs that run in the lab.
    pub(crate) fn inside(&self, name: &str) -> String {
        self.mount().inside().join(name).display().to_string()
    }

    /// What the bricks have of a file, for this process: copies, fragments, or one file on one of them. The empty
    /// files with which a distributed volume points to another brick are not among them.
    pub(crate) fn copies(&self, name: &str) -> Vec<PathBuf> {
        self.volume.copies(name)
    }

    /// The file on the first brick that has it, for this process; on the first brick if none has.
    pub(crate) fn brick(&self, name: &str) -> PathBuf {
        let copies = self.copies(name).into_iter();
        let first = || self.volume.bricks()[0].join(name);
        copies.into_iter().next().unwrap_or_else(first)
    }

    /// A new client: nothing is cached, nothing is known.
    pub(crate) fn remount(&mut self) {
        self.mount.take().unwrap().unmount().unwrap();
        self.mount = Some(self.volume.mount(&MountOptions::default()).unwrap());
    }

    /// The client dies as in a crash, and a new one comes.
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

    /// Reads all files at once, each on its own thread.
    pub(crate) fn read_at_once(&self, paths: Vec<PathBuf>) -> Vec<io::Result<Vec<u8>>> {
        self.within("reads at once", move || {
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

    /// The client shows the size of `bytes`, and reads them.
    #[track_caller]
    pub(crate) fn assert_has(&self, name: &str, bytes: &[u8]) {
        assert_eq!(self.stat(name).len(), bytes.len() as u64, "{name}");
        assert_same(&self.read(name).unwrap(), bytes, name);
    }

    /// What the seed's script means: the object is uploaded under the file's path, then the file is cut.
    pub(crate) fn archive(&self, name: &str) {
        let bytes = self.read(name).unwrap();
        // As the archiver does.
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

    /// A line of the translator's own in `.meta`.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let private = self.mount().meta(&self.private()).unwrap();
        let line = private
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name} in {private}"))
            .trim()
            .parse()
            .unwrap()
    }

    /// The handshake alone, with the mtime that the file has now.
    pub(crate) fn handshake(&self, name: &str) -> io::Result<()> {
        let seconds = self.stat(name).mtime().to_string();
        self.complete(name, &seconds)
    }

    /// The exact form of it, which says that the object is called as the file: of a file with two names the path is no key.
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

    /// Whether every brick that has the file says that it is in the store, and has not one byte of it.
    pub(crate) fn is_cold(&self, name: &str) -> bool {
        self.volume.is_cold(name)
    }

    /// What every brick says of the file, for a failure's text.
    pub(crate) fn marks(&self, name: &str) -> String {
        self.volume.marks(name)
    }

    /// Whether nothing on any brick says that the file was ever in the store, or soon will.
    pub(crate) fn is_plain(&self, name: &str) -> bool {
        self.volume.is_plain(name)
    }

    /// The same at this moment.
    pub(crate) fn is_plain_now(&self, name: &str) -> bool {
        self.volume.is_plain_now(name)
    }

    /// Waits until the file is local and nothing of a recall is left: readers may be answered before that.
    pub(crate) fn await_plain(&self, name: &str) {
        self.volume.await_plain(name, "the end of the recall");
    }

    /// Waits until the client's log has `text`, and returns it.
    pub(crate) fn await_log(&self, text: &str) -> String {
        until(PATIENCE, "a line in the client's log", || {
            let log = self.mount().log();
            if log.contains(text) { Some(log) } else { None }
        })
        .unwrap_or_else(|failure| panic!("no '{text}': {failure}\n{}", self.mount().log()))
    }

    /// Whether the client's log has a line with `word` about the file, or soon will. The log may call the file by its
    /// gfid: a name is not always known.
    pub(crate) fn tells_of(&self, name: &str, word: &str) -> bool {
        let gfid = xattr::get(self.brick(name), "trusted.gfid").unwrap();
        let hex: String = gfid
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let told = |line: &str| {
            line.contains(word) && (line.contains(name) || line.replace('-', "").contains(&hex))
        };
        until(
            Duration::from_secs(10),
            "a line in the client's log",
            || self.mount().log().lines().any(told).then_some(()),
        )
        .is_ok()
    }

    /// No operation is blocked and no job runs.
    pub(crate) fn assert_idle(&self) {
        await_idle(self.mount(), &self.volume);
    }

    /// Where the translator shows its state below .meta.
    pub(crate) fn private(&self) -> String {
        private(&self.volume)
    }
}

fn private(volume: &Volume) -> String {
    format!("graphs/active/{}-cloudsync/private", volume.name())
}

/// Waits until no operation of a client is blocked and no job of it runs: readers are answered before the recall beside
/// them ends.
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

/// Closes it. A volume may tell of a write that failed as late as here, where dropping a file hears nothing.
pub(crate) fn close(file: File) -> io::Result<()> {
    // SAFETY: the descriptor was the file's, which is no more.
    if unsafe { libc::close(file.into_raw_fd()) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Fails with a short text: the bytes themselves help nobody.
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

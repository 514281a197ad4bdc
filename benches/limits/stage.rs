// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The environment of the measurements: one volume with one brick, a bucket, the archiver, and cold files.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_format::claim::Claim;
use cloudsync_lab::marks::has;
use cloudsync_lab::{
    Artifacts, Backing, Bucket, Lab, Layout, Mount, MountOptions, Options, Outcome, Volume, claim,
    until,
};

use crate::Answer;
use crate::settings::{MIB, Settings};

/// Longer than any step takes; a hang ends the program.
pub(crate) const PATIENCE: Duration = Duration::from_secs(900);

/// The running components.
#[derive(Debug)]
pub(crate) struct Stage {
    /// At the URL that is used now.
    pub(crate) bucket: Bucket,
    pub(crate) volume: Volume,
    pub(crate) lab: Lab,
    /// The archiver.
    program: PathBuf,
}

impl Stage {
    pub(crate) fn new(settings: &Settings) -> Answer<Self> {
        let lab = Lab::start(Options {
            artifacts: Some(Artifacts::find(&["amazons3"])?),
            ram: "80%".to_owned(),
            store_bytes: settings.store_bytes(),
        })?;
        let backing = if settings.disk {
            Backing::Disk
        } else {
            Backing::Ram
        };
        let volume = lab.volume("bench", Layout::Single, backing)?;
        let bucket = lab.s3()?.bucket("bench")?;
        let mut stage = Self {
            bucket,
            volume,
            lab,
            program: crate::profile()?.join("cloudsync"),
        };
        let url = stage.bucket.url().to_owned();
        stage.use_store_at(url)?;
        Ok(stage)
    }

    /// Uses the store at this URL from now on.
    pub(crate) fn use_store_at(&mut self, url: String) -> Answer<()> {
        self.bucket = self.bucket.at(url);
        let trust = format!("ca={}", self.lab.s3()?.ca_pem().display());
        let more = [("features.cloudsync-store-id", trust.as_str())];
        self.volume.set_store(&self.bucket, &more)?;
        Ok(())
    }

    /// A new client with empty caches.
    pub(crate) fn mount(&self) -> Answer<Mount> {
        Ok(self.volume.mount(&MountOptions::default())?)
    }

    /// The path of a file on the brick, for this process.
    pub(crate) fn on_brick(&self, name: &str) -> PathBuf {
        self.volume.bricks()[0].join(name)
    }

    /// Whether the bricks have no bytes of the file.
    pub(crate) fn is_cold(&self, name: &str) -> bool {
        has(&self.on_brick(name), "remote")
    }

    /// A file outside the volume, accessible to this process and in the lab.
    pub(crate) fn source(&self, size: u64) -> Answer<PathBuf> {
        let path = self.lab.scratch(&format!("source-{size}"));
        let outer = self.lab.outer(&path);
        if fs::metadata(&outer).is_ok_and(|file| file.len() == size) {
            return Ok(path);
        }
        write_source(&outer, size)?;
        Ok(path)
    }

    /// Archives everything below a folder of the volume, as users do.
    pub(crate) fn archive(&self, folder: &str) -> Answer<()> {
        let brick = self.lab.inner(self.on_brick(folder)).display().to_string();
        self.cloudsync(&[
            "archive",
            "--older-than=0s",
            "--min-residency=0s",
            "--order=found",
            "--no-progress",
            &brick,
        ])?;
        Ok(())
    }

    /// Runs the archiver's program, which must succeed.
    pub(crate) fn cloudsync(&self, args: &[&str]) -> Answer<Outcome> {
        let program = self.program.to_str().ok_or("a path that is no text")?;
        self.run(program, args)
    }

    /// An archived file of that size, and its key.
    pub(crate) fn cold(&self, mount: &Mount, size: u64) -> Answer<(String, String)> {
        let folder = format!("cold-{size}");
        let name = format!("{folder}/file");
        let path = mount.path().join(&name);
        if !path.exists() {
            fs::create_dir(mount.path().join(&folder))?;
            write_source(&path, size)?;
            self.archive(&folder)?;
        }
        let key = key(&path)?;
        Ok((name, key))
    }

    /// Runs a program in the lab; it must succeed.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Answer<Outcome> {
        let outcome = self.lab.run_with(PATIENCE, program, args, |_| {})?;
        if outcome.success() {
            Ok(outcome)
        } else {
            Err(outcome.to_string().into())
        }
    }

    /// Seconds that rclone takes, which calls the bucket `:s3:NAME`.
    pub(crate) fn rclone(&self, args: &[&str]) -> Answer<f64> {
        let owner = self.lab.s3()?.owner();
        let endpoint = format!("--s3-endpoint={}", self.bucket.url());
        let id = format!("--s3-access-key-id={}", owner.key);
        let secret = format!("--s3-secret-access-key={}", owner.secret);
        let flags = [
            "--s3-provider=Ceph",
            &endpoint,
            &id,
            &secret,
            "--config=/dev/null",
        ];
        timed(|| self.run("rclone", &[args, &flags].concat()))
    }

    /// Waits until the client has no running recalls.
    pub(crate) fn await_idle(&self, mount: &Mount) -> Answer<()> {
        let state = format!("graphs/active/{}-cloudsync/private", self.volume.name());
        until(PATIENCE, "the end of all recalls", || {
            let output = mount.meta(&state).ok()?;
            output.contains("jobs = 0").then_some(())
        })?;
        Ok(())
    }
}

/// Seconds that `work` takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> Answer<T>) -> Answer<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

/// The bytes, but different ones for each number.
pub(crate) fn numbered(bytes: &[u8], number: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Writes a file in which all blocks differ.
pub(crate) fn write_source(path: &Path, size: u64) -> Answer<()> {
    let mut block = vec![0; size.min(MIB) as usize];
    File::open("/dev/urandom")?.read_exact(&mut block)?;
    let mut file = File::create(path)?;
    for number in 0..size / block.len() as u64 {
        // Makes each block unique without a gigabyte of random bytes.
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block)?;
    }
    Ok(())
}

/// The key of a cold file's object.
pub(crate) fn key(path: &Path) -> Answer<String> {
    let state = xattr::get(path, "glusterfs.cloudsync.state")?.ok_or("no state")?;
    let state = String::from_utf8(state)?;
    let cold = state.starts_with("cold").then(|| state.split_once("key="));
    let (_, key) = cold
        .flatten()
        .ok_or(format!("{}: {state}", path.display()))?;
    Ok(key.trim_end_matches('\0').to_owned())
}

/// Makes a local file cold: its bytes are those of the object `key`, or it never had any.
pub(crate) fn make_cold(path: &Path, key: &str) -> Answer<()> {
    let claim = Claim {
        key: Some(key.to_owned()),
        ..claim(&fs::metadata(path)?)
    };
    xattr::set(
        path,
        "trusted.glusterfs.csou.complete",
        claim.to_string().as_bytes(),
    )
    .map_err(|error| format!("handshake for {}: {error}", path.display()).into())
}

/// A cold file of that size that shares another file's object: large ones need no memory.
pub(crate) fn stub(path: &Path, size: u64, key: &str) -> Answer<()> {
    File::create(path)?.set_len(size)?;
    make_cold(path, key)
}

/// Seconds that one read takes, including the open.
pub(crate) fn read_at(path: &Path, offset: u64, length: u64) -> Answer<f64> {
    let mut bytes = vec![0; length as usize];
    let begun = Instant::now();
    File::open(path)?.read_exact_at(&mut bytes, offset)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Runs `work` for 0, 1, ... `count` - 1 on this number of threads, and returns the total time in seconds.
pub(crate) fn on_threads(
    threads: usize,
    count: usize,
    work: impl Fn(usize) -> Answer<()> + Sync,
) -> Answer<f64> {
    let next = AtomicUsize::new(0);
    let worker = || -> Answer<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            work(number)?;
        }
    };
    let begun = Instant::now();
    thread::scope(|scope| {
        let start = || {
            let builder = thread::Builder::new().stack_size(256 << 10);
            builder.spawn_scoped(scope, worker)
        };
        let started: Result<Vec<_>, _> = (0..threads).map(|_| start()).collect();
        for thread in started? {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(begun.elapsed().as_secs_f64())
    })
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Volumes: creates, starts and configures them; a dropped volume is deleted.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::bucket::Bucket;
use crate::lab::{Lab, gluster};
use crate::mount::{Mount, MountOptions};
use crate::pids;
use crate::process;
use crate::release::Release;
use crate::run::{Failure, until};
use crate::space::{ADDRESS, Space};

/// How a volume distributes its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// One brick.
    #[default]
    Single,
    /// Each file is on one of this many bricks.
    Distribute(usize),
    /// A copy on each of this many bricks.
    Replica(usize),
    /// Erasure coded over `bricks`, of which `redundancy` may be lost.
    Disperse {
        /// Number of bricks.
        bricks: usize,
        /// How many of them may be lost.
        redundancy: usize,
    },
}

impl Layout {
    fn bricks(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Distribute(bricks) | Self::Replica(bricks) | Self::Disperse { bricks, .. } => {
                bricks
            }
        }
    }

    fn words(self) -> Vec<String> {
        match self {
            Self::Single | Self::Distribute(_) => Vec::new(),
            Self::Replica(copies) => vec!["replica".to_owned(), copies.to_string()],
            Self::Disperse { bricks, redundancy } => ["disperse", "redundancy"]
                .iter()
                .zip([bricks, redundancy])
                .flat_map(|(word, number)| [(*word).to_owned(), number.to_string()])
                .collect(),
        }
    }
}

/// The file systems of the bricks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backing {
    /// The lab's tmpfs.
    #[default]
    Ram,
    /// A separate tmpfs of this size in bytes for each brick, to run out of space.
    Sized(u64),
    /// The file system of the temporary directory.
    Disk,
}

/// A started volume. Dropping it kills its clients and removes it and its bricks.
#[derive(Debug)]
pub struct Volume {
    space: Arc<Space>,
    name: String,
    /// Brick roots, as paths in the lab.
    bricks: Vec<PathBuf>,
    /// The directory that holds the bricks.
    home: PathBuf,
    /// The file systems of the bricks.
    backing: Backing,
}

impl Lab {
    /// Creates and starts a volume named after `stem` and a unique number.
    ///
    /// # Errors
    /// With gluster's output.
    pub fn volume(&self, stem: &str, layout: Layout, backing: Backing) -> Result<Volume, Failure> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("{stem}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let space = Arc::clone(&self.space);
        let home = match backing {
            Backing::Ram | Backing::Sized(_) => space.ram("bricks").join(&name),
            Backing::Disk => space.dir().join("disk").join(&name),
        };
        let mut bricks = Vec::new();
        for number in 0..layout.bricks() {
            let base = home.join(number.to_string());
            let outer = space.outer(&base);
            fs::create_dir_all(&outer).map_err(|e| Failure::at(&base, &e))?;
            if let Backing::Sized(bytes) = backing {
                let size = format!("size={bytes}");
                let base = base.as_os_str();
                let args = ["-t", "tmpfs", "-o", &size, "brick"].map(AsRef::as_ref);
                space.run("mount", args.iter().chain([&base]))?.check()?;
            }
            bricks.push(base.join("brick"));
        }
        let volume = Volume {
            space,
            name,
            bricks,
            home,
            backing,
        };
        let mut words = vec![
            "volume".to_owned(),
            "create".to_owned(),
            volume.name.clone(),
        ];
        words.extend(layout.words());
        words.extend(
            volume
                .bricks
                .iter()
                .map(|brick| format!("{ADDRESS}:{}", brick.display())),
        );
        words.push("force".to_owned());
        gluster(&volume.space, &words)?;
        volume.start()?;
        volume.await_bricks()?;
        Ok(volume)
    }
}

impl Volume {
    /// Its name in gluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The brick roots, for this process: files and xattrs as posix stores them.
    #[must_use]
    pub fn bricks(&self) -> Vec<PathBuf> {
        self.bricks
            .iter()
            .map(|brick| self.space.outer(brick))
            .collect()
    }

    /// Sets an option.
    ///
    /// # Errors
    /// With glusterd's error message.
    pub fn set(&self, key: &str, value: &str) -> Result<(), Failure> {
        gluster(&self.space, ["volume", "set", &self.name, key, value]).map(drop)
    }

    /// Sets several options in one command, which is validated as a whole.
    ///
    /// # Errors
    /// With glusterd's error message.
    pub fn set_all(&self, settings: &[(&str, &str)]) -> Result<(), Failure> {
        let mut words = vec!["volume", "set", &self.name];
        words.extend(settings.iter().flat_map(|(key, value)| [*key, *value]));
        gluster(&self.space, words).map(drop)
    }

    /// Makes the volume store its cold files in that bucket, and sets more options in the same command.
    ///
    /// # Errors
    /// With glusterd's error message.
    pub fn set_store(&self, bucket: &Bucket, more: &[(&str, &str)]) -> Result<(), Failure> {
        let settings = bucket.settings();
        let settings = settings.iter().map(|(key, value)| (*key, value.as_str()));
        self.set_all(&settings.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    /// Resets an option.
    ///
    /// # Errors
    /// With glusterd's error message.
    pub fn reset(&self, key: &str) -> Result<(), Failure> {
        gluster(&self.space, ["volume", "reset", &self.name, key]).map(drop)
    }

    /// `gluster volume info`.
    ///
    /// # Errors
    /// With gluster's output.
    pub fn info(&self) -> Result<String, Failure> {
        gluster(&self.space, ["volume", "info", &self.name])
    }

    /// Starts the volume, or those of its bricks that have died.
    ///
    /// # Errors
    /// With gluster's output.
    pub fn start(&self) -> Result<(), Failure> {
        gluster(&self.space, ["volume", "start", &self.name, "force"]).map(drop)
    }

    /// Stops the volume; mounts are kept and return ENOTCONN.
    ///
    /// # Errors
    /// With gluster's output.
    pub fn stop(&self) -> Result<(), Failure> {
        gluster(&self.space, ["volume", "stop", &self.name, "force"]).map(drop)
    }

    /// Kills the brick process with that number; [`Volume::start`] restarts it.
    ///
    /// # Errors
    /// When that brick is not running.
    pub fn kill_brick(&self, number: usize) -> Result<(), Failure> {
        process::kill(&self.space, self.brick_pid(number)?)
    }

    /// Stops all threads of a brick process: its clients stay connected and get no answers.
    ///
    /// # Errors
    /// When that brick is not running.
    pub fn freeze_brick(&self, number: usize) -> Result<(), Failure> {
        process::freeze(&self.space, self.brick_pid(number)?)
    }

    /// Continues a frozen brick.
    ///
    /// # Errors
    /// When that brick is not running.
    pub fn thaw_brick(&self, number: usize) -> Result<(), Failure> {
        process::thaw(&self.space, self.brick_pid(number)?)
    }

    /// Restarts the brick process with that number, with the same arguments, as one of the other release. (What
    /// [`Volume::start`] starts has glusterd's release.)
    ///
    /// # Errors
    /// When that brick is not running, or the new one does not start.
    pub fn restart_brick_of(&self, number: usize, release: &Release) -> Result<(), Failure> {
        let pid = self.brick_pid(number)?;
        let path = PathBuf::from(format!("/proc/{pid}/cmdline"));
        let words = fs::read_to_string(&path).map_err(|e| Failure::at(&path, &e))?;
        let words = words.split_terminator('\0');
        let under = release.under();
        process::kill(&self.space, pid)?;
        let words = under[1..].iter().map(String::as_str).chain(words);
        self.space.run(&under[0], words)?.check()?;
        until(
            Duration::from_secs(120),
            &format!("brick {number} of {}", self.name),
            || self.brick_pid(number).ok(),
        )?;
        Ok(())
    }

    /// Outer pid of the brick process with that number.
    ///
    /// # Errors
    /// When that brick is not running.
    pub fn brick_pid(&self, number: usize) -> Result<u32, Failure> {
        let none = || Failure::new(format!("{} has no running brick {number}", self.name));
        let brick = self.bricks.get(number).ok_or_else(none)?;
        let flat = brick
            .to_string_lossy()
            .trim_start_matches('/')
            .replace('/', "-");
        let file = self
            .space
            .outer(&self.pid_dir().join(format!("{ADDRESS}-{flat}.pid")));
        let inner = fs::read_to_string(file)
            .unwrap_or_default()
            .trim()
            .parse()
            .ok();
        inner
            .and_then(|inner| self.space.outer_pid(inner))
            .ok_or_else(none)
    }

    /// Where glusterd keeps the bricks' pid files.
    fn pid_dir(&self) -> PathBuf {
        PathBuf::from("/run/gluster/vols").join(&self.name)
    }

    /// Waits until every brick process is running.
    ///
    /// # Errors
    /// After two minutes.
    pub fn await_bricks(&self) -> Result<(), Failure> {
        until(
            Duration::from_secs(120),
            &format!("the bricks of {}", self.name),
            || {
                (0..self.bricks.len())
                    .all(|number| self.brick_pid(number).is_ok())
                    .then_some(())
            },
        )
    }

    /// Mounts the volume with a new client, and waits until that is connected to every running brick that is not
    /// frozen: an unconnected brick would be a brick that is down.
    ///
    /// # Errors
    /// With the client's log, when it does not come up.
    pub fn mount(&self, options: &MountOptions) -> Result<Mount, Failure> {
        let mount = Mount::start(&self.space, &self.name, options)?;
        let runs = |number: &usize| {
            let pid = self.brick_pid(*number).ok();
            pid.and_then(pids::state).is_some_and(|s| s != 'T')
        };
        let running: Vec<usize> = (0..self.bricks.len()).filter(runs).collect();
        mount.await_bricks(&running)?;
        Ok(mount)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let clients = self.space.clients().clone();
        for client in clients.iter().filter(|client| client.volume == self.name) {
            let _ = process::kill(&self.space, client.pid);
        }
        // glusterd sleeps for a second for every brick with a pid file.
        for number in 0..self.bricks.len() {
            let _ = self.kill_brick(number);
        }
        let _ = fs::remove_dir_all(self.space.outer(&self.pid_dir()));
        let _ = self.stop();
        let _ = gluster(&self.space, ["volume", "delete", &self.name]);
        if let Backing::Sized(_) = self.backing {
            for brick in &self.bricks {
                let base = brick.parent().unwrap_or(brick);
                let _ = self.space.run("umount", ["-l".as_ref(), base.as_os_str()]);
            }
        }
        let _ = fs::remove_dir_all(self.space.outer(&self.home));
    }
}

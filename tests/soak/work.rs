// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The applications: each reads and changes random files until the day is over. An error that is allowed is counted, and
//! the operation is tried again. Wrong bytes are looked at again, because caches of another client may be a second or two
//! old; after that they are a fault.

use std::io;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::client::Client;
use crate::day::{Day, Kind, Work};
use crate::files::{File, LARGEST, size};
use crate::random::Random;

/// No cache is older, whatever the machine's speed: they go by the clock. A file must be wrong for longer, and in more
/// than a few looks.
const STALE: Duration = Duration::from_secs(10);
const LOOKS: u32 = 8;
/// Between two looks. Within a second, md-cache answers a lookup with what the last read has told it, so that a client which
/// reads from a brick that has missed a write does not learn of it (docs/SEMANTICS.md).
const PAUSE: Duration = Duration::from_millis(1500);

/// After that, no client and no kernel believes any more what it knew of a name (`entry-timeout`, `md-cache-timeout`: 1 s).
const FORGOTTEN: Duration = Duration::from_millis(1500);

/// No fault of the store or the bricks lasts that long: an operation that does not succeed by then never will.
const LONGEST: Duration = Duration::from_secs(200);

/// How often of a hundred times an application changes a file.
const CHANGES: u64 = 35;

/// An application.
pub(crate) struct Worker<'a> {
    pub(crate) day: &'a Day,
    pub(crate) name: String,
    pub(crate) client: &'a mut dyn Client,
    pub(crate) random: Random,
}

impl Worker<'_> {
    /// Works until the day is over.
    pub(crate) fn run(&mut self) {
        while !self.day.is_over() {
            let number = self.file();
            if self.random.percent(CHANGES) {
                self.change(number);
            } else {
                let whole = self.random.percent(70);
                self.read(number, whole);
            }
            let pause = self.random.time(0, 50);
            thread::sleep(pause);
        }
    }

    /// A file. Some are used far more often than others, so that there are always some that the archiver finds old.
    fn file(&mut self) -> usize {
        let count = self.day.files.count() as u64;
        let skewed = self.random.below(count) * self.random.below(count) / count;
        skewed as usize
    }

    fn failed(&self, what: &str, file: &File, error: &io::Error) {
        let describe = || format!("{}: {what} {}", self.name, file.name);
        let (more, killed) = (self.client.may_get(), self.client.was_killed());
        self.day.error(error, more, killed, file, &describe);
    }

    /// Reads a file, or a part of it, and compares. False if it is wrong, or cannot be read.
    pub(crate) fn read(&mut self, number: usize, whole: bool) -> bool {
        let day = self.day;
        let Some(file) = day.files.try_read(number) else {
            return true;
        };
        let size = file.content.size();
        let range = if whole {
            // One more byte than there is: the end must be the end.
            (0, size + 1)
        } else {
            (self.random.below(size + 1), self.random.between(1, 1 << 20))
        };
        let begun = Instant::now();
        let mut looks = 0;
        loop {
            let got = self.client.read(&file.name, range.0, range.1);
            let why = match got {
                Ok(bytes) => match day.files.compare(number, &file, range, &bytes) {
                    Ok(()) => {
                        let read = Work {
                            reads: 1,
                            bytes: bytes.len() as u64,
                            changes: 0,
                        };
                        day.did(&self.name, read);
                        return true;
                    }
                    Err(difference) if difference.is_older || day.one_is_blamed(&file) => {
                        difference.why
                    }
                    Err(difference) => {
                        let why = format!("{}: {}", self.name, difference.why);
                        day.wrong(number, &file, range, &why);
                        return false;
                    }
                },
                Err(error) if self.is_stale(&error) && !self.client.was_killed() => {
                    format!("{}: {error}", file.name)
                }
                Err(error) => {
                    self.failed("read", &file, &error);
                    if begun.elapsed() > LONGEST {
                        let why = format!("{}: cannot read {}: {error}", self.name, file.name);
                        day.fault(Kind::Error, why);
                        return false;
                    }
                    thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            looks += 1;
            day.stale.fetch_add(1, Ordering::Relaxed);
            if begun.elapsed() > STALE && looks >= LOOKS {
                day.wrong(number, &file, range, &format!("{}: {why}", self.name));
                return false;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Changes a file.
    fn change(&mut self, number: usize) {
        let day = self.day;
        let Some(mut file) = day.files.try_write(number) else {
            return;
        };
        let size = file.content.size();
        match self.random.below(100) {
            0..30 if size > 0 => {
                let offset = self.random.below(size);
                let length = self.random.between(1, 300 << 10).min(size - offset);
                self.write(number, &mut file, offset, length);
            }
            0..50 if size < LARGEST => self.append(number, &mut file),
            0..65 => {
                // Mostly shorter, sometimes nothing, sometimes a little longer.
                let to = match self.random.below(10) {
                    0 => 0,
                    1 => size + self.random.between(1, 100 << 10),
                    _ => self.random.below(size + 1),
                };
                let done = self.until_done("truncate", &mut file, &mut |client, file| {
                    client.truncate(&file.name, to)
                });
                if done {
                    file.content.truncate(to);
                }
            }
            65..80 => self.create(number, &mut file),
            80..92 => self.rename(number, &mut file),
            _ => {
                let removed = self.until_done("remove", &mut file, &mut |client, file| {
                    match client.remove(&file.name) {
                        // An attempt that was answered with an error may have removed it.
                        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
                        answer => answer,
                    }
                });
                if removed {
                    self.create(number, &mut file);
                    // Others may still know the removed file by this name, and what they write to it is lost: it exists
                    // for as long as anybody has it open, and a client closes a file some time after its application.
                    thread::sleep(FORGOTTEN);
                }
            }
        }
        thread::sleep(self.client.rest());
        let changed = Work {
            changes: 1,
            ..Work::default()
        };
        day.did(&self.name, changed);
    }

    fn write(&mut self, number: usize, file: &mut File, offset: u64, length: u64) {
        let (version, pattern) = self.day.files.new_version(number);
        let bytes = pattern.bytes(offset, length);
        let done = self.until_done("write", file, &mut |client, file| {
            client.write(&file.name, offset, &bytes)
        });
        if done {
            file.content.write(offset, length, version);
        }
    }

    fn append(&mut self, number: usize, file: &mut File) {
        let (version, pattern) = self.day.files.new_version(number);
        let (offset, length) = (file.content.size(), self.random.between(1, 200 << 10));
        let bytes = pattern.bytes(offset, length);
        let mut tried = false;
        let done = self.until_done("append", file, &mut |client, file| {
            if tried {
                // What of it is there is unknown, so it is removed and written to its place.
                client.truncate(&file.name, offset)?;
                return client.write(&file.name, offset, &bytes);
            }
            tried = true;
            client.append(&file.name, offset, &bytes)
        });
        if done {
            file.content.write(offset, length, version);
        }
    }

    /// Creates the file, or replaces its content.
    pub(crate) fn create(&mut self, number: usize, file: &mut File) {
        let (version, pattern) = self.day.files.new_version(number);
        let length = size(number, &mut self.random);
        let bytes = pattern.bytes(0, length);
        let done = self.until_done("replace", file, &mut |client, file| {
            client.replace(&file.name, &bytes)
        });
        if done {
            file.content.replace(length, version);
        }
    }

    fn rename(&mut self, number: usize, file: &mut File) {
        let to = file.another_name(number, &mut self.random);
        let done = self.until_done("rename", file, &mut |client, file| {
            match client.rename(&file.name, &to) {
                // An attempt that was answered with an error may have renamed it.
                Err(error) if is_stale(&error) => client.read(&to, 0, 0).map(drop),
                answer => answer,
            }
        });
        if done {
            file.name = to;
        }
    }

    /// Repeats a change until it succeeds. False if it never does, which is a fault.
    fn until_done(
        &mut self,
        what: &str,
        file: &mut File,
        act: &mut dyn FnMut(&mut dyn Client, &File) -> io::Result<()>,
    ) -> bool {
        let begun = Instant::now();
        let mut looks = 0;
        loop {
            let outcome = act(self.client, file);
            let size = file.content.size();
            let result = match &outcome {
                Ok(()) => "done".to_owned(),
                Err(error) => error.to_string(),
            };
            // As the bricks' times are printed.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let now = now.unwrap_or_default().as_secs_f64();
            file.did(format!(
                "{now:.6} {}: {what} {} of {size} bytes: {result}",
                self.name, file.name
            ));
            let Err(error) = outcome else {
                return true;
            };
            let stale = self.is_stale(&error) && !self.client.was_killed();
            if stale {
                looks += 1;
                self.day.stale.fetch_add(1, Ordering::Relaxed);
            } else {
                self.failed(what, file, &error);
            }
            let late = begun.elapsed();
            if late > LONGEST || (stale && late > STALE && looks >= LOOKS) {
                let why = format!("{}: cannot {what} {}: {error}", self.name, file.name);
                self.day.fault(Kind::Error, why);
                return false;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Another client has removed, replaced or renamed the file, and this one does not know yet.
fn is_stale(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESTALE))
}

impl Worker<'_> {
    /// As [`is_stale`]. Where `EACCES` may also be an error of the store, it is taken for one.
    fn is_stale(&self, error: &io::Error) -> bool {
        let refused = error.raw_os_error() == Some(libc::EACCES);
        is_stale(error)
            || (refused && self.client.is_refused_stale_files() && !self.day.has_begun())
    }
}

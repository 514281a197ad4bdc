// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests files that are changed while they are archived: no byte is lost.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io::{self, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::scene::{PATIENCE, Scene, archive, number, pattern};
use crate::store::relay_to_store;

/// A file that a writer changes: its content and all earlier versions, to explain a lost byte.
struct Written {
    bytes: Vec<u8>,
    history: Vec<(String, Vec<u8>)>,
}

impl Written {
    fn new(bytes: Vec<u8>) -> Self {
        let history = vec![("created".to_owned(), bytes.clone())];
        Self { bytes, history }
    }

    /// Describes which version `found` is, and the changes since.
    fn explain(&self, found: &[u8]) -> String {
        let same = |(_, bytes): &(String, Vec<u8>)| bytes == found;
        let differs = found.iter().zip(&self.bytes).position(|(a, b)| a != b);
        let state = self.history.iter().rposition(same);
        let first = state.unwrap_or(self.history.len().saturating_sub(8));
        let done: Vec<_> = self.history[first..].iter().map(|(what, _)| what).collect();
        format!(
            "{} bytes instead of {}, different from offset {differs:?} on; matches version {state:?} of {}; changes since: {done:#?}",
            found.len(),
            self.bytes.len(),
            self.history.len(),
        )
    }
}

/// Closes a file and checks the result: close reports writes that write-behind could not complete.
fn close(file: File) -> io::Result<()> {
    // SAFETY: this function owned the descriptor, and nothing else uses it.
    Ok(unsafe { rustix::io::try_close(file.into_raw_fd()) }?)
}

/// Changes a file as `rsync -t --inplace` does: different bytes, same size, same mtime.
fn change_in_place(path: &Path, bytes: &[u8], place: usize) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let mtime = file.metadata()?.modified()?;
    file.write_all_at(bytes, place as u64)?;
    file.set_times(FileTimes::new().set_modified(mtime))?;
    close(file)
}

/// Makes a random change.
fn change_at_random(
    path: &Path,
    written: &mut Written,
    random: &mut fastrand::Rng,
) -> io::Result<()> {
    let truth = &mut written.bytes;
    let piece = pattern(random.u64(..), random.usize(1..200));
    let started = SystemTime::now();
    let kind = random.u32(0..6);
    let mut place = 0;
    match kind {
        0 => {
            place = random.usize(0..=truth.len().saturating_sub(piece.len()));
            let piece = &piece[..piece.len().min(truth.len() - place)];
            change_in_place(path, piece, place)?;
            truth[place..place + piece.len()].copy_from_slice(piece);
        }
        1 => {
            let file = File::options().write(true).open(path)?;
            file.write_all_at(&piece, truth.len() as u64)?;
            truth.extend_from_slice(&piece);
            close(file)?;
        }
        2 => {
            let keep = random.usize(1..=truth.len());
            let file = File::options().write(true).open(path)?;
            file.set_len(keep as u64)?;
            truth.truncate(keep);
            close(file)?;
        }
        // As an editor saves a file.
        3 => {
            let beside = path.with_extension("new");
            let mut file = File::create(&beside)?;
            file.write_all(&piece)?;
            close(file)?;
            fs::rename(&beside, path)?;
            truth.clone_from(&piece);
        }
        4 => {
            let away = path.with_extension("away");
            fs::rename(path, &away)?;
            fs::rename(&away, path)?;
        }
        _ => {
            let mut file = File::create(path)?;
            file.write_all(&piece)?;
            truth.clone_from(&piece);
            close(file)?;
        }
    }
    let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let what = format!(
        "kind {kind} at {place}, {} bytes, from {:?} to {:?}",
        piece.len(),
        since(started),
        since(SystemTime::now())
    );
    written.history.push((what, written.bytes.clone()));
    Ok(())
}

#[test]
fn no_write_is_lost_while_files_are_archived() {
    let mut scene = Scene::new("writers");
    let ended = Arc::new(AtomicBool::new(false));
    let root = scene.mount().path();
    let mut truth: BTreeMap<PathBuf, Written> = BTreeMap::new();
    for n in 0..24 {
        let name = format!("w{n}");
        scene.write(&name, &pattern(n, 4000));
        truth.insert(PathBuf::from(name), Written::new(pattern(n, 4000)));
    }
    let stop = Arc::clone(&ended);
    let writer = thread::spawn(move || {
        let mut random = fastrand::Rng::with_seed(7);
        let mut changes = 0;
        while !stop.load(Ordering::Relaxed) {
            let n = random.usize(0..truth.len());
            let (name, written) = truth.iter_mut().nth(n).unwrap();
            let done = change_at_random(&root.join(name), written, &mut random);
            assert!(done.is_ok(), "{name:?}: {done:?}, {}", written.explain(&[]));
            changes += 1;
            thread::sleep(Duration::from_millis(random.u64(0..4)));
        }
        (truth, changes)
    });
    let brick = scene.brick(0);
    let (started, mut archived, mut changed) = (Instant::now(), 0, 0);
    while started.elapsed() < Duration::from_secs(8) {
        let outcome = scene.cloudsync(&archive(&brick));
        assert_ne!(outcome.code(), Some(3), "{outcome}");
        archived += number(&outcome.text(), "archived");
        changed += number(&outcome.text(), "changed");
    }
    ended.store(true, Ordering::Relaxed);
    let (truth, changes) = scene
        .within("the end of the writer", move || writer.join())
        .unwrap();
    println!("{changes} changes, {archived} archived, {changed} skipped because of a change");
    assert!(archived > 24 && changes > 100);
    scene.done(&archive(&brick));
    scene.remount();
    let mut lost = Vec::new();
    for (name, written) in truth {
        let name = name.to_str().unwrap();
        let on_brick = scene.marks(name);
        let found = scene.read(name);
        if found != written.bytes {
            let why = written.explain(&found);
            lost.push(format!("{name}: {why}\n{on_brick}"));
        }
    }
    assert!(
        lost.is_empty(),
        "{}\n{}",
        lost.join("\n"),
        scene.mount().report()
    );
}

/// The archiver finds that the object of the last archive holds another version, and retries with a new key. It must
/// read the file again, even if its size and mtime are unchanged.
#[test]
fn in_place_change_between_attempts_is_not_lost() {
    let mut scene = Scene::new("attempts");
    let brick = scene.brick(0);
    let path = scene.path("f");
    scene.write("f", &pattern(1, 3000));
    scene.done(&archive(&brick));
    let change = |scene: &Scene, seed: u64| {
        let path = path.clone();
        let work = move || change_in_place(&path, &pattern(seed, 3000), 0);
        scene.within("change", work).unwrap();
    };
    change(&scene, 2);
    // The first request checks the attributes of the last object, before the file is read; the second compares the
    // checksum of the bytes that were read.
    let asked = AtomicU32::new(0);
    let (send, reached) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let (send, wait) = (Mutex::new(send), Mutex::new(wait));
    let (_, hostname) = relay_to_store(move |bytes| {
        if bytes.starts_with(b"HEAD ") && asked.fetch_add(1, Ordering::Relaxed) == 1 {
            let _ = send.lock().unwrap().send(());
            let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        }
    });
    let hostname = format!("--hostname={hostname}");
    let [a, b, c, d, brick] = archive(&brick);
    let mut run = scene.start(&[a, b, c, d, &hostname, brick]);
    reached.recv_timeout(PATIENCE).unwrap();
    change(&scene, 3);
    go.send(()).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0));
    assert!(scene.is_cold("f"), "{}", scene.marks("f"));
    scene.remount();
    assert!(scene.read("f") == pattern(3, 3000));
}

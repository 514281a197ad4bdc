// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the bricks of a volume have of a file: its bytes, and what they say of where these are.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::{Volume, until};

use crate::scene::{PATIENCE, Scene};

/// What the bricks have of a file, for this process: copies, fragments, or one file on one of them. The empty files
/// with which a distributed volume points to another brick are not among them.
pub(crate) fn copies(volume: &Volume, name: &str) -> Vec<PathBuf> {
    let bricks = volume.bricks().into_iter();
    let points_elsewhere = |path: &PathBuf| {
        let link = xattr::get(path, "trusted.glusterfs.dht.linkto");
        link.unwrap().is_some()
    };
    bricks
        .map(|brick| brick.join(name))
        .filter(|path| path.exists() && !points_elsewhere(path))
        .collect()
}

fn has(path: &Path, mark: &str) -> bool {
    let name = format!("trusted.glusterfs.cs.{mark}");
    xattr::get(path, name).unwrap().is_some()
}

/// Who waited is answered before a job has tidied up behind it. So what a job that is at its end may be about to make
/// true is asked again for a moment.
fn soon(so: impl Fn() -> bool, on_the_way: impl Fn() -> bool) -> bool {
    const MOMENT: Duration = Duration::from_secs(10);
    let begun = Instant::now();
    loop {
        if so() {
            return true;
        }
        if !on_the_way() || begun.elapsed() > MOMENT {
            return so();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether every brick that has the file says that it is in the store, and has not one byte of it.
pub(crate) fn is_cold(volume: &Volume, name: &str) -> bool {
    let coming = |path: &PathBuf| {
        has(path, "downloading") || (has(path, "remote") && fs::metadata(path).unwrap().len() > 0)
    };
    soon(
        || is_cold_now(volume, name),
        || copies(volume, name).iter().any(coming),
    )
}

/// The same at this moment: no job that is under way is waited for.
pub(crate) fn is_cold_now(volume: &Volume, name: &str) -> bool {
    let copies = copies(volume, name);
    let cold = |path: &PathBuf| {
        has(path, "remote") && !has(path, "downloading") && fs::metadata(path).unwrap().len() == 0
    };
    !copies.is_empty() && copies.iter().all(cold)
}

/// Whether nothing on any brick says that the file was ever in the store, or soon will: readers are answered before the
/// bricks have all the bytes.
pub(crate) fn is_plain(volume: &Volume, name: &str) -> bool {
    soon(|| is_plain_now(volume, name), || true)
}

/// The same at this moment.
pub(crate) fn is_plain_now(volume: &Volume, name: &str) -> bool {
    let copies = copies(volume, name);
    let plain = |path: &PathBuf| {
        let mut names = xattr::list(path).unwrap();
        names.all(|name| !name.to_string_lossy().contains("glusterfs.cs."))
    };
    !copies.is_empty() && copies.iter().all(plain)
}

/// Waits until it is so: a recall may end after its readers were answered.
#[track_caller]
pub(crate) fn await_plain(volume: &Volume, name: &str, what: &str) {
    await_tidied(volume, name, what, || {});
}

/// The same of what a client that died left: whoever reads it has it brought back.
#[track_caller]
pub(crate) fn await_tidied(volume: &Volume, name: &str, what: &str, look: impl Fn()) {
    until(PATIENCE, what, || {
        if is_plain_now(volume, name) {
            return Some(());
        }
        look();
        None
    })
    .unwrap_or_else(|failure| panic!("{failure}\n{}", marks(volume, name)));
}

/// What every brick says of the file, for a failure's text.
pub(crate) fn marks(volume: &Volume, name: &str) -> String {
    let mark = |path: &PathBuf| {
        let names = xattr::list(path).unwrap();
        let marks: Vec<_> = names
            .filter(|name| name.to_string_lossy().contains("glusterfs.cs."))
            .map(|name| (xattr::get(path, &name).unwrap(), name))
            .collect();
        format!(
            "\n{}: {} bytes, {marks:?}",
            path.display(),
            fs::metadata(path).unwrap().len()
        )
    };
    copies(volume, name).iter().map(mark).collect()
}

/// Whether the client's log has a line with `word` about the file, which it may call by its gfid: a name is not always
/// known.
pub(crate) fn tells_of(scene: &Scene, name: &str, word: &str) -> bool {
    let gfid = xattr::get(scene.brick(name), "trusted.gfid")
        .unwrap()
        .unwrap();
    let hex: String = gfid.iter().map(|byte| format!("{byte:02x}")).collect();
    let told = |line: &str| {
        line.contains(word) && (line.contains(name) || line.replace('-', "").contains(&hex))
    };
    soon(|| scene.mount().log().lines().any(told), || true)
}

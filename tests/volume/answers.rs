// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Replies of a client's graph, called at its top: what a mount does not pass on, and operations that no mount uses.

use std::path::PathBuf;
use std::sync::OnceLock;

use cloudsync_lab::{ADDRESS, MountOptions, Outcome};

use crate::native::compiled;
use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

const LENGTH: usize = 100_000;

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| Scene::new("answers"))
}

/// Creates a cold file.
fn cold(name: &str) {
    scene().write(name, &pattern(1, LENGTH));
    scene().archive(name);
}

/// Runs answers.c as a separate client. Returns each line that it printed: a word and its numbers.
fn ask(words: &[&str]) -> Vec<(String, Vec<u64>)> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let mut flags = gluster_build::flags();
        flags.extend(["-lgfapi", "-lglusterfs", "-lpthread"].map(str::to_owned));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        compiled("answers", &flags)
    });
    let name = words.join("-").replace('/', "_");
    let log = lab().scratch(&format!("log/answers-{name}.log"));
    let first = [scene().volume.name(), ADDRESS, log.to_str().unwrap()];
    let args = first.into_iter().chain(words.iter().copied());
    let output = lab()
        .run_with(PATIENCE, program.to_str().unwrap(), args, |_| {})
        .and_then(Outcome::check)
        .unwrap_or_else(|failure| panic!("{words:?}: {failure}"));
    let line = |line: &str| {
        let mut fields = line.split_whitespace().map(str::to_owned);
        let name = fields.next().unwrap();
        (name, fields.map(|field| field.parse().unwrap()).collect())
    };
    output.lines().map(line).collect()
}

/// answers.c exits right after the reply, like a killed client: leftovers are removed by the next client that looks the
/// file up.
fn await_local(name: &str) {
    scene()
        .volume
        .await_cleanup(name, "a file without marks", || {
            scene().stat(name);
        });
}

/// B14 in docs/SEMANTICS.md: most of the bricks' replies have the attributes of the truncated file.
#[test]
fn every_reply_shows_the_true_size_and_one_block() {
    cold("shown");
    let shown = ask(&["shown", "/shown"]);
    for (name, numbers) in &shown {
        assert_eq!(numbers, &[LENGTH as u64, 1], "{name} of {shown:?}");
    }
    let names: Vec<_> = shown.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "setattr-after",
        "fsetattr-after",
        "fsync-after",
        "setxattr-after",
        "link",
        "rename",
    ] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert!(scene().is_cold("shown.moved"), "it must not be recalled");
    assert_same(
        &scene().read("shown.moved").unwrap(),
        &pattern(1, LENGTH),
        "shown",
    );
}

#[test]
fn rchecksum_covers_the_real_bytes() {
    cold("summed");
    scene().write("whole", &pattern(1, LENGTH));
    let sum = |path: &str| {
        let output = ask(&["rchecksum", path, "50000", "40000"]);
        output.iter().find(|line| line.0 == "weak").unwrap().1[0]
    };
    assert_eq!(sum("/summed"), sum("/whole"));
    await_local("summed");
}

#[test]
fn zerofill_keeps_the_other_bytes() {
    let mut want = pattern(1, LENGTH);
    want.resize(LENGTH + 5000, 0);
    want[LENGTH - 10_000..].fill(0);
    cold("zeroed");
    ask(&["zerofill", "/zeroed", "90000", "15000"]);
    assert_same(
        &std::fs::read(scene().brick("zeroed")).unwrap(),
        &want,
        "zeroed",
    );
    await_local("zeroed");
}

/// A client without the entry, or with one from before another client created the file, creates a file that exists. On ESTALE
/// the kernel and gfapi look it up again and open it.
#[test]
fn creating_over_a_cold_file_fails_with_estale() {
    let create = |path: &str, flags: i32| {
        let output = ask(&["create", path, &flags.to_string()]);
        output.iter().find(|line| line.0 == "create").unwrap().1[0]
    };
    let other = scene().volume.mount(&MountOptions::default()).unwrap();
    for (name, flags) in [
        ("created", libc::O_RDWR),
        ("emptied", libc::O_RDWR | libc::O_TRUNC),
    ] {
        cold(name);
        assert_eq!(
            create(&format!("/{name}"), flags),
            libc::ESTALE as u64,
            "{name}"
        );
        assert!(scene().is_cold(name), "{}", scene().marks(name));
        // Not through the mount that archived it, which still has its bytes cached.
        let path = other.path().join(name);
        let read = other.within(PATIENCE, name, || std::fs::read(path));
        assert_same(&read.unwrap(), &pattern(1, LENGTH), name);
        scene().await_local(name);
        assert_eq!(
            create(&format!("/{name}"), libc::O_RDWR),
            0,
            "{name}, local"
        );
    }
    assert_eq!(create("/new", libc::O_RDWR), 0);
}

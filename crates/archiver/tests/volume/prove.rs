// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Nothing is lost, whatever happens meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::{ADDRESS, Layout, until};

use crate::scene::{PATIENCE, Scene, is_stub, lab, number, pattern};

fn archive(target: &str) -> [&str; 4] {
    ["archive", "--older-than=0s", "--json", target]
}

#[test]
fn killed_at_any_instant_it_leaves_nothing_wrong_and_uploads_nothing_twice() {
    let mut scene = Scene::new("killed");
    let size = |n: u64| {
        if n % 20 == 7 {
            20_000_000
        } else {
            3000 + n as usize
        }
    };
    let path = scene.mount().path();
    scene.within("write", move || {
        for n in 0..80 {
            fs::write(path.join(format!("f{n}")), pattern(n, size(n))).unwrap();
        }
    });
    let brick = scene.brick(0);
    let mut random = fastrand::Rng::with_seed(20_261_122);
    let mut killed = 0;
    for round in 0..8 {
        // Slow enough to be killed in every phase.
        let args = [
            "archive",
            "--older-than=0s",
            "--jobs=4",
            "--order=found",
            &brick,
        ];
        let mut run = scene.start(&args);
        thread::sleep(Duration::from_millis(random.u64(300..1500)));
        killed += u32::from(scene.signal("KILL"));
        run.wait().unwrap();
        // Each file is local or whole in the store, also right after.
        let n = random.u64(0..80);
        assert!(
            scene.read(&format!("f{n}")) == pattern(n, size(n)),
            "f{n} in round {round}"
        );
    }
    assert!(killed >= 4, "only {killed} of 8 runs were killed");
    // The bricks may take a moment to notice that the last client is gone: its files count as open until then. One
    // that was killed right after a cut leaves a cold file with a mark, which the next reader clears up.
    let in_the_store = |n: u64| {
        let at = scene.volume.bricks()[0].join(format!("f{n}"));
        xattr::get(at, "trusted.glusterfs.cs.remote")
            .unwrap()
            .is_some()
    };
    until(PATIENCE, "a run that leaves nothing", || {
        scene.done(&archive(&brick));
        (0..80).all(in_the_store).then_some(())
    })
    .unwrap();
    assert_eq!(scene.bucket.list("").unwrap().len(), 80);
    scene.remount();
    for n in 0..80 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, size(n)), "f{n}");
    }
    // The mounts of the runs that were killed are gone, and their clients.
    let left = lab()
        .sh("ls -d /run/cloudsync/killed-* 2>/dev/null || true")
        .unwrap();
    assert_eq!(left, "");
}

/// What a writer does to a file in the meantime.
fn disturb(path: &Path, truth: &mut Vec<u8>, random: &mut fastrand::Rng) -> io::Result<()> {
    let piece = pattern(random.u64(..), random.usize(1..200));
    match random.u32(0..6) {
        // As `rsync -t --inplace` does: other bytes, same size, same mtime.
        0 => {
            let file = File::options().write(true).open(path)?;
            let mtime = file.metadata()?.modified()?;
            let at = random.usize(0..=truth.len().saturating_sub(piece.len()));
            let piece = &piece[..piece.len().min(truth.len() - at)];
            file.write_all_at(piece, at as u64)?;
            truth[at..at + piece.len()].copy_from_slice(piece);
            file.set_times(FileTimes::new().set_modified(mtime))?;
        }
        1 => {
            let file = File::options().write(true).open(path)?;
            file.write_all_at(&piece, truth.len() as u64)?;
            truth.extend_from_slice(&piece);
        }
        2 => {
            let keep = random.usize(1..=truth.len());
            File::options()
                .write(true)
                .open(path)?
                .set_len(keep as u64)?;
            truth.truncate(keep);
        }
        // As an editor does.
        3 => {
            let beside = path.with_extension("new");
            fs::write(&beside, &piece)?;
            fs::rename(&beside, path)?;
            truth.clone_from(&piece);
        }
        4 => {
            let away = path.with_extension("away");
            fs::rename(path, &away)?;
            fs::rename(&away, path)?;
        }
        _ => {
            fs::write(path, &piece)?;
            truth.clone_from(&piece);
        }
    }
    Ok(())
}

#[test]
fn writers_lose_no_byte_while_their_files_are_archived() {
    let mut scene = Scene::new("writers");
    let ended = Arc::new(AtomicBool::new(false));
    let root = scene.mount().path();
    let mut truth: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for n in 0..24 {
        let name = format!("w{n}");
        scene.write(&name, &pattern(n, 4000));
        truth.insert(PathBuf::from(name), pattern(n, 4000));
    }
    let stop = Arc::clone(&ended);
    let writer = thread::spawn(move || {
        let mut random = fastrand::Rng::with_seed(7);
        let mut changes = 0;
        while !stop.load(Ordering::Relaxed) {
            let n = random.usize(0..truth.len());
            let (name, bytes) = truth.iter_mut().nth(n).unwrap();
            disturb(&root.join(name), bytes, &mut random).unwrap();
            changes += 1;
            thread::sleep(Duration::from_millis(random.u64(0..4)));
        }
        (truth, changes)
    });
    let brick = scene.brick(0);
    let (begun, mut archived, mut changed) = (Instant::now(), 0, 0);
    while begun.elapsed() < Duration::from_secs(8) {
        let outcome = scene.cloudsync(&archive(&brick));
        assert_ne!(outcome.code(), Some(3), "{outcome}");
        archived += number(&outcome.text(), "archived");
        changed += number(&outcome.text(), "changed");
    }
    ended.store(true, Ordering::Relaxed);
    let (truth, changes) = scene
        .within("the writer's end", move || writer.join())
        .unwrap();
    println!("{changes} changes, {archived} archives, {changed} left because of a change");
    assert!(archived > 24 && changes > 100);
    scene.done(&archive(&brick));
    scene.remount();
    for (name, bytes) in truth {
        let name = name.to_str().unwrap();
        assert!(scene.read(name) == bytes, "{name}");
    }
}

#[test]
fn two_archivers_at_once_upload_each_file_once() {
    let mut scene = Scene::new("two");
    let path = scene.mount().path();
    scene.within("write", move || {
        for n in 0..150 {
            fs::write(path.join(format!("f{n}")), pattern(n, 2000)).unwrap();
        }
    });
    let (brick, mount) = (scene.brick(0), scene.inside(""));
    let at = |target: &str| {
        let args = ["archive", "--older-than=0s", "--no-lock", "--json", target];
        let said = scene.cloudsync(&args);
        assert_eq!(said.code(), Some(0), "{said}");
        number(&said.text(), "archived")
    };
    let (one, two) = thread::scope(|scope| {
        let other = scope.spawn(|| at(&mount));
        (at(&brick), other.join().unwrap())
    });
    println!("{one} and {two}");
    // What one left to the other and the other to the one.
    scene.done(&archive(&brick));
    assert!((0..150).all(|n| scene.is_cold(&format!("f{n}"))));
    // One may read what the other has just cut, which brings it back, and cut it again; but it uploads nothing twice.
    assert_eq!(scene.bucket.list("").unwrap().len(), 150);
    scene.done(&["verify", &brick]);
    scene.remount();
    for n in 0..150 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 2000), "f{n}");
    }
}

/// A way to the store that can be cut.
fn detour(open: &Arc<AtomicBool>) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    let open = Arc::clone(open);
    let serve = move || {
        let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        for client in listener.incoming().map_while(Result::ok) {
            if !open.load(Ordering::Relaxed) {
                return;
            }
            let store = TcpStream::connect((ADDRESS, 7480)).unwrap();
            for (from, to) in [(&client, &store), (&store, &client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let open = Arc::clone(&open);
                thread::spawn(move || {
                    let mut buffer = [0; 8192];
                    while let Ok(read @ 1..) = from.read(&mut buffer) {
                        if !open.load(Ordering::Relaxed) || to.write_all(&buffer[..read]).is_err() {
                            break;
                        }
                    }
                    let _ = from.shutdown(std::net::Shutdown::Both);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    };
    thread::spawn(move || lab().in_network(serve));
    format!("http://{}", told.recv().unwrap())
}

#[test]
fn a_store_that_fails_half_way_fails_the_run_and_no_file() {
    let scene = Scene::new("half-way");
    let path = scene.mount().path();
    scene.within("write", move || {
        for n in 0..100 {
            fs::write(path.join(format!("f{n}")), pattern(n, 2000)).unwrap();
        }
    });
    let brick = scene.brick(0);
    let open = Arc::new(AtomicBool::new(true));
    let hostname = format!("--hostname={}", detour(&open));
    let mut args = vec![
        "archive",
        "--older-than=0s",
        "--files-per-second=30",
        &hostname,
    ];
    args.extend(["--store-id=retries=1,connect-timeout=1s", &brick]);
    let mut run = scene.start(&args);
    until(PATIENCE, "the first cold file", || {
        (0..100)
            .any(|n| scene.is_cold(&format!("f{n}")))
            .then_some(())
    })
    .unwrap();
    open.store(false, Ordering::Relaxed);
    assert_eq!(run.wait().unwrap().code(), Some(4));
    let cold = (0..100).filter(|n| scene.is_cold(&format!("f{n}"))).count();
    assert!((1..100).contains(&cold), "{cold}");
    scene.done(&archive(&brick));
    scene.done(&["verify", &brick]);
    for n in 0..100 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 2000), "f{n}");
    }
}

#[test]
fn odd_names_are_names() {
    let mut scene = Scene::new("odd");
    let mut random = fastrand::Rng::with_seed(5);
    let mut names = BTreeMap::new();
    while names.len() < 400 {
        let length = random.usize(1..60);
        let bytes: Vec<u8> = (0..length)
            .map(|_| match random.u8(..) {
                0 | b'/' => b'%',
                byte => byte,
            })
            .collect();
        if bytes != b"." && bytes != b".." {
            names.insert(bytes, random.u64(..));
        }
    }
    let root = scene.mount().path();
    let all = names.clone();
    scene.within("write", move || {
        use std::os::unix::ffi::OsStrExt;
        for (name, seed) in &all {
            let path = root.join(std::ffi::OsStr::from_bytes(name));
            fs::write(path, pattern(*seed, 300)).unwrap();
        }
    });
    let said = scene.done(&archive(&scene.brick(0)));
    assert_eq!(
        (number(&said, "archived"), number(&said, "failed")),
        (400, 0),
        "{said}"
    );
    scene.remount();
    let root = scene.mount().path();
    scene.within("read", move || {
        use std::os::unix::ffi::OsStrExt;
        for (name, seed) in &names {
            let path = root.join(std::ffi::OsStr::from_bytes(name));
            assert!(fs::read(path).unwrap() == pattern(*seed, 300), "{name:?}");
        }
    });
}

#[test]
fn a_replicated_volume_with_a_brick_down_is_archived() {
    let mut scene = Scene::on("replica", Layout::Replica(3), &[]);
    for n in 0..20 {
        scene.write(&format!("f{n}"), &pattern(n, 5000));
    }
    scene.volume.kill_brick(2).unwrap();
    let said = scene.done(&archive(&scene.brick(0)));
    assert_eq!(number(&said, "archived"), 20, "{said}");
    scene.remount();
    for n in 0..10 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 5000), "f{n}");
    }
    scene.volume.start().unwrap();
    scene.volume.await_bricks().unwrap();
    scene.remount();
    // The brick that was away learns of it from the others.
    let path = scene.mount().path();
    scene.within("look", move || {
        for n in 0..20 {
            fs::metadata(path.join(format!("f{n}"))).unwrap();
        }
    });
    let bricks = scene.volume.bricks();
    until(PATIENCE, "the brick to be healed", || {
        let stub = |n: u64| is_stub(&bricks[2].join(format!("f{n}")));
        // Refused until the daemon that heals has found its bricks.
        let _ = lab().gluster(["volume", "heal", scene.volume.name()]);
        (10..20).all(stub).then_some(())
    })
    .unwrap();
    for n in 0..20 {
        assert!(scene.read(&format!("f{n}")) == pattern(n, 5000), "f{n}");
    }
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let mut scene = Scene::new("tree");
    // Names, types, modes, owners, links, mtimes, sizes, targets; then user attributes; then every byte.
    const LOOK: &str = "cd $ROOT/tree && find . -printf '%P %y %m %U %G %n %T@ %s %l\\n' | sort | \
        sed 's/ d \\(.*\\) [0-9]* $/ d \\1/' && getfattr -R -d -m ^user . | sort && \
        find . -type f -print0 | sort -z | xargs -0 sha256sum";
    let script = |scene: &Scene, text: &str| {
        let mut outcome = lab()
            .run_with(PATIENCE, "bash", ["-ec", text], |command| {
                command.env("ROOT", scene.mount().inside());
            })
            .unwrap();
        outcome.what = "look".to_owned();
        outcome.check().unwrap()
    };
    script(
        &scene,
        "mkdir $ROOT/tree; cp -a /usr/include/glusterfs/. $ROOT/tree; cd $ROOT/tree; \
         ln xlator.h hard-link; ln -s xlator.h soft-link; chown 1234:56 dict.h; chmod 4711 iobuf.h; \
         touch -d '1999-12-31 23:59:59.123456789' inode.h; setfattr -n user.colour -v blue fd.h",
    );
    let before = script(&scene, LOOK);
    let said = scene.done(&archive(&scene.brick(0)));
    assert!(number(&said, "archived") > 80, "{said}");
    assert!(scene.is_cold("tree/xlator.h") && scene.is_cold("tree/hard-link"));
    scene.remount();
    assert!(script(&scene, LOOK) == before);
    scene.remount();
    assert!(script(&scene, LOOK) == before);
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A cluster in the middle of an upgrade of GlusterFS: bricks, glusterd and clients of two major versions on one volume.
//! scripts/upgrade.sh runs this; it needs the root of another release of Debian, and a build for that.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use cloudsync_format::claim::Claim;
use cloudsync_lab::{Artifacts, Backing, Layout, Mount, MountOptions, Release, until};

use crate::gate::Gate;
use crate::meanwhile::{await_first_bytes, old};
use crate::scene::{PATIENCE, Scene, assert_same, claim, lab, pattern};

/// The other release, if the variables name its root and the folder with our builds for it.
fn release() -> Option<Release> {
    let variables = ["CLOUDSYNC_OTHER_ROOT", "CLOUDSYNC_OTHER_BUILD"];
    let [Some(root), Some(build)] = variables.map(env::var_os) else {
        // Not with eprintln!, whose output the test harness captures.
        let _ = writeln!(
            io::stderr(),
            "\nskipped: servers and clients of two versions of GlusterFS on one volume: {} are not set; \
             scripts/upgrade.sh sets them",
            variables.join(" and "),
        );
        return None;
    };
    let ours = Artifacts::built_in(Path::new(&build), &["amazons3"]).unwrap();
    Some(lab().release(Path::new(&root), &ours).unwrap())
}

/// A client of one of the versions, which stays mounted while bricks are replaced.
struct Client {
    version: String,
    options: MountOptions,
    mount: Mount,
}

impl Client {
    fn new(scene: &Scene, version: &str, options: MountOptions) -> Self {
        Self {
            version: version.to_owned(),
            mount: scene.volume.mount(&options).unwrap(),
            options,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mount.path().join(name)
    }

    fn within<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let what = format!("{what} by {}", self.version);
        self.mount.within(PATIENCE, &what, work)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let (path, bytes) = (self.path(name), bytes.to_vec());
        let write = move || {
            fs::create_dir_all(path.parent().unwrap())?;
            fs::write(path, bytes)
        };
        self.within("write", write).unwrap();
    }

    #[track_caller]
    fn assert_has(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        let read = move || io::Result::Ok((fs::metadata(&path)?.len(), fs::read(path)?));
        let (size, read) = self.within("read", read).unwrap();
        let what = format!("{name}, read by {}", self.version);
        assert_eq!(size, bytes.len() as u64, "{what}");
        assert_same(&read, bytes, &what);
    }

    /// Archives a file with the exact handshake of the archiver.
    fn archive(&self, scene: &Scene, name: &str, bytes: &[u8]) {
        scene.bucket.put(name, bytes).unwrap();
        let (path, key) = (self.path(name), Some(name.to_owned()));
        let handshake = move || {
            let seen = claim(&fs::metadata(&path)?);
            let value = Claim { key, ..seen }.to_string();
            xattr::set(path, "trusted.glusterfs.csou.complete", value.as_bytes())
        };
        self.within("handshake", handshake).unwrap();
        assert!(
            scene.is_cold(name),
            "archived by {}: {}",
            self.version,
            scene.marks(name)
        );
    }

    /// Waits until it is connected to every brick: a brick that is down for one client is behind for the other.
    fn await_bricks(&self, scene: &Scene) {
        for brick in 0..3 {
            let volume = scene.volume.name();
            let file = format!("graphs/active/{volume}-client-{brick}/private");
            let mut last = String::new();
            let connected = || {
                last = self.mount.meta(&file).unwrap_or_default();
                last.contains("connected = 1").then_some(())
            };
            until(PATIENCE, "a connection to every brick", connected)
                .unwrap_or_else(|failure| panic!("{}: {failure}\n{last}", self.version));
        }
    }
}

/// Each client archives, and the other one reads; both ways.
fn files_move_between(one: &Client, other: &Client, scene: &Scene, stage: &str) {
    for (number, length) in [5_000, 700_000, (2 << 20) + 5].into_iter().enumerate() {
        let name = format!("{stage}/{}/file-{length}", one.version);
        let bytes = pattern(number as u64, length);
        one.write(&name, &bytes);
        one.archive(scene, &name, &bytes);
        other.assert_has(&name, &bytes);
        scene.await_local(&name);
        one.assert_has(&name, &bytes);
        other.archive(scene, &name, &bytes);
        // Perhaps from its kernel's cache.
        one.assert_has(&name, &bytes);
    }
}

/// While one client recalls a file, the other one reads it, and its write waits for the lock.
fn clients_share_the_lock(one: &Client, other: &Client, scene: &Scene, gate: &Gate, stage: &str) {
    let name = format!("held/{stage}-{}-locked", one.version);
    // By a third client: these two have nothing in their caches.
    scene.write(&name, &old());
    scene.archive(&name);
    gate.hold();
    let path = one.path(&name);
    let reader = thread::spawn(move || fs::read(path));
    await_first_bytes(scene, std::slice::from_ref(&name));
    let path = other.path(&name);
    let beginning = other.within("read during the other's recall", move || {
        let mut bytes = vec![0; 100_000];
        fs::File::open(path)?.read_exact_at(&mut bytes, 0)?;
        io::Result::Ok(bytes)
    });
    assert_same(&beginning.unwrap(), &old()[..100_000], "the beginning");
    let path = other.path(&name);
    let writer = thread::spawn(move || {
        let file = fs::OpenOptions::new().write(true).open(path)?;
        file.write_all_at(b"WRITTEN", 10)?;
        file.sync_all()
    });
    thread::sleep(Duration::from_millis(500));
    let waits = !writer.is_finished();
    assert!(waits, "the write of {} does not wait", other.version);
    assert!(!reader.is_finished(), "the recall has ended");
    gate.open();
    let read = one.within("the recall", move || reader.join().unwrap());
    other
        .within("the write", move || writer.join().unwrap())
        .unwrap();
    let mut want = old();
    want[10..17].copy_from_slice(b"WRITTEN");
    // The reader may have got its beginning before the write, or after it.
    let mut read = read.unwrap();
    read[10..17].copy_from_slice(b"WRITTEN");
    assert_same(&read, &want, "what the recalling client read");
    scene.await_local(&name);
    other.assert_has(&name, &want);
}

/// A client of one version dies in the middle of a recall, and one of the other heals the file.
fn the_other_version_heals(one: &Client, other: &Client, scene: &Scene, gate: &Gate, stage: &str) {
    let name = format!("held/{stage}-{}-killed", one.version);
    scene.write(&name, &old());
    scene.archive(&name);
    gate.hold();
    let victim = scene.volume.mount(&one.options).unwrap();
    let path = victim.path().join(&name);
    let reader = thread::spawn(move || fs::read(path));
    await_first_bytes(scene, std::slice::from_ref(&name));
    victim.kill9().unwrap();
    assert!(reader.join().unwrap().is_err(), "the recall had ended");
    assert!(!scene.is_local_now(&name) && !scene.volume.is_cold_now(&name));
    gate.open();
    other.assert_has(&name, &old());
    scene.await_local(&name);
    one.assert_has(&name, &old());
}

fn check(clients: &[Client; 2], scene: &Scene, gate: &Gate, stage: &str) {
    for client in clients {
        client.await_bricks(scene);
    }
    let [native, other] = clients;
    for (one, other) in [(native, other), (other, native)] {
        files_move_between(one, other, scene, stage);
        clients_share_the_lock(one, other, scene, gate, stage);
        the_other_version_heals(one, other, scene, gate, stage);
    }
}

/// Expects that so many bricks are of the other release.
#[track_caller]
fn assert_replaced(scene: &Scene, bricks: usize) {
    let is_other = |brick: &usize| {
        let pid = scene.volume.brick_pid(*brick).unwrap();
        let root = fs::read_link(format!("/proc/{pid}/root")).unwrap();
        root.ends_with("release")
    };
    assert_eq!((0..3).filter(is_other).count(), bricks);
}

/// The other release's glusterd, and one brick after the other, as a recall runs in a client of this one.
fn replace_all_bricks(clients: &[Client; 2], scene: &Scene, gate: &Gate, release: &Release) {
    scene.write("held/meanwhile", &old());
    scene.archive("held/meanwhile");
    gate.hold();
    let path = clients[0].path("held/meanwhile");
    let reader = thread::spawn(move || fs::read(path));
    await_first_bytes(scene, &["held/meanwhile".to_owned()]);
    lab().restart_glusterd_of(release).unwrap();
    for brick in 1..3 {
        scene.volume.kill_brick(brick).unwrap();
        scene.volume.start().unwrap();
        scene.volume.await_bricks().unwrap();
        for client in clients {
            client.await_bricks(scene);
        }
    }
    gate.open();
    let read = clients[0].within("the recall", move || reader.join().unwrap());
    assert_same(&read.unwrap(), &old(), "recalled meanwhile");
    scene.await_local("held/meanwhile");
    clients[1].assert_has("held/meanwhile", &old());
}

/// glusterd checks the values of options, and both clients get them.
fn options_can_be_set(scene: &Scene) {
    let option = "features.cloudsync-remote-read";
    let refused = scene.volume.set(option, "maybe").unwrap_err();
    assert!(refused.to_string().contains("boolean"), "{refused}");
    scene.volume.set(option, "off").unwrap();
    scene.volume.reset(option).unwrap();
}

#[test]
fn a_cluster_works_in_every_step_of_an_upgrade() {
    let Some(release) = release() else { return };
    let gate = Gate::new();
    let settings = [("features.s3plugin-hostname", gate.url())];
    let scene = Scene::on("upgrade", Layout::Replica(3), &settings, Backing::Ram);
    let version = lab().sh("glusterfs --version | head -n 1").unwrap();
    let version = version.split_whitespace().nth(1).unwrap();
    assert_ne!(version, release.version(), "both roots have this version");
    let clients = [
        Client::new(&scene, version, MountOptions::default()),
        Client::new(&scene, release.version(), release.mount_options()),
    ];
    check(&clients, &scene, &gate, &format!("{version}-servers"));

    // Archived by the old version, and brought back by the new one.
    let kept = pattern(7, 3_000_000);
    clients[0].write("kept", &kept);
    clients[0].archive(&scene, "kept", &kept);
    options_can_be_set(&scene);
    assert_replaced(&scene, 0);
    scene.volume.restart_brick_of(0, &release).unwrap();
    assert_replaced(&scene, 1);
    check(&clients, &scene, &gate, "one-brick-replaced");

    replace_all_bricks(&clients, &scene, &gate, &release);
    assert_replaced(&scene, 3);
    options_can_be_set(&scene);
    let stage = format!("{}-servers", release.version());
    check(&clients, &scene, &gate, &stage);
    clients[1].assert_has("kept", &kept);
    clients[0].assert_has("kept", &kept);
}

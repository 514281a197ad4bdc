// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Samba with its GlusterFS module.

use std::fs;
use std::thread;

use cloudsync_lab::{ADDRESS, Backing, Samba, until};

use super::{has_program, lose_all_objects, shell, succeeds};
use crate::scene::{PATIENCE, Scene, assert_same, lab, pattern};

fn serve(scene: &Scene, port: u16) -> Samba {
    let started = Samba::start(lab(), &scene.volume, port, &[]);
    started.unwrap_or_else(|why| panic!("smbd does not start: {why}"))
}

#[test]
fn samba_serves_cold_files() {
    const PORT: u16 = 4450;
    if !has_program("smbd", "samba samba-vfs-modules") || !has_program("smbclient", "smbclient") {
        return;
    }
    let mut scene = Scene::new("samba");
    let bytes = pattern(1, 5_000_000);
    for name in ["read", "replaced", "renamed", "appended", "lost"] {
        scene.write(name, &bytes);
    }
    scene.archive_all("");
    scene.remount();
    let smbd = serve(&scene, PORT);
    let client = |commands: &str| {
        format!("cd $scratch; smbclient -N -U% -p {PORT} //{ADDRESS}/share -c '{commands}'")
    };
    let listed = succeeds(&scene, &client("ls"));
    assert!(listed.contains("5000000"), "sizes: {listed}");
    succeeds(&scene, "head -c 300000 /dev/urandom >$scratch/new");
    succeeds(
        &scene,
        &client(
            "get read; put new replaced; rename renamed moved; get moved; put new fresh; get fresh again",
        ),
    );
    let scratch = lab().outer(lab().scratch(&format!("acts-{}", scene.volume.name())));
    let new = fs::read(scratch.join("new")).unwrap();
    let got = |name: &str| fs::read(scratch.join(name)).unwrap();
    assert_same(&got("read"), &bytes, "read");
    assert_same(&got("moved"), &bytes, "renamed");
    assert_same(&got("again"), &new, "written and read");
    // Resuming a download: the rest has to come from the store.
    succeeds(
        &scene,
        &format!(
            "{}; cmp -n 5000000 read $scratch/read",
            client("reget read read")
        ),
    );
    // Windows shows a cold file as offline, and makes no previews of it. To ask recalls nothing. (A connection takes ten
    // seconds to end, with and without us, so there are few of them.)
    let attributes = |commands: &str| -> Vec<String> {
        let shown = succeeds(&scene, &client(commands));
        let lines = shown
            .lines()
            .filter_map(|line| line.strip_prefix("attributes:"));
        lines.map(str::to_owned).collect()
    };
    let shown = attributes("allinfo lost; allinfo moved; setmode lost +h; allinfo lost");
    assert!(
        shown[0].contains('O') && !shown[0].contains('H'),
        "{shown:?}"
    );
    assert!(!shown[1].contains('O'), "{shown:?}");
    assert!(
        shown[2].contains('O') && shown[2].contains('H'),
        "{shown:?}"
    );
    assert!(scene.is_cold("lost"), "{}", scene.marks("lost"));
    // As `gluster volume set VOL group samba` has it: md-cache answers from what lookups brought.
    drop(smbd);
    let cached = ("performance.cache-samba-metadata", "on");
    scene.volume.set(cached.0, cached.1).unwrap();
    let smbd = serve(&scene, PORT);
    let shown = attributes("allinfo lost; allinfo moved");
    assert!(
        shown[0].contains('O') && shown[0].contains('H'),
        "{shown:?}"
    );
    assert!(!shown[1].contains('O'), "{shown:?}");
    let before = scene.bucket.list("").unwrap().len();
    assert!(before >= 5, "{before} objects");
    lose_all_objects(&scene);
    // What Windows and smbclient are told, by cause.
    let refused = |status: &str| {
        let mut printed = String::new();
        until(PATIENCE, status, || {
            let got = shell(&scene, &client("get lost got"));
            printed = got.to_string();
            (!got.success() && printed.contains(status)).then_some(())
        })
        .unwrap_or_else(|failure| panic!("{failure}: {printed}"));
        assert!(scene.is_cold("lost"), "{}", scene.marks("lost"));
    };
    refused("NT_STATUS_NOT_FOUND");
    // Its clients get the new options without a restart.
    scene
        .volume
        .set("features.s3plugin-seckey", "wrong")
        .unwrap();
    refused("NT_STATUS_ACCESS_DENIED");
    let closed = format!("http://{ADDRESS}:1");
    scene
        .volume
        .set("features.s3plugin-hostname", &closed)
        .unwrap();
    refused("NT_STATUS_HOST_UNREACHABLE");
    drop(smbd);
    scene.remount();
    assert_same(&scene.read("replaced").unwrap(), &new, "replaced");
    assert_same(&scene.read("moved").unwrap(), &bytes, "moved");
    assert_same(&scene.read("fresh").unwrap(), &new, "fresh");
}

/// The results of smbtorture's tests of reads, writes, opens and locks.
fn torture(scene: &Scene, port: u16) -> Vec<String> {
    let _smbd = serve(scene, port);
    // The benchmark among them opens directories as files, whose descriptors a brick never closes
    // (`posix_releasedir`): for longer, it would run out of them, with the feature off too.
    let tests = "--option=torture:timelimit=1 smb2.read smb2.rw smb2.create smb2.lock";
    // Some fail, as they do on other file systems.
    let script = format!(
        "cd $scratch; code=0
         timeout 90 smbtorture //{ADDRESS}/share -p {port} -U% {tests} >torture 2>&1 || code=$?
         cat torture; test $code -le 1"
    );
    let printed = succeeds(scene, &script);
    let mut lines = printed.lines();
    let mut results = Vec::new();
    while let Some(line) = lines.next() {
        if ["success: ", "failure: ", "error: ", "skip: "]
            .iter()
            .any(|result| line.starts_with(result))
        {
            let reason = line.ends_with('[').then(|| lines.next()).flatten();
            results.push(format!("{line}{}", reason.unwrap_or_default()));
        }
    }
    results
}

#[test]
fn smbtorture_finds_the_same_with_the_feature_off_and_on() {
    if !has_program("smbd", "samba samba-vfs-modules")
        || !has_program("smbtorture", "samba-testsuite")
    {
        return;
    }
    // A volume for each: what tests leave behind changes what they find the next time.
    let both = |ports: [u16; 2]| {
        let without = [("features.cloudsync", "off")];
        let off = Scene::with("torture-off", &without, Backing::Ram);
        let on = Scene::new("torture-on");
        thread::scope(|scope| {
            let off = scope.spawn(|| torture(&off, ports[0]));
            let on = torture(&on, ports[1]);
            (off.join().unwrap(), on)
        })
    };
    // On a busy machine a file may still be about to be deleted by one test when the next one opens it, with the feature
    // off, too: what differs then does not differ twice.
    let (mut off, mut on) = both([4451, 4452]);
    if off != on {
        (off, on) = both([4453, 4454]);
    }
    assert_eq!(off, on);
    let passed = off.iter().filter(|line| line.starts_with("success: "));
    assert!(passed.count() >= 30, "{off:#?}");
    eprintln!("smbtorture: {} results, all the same", off.len());
}

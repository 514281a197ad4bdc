// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The bit-rot daemon signs files, and the scrubber compares them with their signatures. A program of its own, because one
//! daemon serves all volumes of a glusterd: beside the volumes of other tests it may not look at this one for minutes.

// In a test, panicking is the right way to handle an error.
#![allow(clippy::unwrap_used)]

#[path = "volume/scene.rs"]
#[allow(dead_code, reason = "the rest is used by the volume tests")]
mod scene;

use std::time::Duration;

use cloudsync_lab::until;

use scene::{Scene, assert_same, lab, pattern};

/// The bit-rot daemon looks at files now and then.
const LONG: Duration = Duration::from_secs(240);

/// The bit-rot daemon signs a file some time after its last change, and the scrubber compares the file with its signature.
#[test]
fn the_scrubber_finds_nothing_wrong_with_cold_and_recalled_files() {
    let mut scene = Scene::new("bitrot");
    let bytes = pattern(1, 300_000);
    for name in ["cold", "recalled", "local"] {
        scene.write(name, &bytes);
    }
    let name = scene.volume.name().to_owned();
    let bitrot = |words: &str| {
        let words = format!("volume bitrot {name} {words}");
        lab().gluster(words.split(' ')).unwrap()
    };
    bitrot("enable");
    bitrot("signing-time 10");
    // Written again with the feature on, which is when a change is noticed.
    for name in ["cold", "recalled", "local"] {
        scene.write(name, &bytes);
    }
    let signed = |scene: &Scene, name: &str| {
        let path = scene.brick(name);
        xattr::get(path, "trusted.bit-rot.signature").unwrap()
    };
    // The daemon misses a change now and then, on an otherwise idle volume too. When it starts, it looks at all files.
    let await_signed = |scene: &Scene, name: &str, before: Option<&[u8]>| {
        for _ in 0..8 {
            let found = until(Duration::from_secs(30), "the signature", || {
                signed(scene, name).filter(|now| Some(now.as_slice()) != before)
            });
            if found.is_ok() {
                return;
            }
            for word in ["disable", "enable", "signing-time 10"] {
                bitrot(word);
            }
        }
        panic!("{name} is not signed: {}", scene.marks(name));
    };
    for name in ["cold", "recalled", "local"] {
        await_signed(&scene, name, None);
    }
    let old = signed(&scene, "recalled");
    for name in ["cold", "recalled"] {
        scene.archive(name);
    }
    scene.remount();
    assert_same(&scene.read("recalled").unwrap(), &bytes, "recalled");
    scene.await_local("recalled");
    await_signed(&scene, "recalled", old.as_deref());
    bitrot("scrub ondemand");
    let status = until(LONG, "the end of the scrub", || {
        let status = bitrot("scrub status");
        let idle = status.contains("State of scrub: Active (Idle)");
        let ran = !status.contains("Scrubber pending to complete");
        (idle && ran).then_some(status)
    })
    .unwrap();
    assert!(status.contains("Error count: 0"), "{status}");
    assert!(!status.contains("Corrupted object"), "{status}");
    scene.remount();
    for name in ["cold", "recalled", "local"] {
        assert_same(&scene.read(name).unwrap(), &bytes, name);
    }
}

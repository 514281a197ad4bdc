// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests what a copy made through a mount contains, including through a client such as geo-replication's.

use std::fs;

use cloudsync_lab::MountOptions;

use crate::scene::{Scene, lab, number, pattern};

/// A mount as gsyncd, the geo-replication daemon, makes it.
const GSYNCD: [&str; 2] = ["--client-pid=-1", "--aux-gfid-mount"];

#[test]
fn copy_has_the_bytes_and_no_marks() {
    for options in [&GSYNCD[..], &[]] {
        let (from, to) = (Scene::new("copy-from"), Scene::new("copy-to"));
        for (name, size) in [("dir/a", 5000), ("dir/b", 3_000_000)] {
            from.write(name, &pattern(1, size));
        }
        from.done(&["archive", "--older-than=0s", &from.brick(0)]);
        let mount = |scene: &Scene| {
            let options = options
                .iter()
                .fold(MountOptions::default(), |all, one| all.arg(*one));
            scene.volume.mount(&options).unwrap()
        };
        let (source, target) = (mount(&from), mount(&to));
        let (inside, other) = (source.inside().display(), target.inside().display());
        lab()
            .sh(&format!("rsync -aHAX {inside}/dir {other}/"))
            .unwrap();
        for (name, size) in [("dir/a", 5000), ("dir/b", 3_000_000)] {
            let marks = to.marks(name);
            assert!(
                !marks.contains("glusterfs.cs.") && !marks.contains("cloudsync"),
                "{marks}"
            );
            let at = to.volume.bricks()[0].join(name);
            assert!(fs::read(at).unwrap() == pattern(1, size), "{name}");
        }
        // The copy is archived as an independent file and uses nothing of the first volume.
        let path = from.path("dir");
        from.within("remove", move || fs::remove_dir_all(path))
            .unwrap();
        from.done(&["gc", "--grace=0s", "--delete", &from.brick(0)]);
        assert!(from.bucket.list("").unwrap().is_empty());
        let output = to.done(&["archive", "--older-than=0s", "--json", &to.brick(0)]);
        assert_eq!(number(&output, "uploaded"), 2, "{output}");
        assert!(to.read("dir/b") == pattern(1, 3_000_000));
    }
}

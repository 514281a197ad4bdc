// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Programs with data files of their own, which are archived between two uses.

use super::{fails, has_program, lose_all_objects, succeeds};
use crate::scene::Scene;

#[test]
fn git_works_on_archived_packs() {
    if !has_program("git", "git") {
        return;
    }
    let mut scene = Scene::new("git");
    let git = "git() { command git -c user.name=a -c user.email=a@b -c gc.auto=0 \"$@\"; }; ";
    let succeeds = |scene: &Scene, script: &str| succeeds(scene, &format!("{git}{script}"));
    succeeds(
        &scene,
        "git init -q work; cd work
         for i in $(seq 20); do
             seq $i 3000 >file-$((i % 5)); git add -A; git commit -q -m \"commit $i\"
         done
         git gc -q; git rev-parse HEAD >$scratch/head; git ls-files -s >$scratch/files",
    );
    scene.archive_all("work");
    scene.remount();
    succeeds(
        &scene,
        "cd work; git fsck --full --strict
         test $(git rev-list --count HEAD) = 20
         git status --porcelain >$scratch/status; test ! -s $scratch/status
         git ls-files -s | cmp - $scratch/files",
    );
    scene.archive_all("work");
    scene.remount();
    // One clone on the volume, which links or copies the cold packs, and one outside it.
    succeeds(
        &scene,
        "git clone -q work beside; git clone -q --no-local work $scratch/elsewhere
         for clone in beside $scratch/elsewhere; do
             (cd $clone; git fsck --full --strict; git rev-parse HEAD | cmp - $scratch/head)
         done",
    );
    scene.archive_all("");
    scene.remount();
    succeeds(
        &scene,
        "cd work; echo more >>file-1; git commit -q -a -m more
         git log -p >/dev/null; git repack -q -a -d -f; git fsck --full --strict
         cd ../beside; git pull -q ../work HEAD; git fsck --full --strict; tail -n 1 file-1 | grep -x more",
    );
    scene.archive_all("work/.git/objects");
    scene.remount();
    lose_all_objects(&scene);
    fails(&scene, "cd work; git fsck --full");
    fails(&scene, "git clone -q --no-local work $scratch/lost");
}

#[test]
fn sqlite_works_on_an_archived_database() {
    if !has_program("sqlite3", "sqlite3") {
        return;
    }
    for mode in ["delete", "wal"] {
        let mut scene = Scene::new(&format!("sqlite-{mode}"));
        succeeds(
            &scene,
            &format!(
                "sqlite3 db \"pragma journal_mode={mode};
                 create table t(id integer primary key, text);
                 with recursive n(i) as (select 1 union all select i+1 from n where i<20000)
                 insert into t select i, hex(zeroblob(40)) || i from n;
                 create index by_text on t(text);\""
            ),
        );
        for round in 1..4 {
            scene.archive_all("");
            scene.remount();
            let checked = succeeds(
                &scene,
                &format!(
                    "test $(sqlite3 db 'select count(*) from t') = $((19999 + {round}))
                     sqlite3 db \"update t set text = 'round {round}' where id % 1000 = {round};
                         insert into t(text) values('new');\"
                     test $(sqlite3 db \"select count(*) from t where text = 'round {round}'\") = 20
                     sqlite3 db 'pragma integrity_check'"
                ),
            );
            assert_eq!(checked.trim(), "ok", "{mode}, round {round}");
        }
        scene.archive_all("");
        scene.remount();
        lose_all_objects(&scene);
        fails(&scene, "sqlite3 db 'select count(*) from t'");
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Programs with data of their own, which is archived between two uses of it.

use super::{done, fails, lose_all_objects, there_is};
use crate::scene::Scene;

#[test]
fn git_finds_its_history_in_archived_packs() {
    if !there_is("git", "git") {
        return;
    }
    let mut scene = Scene::new("git");
    let git = "git() { command git -c user.name=a -c user.email=a@b -c gc.auto=0 \"$@\"; }; ";
    let done = |scene: &Scene, script: &str| done(scene, &format!("{git}{script}"));
    done(
        &scene,
        "git init -q work; cd work
         for i in $(seq 20); do
             seq $i 3000 >file-$((i % 5)); git add -A; git commit -q -m \"commit $i\"
         done
         git gc -q; git rev-parse HEAD >$scratch/head; git ls-files -s >$scratch/files",
    );
    scene.archive_all("work");
    scene.remount();
    done(
        &scene,
        "cd work; git fsck --full --strict
         test $(git rev-list --count HEAD) = 20
         git status --porcelain >$scratch/status; test ! -s $scratch/status
         git ls-files -s | cmp - $scratch/files",
    );
    scene.archive_all("work");
    scene.remount();
    // A clone beside it, which links or copies the cold packs, and one elsewhere.
    done(
        &scene,
        "git clone -q work beside; git clone -q --no-local work $scratch/elsewhere
         for clone in beside $scratch/elsewhere; do
             (cd $clone; git fsck --full --strict; git rev-parse HEAD | cmp - $scratch/head)
         done",
    );
    scene.archive_all("");
    scene.remount();
    done(
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
fn sqlite_finds_its_rows_in_an_archived_database() {
    if !there_is("sqlite3", "sqlite3") {
        return;
    }
    for mode in ["delete", "wal"] {
        let mut scene = Scene::new(&format!("sqlite-{mode}"));
        done(
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
            let said = done(
                &scene,
                &format!(
                    "test $(sqlite3 db 'select count(*) from t') = $((19999 + {round}))
                     sqlite3 db \"update t set text = 'round {round}' where id % 1000 = {round};
                         insert into t(text) values('new');\"
                     test $(sqlite3 db \"select count(*) from t where text = 'round {round}'\") = 20
                     sqlite3 db 'pragma integrity_check'"
                ),
            );
            assert_eq!(said.trim(), "ok", "{mode}, round {round}");
        }
        scene.archive_all("");
        scene.remount();
        lose_all_objects(&scene);
        fails(&scene, "sqlite3 db 'select count(*) from t'");
    }
}

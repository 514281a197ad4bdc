// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests that files with any name are the same after being archived and recalled.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::scene::{Scene, lab, number, patience, pattern};

#[test]
fn odd_names_survive_a_round_trip() {
    let mut scene = Scene::new("odd");
    let files = odd_names(count());
    let root = scene.mount().path();
    let all = files.clone();
    scene.within("write", move || {
        for (name, seed) in &all {
            let path = root.join(OsStr::from_bytes(name));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, pattern(*seed, 300)).unwrap();
        }
    });
    let output = scene.done(&["archive", "--older-than=0s", "--json", &scene.brick(0)]);
    assert_eq!(
        (number(&output, "archived"), number(&output, "failed")),
        (files.len() as u64, 0),
        "{output}"
    );
    scene.done(&["verify", &scene.brick(0)]);
    scene.remount();
    let args = ["recall", "--recursive", "--wait", "--json"];
    let output = scene.done(&[&args[..], &[&scene.inside("")]].concat());
    assert_eq!(
        (number(&output, "recalled"), number(&output, "failed")),
        (files.len() as u64, 0),
        "{output}"
    );
    let root = scene.mount().path();
    scene.within("read", move || {
        let mut found = 0;
        for (name, seed) in &files {
            let path = root.join(OsStr::from_bytes(name));
            assert!(fs::read(path).unwrap() == pattern(*seed, 300), "{name:?}");
            found += 1;
        }
        println!("{found} files with odd names were archived and recalled");
    });
}

/// The number of odd names: `CLOUDSYNC_ODD_NAMES`, or a small default.
fn count() -> usize {
    let wanted = std::env::var("CLOUDSYNC_ODD_NAMES").ok();
    wanted.map_or(300, |text| text.parse().unwrap())
}

/// Names of any bytes but '/' and NUL, up to the longest that a file system accepts, and well-known difficult ones.
fn odd_names(count: usize) -> BTreeMap<Vec<u8>, u64> {
    let mut random = fastrand::Rng::with_seed(5);
    let deep = vec!["deep-".repeat(40); 9].join("/");
    let mut names: BTreeMap<Vec<u8>, u64> = [
        " ",
        "  two  blanks  ",
        "-rf",
        "--help",
        "...",
        "\n",
        "two\nlines",
        "\r\t",
        "\\",
        "'\"`$(id)",
        "*?[a]{b}",
        "%41%00",
        "a=b&c",
        "=41",
        "#?x",
        "+",
        "~",
        "C:\\con",
        "\u{fc}\u{4e2d}\u{1f600}",
        "u\u{308}",
        "\u{feff}bom",
        ".hidden",
        "trusted.glusterfs.cs.key",
        "\u{1b}[31mred",
        &"x".repeat(255),
        &"\u{4e2d}".repeat(85),
        &deep,
    ]
    .into_iter()
    .zip(0..)
    .map(|(name, seed)| (name.as_bytes().to_vec(), seed))
    .collect();
    while names.len() < count {
        let most = if random.u8(..) < 25 { 255 } else { 60 };
        let length = random.usize(1..=most);
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
    names
}

#[test]
fn tree_is_unchanged_after_a_round_trip() {
    let mut scene = Scene::new("tree");
    let tree = std::env::var("CLOUDSYNC_TREE").unwrap_or("/usr/include/glusterfs".to_owned());
    // Names, types, modes, owners, links, mtimes, sizes, targets; then user attributes; then every byte.
    const LOOK: &str = "cd $ROOT/tree && find . -printf '%P %y %m %U %G %n %T@ %s %l\\n' | sort | \
        sed 's/ d \\(.*\\) [0-9]* $/ d \\1/' && getfattr -R -d -m ^user . | sort && \
        find . -type f -print0 | sort -z | xargs -0 sha256sum";
    let script = |scene: &Scene, text: &str| {
        let mut outcome = lab()
            .run_with(patience(), "bash", ["-ec", text], |command| {
                command.env("ROOT", scene.mount().inside());
                command.env("TREE", &tree);
            })
            .unwrap();
        outcome.what = "look".to_owned();
        outcome.check().unwrap()
    };
    script(
        &scene,
        "mkdir $ROOT/tree; cp -a $TREE/. $ROOT/tree; mkdir $ROOT/tree/extra; cd $ROOT/tree/extra; \
         cp -a /usr/include/glusterfs/*.h .; ln xlator.h hard-link; ln -s xlator.h soft-link; chown 1234:56 dict.h; chmod 4711 iobuf.h; \
         touch -d '1999-12-31 23:59:59.123456789' inode.h; setfattr -n user.colour -v blue fd.h",
    );
    let before = script(&scene, LOOK);
    let output = scene.done(&["archive", "--older-than=0s", "--json", &scene.brick(0)]);
    let archived = number(&output, "archived");
    assert!(archived > 80, "{output}");
    assert!(scene.is_cold("tree/extra/xlator.h") && scene.is_cold("tree/extra/hard-link"));
    scene.remount();
    assert!(script(&scene, LOOK) == before);
    scene.remount();
    assert!(script(&scene, LOOK) == before);
    println!("{archived} files of {tree} were archived and recalled");
}

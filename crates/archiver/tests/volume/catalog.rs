// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of `cloudsync catalog`, and of what `rebuild` makes of it.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use cloudsync_format::object::Key;
use cloudsync_lab::{Backing, Layout, Mount, MountOptions};

use crate::scene::{PATIENCE, Scene, archive, lab, number, pattern};

/// `user::rw-,user:1000:r--,group::r--,mask::r--,other::---`, as acl(5) has it in the attribute.
const ACL: &[u8] = &[
    2, 0, 0, 0, // version
    1, 0, 6, 0, 255, 255, 255, 255, // owner
    2, 0, 4, 0, 232, 3, 0, 0, // user 1000
    4, 0, 4, 0, 255, 255, 255, 255, // group
    16, 0, 4, 0, 255, 255, 255, 255, // mask
    32, 0, 0, 0, 255, 255, 255, 255, // others
];

fn with_acls(scene: &Scene) -> Mount {
    let options = MountOptions::default().arg("--acl");
    scene.volume.mount(&options).unwrap()
}

/// What a catalog keeps of a file, a folder or a link.
fn look(at: &Path) -> String {
    let data = at.symlink_metadata().unwrap();
    let mut text = format!("{:o} {}:{}", data.mode(), data.uid(), data.gid());
    if data.is_symlink() {
        return format!("{text} to {:?}", at.read_link().unwrap());
    }
    if data.is_file() {
        text += &format!(" {} names", data.nlink());
    }
    let mut names: Vec<_> = xattr::list(at).unwrap().collect();
    names.sort();
    for name in names {
        let shown = name.to_string_lossy();
        if shown.starts_with("user.") || shown.contains("acl") || shown.contains("policy") {
            text += &format!(" {shown}={:?}", xattr::get(at, &name).unwrap());
        }
    }
    text
}

fn looks(mount: &Mount, paths: &[PathBuf]) -> Vec<String> {
    let (root, paths) = (mount.path(), paths.to_vec());
    let all = move || {
        let looks = paths.iter().map(|path| look(&root.join(path)));
        looks.collect::<Vec<_>>()
    };
    mount.within(PATIENCE, "looks", all)
}

#[test]
fn a_rebuilt_volume_has_what_the_catalog_kept() {
    let old = Scene::new("catalog");
    old.write("project/paper", &pattern(1, 50_000));
    old.write("project/deep/er/data", &pattern(2, 50_000));
    old.write("local", &pattern(3, 1000));
    let mount = with_acls(&old);
    let root = mount.path();
    let strange = OsStr::from_bytes(b"strange \xff\n");
    let change = move || {
        let project = root.join("project");
        fs::create_dir(project.join("empty"))?;
        fs::create_dir(root.join(strange))?;
        fs::set_permissions(project.join("deep"), fs::Permissions::from_mode(0o2750))?;
        chown(project.join("deep"), Some(1234), Some(5678))?;
        xattr::set(
            project.join("deep"),
            "user.cloudsync.policy",
            b"archive-soon",
        )?;
        xattr::set(&project, "trusted.cloudsync-policy", b"archive-soon")?;
        xattr::set(&project, "system.posix_acl_default", ACL)?;
        xattr::set(project.join("paper"), "system.posix_acl_access", ACL)?;
        xattr::set(project.join("paper"), "user.author", [0, 1, 255].as_slice())?;
        xattr::set(root.join("local"), "user.author", b"nobody")?;
        fs::hard_link(project.join("paper"), root.join(strange).join("also paper"))?;
        symlink("deep/er", project.join("short"))?;
        symlink(strange, root.join("odd"))?;
        lchown(root.join("odd"), Some(7), Some(8))?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o1775))
    };
    mount.within(PATIENCE, "changes", change).unwrap();
    let also = Path::new(strange).join("also paper");
    let paths: Vec<PathBuf> = [
        Path::new(""),
        Path::new("project"),
        Path::new("project/deep"),
        Path::new("project/deep/er"),
        Path::new("project/empty"),
        Path::new("project/paper"),
        Path::new("project/short"),
        Path::new(strange),
        &also,
        Path::new("odd"),
    ]
    .map(Path::to_owned)
    .to_vec();
    let before = looks(&mount, &paths);
    let mut old = old;
    old.remount();
    drop(mount);
    let output = old.done(
        &[
            &["archive", "--exclude=local"],
            &archive(&old.inside(""))[1..],
        ]
        .concat(),
    );
    assert_eq!(number(&output, "archived"), 2, "{output}");
    for (keep, removed) in [("--keep=7", 0), ("--keep=2", 0), ("--keep=2", 1)] {
        let output = old.done(&["catalog", "--json", keep, &old.inside("")]);
        assert_eq!(
            ["folders", "links", "files", "failed", "removed"].map(|key| number(&output, key)),
            [6, 2, 3, 0, removed],
            "{output}"
        );
    }
    let keys = old.bucket.list("").unwrap();
    let file = keys.iter().find_map(|key| Key::parse(key));
    let id = file.unwrap().volume.to_owned();
    let catalogs: Vec<_> = keys
        .iter()
        .filter(|key| key.contains("/catalog/"))
        .collect();
    assert_eq!(catalogs.len(), 2, "{keys:?}");
    // Standard tools can read it.
    let bytes = old.bucket.get(catalogs[1]).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    assert!(
        text.contains(r#"{"kind":"link","path":"project/short","to":"deep/er","#),
        "{text}"
    );
    // It belongs to no file, and `gc` lets it be.
    old.done(&["gc", "--grace=0s", "--delete", &old.inside("")]);
    assert_eq!(old.bucket.list("").unwrap().len(), keys.len());

    let bucket = old.bucket.clone();
    drop(old);
    let volume = lab().volume("recataloged", Layout::Replica(3), Backing::Ram);
    let new = Scene::of(volume.unwrap(), bucket, &[]);
    let from = format!("--from={id}");
    let output = new.done(&["rebuild", "-n", &from, &new.inside("")]);
    assert!(output.contains("; and what the catalog of 20"), "{output}");
    assert!(!new.path("project").exists());
    for again in [false, true] {
        let output = new.done(&["rebuild", "--json", &from, &new.inside("")]);
        let last: serde_json::Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
        assert_eq!(last["created"], if again { 0 } else { 2 }, "{output}");
        let catalog = &last["catalog"];
        assert_eq!(
            ["folders", "links", "names", "attributes", "failed"].map(|key| catalog[key].as_u64()),
            match again {
                false => [6, 2, 1, 1, 0],
                true => [6, 0, 0, 2, 0],
            }
            .map(Some),
            "{output}"
        );
    }
    let mount = with_acls(&new);
    let after = looks(&mount, &paths);
    for ((path, before), after) in paths.iter().zip(before).zip(after) {
        assert_eq!(after, before, "{}", path.display());
    }
    let path = mount.path().join(&also);
    let read = mount.within(PATIENCE, "a read", move || fs::read(path));
    assert!(read.unwrap() == pattern(1, 50_000));
    assert!(!new.path("local").exists());
}

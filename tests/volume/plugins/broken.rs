// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Invalid store names and unusable plugins: one clear log line each, and local files keep working.

use std::fs;
use std::process::Command;

use cloudsync_lab::{Mount, MountOptions};

use super::{Shelf, install, lab, plugin_folder};
use crate::scene::{PATIENCE, errno, pattern};

/// Compiles a line of C into the plugin directory.
fn compile(name: &str, text: &str, flags: &[&str]) {
    let scratch = lab().outer(lab().scratch("broken"));
    fs::create_dir_all(&scratch).unwrap();
    let (source, library) = (
        scratch.join(format!("{name}.c")),
        scratch.join(format!("lib{name}.so")),
    );
    fs::write(&source, text).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-w", "-shared", "-fPIC"])
        .args(flags)
        .arg("-o")
        .arg(&library)
        .arg(&source);
    assert!(cc.status().unwrap().success());
    install(&library);
}

/// Installs a file that is not a library.
fn install_file(name: &str, bytes: &[u8]) {
    let file = lab().outer(lab().scratch(&format!("lib{name}.so")));
    fs::write(&file, bytes).unwrap();
    install(&file);
}

/// A separate client with this store, whatever the volume's settings are.
fn with_store(shelf: &Shelf, name: &str, list: &str) -> Mount {
    let option = |key: &str, value| format!("--xlator-option=*cloudsync.cloudsync-{key}={value}");
    let mut options = MountOptions::default().arg(option("storetype", name));
    if !list.is_empty() {
        options = options.arg(option("store-id", list));
    }
    shelf.volume.mount(&options).unwrap()
}

/// The lines of a client's log about stores, without those that show the volume file.
fn lines(mount: &Mount) -> Vec<String> {
    let log = mount.log();
    let ours = |line: &&str| line.starts_with('[') && line.contains("store '");
    log.lines().filter(ours).map(str::to_owned).collect()
}

#[test]
fn a_broken_plugin_logs_one_line_and_local_files_work() {
    let shelf = Shelf::new("shelf", &[("features.cloudsync-store-id", "path=%")]);
    shelf.write("cold", &pattern(1, 1000));
    shelf.archive("cold", "");
    // A 32-bit library, going by its ELF header.
    let mut other = fs::read(lab().outer(plugin_folder().join("libshelf.so"))).unwrap();
    other[4] = 1;
    install_file("narrow", &other);
    install_file("garbage", &pattern(2, 5000));
    install_file("empty", b"");
    compile("symbolless", "int other;", &[]);
    compile(
        "needs",
        "extern int nobody_has_this(void); int store_ops_; int x(void) { return nobody_has_this(); }",
        &[],
    );
    compile("slotless", "void *store_ops[5];", &[]);
    compile(
        "half",
        "int f(void) { return 0; } void *store_ops[5] = {f};",
        &[],
    );
    compile("function", "int store_ops(void) { return 7; }", &[]);
    compile("numbers", "long store_ops[5] = {1, 2, 3, 4, 5};", &[]);
    compile("short", "long store_ops = 1;", &[]);
    compile(
        "foreign",
        "int f(void) { return 0; } void *store_ops[5] = {f, 0, f}; unsigned long stamp = 9ul << 48; \
         struct { long size; void *head, *fetch, *host; } store_ops_ext = {32, 0, 0, &stamp};",
        &[],
    );
    for (name, list, cause) in [
        ("absent", "", "cannot open shared object file"),
        ("garbage", "", "invalid ELF header"),
        ("empty", "", "file too short"),
        ("narrow", "", "wrong ELF class"),
        ("needs", "", "nobody_has_this"),
        ("symbolless", "", "does not export store_ops"),
        ("slotless", "", "no fop_download or no fop_init"),
        ("half", "", "no fop_download or no fop_init"),
        ("function", "", "store_ops is not a table"),
        ("numbers", "", "is no function"),
        ("short", "", "store_ops is not a table"),
        ("foreign", "", "it was built for another GlusterFS (9)"),
        ("shelf", "nonsense", "its settings are invalid"),
        ("amazons3", "", "its settings are invalid"),
        ("azureblob", "", "its settings are invalid"),
        ("directory", "nonsense", "its settings are invalid"),
        ("googlecloud", "", "its settings are invalid"),
        ("panics", "panic=open", "its settings are invalid"),
        ("../evil", "", "is no store's name"),
        ("/lib/evil", "", "is no store's name"),
        ("Shelf", "", "is no store's name"),
    ] {
        let mount = with_store(&shelf, name, list);
        let (local, cold) = (mount.path().join("local"), mount.path().join("cold"));
        let read = mount.within(PATIENCE, name, move || {
            fs::write(&local, "local")?;
            assert_eq!(fs::read(&local)?, b"local");
            Ok::<_, std::io::Error>(fs::read(&cold))
        });
        assert_eq!(errno(read.unwrap()), libc::EREMOTE, "{name}");
        let logged = if cause.contains("name") && !cause.contains("nobody") {
            let log = mount.log();
            log.lines()
                .filter(|line| line.contains(cause))
                .map(str::to_owned)
                .collect()
        } else {
            lines(&mount)
        };
        assert_eq!(logged.len(), 1, "{name}: {logged:?}\n{}", mount.log());
        assert!(logged[0].contains(cause), "{name}: {logged:?}");
        assert!(logged[0].contains("local files work"), "{name}: {logged:?}");
        assert!(mount.alive());
        if name == "panics" {
            let log = mount.log();
            let panics = log
                .lines()
                .filter(|line| line.contains("bug: panic: on purpose, in open"));
            assert_eq!(panics.count(), 1, "{log}");
        }
    }
}

#[test]
fn a_panic_in_a_plugin_fails_the_operation_not_the_mount() {
    let shelf = Shelf::new("shelf", &[("features.cloudsync-store-id", "path=%")]);
    shelf.write("cold", &pattern(1, 1000));
    shelf.archive("cold", "");
    shelf.mount().within(PATIENCE, "forget the version", {
        let brick = shelf.volume.bricks()[0].join("cold");
        move || xattr::remove(brick, "trusted.glusterfs.cs.version").unwrap()
    });
    for place in ["head", "fetch"] {
        let mount = with_store(&shelf, "panics", &format!("panic={place}"));
        let cold = mount.path().join("cold");
        let read = mount.within(PATIENCE, place, move || fs::read(cold));
        assert_eq!(errno(read), libc::EIO, "{place}");
        let log = mount.log();
        assert!(
            log.contains(&format!("bug: panic: on purpose, in {place}")),
            "{log}"
        );
        assert!(mount.alive() && shelf.is_cold("cold"));
        // The plugin's own log lines, under the volume's name.
        let own = format!("0-{}-cloudsync: ", shelf.volume.name());
        let logged = |what: &str| {
            let line = |line: &&str| line.contains(&own) && line.contains(what);
            log.lines().filter(line).count()
        };
        assert_eq!(logged("asked to panic in Some("), 1, "{log}");
        assert!(logged("asked for \"") > 0, "{log}");
        assert!(!log.contains("nobody wants to know") && !log.contains("secrets and all"));
    }
    assert_eq!(shelf.read("cold").unwrap(), pattern(1, 1000));
}

#[test]
fn glusterd_refuses_unknown_stores_and_lists_installed_ones() {
    let shelf = Shelf::new("shelf", &[("features.cloudsync-store-id", "path=%")]);
    for wrong in ["../libshelf", "lib/shelf", "Shelf", "shelf.so", "nothing"] {
        let refusal = shelf
            .volume
            .set("features.cloudsync-storetype", wrong)
            .unwrap_err();
        let refusal = format!("{refusal:?}");
        for name in [
            "possible options are",
            "shelf",
            "stock",
            "directory",
            "amazons3",
            "cvlt",
        ] {
            assert!(refusal.contains(name), "{wrong}: {refusal}");
        }
    }
    for right in ["directory", "stock", "shelf"] {
        shelf
            .volume
            .set("features.cloudsync-storetype", right)
            .unwrap();
    }
}

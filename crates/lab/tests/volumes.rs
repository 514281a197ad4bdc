// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Volumes and mounts, with the distribution's translator and the feature off.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use cloudsync_lab::{Backing, Lab, Layout, MountOptions, Options};

/// Longer than anything may take on a slow machine; the client's state is printed when something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

fn lab() -> &'static Lab {
    Lab::shared(Options::default)
}

#[test]
fn single_brick_volume() {
    let lab = lab();
    let started = Instant::now();
    let volume = lab.volume("single", Layout::Single, Backing::Ram).unwrap();
    let mount = volume.mount(&MountOptions::default()).unwrap();
    println!("create, start and mount: {:?}", started.elapsed());

    let root = mount.path();
    let read = mount.within(PATIENCE, "write and read", {
        let root = root.clone();
        move || {
            fs::write(root.join("file"), b"bytes").unwrap();
            fs::create_dir_all(root.join("a/b")).unwrap();
            fs::rename(root.join("file"), root.join("a/b/file")).unwrap();
            xattr::set(root.join("a/b/file"), "user.colour", b"blue").unwrap();
            fs::read(root.join("a/b/file")).unwrap()
        }
    });
    assert_eq!(read, b"bytes");
    let file = root.join("a/b/file");
    let size = mount.within(PATIENCE, "stat", move || fs::metadata(file).unwrap().size());
    assert_eq!(size, 5);
    let on_brick = volume.bricks()[0].join("a/b/file");
    assert_eq!(fs::read(&on_brick).unwrap(), b"bytes");
    assert_eq!(
        xattr::get(&on_brick, "trusted.gfid")
            .unwrap()
            .unwrap()
            .len(),
        16
    );
    assert_eq!(
        xattr::get(&on_brick, "user.colour").unwrap().unwrap(),
        b"blue"
    );
    // The same file for a program that runs inside.
    let inside = mount.inside().join("a/b/file");
    assert_eq!(lab.run("cat", [&inside]).unwrap().check().unwrap(), "bytes");

    assert!(mount.frames().unwrap().contains("Stack"));
    assert!(mount.statedump().unwrap().contains("[active graph - "));
    assert!(mount.log().contains("switched to graph"));
    assert!(mount.alive());

    let pid = mount.pid();
    mount.kill9().unwrap();
    assert!(!lab.processes().contains(&pid));
    let again = volume
        .mount(&MountOptions::default().log_level("DEBUG"))
        .unwrap();
    let file = again.path().join("a/b/file");
    let read = again.within(PATIENCE, "read again", move || fs::read(file).unwrap());
    assert_eq!(read, b"bytes");
    let pid = again.pid();
    again.unmount().unwrap();
    assert!(!lab.processes().contains(&pid));
}

#[test]
fn every_layout_stores_and_returns_a_file() {
    let lab = lab();
    let disperse = Layout::Disperse {
        bricks: 3,
        redundancy: 1,
    };
    for layout in [Layout::Distribute(2), Layout::Replica(3), disperse] {
        let started = Instant::now();
        let volume = lab.volume("wide", layout, Backing::Disk).unwrap();
        let mount = volume.mount(&MountOptions::default()).unwrap();
        println!("{layout:?}: {:?}", started.elapsed());
        let file = mount.path().join("file");
        let read = mount.within(PATIENCE, "write and read", move || {
            fs::write(&file, vec![7; 100_000]).unwrap();
            fs::read(&file).unwrap()
        });
        assert_eq!(read, vec![7; 100_000]);
    }
}

#[test]
fn failed_settings_return_the_error_message() {
    let volume = lab().volume("set", Layout::Single, Backing::Ram).unwrap();
    volume.set("performance.quick-read", "off").unwrap();
    assert!(
        volume
            .info()
            .unwrap()
            .contains("performance.quick-read: off")
    );
    volume.reset("performance.quick-read").unwrap();
    let refusal = volume
        .set("performance.quick-read", "banana")
        .unwrap_err()
        .to_string();
    assert!(refusal.contains("Validation Failed"), "{refusal}");
    assert!(
        refusal.contains("$ gluster --mode=script volume set"),
        "{refusal}"
    );
}

#[test]
fn small_brick_fills_up() {
    let volume = lab()
        .volume("small", Layout::Single, Backing::Sized(16 << 20))
        .unwrap();
    volume.set("storage.reserve", "0").unwrap();
    let mount = volume.mount(&MountOptions::default()).unwrap();
    let file = mount.path().join("file");
    let error = mount.within(PATIENCE, "fill", move || {
        use std::io::Write;
        let mut file = fs::File::create(file).unwrap();
        let block = vec![1; 1 << 20];
        (0..32).find_map(|_| file.write_all(&block).and_then(|()| file.sync_all()).err())
    });
    assert_eq!(error.unwrap().raw_os_error(), Some(28));
}

#[test]
fn killed_bricks_are_restarted() {
    let volume = lab()
        .volume("dead", Layout::Replica(3), Backing::Ram)
        .unwrap();
    let mount = volume.mount(&MountOptions::default()).unwrap();
    let file = mount.path().join("file");
    let to = file.clone();
    mount.within(PATIENCE, "write", move || fs::write(to, b"one").unwrap());
    let killed = volume.brick_pid(0).unwrap();
    volume.kill_brick(0).unwrap();
    assert!(volume.brick_pid(0).is_err());
    assert!(!lab().processes().contains(&killed));
    let read = mount.within(PATIENCE, "read", move || fs::read(file).unwrap());
    assert_eq!(read, b"one");
    volume.start().unwrap();
    volume.await_bricks().unwrap();
    assert_ne!(volume.brick_pid(0).unwrap(), killed);
}

#[test]
fn hang_is_reported_and_ends() {
    let volume = lab().volume("hang", Layout::Single, Backing::Ram).unwrap();
    let mount = volume.mount(&MountOptions::default()).unwrap();
    let file = mount.path().join("file");
    mount.within(PATIENCE, "write", move || fs::write(file, b"one").unwrap());
    // A frozen brick answers nothing.
    volume.freeze_brick(0).unwrap();
    let started = Instant::now();
    let pid = mount.pid();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let file = mount.path().join("other");
        mount.within(Duration::from_secs(2), "hangs", move || {
            fs::write(file, b"two")
        })
    }));
    let text = *panic.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("hangs: no answer within 2s"), "{text}");
    // The report asks a client, a brick and glusterd, each with a deadline.
    assert!(started.elapsed() < PATIENCE);
    assert!(!lab().processes().contains(&pid));
    volume.thaw_brick(0).unwrap();
}

#[test]
fn test_can_act_as_a_server_in_the_lab() {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    let bound = lab()
        .in_network(|| TcpListener::bind("10.99.0.1:0"))
        .unwrap();
    let listener = bound.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Unread request data would turn the end of the connection into a reset.
        let lines = BufReader::new(&stream).lines();
        let request: Vec<String> = lines
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        assert!(request[0].starts_with("GET / "), "{request:?}");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            .unwrap();
    });
    assert_eq!(
        lab().run("curl", ["-s", &url]).unwrap().check().unwrap(),
        "hi"
    );
    server.join().unwrap();
}

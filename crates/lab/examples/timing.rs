// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Measures how long each step of a lab takes.

use std::time::Instant;

use cloudsync_lab::{Backing, Failure, Lab, Layout, MountOptions, Options};

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let answer = work();
    println!("{what:32} {:.2?}", started.elapsed());
    answer
}

fn main() -> Result<(), Failure> {
    let lab = timed("lab", || Lab::start(Options::default()))?;
    let disperse = Layout::Disperse {
        bricks: 3,
        redundancy: 1,
    };
    for layout in [
        Layout::Single,
        Layout::Distribute(2),
        Layout::Replica(3),
        disperse,
    ] {
        println!("{layout:?}");
        let create = || lab.volume("timed", layout, Backing::Ram);
        let volume = timed("  volume: create, start", create)?;
        timed("  set an option", || {
            volume.set("performance.quick-read", "off")
        })?;
        let mount = timed("  mount", || volume.mount(&MountOptions::default()))?;
        timed("  run true in the lab", || lab.run("true", ["x"]))?;
        timed("  kill the client", || mount.kill9())?;
        let mount = timed("  mount again", || volume.mount(&MountOptions::default()))?;
        timed("  unmount", || mount.unmount())?;
        timed("  drop the volume", || drop(volume));
    }
    let server = timed("S3 server", || lab.s3())?;
    let bucket = timed("bucket", || server.bucket("timed"))?;
    timed("put 1 byte", || bucket.put("small", b"1"))?;
    timed("put another", || bucket.put("other", b"1"))?;
    let large = vec![7; 64 << 20];
    timed("put 64 MiB", || bucket.put("large", &large))?;
    timed("get 64 MiB", || bucket.get("large"))?;
    timed("head by the aws CLI", || {
        bucket.aws([
            "s3api",
            "head-object",
            "--bucket",
            bucket.name(),
            "--key",
            "small",
        ])
    })?
    .check()?;
    timed("stop the S3 service", || server.stop_service())?;
    timed("resume it", || server.resume_service())?;
    drop((bucket, server));
    timed("drop the lab", || drop(lab));
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The demo: archives files to a store and recalls them, on a real volume, command by command.
//!
//! `scripts/demo.sh` builds and runs it. The store is a directory, or an S3 server with `--s3`. With `--disk`, the
//! brick and the store's directory are below the temporary directory instead of in memory.
#![forbid(unsafe_code)]

mod stage;

use std::fmt::Display;
use std::process::ExitCode;
use std::thread;

use cloudsync_lab::{Artifacts, Failure, Lab, Options, megabytes_per_second};
use rustix::process::geteuid;

use crate::stage::{S3, Stage, list_marks};

/// Size of each file in bytes.
const SIZE: u32 = 64 << 20;
/// The first file is only for warming up, the second one's commands are shown, and all but the first are measured.
const FILES: [&str; 4] = ["film-0", "film-1", "film-2", "film-3"];
const SHOWN: usize = 1;
/// The share of the volume's write speed that a cold read should reach.
const TARGET: f64 = 0.5;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let given = |name: &str| args.iter().any(|arg| arg == name);
    let (on_s3, on_disk) = (given("--s3"), given("--disk"));
    if args.len() > usize::from(on_s3) + usize::from(on_disk) {
        eprintln!("usage: demo [--s3] [--disk]");
        return ExitCode::from(2);
    }
    match demo(on_s3, on_disk) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nThe demo failed.\n{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Sets up the lab, runs the demo and cleans up.
fn demo(on_s3: bool, on_disk: bool) -> Result<(), Failure> {
    if !geteuid().is_root() {
        return Err(Failure::new("Mounts and namespaces need root."));
    }
    title(if on_s3 {
        "1. A scratch GlusterFS and a real S3 server (Ceph RGW), in private namespaces"
    } else {
        "1. A scratch GlusterFS in private namespaces. Its store will be a directory"
    });
    let plugin = if on_s3 { "amazons3" } else { "directory" };
    let lab = Lab::start(Options {
        artifacts: Some(Artifacts::find(&[plugin])?),
        ..Options::default()
    })?;
    let dir = lab.dir().to_owned();
    let server = if on_s3 { Some(lab.s3()?) } else { None };
    let place = if on_disk {
        dir.join("disk")
    } else {
        lab.scratch("demo")
    };
    // Short paths are easier to read, and they are private to the lab.
    lab.sh(&format!(
        "set -e; mkdir -p {place}/srv {place}/mnt /run/films
        mount --bind {place}/srv /srv; mount --bind {place}/mnt /mnt; mkdir /mnt/demo",
        place = place.display()
    ))?;
    let s3 = server.as_ref().map(|server| S3 {
        url: server.http_url(),
        user: server.owner(),
    });
    let stage = Stage { lab, s3 };
    let brick = if on_disk { "on disk" } else { "in memory" };
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    match &stage.s3 {
        Some(s3) => println!(
            "  S3={}; the brick is {brick}, the objects are in memory; {cpus} CPUs for all",
            s3.url
        ),
        None => println!("  Brick and folder are {brick}; {cpus} CPUs for all"),
    }
    let outcome = run_steps(&stage).map_err(|failure| stage.with_client_log(&failure));
    // Dropping the last handle ends the lab.
    drop((stage, server));
    outcome?;
    if dir.exists() {
        return Err(Failure::new(format!("{} still exists.", dir.display())));
    }
    println!("  Everything that the demo started has ended, and its files are removed.");
    Ok(())
}

fn run_steps(stage: &Stage) -> Result<(), Failure> {
    make_volume(stage)?;
    let written = write(stage)?;
    archive(stage)?;

    title("5. This client ends with its caches; a new one starts with none");
    stage.run("umount /mnt/demo && mount -t glusterfs 10.99.0.1:/demo /mnt/demo")?;

    let read = recall(stage, &written.sums)?;
    conclude(stage, written.speed, read);
    stage.quietly("umount /mnt/demo && gluster --mode=script volume stop demo")?;
    Ok(())
}

fn make_volume(stage: &Stage) -> Result<(), Failure> {
    match &stage.s3 {
        Some(s3) => {
            title("2. A volume whose cold files live on that server");
            stage.run("aws --endpoint-url $S3 s3 mb s3://films")?;
            stage.run("gluster volume create demo 10.99.0.1:/srv/brick force")?;
            stage.run("gluster volume set demo features.cloudsync on")?;
            stage.run(&format!(
                "gluster volume set demo cloudsync-storetype amazons3 \\\n      \
                 features.s3plugin-hostname $S3 features.s3plugin-bucketid films \\\n      \
                 features.s3plugin-keyid {} features.s3plugin-seckey \"$SECRET\"",
                s3.user.key
            ))?;
        }
        None => {
            title(
                "2. A volume whose cold files live in a directory (on real volumes an NFS mount, for example)",
            );
            stage.run("mkdir -p /srv/store/plain")?;
            stage.run("gluster volume create demo 10.99.0.1:/srv/brick force")?;
            stage.run("gluster volume set demo features.cloudsync on")?;
            stage.run(
                "gluster volume set demo cloudsync-storetype directory \\\n      \
                 features.cloudsync-store-id path=/srv/store",
            )?;
        }
    }
    stage.run("gluster volume start demo")?;
    stage.run("mount -t glusterfs 10.99.0.1:/demo /mnt/demo")?;
    Ok(())
}

/// What the write step measured.
struct Written {
    /// Write speed of the volume, in MB/s.
    speed: f64,
    /// Checksum of each file, as sha256sum prints it.
    sums: Vec<String>,
}

fn write(stage: &Stage) -> Result<Written, Failure> {
    title("3. Files of 64 MiB of random bytes are written, as fast as the volume allows");
    let mut seconds = Vec::new();
    let mut sums = Vec::new();
    for (number, file) in FILES.into_iter().enumerate() {
        stage.quietly(&format!("head -c {SIZE} /dev/urandom >/run/films/{file}"))?;
        let dd = format!("dd if=/run/films/{file} of=/mnt/demo/{file} bs=1M conv=fsync");
        let sum = format!("sha256sum /mnt/demo/{file}");
        let (output, sum) = if number == SHOWN {
            (stage.run_for_last_line(&dd)?, stage.run(&sum)?)
        } else {
            (stage.quietly(&dd)?, stage.quietly(&sum)?)
        };
        seconds.push(seconds_in(
            output.rsplit("copied, ").next().unwrap_or_default(),
        )?);
        sums.push(first_word(&sum).to_owned());
        stage.quietly(&format!("rm /run/films/{file}"))?;
    }
    Ok(Written {
        speed: speed("dd wrote", &seconds[SHOWN..]),
        sums,
    })
}

/// Archives every file as the upload script in GlusterFS's guide does.
fn archive(stage: &Stage) -> Result<(), Failure> {
    title("4. All are archived: uploaded with the path as the key, then truncated on the brick");
    for (number, file) in FILES.into_iter().enumerate() {
        let upload = match stage.s3 {
            Some(_) => format!(
                "aws --endpoint-url $S3 s3 cp --only-show-errors /mnt/demo/{file} s3://films/{file}"
            ),
            None => format!("cp /mnt/demo/{file} /srv/store/plain/{file}"),
        };
        let cut = format!(
            "setfattr -n trusted.glusterfs.csou.complete \
             -v $(stat -c %Y /mnt/demo/{file}) /mnt/demo/{file}"
        );
        if number == SHOWN {
            stage.run(&upload)?;
            stage.run(&cut)?;
            stage.run(&format!("ls -ls /srv/brick/{file}"))?;
            stage.run(&list_marks(file))?;
            stage.run(&format!("ls -l /mnt/demo/{file}"))?;
        } else {
            stage.quietly(&upload)?;
            stage.quietly(&cut)?;
        }
        let sizes = stage.quietly(&format!("stat -c %s /srv/brick/{file} /mnt/demo/{file}"))?;
        expect(
            &format!("sizes of {file} on the brick and on the mount"),
            sizes.trim(),
            format!("0\n{SIZE}"),
        )?;
    }
    Ok(())
}

/// Reads every file and returns the speed in MB/s.
fn recall(stage: &Stage, sums: &[String]) -> Result<f64, Failure> {
    title("6. Cold files are read and thereby recalled (film-0 first, to warm up)");
    let mut seconds = Vec::new();
    for (number, (file, sum)) in FILES.into_iter().zip(sums).enumerate() {
        let cat = format!("time cat /mnt/demo/{file} >/run/films/{file}");
        let again = format!("sha256sum /run/films/{file}");
        let (output, got) = if number == SHOWN {
            (stage.run(&cat)?, stage.run(&again)?)
        } else {
            (stage.quietly(&cat)?, stage.quietly(&again)?)
        };
        seconds.push(seconds_in(&output)?);
        expect(&format!("sha256 of {file}"), first_word(&got), sum)?;
        stage.await_commit(file)?;
        if number == SHOWN {
            println!(
                "  The checksum is the same. The brick has the bytes, and the file has no marks any more:"
            );
            stage.run(&format!("ls -ls /srv/brick/{file}"))?;
            stage.run(&list_marks(file))?;
        }
        let sum_below = stage.quietly(&format!("sha256sum /srv/brick/{file}"))?;
        expect(
            &format!("sha256 of the brick's {file}"),
            first_word(&sum_below),
            sum,
        )?;
        stage.quietly(&format!("rm /run/films/{file}"))?;
    }
    Ok(speed("cat read", &seconds[SHOWN..]))
}

fn conclude(stage: &Stage, written: f64, read: f64) {
    title("7. The figure");
    let ratio = read / written;
    println!(
        "  cold read 64 MiB: {read:.0} MB/s, dd writes the volume at {written:.0} MB/s, \
         ratio {ratio:.2}"
    );
    if ratio < TARGET {
        println!("  That is BELOW the target of {TARGET}.");
    }

    title("What happened");
    let (store, copied, from) = match stage.s3 {
        Some(_) => (
            "a store on an S3 server",
            "The AWS CLI copied",
            "the S3 server",
        ),
        None => ("a directory as its store", "cp copied", "the directory"),
    };
    println!(
        "  - Volume options, and nothing else, gave the volume {store}.
  - {copied} the files there; a setfattr for each made GlusterFS remove its bytes.
  - The brick kept stubs: 0 bytes and the object's name. Users still saw 64 MiB.
  - A new client with empty caches read them with cat, like any file.
  - All their bytes were fetched from {from}: the checksums match.
  - They are on the brick again, and the files are ordinary ones."
    );
}

/// Prints a section's title.
fn title(text: &str) {
    println!("\n{text}");
}

/// Prints the measured times and returns the median speed in MB/s.
fn speed(what: &str, seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let speed = megabytes_per_second(SIZE.into(), median);
    let all: Vec<String> = seconds.iter().map(|one| format!("{one:.3} s")).collect();
    println!(
        "  {what} {} in {}: median {speed:.0} MB/s",
        FILES[SHOWN..].join(", "),
        all.join(", ")
    );
    speed
}

/// The number before " s" at the beginning of a line.
fn seconds_in(text: &str) -> Result<f64, Failure> {
    let number = text.split_once(" s").map_or("", |(number, _)| number);
    number
        .parse()
        .map_err(|_| Failure::new(format!("no time in '{text}'")))
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

fn expect<T: PartialEq<U> + Display, U: Display>(
    what: &str,
    found: T,
    wanted: U,
) -> Result<(), Failure> {
    if found == wanted {
        Ok(())
    } else {
        Err(Failure::new(format!("{what}: {found} instead of {wanted}")))
    }
}

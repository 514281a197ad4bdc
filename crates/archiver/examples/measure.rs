// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Compares the speed of `cloudsync archive` with GlusterFS's documented script, `aws s3 sync`, rclone and s3cmd.
//!
//! ```text
//! cargo build --release --workspace
//! cargo run --release -p cloudsync-archiver --example measure -- [SMALL] [BIG] [BIG_MIB] [CRAWL]
//! ```
//!
//! SMALL files of 16 KiB (10000), BIG files of BIG_MIB (20 of 256), a crawl of CRAWL files (200000); 0 skips a
//! measurement. All tools read the same files through a mount of the same volume and write to the same S3 server, one
//! after the other. The others only copy; cloudsync also verifies every object and truncates every file. Two tools are
//! timed on a sample, because they take the same time for each file: the script on 20 files, or 4 large ones, s3cmd on
//! the first folder of 500. The output shows the sample's size. A tool's large objects are deleted before the next one
//! starts, because the store keeps them in memory. A tool that is not installed is reported and skipped. The output
//! also has the processor time per file of each tool and of the servers that it uses, which decides on a machine with
//! few processors.
//!
//! Memory that grows with the number of files would show in two places: cloudsync archives the last folder alone before
//! the rest, and crawls a tenth of CRAWL files before all of them.
//!
//! `MEASURE_ONLY` in the environment selects tools by parts of their names, separated by `|`.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement may end here"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cloudsync_lab::{
    Artifacts, Backing, Bucket, Lab, Layout, Mount, MountOptions, Options, Volume,
    megabytes_per_second,
};

const SMALL: usize = 16 << 10;
/// Sample size for the script.
const SAMPLE: u64 = 20;
/// Sample size for the script with large files.
const LARGE_SAMPLE: u64 = 4;
/// Files per folder.
const FOLDER: u64 = 500;
const PATIENCE: Duration = Duration::from_secs(3600);
/// Clock ticks per second (USER_HZ), which is 100 on all common architectures.
const TICKS: f64 = 100.0;

struct Bench {
    lab: Lab,
    program: PathBuf,
}

/// A volume with files, and a bucket to archive them to.
struct Stage {
    volume: Volume,
    mount: Mount,
    bucket: Bucket,
}

/// The cost of one tool's run.
struct Took {
    name: &'static str,
    seconds: f64,
    files: u64,
    bytes: u64,
    peak_kib: u64,
    /// Seconds of processor time, by program.
    cpu: BTreeMap<String, f64>,
}

/// Values measured from outside during a run.
struct Watched {
    seconds: f64,
    peak_kib: u64,
    cpu: BTreeMap<String, f64>,
}

fn main() {
    let arguments: Vec<u64> = std::env::args()
        .skip(1)
        .map(|text| text.parse().unwrap())
        .collect();
    let argument = |at: usize, default| arguments.get(at).copied().unwrap_or(default);
    let [small, big, mib, crawl] =
        [(0, 10_000), (1, 20), (2, 256), (3, 200_000)].map(|(at, default)| argument(at, default));
    let example = std::env::current_exe().unwrap();
    let folder = example.parent().and_then(Path::parent).unwrap();
    let lab = Lab::start(Options {
        artifacts: Some(Artifacts::find(&["amazons3"]).unwrap()),
        ram: "70%".to_owned(),
        store_bytes: 3 * ((big * mib) << 20) + (4 << 30),
    })
    .unwrap();
    let bench = Bench {
        lab,
        program: folder.join("cloudsync"),
    };
    if small > 0 {
        println!("{small} files of 16 KiB");
        bench.compare(small, SMALL, 64);
    }
    if big > 0 {
        println!("{big} files of {mib} MiB");
        bench.compare(big, usize::try_from(mib).unwrap() << 20, 16);
    }
    if crawl > 0 {
        bench.crawl(crawl);
    }
}

impl Bench {
    fn stage(&self, name: &str, files: u64, size: usize) -> Stage {
        let volume = self.lab.volume(name, Layout::Single, Backing::Ram).unwrap();
        let bucket = self.lab.s3().unwrap().bucket(name).unwrap();
        volume.set_store(&bucket, &[]).unwrap();
        let mount = volume.mount(&MountOptions::default()).unwrap();
        let root = mount.path();
        let mut bytes = vec![0; size];
        let mut random = fastrand::Rng::with_seed(1);
        for n in 0..files {
            let folder = root.join(format!("d{}", n / FOLDER));
            if n % FOLDER == 0 {
                fs::create_dir(&folder).unwrap();
            }
            // Enough to make each file unique.
            random.fill(&mut bytes[..size.min(1 << 20)]);
            fs::write(folder.join(format!("f{n}")), &bytes).unwrap();
        }
        Stage {
            volume,
            mount,
            bucket,
        }
    }

    fn compare(&self, files: u64, size: usize, transfers: u32) {
        let stage = self.stage(&format!("m{}", size >> 10), files, size);
        let root = stage.mount.inside().display().to_string();
        let to = format!("s3://{}", stage.bucket.name());
        let sample = files.min(if size > SMALL { LARGE_SAMPLE } else { SAMPLE });
        let script = format!(
            "cd {root}; n=0; for f in $(find . -type f | head -{sample}); do aws --endpoint-url $URL s3 cp --only-show-errors $f {to}/$f; done"
        );
        let sync = format!("aws --endpoint-url $URL s3 sync --only-show-errors {root} {to}/sync");
        let rclone = format!("rclone copy {root} lab:{}/rclone", stage.bucket.name());
        let tuned = format!("{rclone}-tuned --transfers {transfers} --checkers {transfers}");
        let s3cmd = format!(
            "s3cmd --no-progress -q --no-ssl --host=${{URL#http://}} --host-bucket=${{URL#http://}} \
             --access_key=$AWS_ACCESS_KEY_ID --secret_key=$AWS_SECRET_ACCESS_KEY -c /dev/null put -r {root}/d0/ {to}/s3cmd/"
        );
        let brick = self
            .lab
            .inner(&stage.volume.bricks()[0])
            .display()
            .to_string();
        let program = self.program.display();
        let ours = format!("{program} archive --older-than=0s --no-progress {brick}");
        // The last folder alone, if there are others.
        let last = (files - 1) / FOLDER;
        let alone = if last == 0 { 0 } else { files - last * FOLDER };
        let few = format!("{ours}/d{last} >&2");
        let ours = format!("{ours} >&2");
        let of = |files: u64| (files, files * size as u64);
        let (whole, part) = (of(files), of(sample));
        let mut all = Vec::new();
        let only = std::env::var("MEASURE_ONLY").unwrap_or_default();
        for (name, command, (count, bytes)) in [
            ("the script (aws s3 cp each)", script, part),
            ("aws s3 sync", sync, whole),
            ("rclone copy, defaults", rclone, whole),
            ("rclone copy, as many as we", tuned, whole),
            ("s3cmd put -r", s3cmd, of(files.min(FOLDER))),
            ("cloudsync archive, one folder", few, of(alone)),
            ("cloudsync archive", ours, of(files - alone)),
        ] {
            if count == 0 || !only.split('|').any(|part| name.contains(part)) {
                continue;
            }
            let tool = command
                .split(' ')
                .find(|word| ["aws", "rclone", "s3cmd"].contains(word));
            if tool.is_some_and(|tool| !self.lab.run("which", [tool]).unwrap().success()) {
                println!("  {name}: not installed");
                continue;
            }
            if let Some(watched) = self.time(name, &command) {
                let took = Took {
                    name,
                    seconds: watched.seconds,
                    files: count,
                    bytes,
                    peak_kib: watched.peak_kib,
                    cpu: watched.cpu,
                };
                println!("  {took}");
                println!("    {}", took.cpu());
                all.push(took);
            }
            if size > SMALL && !name.starts_with("cloudsync") {
                for key in stage.bucket.list("").unwrap() {
                    stage.bucket.delete(&key).unwrap();
                }
                self.lab.s3().unwrap().collect_garbage().unwrap();
            }
        }
        let Some(ours) = all.last().filter(|took| took.name == "cloudsync archive") else {
            return;
        };
        for other in all
            .iter()
            .filter(|took| !took.name.starts_with("cloudsync"))
        {
            println!(
                "  cloudsync : {} = {:.2} in files/s",
                other.name,
                ours.files_per_second() / other.files_per_second()
            );
        }
    }

    fn time(&self, name: &str, command: &str) -> Option<Watched> {
        let s3 = self.lab.s3().unwrap();
        let owner = s3.owner();
        let mut shell = self.lab.command("bash");
        shell
            .args(["-c", command])
            .env("URL", s3.http_url())
            .envs(owner.environment())
            .env("RCLONE_CONFIG_LAB_TYPE", "s3")
            .env("RCLONE_CONFIG_LAB_PROVIDER", "Ceph")
            .env("RCLONE_CONFIG_LAB_ENV_AUTH", "true")
            .env("RCLONE_CONFIG_LAB_ENDPOINT", s3.http_url());
        let before = self.processor();
        let mut after = before.clone();
        let begun = Instant::now();
        let mut child = shell.spawn().unwrap();
        let mut peak = 0;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            peak = peak.max(self.memory());
            // A process that has ended counts with its last value.
            after.extend(self.processor());
            assert!(begun.elapsed() < PATIENCE, "{name} takes too long");
            std::thread::sleep(Duration::from_millis(20));
        };
        if !status.success() {
            println!("  {name}: FAILED with {status}");
            return None;
        }
        let seconds = begun.elapsed().as_secs_f64();
        after.extend(self.processor());
        let mut cpu = BTreeMap::new();
        for (process, ticks) in &after {
            let took = ticks - before.get(process).unwrap_or(&0);
            *cpu.entry(process.1.clone()).or_default() += took as f64 / TICKS;
        }
        Some(Watched {
            seconds,
            peak_kib: peak,
            cpu,
        })
    }

    /// Ticks of processor time that each process of the lab has used so far.
    fn processor(&self) -> BTreeMap<(u32, String), u64> {
        let of = |pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name may contain any character.
            let (front, back) = stat.rsplit_once(')')?;
            let name = front.split_once('(')?.1.to_owned();
            let mut fields = back.split_whitespace().skip(11);
            let mut field = || fields.next()?.parse::<u64>().ok();
            Some(((pid, name), field()? + field()?))
        };
        self.lab.processes().into_iter().filter_map(of).collect()
    }

    /// The largest peak memory so far of the tools that are running, in KiB.
    fn memory(&self) -> u64 {
        let of = |pid: u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            let tools = ["aws", "rclone", "s3cmd", "cloudsync", "python3"];
            if !tools.contains(&name.trim()) {
                return None;
            }
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        self.lab
            .processes()
            .into_iter()
            .filter_map(of)
            .max()
            .unwrap_or(0)
    }

    /// A brick with that many files, none of which is selected: only the crawl is measured.
    fn crawl(&self, files: u64) {
        let stage = self.stage("crawl", 1, 1);
        self.crawl_until(&stage, 0..files / 10);
        self.crawl_until(&stage, files / 10..files);
    }

    /// Adds files and crawls all.
    fn crawl_until(&self, stage: &Stage, more: std::ops::Range<u64>) {
        let brick = &stage.volume.bricks()[0];
        let files = more.end;
        for n in more {
            let folder = brick.join(format!("c{}", n / 1000));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("a-file-with-a-name-{n}")), b"x").unwrap();
        }
        let inside = self.lab.inner(brick).display().to_string();
        let program = self.program.display();
        let summary = format!("{program} status --summary --no-progress {inside} >&2");
        let Watched {
            seconds, peak_kib, ..
        } = self.time("crawl", &summary).unwrap();
        println!(
            "crawl of {files} files: {seconds:.2} s, {:.0} files/s, peak {peak_kib} KiB",
            files as f64 / seconds
        );
        // With every file selected, all of them are sorted.
        let dry = format!("{program} archive -n --older-than=0s --no-progress {inside} >/dev/null");
        let Watched {
            seconds, peak_kib, ..
        } = self.time("dry run", &dry).unwrap();
        println!("dry run over {files} files, oldest first: {seconds:.2} s, peak {peak_kib} KiB");
    }
}

impl Took {
    fn files_per_second(&self) -> f64 {
        self.files as f64 / self.seconds
    }

    /// Milliseconds of processor time per file, the largest first.
    fn cpu(&self) -> String {
        let each = |seconds: f64| seconds * 1e3 / self.files as f64;
        let mut all: Vec<_> = self.cpu.iter().collect();
        all.sort_by(|a, b| b.1.total_cmp(a.1));
        let parts = all.iter().map(|(name, seconds)| (name, each(**seconds)));
        let parts = parts.filter(|(_, each)| *each >= 0.05);
        let parts: Vec<_> = parts
            .map(|(name, each)| format!("{name} {each:.2}"))
            .collect();
        let sum = each(self.cpu.values().sum());
        format!("{sum:.2} ms of processor a file: {}", parts.join(", "))
    }
}

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} files in {:.2} s, {:.1} files/s, {:.1} MB/s, peak {} KiB",
            self.name,
            self.files,
            self.seconds,
            self.files_per_second(),
            megabytes_per_second(self.bytes, self.seconds),
            self.peak_kib
        )
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 9: objects that are compressed, encrypted, or both, near and 40 ms away, compared with the same file's object as it
//! is, in the same run. The file is text that zstd makes two fifths of.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use cloudsync_lab::far::Far;
use cloudsync_lab::{Mount, megabytes_per_second};

use crate::Answer;
use crate::client::memory;
use crate::far::{DISTANCE, REMOTE_READ};
use crate::figures::{Pair, Row, Target, median};
use crate::recall::seconds_of_recall;
use crate::settings::{KIB, MIB, Settings, named};
use crate::stage::{Stage, key, make_cold, read_at, timed};

const RANGE: u64 = 128 * KIB;
const FOLDER: &str = "encoded";
const STORE_ID: &str = "features.cloudsync-store-id";
const COMPRESS: &str = "compress=zstd";

pub(crate) fn measure(stage: &mut Stage, settings: &Settings) -> Answer<Vec<Row>> {
    let keys = keys(stage)?;
    let kinds = [
        ("zstd", COMPRESS.to_owned()),
        ("age", keys.clone()),
        ("zstd and age", format!("{COMPRESS},{keys}")),
    ];
    let near = stage.lab.s3()?.http_url();
    let far = Far::new(&stage.lab, stage.lab.s3()?.http_port(), DISTANCE)?;
    let mut rows = Vec::new();
    for (place, url) in [
        ("near", near.clone()),
        ("40 ms away", format!("http://{}", far.address())),
    ] {
        stage.use_store_at(url)?;
        let mut compared: Vec<_> = kinds.iter().map(|_| Vec::new()).collect();
        for _ in 0..settings.runs {
            let plain = Figures::of(stage, settings, "")?;
            for ((_, kind), compared) in kinds.iter().zip(&mut compared) {
                compared.push((Figures::of(stage, settings, kind)?, plain));
            }
        }
        for ((name, _), compared) in kinds.iter().zip(&compared) {
            rows.extend(rows_of(
                &format!("{name}, {place}"),
                settings.encoded,
                compared,
            ));
        }
    }
    stage.use_store_at(near)?;
    Ok(rows)
}

/// A new pair of keys, as settings.
fn keys(stage: &Stage) -> Answer<String> {
    let folder = stage.lab.scratch("keys");
    fs::create_dir_all(stage.lab.outer(&folder))?;
    let (folder, identity) = (folder.display(), folder.join("identity"));
    let identity = identity.to_str().ok_or("a path that is no text")?;
    stage.run("age-keygen", &["-o", identity])?;
    let recipient = stage.run("age-keygen", &["-y", identity])?.text();
    fs::write(stage.lab.outer(format!("{folder}/recipients")), recipient)?;
    Ok(format!(
        "encrypt=age:{folder}/recipients,identity=file:{identity}"
    ))
}

/// What was measured with objects of one kind.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// MB/s.
    archived: f64,
    /// MB/s.
    recalled: f64,
    /// Growth of the client in MiB meanwhile.
    memory: f64,
    /// Milliseconds.
    first: f64,
    /// Milliseconds, the median of the next ones.
    random: f64,
}

impl Figures {
    fn of(stage: &Stage, settings: &Settings, kind: &str) -> Answer<Self> {
        let size = settings.encoded;
        let trust = format!("ca={},{kind}", stage.lab.s3()?.ca_pem().display());
        stage.volume.set(STORE_ID, &trust)?;
        let maker = stage.mount()?;
        let name = format!("{FOLDER}/file");
        let path = maker.path().join(&name);
        fs::create_dir_all(maker.path().join(FOLDER))?;
        write_text(&path, size)?;
        let archived = timed(|| stage.archive(FOLDER))?;
        let key = key(&path)?;
        let client = stage.mount()?;
        let before = memory(client.pid(), "VmRSS")?;
        let recalled = seconds_of_recall(stage, &client, &name)?;
        let grown = memory(client.pid(), "VmHWM")?.saturating_sub(before);
        make_cold(&path, &key)?;
        stage.volume.set(REMOTE_READ, "on")?;
        let client = stage.mount()?;
        let first = remote_read(&client, &name, size / 2)?;
        let reads = (0..settings.random_reads as u64)
            .map(|number| remote_read(&client, &name, number * 7919 * RANGE % (size - RANGE)));
        let random = median(reads.collect::<Answer<Vec<_>>>()?.into_iter());
        stage.volume.set(REMOTE_READ, "off")?;
        stage.await_idle(&client)?;
        fs::remove_file(&path)?;
        // The store's memory has room for the objects of the other rows.
        stage.bucket.delete(&key)?;
        Ok(Self {
            archived: megabytes_per_second(size, archived),
            recalled: megabytes_per_second(size, recalled),
            memory: (grown as f64 / MIB as f64).max(1.0),
            first,
            random,
        })
    }
}

fn remote_read(client: &Mount, name: &str, at: u64) -> Answer<f64> {
    Ok(read_at(&client.path().join(name), at, RANGE)? * 1e3)
}

fn rows_of(name: &str, size: u64, compared: &[(Figures, Figures)]) -> [Row; 5] {
    let row = |what: &str, unit, figure: fn(&Figures) -> f64| Row {
        number: 9,
        name: format!("{what}, {name}"),
        unit,
        limit: "the same, as it is".to_owned(),
        target: Target::None,
        pairs: compared
            .iter()
            .map(|(ours, plain)| Pair {
                ours: figure(ours),
                limit: figure(plain),
            })
            .collect(),
        note: String::new(),
    };
    let named = named(size);
    [
        row(&format!("archive {named} of text"), "MB/s", |one| {
            one.archived
        }),
        row(&format!("recall of {named} of text"), "MB/s", |one| {
            one.recalled
        }),
        row("growth of the client meanwhile", "MiB", |one| one.memory),
        row("first remote read of 128 KiB", "ms", |one| one.first),
        row("remote read of 128 KiB, random, p50", "ms", |one| {
            one.random
        }),
    ]
}

/// Writes text of hexadecimal numbers, in which all blocks differ.
fn write_text(path: &Path, size: u64) -> Answer<()> {
    let mut noise = vec![0; (MIB / 3 + 1) as usize];
    let mut random = File::open("/dev/urandom")?;
    let mut file = File::create(path)?;
    let mut block = Vec::new();
    for _ in 0..size / MIB {
        random.read_exact(&mut noise)?;
        block.clear();
        for byte in &noise {
            write!(block, "{byte:02x} ")?;
        }
        file.write_all(&block[..MIB as usize])?;
    }
    Ok(())
}

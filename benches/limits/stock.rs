// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Row 7: the same recall through the translator that GlusterFS ships, with a plugin in C that copies a file
//! (tests/plugin-c/stock.c): how many times faster ours is, with that plugin and with our directory plugin.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cloudsync_lab::marks::has;
use cloudsync_lab::{
    Artifacts, Backing, Lab, Layout, MountOptions, Options, Volume, megabytes_per_second,
};

use crate::Answer;
use crate::figures::{Pair, Row, Target};
use crate::settings::{Settings, named};
use crate::stage::{PATIENCE, write_source};

/// A volume whose cold files are in a directory.
struct DirectoryVolume {
    volume: Volume,
    /// Two of our volumes share one.
    _lab: Arc<Lab>,
}

pub(crate) fn measure(settings: &Settings) -> Answer<Vec<Row>> {
    let size = settings.beside_stock;
    let built = built()?;
    let distribution = Lab::start(Options::default())?;
    fs::copy(&built, distribution.outer(stock_plugin()?))?;
    let stock = DirectoryVolume::new(&Arc::new(distribution), "cloudsyncs3", size)?;
    let mut artifacts = Artifacts::find(&["directory"])?;
    artifacts.plugins.push(built.clone());
    let ours = Arc::new(Lab::start(Options {
        artifacts: Some(artifacts),
        ..Options::default()
    })?);
    let same = DirectoryVolume::new(&ours, "stock", size)?;
    let own = DirectoryVolume::new(&ours, "directory", size)?;
    fs::remove_dir_all(built.parent().unwrap_or(&built))?;
    let mut pairs = [Vec::new(), Vec::new()];
    for _ in 0..settings.runs {
        let limit = stock.speed(size)?;
        for (pairs, shelf) in pairs.iter_mut().zip([&same, &own]) {
            let ours = shelf.speed(size)?;
            pairs.push(Pair { ours, limit });
        }
    }
    let both = pairs[0].iter().zip(&pairs[1]);
    let beside_own = both.map(|(same, own)| Pair {
        ours: same.ours,
        limit: own.ours,
    });
    let beside_own = beside_own.collect();
    let names = ["the same plugin in C", "our plugin for folders"];
    let rows = pairs.into_iter().zip(names).map(|(pairs, plugin)| Row {
        number: 7,
        name: format!("recall of {} from a folder, {plugin}", named(size)),
        unit: "MB/s",
        limit: "stock translator, plugin in C".to_owned(),
        target: Target::None,
        pairs,
        note: String::new(),
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.push(Row {
        limit: "our plugin for folders".to_owned(),
        target: Target::AtLeast(0.8),
        pairs: beside_own,
        ..rows[0].clone()
    });
    Ok(rows)
}

/// Builds the plugin in C in the temporary directory.
fn built() -> Answer<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = std::env::temp_dir().join(format!("cloudsync-bench-{}", std::process::id()));
    let library = library.join("libstock.so");
    fs::create_dir_all(library.parent().unwrap_or(&library))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-std=gnu11", "-fPIC", "-shared"]);
    compiler
        .args(gluster_build::flags())
        .arg("-I")
        .arg(sources.join("include"));
    compiler
        .arg("-o")
        .arg(&library)
        .arg(sources.join("tests/plugin-c/stock.c"));
    if compiler.arg("-lglusterfs").status()?.success() {
        Ok(library)
    } else {
        Err("tests/plugin-c/stock.c does not compile".into())
    }
}

/// Where the stock translator loads its plugin from.
fn stock_plugin() -> Answer<PathBuf> {
    let output = Command::new("glusterfs")
        .arg("--print-xlatordir")
        .output()?;
    let xlators = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let tree = xlators.parent().ok_or("GlusterFS has no folder")?;
    Ok(tree.join("cloudsync-plugins/cloudsyncs3.so"))
}

impl DirectoryVolume {
    /// A volume of that lab with that store, and a file.
    fn new(lab: &Arc<Lab>, store: &str, size: u64) -> Answer<Self> {
        let volume = lab.volume(store, Layout::Single, Backing::Ram)?;
        let folder = lab.scratch(&format!("shelf-{store}"));
        let here = folder.display().to_string();
        // The stock plugin uses the file's path, our store the same below `plain`.
        for place in [
            lab.outer(folder.join("file")),
            lab.outer(folder.join("plain/file")),
        ] {
            fs::create_dir_all(place.parent().ok_or("no folder")?)?;
            write_source(&place, size)?;
        }
        volume.set_all(&[
            ("features.cloudsync", "on"),
            ("features.cloudsync-storetype", store),
            ("features.cloudsync-store-id", &format!("path={here}")),
            ("features.s3plugin-bucketid", &here),
            // With quick-read, the stock translator's client crashes.
            ("performance.quick-read", "off"),
        ])?;
        let mount = volume.mount(&MountOptions::default())?;
        let source = lab.outer(folder.join("plain/file"));
        fs::copy(source, mount.path().join("file"))?;
        drop(mount);
        Ok(Self {
            volume,
            _lab: Arc::clone(lab),
        })
    }

    /// Speed of a recall in MB/s.
    fn speed(&self, size: u64) -> Answer<f64> {
        let maker = self.volume.mount(&MountOptions::default())?;
        let path = maker.path().join("file");
        let brick = self.volume.bricks()[0].join("file");
        let is_cold = || has(&brick, "remote");
        let mtime = fs::metadata(&path)?.mtime().to_string();
        xattr::set(&path, "trusted.glusterfs.csou.complete", mtime.as_bytes())?;
        if !is_cold() {
            return Err("the file is not cold".into());
        }
        drop(maker);
        let reader = self.volume.mount(&MountOptions::default())?;
        let path = reader.path().join("file");
        let started = Instant::now();
        // Reads a byte on a separate thread: a client that hangs must not block this one.
        reader.within(PATIENCE, "read a byte", move || {
            File::open(path)?.read_exact(&mut [0])
        })?;
        while is_cold() {
            if started.elapsed() > PATIENCE {
                return Err(format!("the file is not recalled\n{}", reader.report()).into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        let seconds = started.elapsed().as_secs_f64();
        if fs::metadata(&brick)?.len() == size {
            Ok(megabytes_per_second(size, seconds))
        } else {
            Err("the recalled file has a different size".into())
        }
    }
}

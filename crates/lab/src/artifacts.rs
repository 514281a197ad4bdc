// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Our builds: where cargo puts them and where GlusterFS loads them from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::run::{self, Failure};

/// The translator and the plugins to install in a lab.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// Becomes `xlator/features/cloudsync.so`.
    pub translator: PathBuf,
    /// Each becomes `cloudsync-plugins/<its file name>`.
    pub plugins: Vec<PathBuf>,
}

impl Artifacts {
    /// `libcloudsync.so` and `lib<name>.so` for every name, from the directory in CLOUDSYNC_ARTIFACTS, or from the
    /// running program's cargo profile if that is not set. If a library is both there and in `deps`, the newer one is
    /// taken: `cargo test` updates only the one in `deps`, and only for packages that the tests depend on.
    ///
    /// # Errors
    /// When one is missing: building them (`cargo build --workspace`) is up to the caller.
    pub fn find(plugins: &[&str]) -> Result<Self, Failure> {
        let dir = match std::env::var_os("CLOUDSYNC_ARTIFACTS") {
            Some(dir) => PathBuf::from(dir),
            None => profile_dir()?,
        };
        Self::built_in(&dir, plugins)
    }

    /// The same from that directory.
    ///
    /// # Errors
    /// When one is missing.
    pub fn built_in(dir: &Path, plugins: &[&str]) -> Result<Self, Failure> {
        let library = |name: &str| {
            let file = format!("lib{name}.so");
            let places = [dir.join(&file), dir.join("deps").join(&file)];
            let made = |path: &PathBuf| fs::metadata(path).and_then(|file| file.modified()).ok();
            let newest = places
                .into_iter()
                .filter(|path| path.is_file())
                .max_by_key(made);
            newest.ok_or_else(|| {
                let dir = dir.display();
                Failure::new(format!("{dir} has no {file}: cargo build --workspace"))
            })
        };
        let translator = library("cloudsync")?;
        let plugins = plugins
            .iter()
            .map(|name| library(name))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            translator,
            plugins,
        })
    }
}

/// `target/debug` for `target/debug/deps/test-0123`.
fn profile_dir() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe().map_err(|e| Failure::new(e.to_string()))?;
    let dir = program.parent().unwrap_or(Path::new("/"));
    let above = |dir: &Path| dir.parent().map(Path::to_owned);
    let in_deps = dir
        .file_name()
        .is_some_and(|name| name == "deps" || name == "examples");
    Ok(if in_deps {
        above(dir).unwrap_or_default()
    } else {
        dir.to_owned()
    })
}

/// The directory of the installed GlusterFS that holds `xlator` and `cloudsync-plugins`.
pub(crate) fn installed_tree() -> Result<PathBuf, Failure> {
    let mut command = Command::new("glusterfs");
    command.arg("--print-xlatordir");
    let what = run::line(&command);
    let outcome = run::run(
        &mut command,
        what,
        &std::env::temp_dir(),
        Duration::from_secs(120),
    )?;
    let output = outcome.check()?;
    let tree = Path::new(output.trim())
        .parent()
        .filter(|tree| tree.is_dir());
    tree.map(Path::to_owned)
        .ok_or_else(|| Failure::new(format!("no directory: {output}")))
}

/// Copies the artifacts into `tree`.
pub(crate) fn install(tree: &Path, ours: &Artifacts) -> Result<(), Failure> {
    place(&ours.translator, &tree.join("xlator/features/cloudsync.so"))?;
    for plugin in &ours.plugins {
        let name = plugin.file_name().unwrap_or_default();
        place(plugin, &tree.join("cloudsync-plugins").join(name))?;
    }
    Ok(())
}

/// Copies and renames, because writing into a mapped library would crash its processes.
fn place(from: &Path, to: &Path) -> Result<(), Failure> {
    let fresh = to.with_extension("new");
    let dir = to.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir).map_err(|e| Failure::at(dir, &e))?;
    fs::copy(from, &fresh).map_err(|e| Failure::at(from, &e))?;
    fs::rename(&fresh, to).map_err(|e| Failure::at(to, &e))
}

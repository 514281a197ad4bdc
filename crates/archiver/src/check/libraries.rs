// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whether this node's GlusterFS loads our translator and plugins, and which versions.
//!
//! GlusterFS ships a translator of the same name, and its folder carries GlusterFS's version: after an upgrade of
//! GlusterFS the distribution's own is loaded, silently, until cloudsync is installed for the new version.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use cloudsync_format::build::Build;
use serde::Serialize;

use crate::child;
use crate::exit::Error;
use crate::report::Screen;

/// A library, and what is wrong with it. The field names are the keys of the JSON output.
#[derive(Debug, Serialize)]
struct Library {
    event: &'static str,
    path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The major version of GlusterFS that it was built for.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let (Some(version), Some(host)) = (&self.version, &self.host) {
            write!(f, ": {version} for GlusterFS {host}")?;
        }
        match &self.why {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

/// Checks the libraries of the GlusterFS whose folder of translators is given, or of the installed one. Returns whether all
/// are right.
pub(super) fn check(xlatordir: Option<&Path>, screen: &Screen) -> Result<bool, Error> {
    let folder = match xlatordir {
        Some(folder) => folder.to_owned(),
        None => installed()?,
    };
    let libraries = libraries(&folder);
    for library in &libraries {
        match &library.why {
            _ if screen.wants_json() => screen.json(library),
            Some(_) => eprintln!("cloudsync: {library}"),
            None => screen.print(&library.to_string()),
        }
    }
    Ok(libraries.iter().all(|library| library.why.is_none()))
}

/// Where the installed GlusterFS looks for its translators.
fn installed() -> Result<PathBuf, Error> {
    let asked = child::command("glusterfs")
        .arg("--print-xlatordir")
        .output();
    let asked = asked.map_err(|error| Error::start("glusterfs", error))?;
    let folder = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    if !asked.status.success() || folder.is_empty() {
        return Err(Error::start(
            "glusterfs --print-xlatordir",
            String::from_utf8_lossy(&asked.stderr).trim(),
        ));
    }
    Ok(PathBuf::from(folder))
}

/// The translator and the plugins of one GlusterFS, whose folder of translators is given.
fn libraries(xlatordir: &Path) -> Vec<Library> {
    // .../glusterfs/VERSION/xlator
    let home = xlatordir.parent().unwrap_or(xlatordir);
    let host = home
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let host = host.unwrap_or_default();
    let mut all = vec![translator(&xlatordir.join("features/cloudsync.so"), &host)];
    let plugins = fs::read_dir(home.join("cloudsync-plugins"));
    let mut plugins: Vec<_> = plugins
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "so"))
        .collect();
    plugins.sort();
    all.extend(plugins.into_iter().filter_map(|path| plugin(path, &host)));
    all
}

fn translator(path: &Path, host: &str) -> Library {
    let (build, why) = match fs::read(path) {
        Err(error) => (None, Some(error.to_string())),
        Ok(bytes) => {
            let build = Build::find(&bytes);
            let why = match &build {
                None => Some(format!(
                    "not cloudsync's, but probably GlusterFS {host}'s own, which shows cold files as empty or fails to \
                     read them: install cloudsync for GlusterFS {host} (glusterfs-cloudsync), restart glusterd, and \
                     mount again"
                )),
                Some(build) => problem(build, host),
            };
            (build, why)
        }
    };
    library(path.to_owned(), build, why)
}

/// `None` for a plugin that is not one of ours: others need not carry a version.
fn plugin(path: PathBuf, host: &str) -> Option<Library> {
    let build = Build::find(&fs::read(&path).ok()?)?;
    let why = problem(&build, host);
    Some(library(path, Some(build), why))
}

/// What is wrong with a library of ours in the folder of a GlusterFS of version `host`.
fn problem(build: &Build, host: &str) -> Option<String> {
    let major = host.split('.').next().unwrap_or_default();
    if build.host != major {
        return Some(format!(
            "built for another version than GlusterFS {host}, which refuses it: install cloudsync for GlusterFS {host}"
        ));
    }
    let ours = env!("CARGO_PKG_VERSION");
    (build.version != ours).then(|| {
        format!("this program is {ours}: install the same version of the translator, the plugins and the program")
    })
}

fn library(path: PathBuf, build: Option<Build>, why: Option<String>) -> Library {
    let (version, host) = build.map(|build| (build.version, build.host)).unzip();
    Library {
        event: if why.is_some() { "failed" } else { "installed" },
        path,
        version,
        host,
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(kind: &str, version: &str, host: &str) -> String {
        format!("\x7fELF@(#)cloudsync {kind} {version} for GlusterFS {host}\nmore")
    }

    #[test]
    fn a_foreign_translator_and_other_versions_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let xlatordir = folder.path().join("glusterfs/11.1/xlator");
        let plugins = folder.path().join("glusterfs/11.1/cloudsync-plugins");
        fs::create_dir_all(xlatordir.join("features")).unwrap();
        fs::create_dir_all(&plugins).unwrap();
        let whys = || -> Vec<String> {
            let all = libraries(&xlatordir).into_iter();
            all.map(|library| library.why.unwrap_or_default()).collect()
        };
        assert!(whys()[0].contains("No such file"), "{:?}", whys());

        let translator = xlatordir.join("features/cloudsync.so");
        fs::write(&translator, "\x7fELF of the distribution").unwrap();
        assert!(whys()[0].contains("GlusterFS 11.1's own"), "{:?}", whys());

        let ours = env!("CARGO_PKG_VERSION");
        fs::write(&translator, build("translator", ours, "10")).unwrap();
        assert!(
            whys()[0].contains("another version than GlusterFS 11.1"),
            "{:?}",
            whys()
        );

        fs::write(&translator, build("translator", ours, "11")).unwrap();
        fs::write(plugins.join("cloudsynccvlt.so"), "\x7fELF of somebody else").unwrap();
        fs::write(plugins.join("liba.so"), build("plugin", ours, "11")).unwrap();
        fs::write(plugins.join("libb.so"), build("plugin", "0.0.1", "11")).unwrap();
        let whys = whys();
        assert_eq!((whys.len(), &*whys[0], &*whys[1]), (3, "", ""), "{whys:?}");
        assert!(whys[2].contains("install the same version"), "{whys:?}");
    }
}

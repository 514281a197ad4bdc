// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! GlusterFS of another release of the system in the same lab: its programs run in that release's root, and share the
//! lab's network, bricks and mounts. So servers and clients of two versions can work on one volume.

use std::ffi::OsStr;
use std::path::Path;

use crate::artifacts::{self, Artifacts};
use crate::lab::Lab;
use crate::mount::MountOptions;
use crate::run::Failure;

const SCRIPT: &str = include_str!("release.sh");

/// Another release's GlusterFS with our builds for it. It ends with the lab.
#[derive(Debug)]
pub struct Release {
    version: String,
    /// What runs a program of it.
    under: Vec<String>,
}

impl Lab {
    /// Adds GlusterFS of the release whose root directory is `root`, with our builds for it.
    ///
    /// # Errors
    /// With their output, when the root cannot be used or a file cannot be copied. Also if the lab has another release
    /// already.
    pub fn release(&self, root: &Path, ours: &Artifacts) -> Result<Release, Failure> {
        let space = &self.space;
        let at = space.dir().join("release");
        let words = ["-c", SCRIPT, "release"].map(OsStr::new);
        let places = [&at, root, space.dir()].map(AsRef::as_ref);
        space
            .run("bash", words.into_iter().chain(places))?
            .check()?;
        artifacts::install(&space.outer(&space.ram("release")), ours)?;
        let under = vec!["chroot".to_owned(), at.display().to_string()];
        let version = space.run(&under[0], [&under[1], "glusterfs", "--version"])?;
        let version = version.check()?;
        // glusterfs 11.1
        let version = version.split_whitespace().nth(1).unwrap_or_default();
        Ok(Release {
            version: version.to_owned(),
            under,
        })
    }

    /// Restarts glusterd as [`Lab::restart_glusterd`] does, with the other release's. From then on, bricks that are
    /// started are of that release.
    ///
    /// # Errors
    /// When the old one does not end or the new one does not answer.
    pub fn restart_glusterd_of(&self, release: &Release) -> Result<(), Failure> {
        self.replace_glusterd(&release.under)
    }
}

impl Release {
    /// Its version of GlusterFS.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Mounts volumes with its client.
    #[must_use]
    pub fn mount_options(&self) -> MountOptions {
        MountOptions {
            under: self.under.clone(),
            ..MountOptions::default()
        }
    }

    /// The words that run a program of it.
    pub(crate) fn under(&self) -> &[String] {
        &self.under
    }
}

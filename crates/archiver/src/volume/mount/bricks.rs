// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whether a mount sees all bricks, now and during some work: files on a brick that is away cannot be seen, but exist.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::Mount;
use crate::exit::Error;

/// Of the translator's state: how often a brick's connection was lost.
const DISCONNECTS: &str = "brick-disconnects";

/// The translators of a graph that know of bricks, as folders of the host's `.meta`.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Its name: another graph has others.
    name: PathBuf,
    clients: Vec<PathBuf>,
    /// Ours; none on a volume without the feature.
    cloudsync: Vec<PathBuf>,
}

/// The connections to the bricks.
#[derive(Debug, PartialEq, Eq)]
struct Bricks {
    lost: usize,
    disconnects: Vec<String>,
}

impl Graph {
    fn read(active: &Path, name: PathBuf) -> io::Result<Self> {
        let mut graph = Self {
            name,
            ..Self::default()
        };
        for entry in fs::read_dir(active)? {
            let path = entry?.path();
            let kind = fs::read_to_string(path.join("type")).unwrap_or_default();
            match kind.trim().trim_matches('"') {
                "protocol/client" => graph.clients.push(path),
                "features/cloudsync" => graph.cloudsync.push(path),
                _ => {}
            }
        }
        Ok(graph)
    }
}

impl Mount {
    fn bricks(&self) -> Result<Bricks, Error> {
        let active = self.point.join(".meta/graphs/active");
        let failed = |error: io::Error| Error::start(active.display(), error);
        let name = fs::read_link(&active).map_err(failed)?;
        let mut graph = self.graph.lock().unwrap_or_else(PoisonError::into_inner);
        if graph.name != name {
            *graph = Graph::read(&active, name).map_err(failed)?;
        }
        let state = |path: &PathBuf| fs::read_to_string(path.join("private")).map_err(failed);
        let mut bricks = Bricks {
            lost: 0,
            disconnects: Vec::new(),
        };
        for client in &graph.clients {
            bricks.lost += usize::from(!state(client)?.contains("connected = 1"));
        }
        for translator in &graph.cloudsync {
            let state = state(translator)?;
            let line = state.lines().find(|line| line.starts_with(DISCONNECTS));
            bricks.disconnects.extend(line.map(str::to_owned));
        }
        Ok(bricks)
    }

    /// The number of bricks that this mount has no connection to.
    pub(crate) fn lost_bricks(&self) -> Result<usize, Error> {
        Ok(self.bricks()?.lost)
    }

    /// Does `work`, and returns an error for the user if a brick was away at any time meanwhile.
    pub(crate) fn with_all_bricks<T>(&self, work: impl FnOnce() -> T) -> Result<T, String> {
        let bricks = || self.bricks().map_err(|error| error.to_string());
        let before = bricks()?;
        let done = work();
        let after = bricks()?;
        match before.lost.max(after.lost) {
            0 if before == after => Ok(done),
            0 => Err("a brick was away for a moment, and its files may need the object".to_owned()),
            lost => Err(format!(
                "{lost} bricks cannot be reached, and their files may need the object"
            )),
        }
    }
}

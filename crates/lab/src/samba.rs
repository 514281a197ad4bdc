// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Samba that serves a volume by its GlusterFS module, with all its state in a directory of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::lab::Lab;
use crate::run::{Failure, Outcome};
use crate::server::Server;
use crate::space::{ADDRESS, Space};
use crate::volume::Volume;

/// Its module, as the path of a file of smbd's processes ends.
const MODULE: &str = "/vfs/glusterfs.so";

/// smbd with one share, `share`, for guests, who are root. Dropping it ends it.
#[derive(Debug)]
pub struct Samba {
    server: Server,
    space: Arc<Space>,
    home: PathBuf,
}

impl Samba {
    /// What this machine lacks for it; `None` if it can be started.
    #[must_use]
    pub fn missing(lab: &Lab) -> Option<&'static str> {
        let succeeds = |script: &str| {
            lab.run("bash", ["-c", script])
                .as_ref()
                .is_ok_and(Outcome::success)
        };
        let module = format!("test -e \"$(smbd -b | sed -n 's/^ *MODULESDIR: //p'){MODULE}\"");
        match () {
            () if !succeeds("command -v smbd") => Some("smbd"),
            () if !succeeds(&module) => Some("Samba's module for GlusterFS"),
            () => None,
        }
    }

    /// Starts it and waits until it answers. `settings` are more lines for its configuration's global section.
    ///
    /// # Errors
    /// With its output, when it does not.
    pub fn start(
        lab: &Lab,
        volume: &Volume,
        port: u16,
        settings: &[&str],
    ) -> Result<Self, Failure> {
        let name = volume.name();
        let home = lab.scratch(&format!("samba-{name}"));
        let outer = lab.outer(&home);
        let folders = [
            "private",
            "lock",
            "state",
            "cache",
            "pid",
            "ncalrpc",
            "usershare",
        ];
        for folder in folders {
            let path = outer.join(folder);
            fs::create_dir_all(&path).map_err(|e| Failure::at(&path, &e))?;
        }
        let config = outer.join("smb.conf");
        let text = config_of(&home.display().to_string(), name, port, settings);
        fs::write(&config, text).map_err(|e| Failure::at(&config, &e))?;
        let command = format!(
            "smbd -F --no-process-group --debug-stdout -s {}/smb.conf",
            home.display()
        );
        Ok(Self {
            server: Server::start(lab, &format!("smbd-{name}"), &command, port)?,
            space: Arc::clone(&lab.space),
            home,
        })
    }

    /// Outer pids of its processes that use the volume: one for each connection.
    #[must_use]
    pub fn serving(&self) -> Vec<u32> {
        let uses = |pid: &u32| {
            let maps = fs::read_to_string(format!("/proc/{pid}/maps"));
            maps.is_ok_and(|maps| maps.lines().any(|line| line.ends_with(MODULE)))
        };
        let all = self.space.processes().into_iter().map(|found| found.0);
        all.filter(uses).collect()
    }

    /// Its configuration, as programs in the lab see it.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.home.join("smb.conf")
    }

    /// What its processes have printed: their own log.
    #[must_use]
    pub fn printed(&self) -> String {
        self.server.printed()
    }

    /// The log of its GlusterFS client, for this process.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.space.outer(&self.home.join("client.log"))
    }
}

fn config_of(home: &str, volume: &str, port: u16, settings: &[&str]) -> String {
    format!(
        "[global]
             server role = standalone server
             smb ports = {port}
             interfaces = {ADDRESS}/24
             bind interfaces only = yes
             private dir = {home}/private
             lock directory = {home}/lock
             state directory = {home}/state
             cache directory = {home}/cache
             pid directory = {home}/pid
             ncalrpc dir = {home}/ncalrpc
             usershare max shares = 0
             disable netbios = yes
             load printers = no
             printcap name = /dev/null
             disable spoolss = yes
             map to guest = Bad User
             guest account = root
             {settings}
         [share]
             path = /
             vfs objects = glusterfs
             glusterfs:volume = {volume}
             glusterfs:volfile_server = {ADDRESS}
             glusterfs:logfile = {home}/client.log
             glusterfs:loglevel = 7
             kernel share modes = no
             guest ok = yes
             force user = root
             read only = no\n",
        settings = settings.join("\n             "),
    )
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client whose connections to the bricks pass through this program, which can break them: with a reset, or silently,
//! like a pulled cable. Other clients of the volume are not affected.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use cloudsync_lab::{Mount, MountOptions, Relay};

use crate::scene::{Scene, lab};

/// See the module. It runs until the test program ends.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) relay: Relay,
    ports: Vec<u16>,
    volfile: String,
}

impl Wire {
    /// Relays to every brick of the volume, open at first.
    pub(super) fn new(scene: &Scene) -> Self {
        let relay = Relay::default();
        let name = scene.volume.name();
        let volume = lab().outer(format!("/var/lib/glusterd/vols/{name}"));
        let number = scene.volume.bricks().len();
        let ports = (0..number).map(|number| {
            let info = brick_info(&volume, number);
            let listening = relay.to(lab(), move || port(&info), |_| {});
            listening.unwrap().port()
        });
        let ports = ports.collect();
        let volfile = format!("trusted-{name}.tcp-fuse.vol");
        Self {
            relay,
            ports,
            volfile: fs::read_to_string(volume.join(volfile)).unwrap(),
        }
    }

    /// Mounts a client that uses the relays. `edit` may change its volume file further. It notices silence after two
    /// seconds.
    pub(super) fn mount(&self, scene: &Scene, edit: impl FnOnce(String) -> String) -> Mount {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let mut text = String::new();
        let mut ports = self.ports.iter();
        for line in self.volfile.lines() {
            if line.contains("option ping-timeout") {
                continue;
            }
            text.push_str(line);
            text.push('\n');
            if line.trim() == "type protocol/client" {
                let port = ports.next().unwrap();
                text.push_str(&format!(
                    "    option remote-port {port}\n    option ping-timeout 2\n"
                ));
            }
        }
        assert!(ports.next().is_none(), "fewer clients than bricks");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let inside = lab().scratch(&format!("wire-{number}.vol"));
        fs::write(lab().outer(&inside), edit(text)).unwrap();
        let options = MountOptions::default().volfile(inside);
        scene.volume.mount(&options).unwrap()
    }
}

/// The file in which glusterd records a brick.
fn brick_info(volume: &Path, number: usize) -> PathBuf {
    let ending = format!("-{number}-brick");
    let mut found = fs::read_dir(volume.join("bricks"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    found
        .find(|path| path.to_string_lossy().ends_with(&ending))
        .unwrap()
}

/// The port changes when a brick restarts.
fn port(info: &Path) -> io::Result<u16> {
    let text = fs::read_to_string(info)?;
    let port = text
        .lines()
        .find_map(|line| line.strip_prefix("listen-port="));
    port.and_then(|port| port.parse().ok())
        .ok_or_else(|| ErrorKind::NotFound.into())
}

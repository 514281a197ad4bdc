// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A client whose way to the bricks goes through this program, which can cut it: with a reset, or silently, as a cable
//! that is pulled. Other clients of the volume go their own way.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cloudsync_lab::{ADDRESS, Mount, MountOptions, until};

use crate::scene::{PATIENCE, Scene, lab};

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// They live, and nothing passes.
    Silent,
    /// Those that there are get a reset, and so do new ones.
    Cut,
}

#[derive(Debug)]
struct Shared {
    way: Mutex<Way>,
    /// Connections that were reset, or were silent when something was to pass.
    struck: AtomicUsize,
}

/// See the module. It serves until the test program ends.
#[derive(Debug)]
pub(super) struct Wire {
    shared: Arc<Shared>,
    ports: Vec<u16>,
    volfile: String,
}

/// How often a connection looks whether it is cut.
const TICK: Duration = Duration::from_millis(20);

impl Wire {
    /// Open, to every brick of the volume.
    pub(super) fn new(scene: &Scene) -> Self {
        let shared = Arc::new(Shared {
            way: Mutex::new(Way::Open),
            struck: AtomicUsize::new(0),
        });
        let name = scene.volume.name();
        let volume = lab().outer(format!("/var/lib/glusterd/vols/{name}"));
        let number = scene.volume.bricks().len();
        let ports = (0..number).map(|number| {
            let serving = Arc::clone(&shared);
            let info = brick_info(&volume, number);
            let port = lab().in_network(move || {
                let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
                let port = listener.local_addr().unwrap().port();
                thread::spawn(move || {
                    for client in listener.incoming().flatten() {
                        let (shared, info) = (Arc::clone(&serving), info.clone());
                        thread::spawn(move || shared.serve(client, &info));
                    }
                });
                port
            });
            port.unwrap()
        });
        let ports = ports.collect();
        let volfile = format!("trusted-{name}.tcp-fuse.vol");
        Self {
            shared,
            ports,
            volfile: fs::read_to_string(volume.join(volfile)).unwrap(),
        }
    }

    /// A client at the end of it, whose volume file has been changed further by `edit`. It notices silence after two
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

    /// Resets what there is and lets nothing through.
    pub(super) fn cut(&self) {
        *self.shared.way.lock().unwrap() = Way::Cut;
    }

    /// Lets nothing through and says nothing.
    pub(super) fn silence(&self) {
        *self.shared.way.lock().unwrap() = Way::Silent;
    }

    /// Everything passes again.
    pub(super) fn mend(&self) {
        *self.shared.way.lock().unwrap() = Way::Open;
    }

    /// How many connections were cut or silenced.
    pub(super) fn struck(&self) -> usize {
        self.shared.struck.load(Ordering::Relaxed)
    }
}

/// Where glusterd writes down what it knows of a brick.
fn brick_info(volume: &std::path::Path, number: usize) -> PathBuf {
    let ending = format!("-{number}-brick");
    let mut found = fs::read_dir(volume.join("bricks"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    found
        .find(|path| path.to_string_lossy().ends_with(&ending))
        .unwrap()
}

/// The port changes when a brick is started again.
fn port(info: &PathBuf) -> io::Result<u16> {
    let text = fs::read_to_string(info)?;
    let port = text
        .lines()
        .find_map(|line| line.strip_prefix("listen-port="));
    port.and_then(|port| port.parse().ok())
        .ok_or_else(|| ErrorKind::NotFound.into())
}

fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

impl Shared {
    fn way(&self) -> Way {
        *self.way.lock().unwrap()
    }

    fn serve(self: Arc<Self>, client: TcpStream, info: &PathBuf) -> io::Result<()> {
        if self.way() == Way::Cut {
            reset(&client);
            return Ok(());
        }
        while self.way() == Way::Silent {
            thread::sleep(TICK);
        }
        let server = TcpStream::connect((ADDRESS, port(info)?))?;
        let pairs = [(client.try_clone()?, server.try_clone()?), (server, client)];
        for (from, to) in pairs {
            let shared = Arc::clone(&self);
            thread::spawn(move || shared.copy(from, to));
        }
        Ok(())
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 128 << 10];
        from.set_read_timeout(Some(TICK))?;
        let mut struck = false;
        loop {
            match self.way() {
                Way::Open => {}
                Way::Silent => {
                    if !struck {
                        struck = true;
                        self.struck.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::sleep(TICK);
                    continue;
                }
                Way::Cut => {
                    self.struck.fetch_add(1, Ordering::Relaxed);
                    reset(&from);
                    let _ = from.shutdown(std::net::Shutdown::Both);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                    return Ok(());
                }
            }
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => to.write_all(&buffer[..got])?,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
        Ok(())
    }
}

/// Waits until the client has, or has not, a connection to a brick.
pub(super) fn await_connection(mount: &Mount, scene: &Scene, connected: bool) {
    let file = format!("graphs/active/{}-client-0/private", scene.volume.name());
    let wanted = format!("connected = {}", u8::from(connected));
    let mut last = String::new();
    until(PATIENCE, &wanted, || {
        last = mount.meta(&file).unwrap_or_default();
        last.contains(&wanted).then_some(())
    })
    .unwrap_or_else(|failure| panic!("{failure}\n{last}"));
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A relay that makes a server of the lab far away: its answers arrive late, and a connection carries only so much.
//!
//! Each direction of a connection is a line in which bytes travel for a fixed time. So what is in flight on a connection is
//! as much as on a real line, and requests on several connections do not delay each other. Delays are much longer than
//! what this machine needs to forward bytes, so figures measured through it say something about the client.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::space::ADDRESS;

/// Bytes read from a socket at once.
const BLOCK: usize = 64 << 10;

/// How far away a server is.
#[derive(Clone, Copy, Debug)]
pub struct Distance {
    /// How much later an answer arrives.
    pub delay: Duration,
    /// Bytes per second of a connection, in each direction.
    pub rate: u64,
}

impl Distance {
    /// The same line in a time that passes `times` slower: the delay is longer, and the rate lower. A client that is
    /// limited by the line alone takes `times` longer.
    #[must_use]
    pub fn stretched(self, times: u32) -> Self {
        Self {
            delay: self.delay * times,
            rate: self.rate / u64::from(times),
        }
    }

    /// Seconds until `bytes` have come through `connections` connections, if nothing else takes time.
    #[must_use]
    pub fn seconds(self, bytes: u64, connections: u32) -> f64 {
        bytes as f64 / (self.rate as f64 * f64::from(connections)) + self.delay.as_secs_f64()
    }
}

/// A far server.
#[derive(Clone, Debug)]
pub struct Far {
    address: SocketAddr,
    open: Arc<Open>,
}

#[derive(Debug, Default)]
struct Open {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Far {
    /// Opens a port at the lab's address behind which the server at `port` is that far away.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn new(lab: &Lab, port: u16, distance: Distance) -> io::Result<Self> {
        let open = Arc::new(Open::default());
        let counted = Arc::clone(&open);
        let address = lab.listen(move |client| {
            let now = counted.now.fetch_add(1, Ordering::Relaxed) + 1;
            counted.most.fetch_max(now, Ordering::Relaxed);
            let ended = serve(client, port, distance);
            counted.now.fetch_sub(1, Ordering::Relaxed);
            ended
        })?;
        Ok(Self { address, open })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The largest number of connections that were open at once, since the last call.
    #[must_use]
    pub fn most_connections(&self) -> usize {
        let now = self.open.now.load(Ordering::Relaxed);
        self.open.most.swap(now, Ordering::Relaxed)
    }
}

fn serve(client: TcpStream, port: u16, distance: Distance) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = TcpStream::connect((ADDRESS, port))?;
    server.set_nodelay(true)?;
    let (to_client, from_server) = (client.try_clone()?, server.try_clone()?);
    let there = Distance {
        delay: Duration::ZERO,
        ..distance
    };
    thread::scope(|scope| {
        scope.spawn(|| line(client, server, there));
        line(from_server, to_client, distance);
    });
    Ok(())
}

/// Forwards one direction until it ends.
fn line(mut from: TcpStream, mut to: TcpStream, distance: Distance) {
    // As much as is on the line, and some.
    let held = distance.rate as f64 * distance.delay.as_secs_f64() / BLOCK as f64;
    let (send, receive) = sync_channel(held as usize + 4);
    thread::scope(|scope| {
        scope.spawn(|| {
            // An error ends the connection, as it does on a real line.
            let _ended = arrive(&receive, &mut to, distance);
            let _closed = to.shutdown(Shutdown::Both);
            drop(receive);
        });
        depart(&mut from, send);
    });
    let _closed = from.shutdown(Shutdown::Read);
}

/// Puts what comes on the line, with the time.
fn depart(from: &mut TcpStream, line: SyncSender<(Instant, Vec<u8>)>) {
    let mut block = vec![0; BLOCK];
    while let Ok(got @ 1..) = from.read(&mut block) {
        if line.send((Instant::now(), block[..got].to_vec())).is_err() {
            return;
        }
    }
}

fn arrive(
    line: &Receiver<(Instant, Vec<u8>)>,
    to: &mut TcpStream,
    distance: Distance,
) -> io::Result<()> {
    let mut free = Instant::now();
    for (departed, bytes) in line {
        let due = (departed + distance.delay).max(free);
        free = due + Duration::from_secs_f64(bytes.len() as f64 / distance.rate as f64);
        thread::sleep(free.saturating_duration_since(Instant::now()));
        to.write_all(&bytes)?;
    }
    Ok(())
}

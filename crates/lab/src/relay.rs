// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Servers implemented by tests, and relays: proxies in front of a server of the lab, whose traffic a test can watch,
//! stall and reset. They run until the process ends.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::http::{self, Request};
use crate::lab::Lab;
use crate::space::ADDRESS;

/// How often a relay's connection checks whether it should be reset.
const TICK: Duration = Duration::from_millis(20);

/// Listens on a free port of `host`, in the network of the calling thread, and serves each connection on its own
/// thread. If `serve` fails, only that connection ends.
///
/// # Errors
/// When it cannot listen.
pub fn listen(
    host: &str,
    serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((host, 0))?;
    let address = listener.local_addr()?;
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(client));
        }
    });
    Ok(address)
}

/// Makes closing the connection send a reset.
///
/// # Errors
/// Those of the system call.
pub fn reset(stream: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(
        stream,
        Some(Duration::ZERO),
    )?)
}

impl Lab {
    /// [`listen`] at the lab's address.
    ///
    /// # Errors
    /// As for [`listen`].
    pub fn listen(
        &self,
        serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<SocketAddr> {
        self.in_network(move || listen(ADDRESS, serve))?
    }
}

/// A forwarded request and its answer, of which only the head has been read.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The request.
    pub request: Request,
    /// The answer's head, not yet sent to the client.
    pub answer: String,
    /// The answer's body can be read from here.
    pub server: &'a mut BufReader<TcpStream>,
    /// The answer is to be written here.
    pub client: &'a mut TcpStream,
}

impl Exchange<'_> {
    /// The length of the answer's body: 0 for HEAD, and if the head tells none.
    #[must_use]
    pub fn length(&self) -> u64 {
        let length =
            http::header(&self.answer, "content-length").filter(|_| self.request.method != "HEAD");
        length.and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// Forwards the requests of a connection to a port of the lab, one after the other. `answer` forwards each answer; an
/// error from it ends the connection.
///
/// # Errors
/// When one of the connections ends, or `answer` fails.
pub fn exchanges(
    mut client: TcpStream,
    port: u16,
    mut answer: impl FnMut(Exchange<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut to_server = TcpStream::connect((ADDRESS, port))?;
    let mut server = BufReader::new(to_server.try_clone()?);
    let mut from_client = BufReader::new(client.try_clone()?);
    loop {
        let request = Request::read(&mut from_client)?;
        to_server.write_all(request.head.as_bytes())?;
        to_server.write_all(&request.body)?;
        answer(Exchange {
            request,
            answer: http::head(&mut server)?,
            server: &mut server,
            client: &mut client,
        })?;
    }
}

/// How a relay treats its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Open,
    /// Connections stay open, but nothing is forwarded.
    Silent,
    /// Connections are reset, including new ones.
    Reset,
}

/// Forwards bytes of any protocol. All ports of a relay are stalled and reset together.
#[derive(Clone, Debug, Default)]
pub struct Relay {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    mode: Mutex<Mode>,
    struck: AtomicUsize,
}

impl Relay {
    /// Opens a port at the lab's address and returns the address. `server` returns the port to which a new connection
    /// is forwarded. `watch` sees the data for the server before it is forwarded, and may block.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn to(
        &self,
        lab: &Lab,
        server: impl Fn() -> io::Result<u16> + Send + Sync + 'static,
        watch: impl Fn(&[u8]) + Send + Sync + 'static,
    ) -> io::Result<SocketAddr> {
        let (shared, watch) = (Arc::clone(&self.shared), Arc::new(watch));
        lab.listen(move |client| {
            shared.await_open(&client)?;
            let server = TcpStream::connect((ADDRESS, server()?))?;
            let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
            let back = Arc::clone(&shared);
            thread::spawn(move || back.pass(from_server, to_client, |_| {}));
            shared.pass(client, server, &*watch)
        })
    }

    /// Forwards everything again.
    pub fn open(&self) {
        self.shared.set_mode(Mode::Open);
    }

    /// Keeps connections open and accepts new ones, but forwards nothing.
    pub fn silence(&self) {
        self.shared.set_mode(Mode::Silent);
    }

    /// Resets all connections, including new ones.
    pub fn reset(&self) {
        self.shared.set_mode(Mode::Reset);
    }

    /// How many directions of connections were reset or silenced.
    #[must_use]
    pub fn interrupted(&self) -> usize {
        self.shared.struck.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_mode(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    /// Waits while the relay is silent. Fails if it resets connections.
    fn await_open(&self, client: &TcpStream) -> io::Result<()> {
        loop {
            match self.mode() {
                Mode::Open => return Ok(()),
                Mode::Silent => thread::sleep(TICK),
                Mode::Reset => {
                    reset(client)?;
                    return Err(ErrorKind::ConnectionReset.into());
                }
            }
        }
    }

    /// Forwards one direction of a connection.
    fn pass(
        &self,
        mut from: TcpStream,
        mut to: TcpStream,
        watch: impl Fn(&[u8]),
    ) -> io::Result<()> {
        let mut buffer = vec![0; 128 << 10];
        from.set_read_timeout(Some(TICK))?;
        let mut struck = false;
        loop {
            match self.mode() {
                Mode::Open => {}
                Mode::Silent => {
                    if !struck {
                        struck = true;
                        self.struck.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::sleep(TICK);
                    continue;
                }
                Mode::Reset => {
                    self.struck.fetch_add(1, Ordering::Relaxed);
                    let _ = reset(&from);
                    let _ = from.shutdown(Shutdown::Both);
                    break;
                }
            }
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => {
                    watch(&buffer[..got]);
                    to.write_all(&buffer[..got])?;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        Ok(())
    }
}

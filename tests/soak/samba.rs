// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The application that uses a share of Samba's. smbd's process that serves it is one more client of the volume.

use std::path::Path;
use std::time::Duration;

use cloudsync_lab::{ADDRESS, Lab, Samba as Server, Volume, machine};

use crate::Answer;
use crate::day::Errno;
use crate::program::Program;

/// Its name in reports.
pub(crate) const NAME: &str = "samba";

const PORT: u16 = 4450;

/// Where Debian has it.
const HEADER: &str = "/usr/include/samba-4.0/libsmbclient.h";

/// A change has happened when its call returns, as those of the other applications have. And the client is not given any
/// lease: it would keep what other clients change.
const SETTINGS: [&str; 5] = [
    "strict sync = yes",
    "sync always = yes",
    "oplocks = no",
    "level2 oplocks = no",
    "smb2 leases = no",
];

/// smbd, and the program that is its client.
#[derive(Debug)]
pub(crate) struct Samba {
    pub(crate) server: Server,
    pub(crate) program: Program,
    /// smbd's process for the program's connection.
    pub(crate) pid: u32,
}

/// Starts both; `None` if the machine lacks something, and need not have it.
pub(crate) fn start(lab: &Lab, volume: &Volume) -> Answer<Option<Samba>> {
    let header = Some("libsmbclient's header").filter(|_| !Path::new(HEADER).exists());
    if let Some(missing) = Server::missing(lab).or(header) {
        let why = format!("Samba is left out: no {missing} here; scripts/deps.sh acts installs it");
        if machine::is_required() {
            return Err(why.into());
        }
        println!("{why}");
        return Ok(None);
    }
    let server = Server::start(lab, volume, PORT, &SETTINGS)?;
    let (share, port) = (format!("smb://{ADDRESS}/share"), PORT.to_string());
    let config = server.config();
    let args = [share.as_ref(), port.as_ref(), config.as_os_str()];
    let program = Program::start(lab, "samba", &["-lsmbclient"], args)?.allowing(may_get, ROUNDED);
    let [pid] = server.serving()[..] else {
        return Err(format!("smbd's processes: {:?}", server.serving()).into());
    };
    Ok(Some(Samba {
        server,
        program,
        pid,
    }))
}

/// smbd rounds a file's time to the nearest second, and a volume keeps the latest time (`features.ctime`): until then,
/// changes do not change the time, by which quick-read knows that the bytes it has are old ones.
const ROUNDED: Duration = Duration::from_millis(600);

/// Errors come through NTSTATUS. `EHOSTUNREACH`, `ETIMEDOUT` and `ECANCELED` stay what they are, `EAGAIN` becomes
/// `EBUSY`, and what smbd does not know becomes `EACCES`: `EBUSY`, `ENOTCONN`, `EREMOTE`, `EREMOTEIO`, `EKEYREJECTED`,
/// and `ESTALE` and `EBADMSG`, too, which only the other clients can tell from them. All of these are allowed anyway, but for
/// `ESTALE`: before the first event `EACCES` can be nothing else.
/// But libsmbclient has one error for a truncation that fails for whatever reason.
fn may_get(command: &str) -> &'static [Errno] {
    match command {
        "truncate" => &[(libc::EINVAL, "EINVAL")],
        _ => &[],
    }
}

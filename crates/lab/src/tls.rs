// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The lab's certificate authority and server certificate.
//!
//! Two certificates, because rustls refuses a server certificate that is its own authority.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::Failure;
use crate::space::{ADDRESS, Space};

/// The certificates, as paths in the lab.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// The authority, for clients.
    pub(crate) authority: PathBuf,
    /// Certificate and key in one file, for the server.
    pub(crate) server: PathBuf,
}

const CONFIG: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = cloudsync lab
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:ADDRESS
";

/// Creates both in `dir`, a directory of the lab.
pub(crate) fn make(space: &Space, dir: &Path) -> Result<Certificates, Failure> {
    let config = space.outer(dir).join("openssl.cnf");
    let text = CONFIG.replace("ADDRESS", ADDRESS);
    fs::write(&config, text).map_err(|e| Failure::at(&config, &e))?;
    let script = "set -e; cd \"$1\"; export OPENSSL_CONF=$1/openssl.cnf
        key() { openssl ecparam -name prime256v1 -genkey -noout -out \"$1\"; }
        key ca.key
        openssl req -x509 -new -key ca.key -days 7 -extensions authority -out ca.pem
        key server.key
        openssl req -new -key server.key -subj '/CN=cloudsync lab server' -out server.csr
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 2 -days 7 \\
            -extfile openssl.cnf -extensions server -out server.crt
        cat server.crt server.key > server.pem";
    let args = [
        "-c".as_ref(),
        script.as_ref(),
        "tls".as_ref(),
        dir.as_os_str(),
    ];
    space.run("bash", args)?.check()?;
    Ok(Certificates {
        authority: dir.join("ca.pem"),
        server: dir.join("server.pem"),
    })
}

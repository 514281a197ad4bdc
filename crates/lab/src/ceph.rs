// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The S3 server: Ceph's RADOS Gateway with one monitor and one OSD that keeps its data in memory.
//!
//! The daemons run in the foreground, so that an exit is noticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::diagnose;
use crate::process::{self, Daemon};
use crate::run::{Failure, Outcome, until};
use crate::space::{ADDRESS, Space};
use crate::tls::{self, Certificates};

const HTTP: u16 = 7480;
const HTTPS: u16 = 7443;
const MONITOR: u16 = 6789;
/// The cluster's id; there is only one cluster in a lab.
const CLUSTER: &str = "6c61622d-636c-4f75-9473-796e63000001";
/// The OSD's id, by which the monitor recognizes it.
const OSD: &str = "6c61622d-636c-4f75-9473-796e63000002";
/// How long a daemon may take to start.
const PATIENCE: Duration = Duration::from_secs(180);

/// There is a key for encryption, `lab-key`. All other settings have Ceph's defaults. Without the short proposal interval, creating each of the gateway's pools
/// takes two seconds. If the OSD sent its updates at the start, it could reach the monitor before it knows the
/// cluster's id, which is answered with "wrong fsid" and ends the OSD.
const CONFIG: &str = "\
[global]
fsid = CLUSTER
mon host = v1:ADDRESS:MONITOR
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
paxos propose interval = 0.05
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd_pool_default_pg_autoscale_mode = off
mon allow pool size one = true
mon max pg per osd = 4000
mon data avail crit = 1
osd crush update on start = false
osd class update on start = false
osd objectstore = memstore
memstore device bytes = BYTES
memstore page set = false
public addr = ADDRESS
cluster addr = ADDRESS
run dir = DIR
log file = DIR/$name.log
admin socket = DIR/$name.asok
pid file = DIR/$name.pid
mon data = DIR/mon
osd data = DIR/osd
setuser match path =
[client.rgw.a]
rgw frontends = beast endpoint=ADDRESS:HTTP_PORT ssl_endpoint=ADDRESS:HTTPS_PORT ssl_certificate=PEM tcp_nodelay=1
rgw data = DIR/rgw
rgw thread pool size = 64
rgw gc obj min wait = 30
rgw gc processor period = 30
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = lab-key=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
";

/// The keys that sign a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Access key.
    pub key: String,
    /// Secret key.
    pub secret: String,
}

impl User {
    /// The environment that makes the aws CLI and similar programs sign as this user.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &str); 8] {
        [
            ("AWS_ACCESS_KEY_ID", &self.key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            // By default, uploads over https end in a checksum trailer, which RGW 16.2 refuses (over http they do not).
            ("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required"),
            ("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required"),
        ]
    }
}

/// A running S3 server with two users.
#[derive(Debug)]
pub struct S3Server {
    space: Arc<Space>,
    certificates: Certificates,
    config: String,
    /// The daemons, kept while the server lives; the gateway comes first because it needs the others.
    gateway: Mutex<Option<Daemon>>,
    _osd: Daemon,
    _monitor: Daemon,
}

impl S3Server {
    pub(crate) fn start(space: &Arc<Space>, bytes: u64) -> Result<Self, Failure> {
        let dir = space.ram("store");
        for part in ["mon", "osd", "rgw"] {
            let path = space.outer(&dir.join(part));
            fs::create_dir_all(&path).map_err(|e| Failure::at(&path, &e))?;
        }
        let certificates = tls::make(space, &dir)?;
        let config = configure(space, &dir, &certificates.server, bytes)?;
        Self::boot(space, &dir, config, certificates).map_err(|mut failure| {
            for name in ["mon.a.log", "osd.0.log", "client.rgw.a.log"] {
                failure = failure.with(diagnose::tail(space, &dir.join(name), 20));
            }
            failure
        })
    }

    /// Starts the three daemons in the order of their dependencies, and creates the users.
    fn boot(
        space: &Arc<Space>,
        dir: &Path,
        config: String,
        certificates: Certificates,
    ) -> Result<Self, Failure> {
        let run = |program: &str, args: &[&str]| {
            let all = ["-c", &config].into_iter().chain(args.iter().copied());
            space.run(program, all).and_then(Outcome::check)
        };
        let map = dir.join("map").display().to_string();
        let at = format!("[v1:{ADDRESS}:{MONITOR}]");
        run(
            "monmaptool",
            &["--create", "--fsid", CLUSTER, "--addv", "a", &at, &map],
        )?;
        run("ceph-mon", &["--mkfs", "-i", "a", "--monmap", &map])?;
        let daemon = |program: &str, args: &[&str]| {
            let args = [&["-c", &config, "-f"], args].concat();
            Daemon::start(space, program, &args, dir.join(format!("{program}.out")))
        };
        let monitor = daemon("ceph-mon", &["-i", "a"])?;
        let ask = |args: &[&str]| ask(space, &monitor, &config, args);
        ask(&["osd", "create", OSD])?;
        run("ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", OSD])?;
        let place = ["osd.0", "1.0", "root=default", "host=lab"];
        ask(&[&["osd", "crush", "add"], &place[..]].concat())?;
        let osd = daemon("ceph-osd", &["-i", "0"])?;
        until(PATIENCE, "the OSD to come up", || {
            if !osd.alive() {
                return Some(Err(Failure::new("the OSD has ended")));
            }
            match ask(&["osd", "stat"]) {
                Ok(text) => text.contains("1 up").then_some(Ok(())),
                Err(failure) => Some(Err(failure)),
            }
        })??;
        let server = Self {
            space: Arc::clone(space),
            certificates,
            config: config.clone(),
            gateway: Mutex::new(None),
            _osd: osd,
            _monitor: monitor,
        };
        server.resume_service()?;
        for (name, user) in [
            ("owner", server.owner()),
            ("stranger", server.user_without_rights()),
        ] {
            let keys = ["--access-key", &user.key, "--secret-key", &user.secret];
            let args = ["user", "create", "--uid", name, "--display-name", name];
            run("radosgw-admin", &[&args[..], &keys[..]].concat())?;
        }
        Ok(server)
    }

    /// The user that owns the buckets.
    #[must_use]
    pub fn owner(&self) -> User {
        User {
            key: "LABOWNERKEY".to_owned(),
            secret: "lab-owner-secret".to_owned(),
        }
    }

    /// A user without any rights to them.
    #[must_use]
    pub fn user_without_rights(&self) -> User {
        User {
            key: "LABSTRANGERKEY".to_owned(),
            secret: "lab-stranger-secret".to_owned(),
        }
    }

    /// Port for http, at the lab's address.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        HTTP
    }

    /// `http://10.99.0.1:7480`.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{ADDRESS}:{HTTP}")
    }

    /// `https://10.99.0.1:7443`, with a certificate of [`S3Server::ca_pem`].
    #[must_use]
    pub fn https_url(&self) -> String {
        format!("https://{ADDRESS}:{HTTPS}")
    }

    /// The certificate of the authority, as a path in the lab.
    #[must_use]
    pub fn ca_pem(&self) -> &Path {
        &self.certificates.authority
    }

    /// Frees the memory of deleted objects now instead of within a minute.
    ///
    /// # Errors
    /// When the program fails.
    pub fn collect_garbage(&self) -> Result<(), Failure> {
        let args = ["-c", &self.config, "gc", "process", "--include-all"];
        let outcome = self.space.run("radosgw-admin", args)?;
        outcome.check().map(drop)
    }

    /// Kills the gateway: connections are refused. Stored objects are kept.
    ///
    /// # Errors
    /// When the process does not end.
    pub fn stop_service(&self) -> Result<(), Failure> {
        let mut gateway = self.gateway.lock().unwrap_or_else(PoisonError::into_inner);
        gateway.take().map_or(Ok(()), |daemon| daemon.kill())
    }

    /// Starts the gateway if it is not running, and waits until it answers.
    ///
    /// # Errors
    /// With its log when it does not start.
    pub fn resume_service(&self) -> Result<(), Failure> {
        let mut gateway = self.gateway.lock().unwrap_or_else(PoisonError::into_inner);
        if gateway.as_ref().is_some_and(Daemon::alive) {
            return Ok(());
        }
        let dir = self.space.ram("store");
        let args = ["-c", &self.config, "-f", "-n", "client.rgw.a"];
        let output = dir.join("radosgw.out");
        let daemon = gateway.insert(Daemon::start(&self.space, "radosgw", &args, output)?);
        let url = self.http_url();
        until(PATIENCE, "an answer of the S3 server", || {
            let args = ["-sf", "-o", "/dev/null", "-m", "5", &url];
            let outcome = self.space.run("curl", args);
            if outcome.is_ok_and(|outcome| outcome.success()) {
                return Some(Ok(()));
            }
            let ended = || Err(Failure::new("the S3 server has ended"));
            (!daemon.alive()).then(ended)
        })
        .and_then(|served| served)
        .map_err(|failure| {
            let log = diagnose::tail(&self.space, &dir.join("client.rgw.a.log"), 40);
            failure
                .with(diagnose::tail(&self.space, &daemon.output, 20))
                .with(log)
        })?;
        Ok(())
    }

    /// Stops the gateway with SIGSTOP: it accepts connections and never answers.
    ///
    /// # Errors
    /// When it is not running.
    pub fn freeze(&self) -> Result<(), Failure> {
        self.with_gateway(process::freeze)
    }

    /// Continues a frozen gateway.
    ///
    /// # Errors
    /// When it is not running.
    pub fn thaw(&self) -> Result<(), Failure> {
        self.with_gateway(process::thaw)
    }

    fn with_gateway(
        &self,
        act: impl FnOnce(&Space, u32) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let gateway = self.gateway.lock().unwrap_or_else(PoisonError::into_inner);
        match &*gateway {
            Some(daemon) => act(&self.space, daemon.pid()),
            None => Err(Failure::new("the S3 server is stopped")),
        }
    }

    /// Adds a storage class, and starts the gateway again, which would not know it otherwise.
    ///
    /// # Errors
    /// When a program fails, or the gateway does not start.
    pub fn add_storage_class(&self, name: &str) -> Result<(), Failure> {
        let place = [
            "--placement-id",
            "default-placement",
            "--storage-class",
            name,
        ];
        for (level, more) in [
            ("zonegroup", &[][..]),
            ("zone", &["--data-pool", "lab.class"]),
        ] {
            let command = ["-c", &self.config, level, "placement", "add"];
            let args = [&command[..], &place, more].concat();
            self.space
                .run("radosgw-admin", args)
                .and_then(Outcome::check)?;
        }
        self.stop_service()?;
        self.resume_service()
    }

    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }
}

/// Sends `ceph ARGS` to the monitor, and retries if it fails to get through, so the command must be idempotent. That
/// happens on a busy machine: a client that is scheduled away between its greeting and the monitor's map sends the
/// command without the cluster's id, and the monitor refuses it.
fn ask(space: &Space, monitor: &Daemon, config: &str, args: &[&str]) -> Result<String, Failure> {
    const TRANSIENT: [&str; 3] = [
        "problem getting command descriptions from mon",
        "wrong fsid",
        "error connecting to the cluster",
    ];
    let started = Instant::now();
    loop {
        let all = ["-c", config].into_iter().chain(args.iter().copied());
        let outcome = space.run("ceph", all)?;
        let stderr = String::from_utf8_lossy(&outcome.stderr);
        let lost = outcome.status.is_none() || TRANSIENT.iter().any(|text| stderr.contains(text));
        if outcome.success() || !lost || !monitor.alive() || started.elapsed() > PATIENCE {
            return outcome.check();
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Writes ceph.conf and returns its path in the lab.
fn configure(space: &Space, dir: &Path, pem: &Path, bytes: u64) -> Result<String, Failure> {
    let text = CONFIG
        .replace("CLUSTER", CLUSTER)
        .replace("ADDRESS", ADDRESS)
        .replace("MONITOR", &MONITOR.to_string())
        .replace("HTTPS_PORT", &HTTPS.to_string())
        .replace("HTTP_PORT", &HTTP.to_string())
        .replace("BYTES", &bytes.to_string())
        .replace("PEM", &pem.display().to_string())
        .replace("DIR", &dir.display().to_string());
    let path: PathBuf = dir.join("ceph.conf");
    fs::write(space.outer(&path), text).map_err(|e| Failure::at(&path, &e))?;
    Ok(path.display().to_string())
}

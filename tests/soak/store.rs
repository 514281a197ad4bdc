// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The way to the store, on which faults happen: a relay that can be silent or reset its connections, behind it a proxy
//! that can refuse requests, and another relay that is far away. And the keys, each valid for a while.

use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloudsync_lab::far::{Distance, Far};
use cloudsync_lab::relay::{Exchange, exchanges};
use cloudsync_lab::{Bucket, Lab, Relay, User, http, until};

use crate::Answer;
use crate::random::mixed;

/// How far away the store is behind [`Store::far`].
const FAR: Distance = Distance {
    delay: Duration::from_millis(20),
    rate: 20_000_000,
};

/// What a refused request gets.
const SLOW_DOWN: &str =
    "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>on purpose</Message></Error>";

/// How many of a hundred requests are refused, and how many have been.
#[derive(Debug, Default)]
pub(crate) struct Refusing {
    percent: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) bucket: Bucket,
    pub(crate) relay: Relay,
    pub(crate) refusing: Arc<Refusing>,
    /// The URL of the relay, and that of the far one.
    pub(crate) near: String,
    pub(crate) far: String,
    config: String,
    /// The files with the key's id and the secret, as paths in the lab, and in this process.
    id: (String, PathBuf),
    secret: (String, PathBuf),
    /// The number of the current key.
    key: AtomicU64,
}

impl Store {
    pub(crate) fn new(lab: &Lab) -> Answer<Self> {
        let server = lab.s3()?;
        let bucket = server.bucket("soak")?;
        let port = server.http_port();
        let refusing = Arc::new(Refusing::default());
        let serving = Arc::clone(&refusing);
        let answer = move |exchange: Exchange<'_>| serving.answer(exchange);
        let proxy = lab.listen(move |client| exchanges(client, port, &answer))?;
        let relay = Relay::default();
        let near = relay.to(lab, move || Ok(proxy.port()), |_| {})?;
        let far = Far::new(lab, near.port(), FAR)?.address();
        let url = |address: SocketAddr| format!("http://{address}");
        let file = |name: &str| {
            let inside = lab.scratch(name);
            (format!("file:{}", inside.display()), lab.outer(&inside))
        };
        let store = Self {
            bucket: bucket.at(url(near)),
            relay,
            refusing,
            near: url(near),
            far: url(far),
            config: lab.scratch("store/ceph.conf").display().to_string(),
            id: file("soak-key-id"),
            secret: file("soak-secret"),
            key: AtomicU64::new(0),
        };
        store.add_key(lab, &user(0))?;
        store.write_key(&user(0))?;
        Ok(store)
    }

    /// The volume's options.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = self.bucket.settings().to_vec();
        for (name, value) in &mut settings {
            match *name {
                "features.s3plugin-keyid" => value.clone_from(&self.id.0),
                "features.s3plugin-seckey" => value.clone_from(&self.secret.0),
                _ => {}
            }
        }
        settings
    }

    fn admin(&self, lab: &Lab, words: &[&str]) -> Answer<()> {
        let words = [&["-c", &self.config], words].concat();
        lab.run("radosgw-admin", words)?.check()?;
        Ok(())
    }

    fn add_key(&self, lab: &Lab, user: &User) -> Answer<()> {
        let words = ["key", "create", "--uid", "owner", "--key-type", "s3"];
        let keys = ["--access-key", &user.key, "--secret-key", &user.secret];
        self.admin(lab, &[&words[..], &keys].concat())
    }

    /// Replaces both files. Between the two, a client may find the new one and the old one.
    fn write_key(&self, user: &User) -> io::Result<()> {
        for (path, text) in [(&self.id.1, &user.key), (&self.secret.1, &user.secret)] {
            let fresh = path.with_extension("new");
            fs::write(&fresh, format!("{text}\n"))?;
            fs::rename(fresh, path)?;
        }
        Ok(())
    }

    /// Makes a new key, writes it to the files, and removes the old one from the store.
    pub(crate) fn rotate_key(&self, lab: &Lab) -> Answer<String> {
        let old = self.key.fetch_add(1, Ordering::Relaxed);
        let new = user(old + 1);
        self.add_key(lab, &new)?;
        self.write_key(&new)?;
        let old = user(old);
        let words = ["key", "rm", "--uid", "owner", "--key-type", "s3"];
        self.admin(lab, &[&words[..], &["--access-key", &old.key]].concat())?;
        let refused = self.bucket.as_user(old.clone()).at(lab.s3()?.http_url());
        until(Duration::from_secs(60), "the end of the old key", || {
            (refused.get_status("nothing").ok()? == 403).then_some(())
        })?;
        Ok(format!("{} instead of {}", new.key, old.key))
    }
}

fn user(number: u64) -> User {
    User {
        key: format!("SOAKKEY{number}"),
        secret: format!("soak-secret-{number}"),
    }
}

impl Refusing {
    /// From now on, this many of a hundred requests are refused.
    pub(crate) fn set(&self, percent: u64) {
        self.percent.store(percent, Ordering::Relaxed);
    }

    /// How many requests have been refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The server has done what it was asked for: that it answers 503 all the same is the worse case for an upload.
    fn answer(&self, exchange: Exchange<'_>) -> io::Result<()> {
        let length = exchange.length();
        let chunked = http::header(&exchange.answer, "transfer-encoding").is_some();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut body = |to: &mut dyn Write| match chunked {
            true => copy_chunks(exchange.server, to),
            false => io::copy(&mut exchange.server.take(length), to).map(drop),
        };
        if mixed(number) % 100 >= self.percent.load(Ordering::Relaxed) {
            exchange.client.write_all(exchange.answer.as_bytes())?;
            return body(exchange.client);
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        body(&mut io::sink())?;
        let text = if exchange.request.method == "HEAD" {
            ""
        } else {
            SLOW_DOWN
        };
        let length = text.len();
        let head = format!(
            "HTTP/1.1 503 No\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n\r\n"
        );
        exchange.client.write_all(head.as_bytes())?;
        exchange.client.write_all(text.as_bytes())
    }
}

/// Copies a body that has no length: chunks, each with its size in front, up to an empty one.
fn copy_chunks(from: &mut impl BufRead, to: &mut dyn Write) -> io::Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        to.write_all(line.as_bytes())?;
        // With the end of the line after it.
        io::copy(&mut from.take(size + 2), to)?;
        if size == 0 {
            return Ok(());
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tries a volume's store with an object of its own: everything that clients and the archiver ask of it, and its clock.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use cloudsync_store::checksum::Algorithm;
use cloudsync_store::{Archive, Metadata, Object, Sink, StoreError, Upload};

use super::Findings;
use crate::cli::{StoreChoice, StoreFlags};
use crate::interrupt::interrupted;
use crate::remote;
use crate::volume::Volume;

/// The object's size.
const SIZE: usize = 4096;
/// What is read of it in the middle.
const PART: std::ops::Range<u64> = 1000..3000;
/// S3 servers refuse requests whose clock differs by fifteen minutes.
const SKEW: Duration = Duration::from_secs(60);

/// Tries the volume's own store, and those with names.
pub(super) fn check(volume: &Volume, flags: &StoreFlags, findings: &mut Findings<'_>) {
    try_one(volume, &StoreChoice::of(None, flags), findings);
    for name in remote::names(volume, flags) {
        try_one(volume, &StoreChoice::of(Some(&name), flags), findings);
    }
}

fn try_one(volume: &Volume, choice: &StoreChoice, findings: &mut Findings<'_>) {
    let called = match choice.name() {
        None => "store".to_owned(),
        Some(name) => format!("store '{name}'"),
    };
    let store = match remote::open(volume, choice) {
        Ok(store) => store,
        Err(error) => return findings.problem(&called, &error.to_string()),
    };
    let bytes: Vec<u8> = (0..SIZE).map(|_| fastrand::u8(..)).collect();
    let probe = Probe {
        called,
        store: &*store,
        key: remote::probe_key(volume),
        bytes,
    };
    probe.run(findings);
}

struct Probe<'a> {
    /// What the store is called.
    called: String,
    store: &'a dyn Archive,
    key: String,
    bytes: Vec<u8>,
}

impl Probe<'_> {
    /// What a check is called.
    fn check(&self, what: &str) -> String {
        format!("{}: {what}", self.called)
    }

    fn run(&self, findings: &mut Findings<'_>) {
        let before = SystemTime::now();
        let put = self.put();
        if let Err(error) = &put {
            findings.problem(&self.check("put an object"), &error.to_string());
            // A key that may only read is right for clients.
            match self.store.head(&self.key) {
                Err(StoreError::Missing(_)) => findings.ok(&self.check("ask for an object"), ""),
                Err(error) => {
                    findings.problem(&self.check("ask for an object"), &error.to_string())
                }
                Ok(_) => {}
            }
            return;
        }
        findings.ok(&self.check("put an object"), "");
        let read = self.read();
        report(findings, &self.check("read an object"), read);
        report(
            findings,
            &self.check("read a part of an object"),
            self.read_part(),
        );
        report(
            findings,
            &self.check("keep an object that exists"),
            self.put_again(),
        );
        match self.listed() {
            Ok(modified) => {
                findings.ok(&self.check("list objects"), "");
                clock(findings, before, modified);
            }
            Err(error) => findings.problem(&self.check("list objects"), &error.to_string()),
        }
        let unfinished = self.store.unfinished(&self.key, Duration::MAX, false);
        report(findings, &self.check("list unfinished uploads"), unfinished);
        let removed = self.store.delete(&self.key).and_then(|()| self.is_gone());
        report(findings, &self.check("delete an object"), removed);
    }

    fn put(&self) -> Result<Object, StoreError> {
        let metadata = metadata();
        self.store.put(
            &self.key,
            &Upload {
                size: SIZE as u64,
                checksum: Algorithm::Crc64Nvme.of(&self.bytes),
                metadata: &metadata,
                source: &self.bytes.as_slice(),
                rate: None,
                resumable: true,
            },
        )
    }

    /// The metadata is how `rebuild` and `gc` know whose object it is.
    fn read(&self) -> Result<(), StoreError> {
        let (object, found) = self.store.describe(&self.key)?;
        if metadata()
            .iter()
            .any(|(name, value)| found.get(name) != Some(value))
        {
            return Err(StoreError::Other(format!(
                "its metadata is {found:?}, and was {:?}: does a proxy drop headers?",
                metadata()
            )));
        }
        self.fetch(&object, 0..SIZE as u64)
    }

    fn read_part(&self) -> Result<(), StoreError> {
        let object = self.store.head(&self.key)?;
        self.fetch(&object, PART)
    }

    fn fetch(&self, object: &Object, range: std::ops::Range<u64>) -> Result<(), StoreError> {
        let mut got = Collecting(Vec::new());
        self.store
            .fetch(&self.key, object, range.clone(), &mut got)?;
        let Ok(wanted) = usize::try_from(range.start).and_then(|start| {
            let end = usize::try_from(range.end)?;
            Ok(&self.bytes[start..end])
        }) else {
            return Err(StoreError::Other("the range is too large".to_owned()));
        };
        if got.0 != wanted {
            return Err(StoreError::Corrupt(format!(
                "{} bytes came that are not the ones that were put",
                got.0.len()
            )));
        }
        Ok(())
    }

    fn put_again(&self) -> Result<(), StoreError> {
        match self.put() {
            Err(StoreError::Exists(_)) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(StoreError::Other(
                "it was replaced: this server needs conditional-writes=off in cloudsync-store-id"
                    .to_owned(),
            )),
        }
    }

    /// When the object was put, by the store's clock.
    fn listed(&self) -> Result<SystemTime, StoreError> {
        let mut modified = None;
        self.store.list(&self.key, &mut |listed| {
            if listed.key == self.key {
                modified = Some(listed.modified);
            }
            ControlFlow::Continue(())
        })?;
        modified.ok_or_else(|| {
            StoreError::Other("the listing does not have an object that was just put".to_owned())
        })
    }

    fn is_gone(&self) -> Result<(), StoreError> {
        match self.store.head(&self.key) {
            Err(StoreError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(StoreError::Other("it is still there".to_owned())),
        }
    }
}

fn report<T>(findings: &mut Findings<'_>, check: &str, result: Result<T, StoreError>) {
    match result {
        Ok(_) => findings.ok(check, ""),
        Err(error) => findings.problem(check, &error.to_string()),
    }
}

/// Compares the clocks: the object was put between `before` and now.
fn clock(findings: &mut Findings<'_>, before: SystemTime, modified: SystemTime) {
    let late = before.duration_since(modified).unwrap_or_default();
    let early = modified
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    let (skew, how) = if late > early {
        (late, "behind")
    } else {
        (early, "ahead of")
    };
    if skew > SKEW {
        return findings.problem(
            "clock",
            &format!(
                "the store's is {} {how} this node's: synchronise them (chrony); S3 servers refuse requests at a \
                 difference of 15 minutes",
                humantime::format_duration(Duration::from_secs(skew.as_secs()))
            ),
        );
    }
    findings.ok("clock", "within a minute of the store's");
}

fn metadata() -> Metadata {
    // A server or proxy that damages other characters is found.
    let pairs = [("purpose", "cloudsync check"), ("text", "ä b")];
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Keeps what is fetched.
struct Collecting(Vec<u8>);

impl Sink for Collecting {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn cancelled(&self) -> bool {
        interrupted()
    }

    fn may_restore(&mut self) -> bool {
        false
    }
}

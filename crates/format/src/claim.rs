// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The value of `trusted.glusterfs.csou.complete`: what the archiver saw of the file when it read it.
//!
//! The stock form is `SECONDS`, the mtime in whole seconds. Ours extends it to
//! `SECONDS;mtime=SECONDS.NANOS,ctime=SECONDS.NANOS,size=BYTES`. Then follow, if known, `,checksum=ALGORITHM:BASE64` of
//! the bytes that were read, which the object must have, `,holes=MAP` of a sparse file ([`crate::holes`]), `,store=NAME` if it is
//! not in the volume's own store ([`crate::stores`]), and, to the end of the value, `,key=KEY`, the object's key.
//! Without a key, that in `trusted.glusterfs.cs.key` on the file counts, which a recall that is just ending may have
//! removed, and another archiver may have set. The bricks compare only the seconds and ignore the rest; the translator
//! compares everything, under the file's lock, before it truncates.

use std::fmt;
use std::time::UNIX_EPOCH;

use crate::checksum::Checksum;
use crate::holes::Holes;
use crate::stores;

/// A point in time, since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

impl Time {
    /// Now, by this machine's clock.
    #[must_use]
    pub fn now() -> Self {
        let now = UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanos: now.subsec_nanos(),
        }
    }

    /// The next point in time: a nanosecond later.
    #[must_use]
    pub const fn next(self) -> Self {
        let Self { seconds, nanos } = self;
        match nanos {
            0..999_999_999 => Self {
                seconds,
                nanos: nanos + 1,
            },
            _ => Self {
                seconds: seconds.saturating_add(1),
                nanos: 0,
            },
        }
    }

    /// Parses `SECONDS.NANOS`, with nine digits after the point.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (seconds, nanos) = text.split_once('.')?;
        if nanos.len() != 9 || !nanos.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self {
            seconds: seconds.parse().ok()?,
            nanos: nanos.parse().ok()?,
        })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanos)
    }
}

/// The file's attributes as the archiver saw them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Last change of the bytes.
    pub mtime: Time,
    /// Last change of bytes or attributes.
    pub ctime: Time,
    /// Size in bytes.
    pub size: u64,
}

/// A parsed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The mtime in whole seconds.
    pub seconds: i64,
    /// The exact attributes; `None` in the stock form.
    pub seen: Option<Seen>,
    /// The checksum that the object must have; only if `seen` is set.
    pub checksum: Option<Checksum>,
    /// What is known of the file's holes; only if `seen` is set.
    pub holes: Holes,
    /// The store that has the object; `None`: the volume's own.
    pub store: Option<String>,
    /// The key of the uploaded object; only if `seen` is set.
    pub key: Option<String>,
}

impl Claim {
    /// Parses a value; `None` if it is in neither form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some((seconds, rest)) = text.split_once(';') else {
            return Some(Self {
                seconds: text.trim().parse().ok()?,
                seen: None,
                checksum: None,
                holes: Holes::default(),
                store: None,
                key: None,
            });
        };
        // The key is last, because it may contain commas and anything else.
        let (rest, key) = match rest.split_once(",key=") {
            Some((rest, key)) => (rest, Some(key)),
            None => (rest, None),
        };
        let mut parts = rest.split(',');
        let mut part = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
        let seen = Seen {
            mtime: Time::parse(part("mtime")?)?,
            ctime: Time::parse(part("ctime")?)?,
            size: part("size")?.parse().ok()?,
        };
        let mut parts = parts.peekable();
        let mut optional = |name: &str| {
            let is_it = |text: &&str| text.starts_with(name);
            parts.next_if(is_it).map(|text| &text[name.len()..])
        };
        let checksum = match optional("checksum=") {
            Some(text) => Some(Checksum::parse(text)?),
            None => None,
        };
        let holes = match optional("holes=") {
            Some(text) => Holes::parse(text)?,
            None => Holes::default(),
        };
        let store = match optional("store=") {
            Some(name) => Some(stores::is_name(name).then(|| name.to_owned())?),
            None => None,
        };
        let seconds = seconds.trim().parse().ok()?;
        let whole = parts.next().is_none() && key != Some("");
        (whole && seconds == seen.mtime.seconds).then(|| Self {
            seconds,
            seen: Some(seen),
            checksum,
            holes,
            store,
            key: key.map(str::to_owned),
        })
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        let Some(Seen { mtime, ctime, size }) = self.seen else {
            return Ok(());
        };
        write!(f, ";mtime={mtime},ctime={ctime},size={size}")?;
        if let Some(checksum) = &self.checksum {
            write!(f, ",checksum={checksum}")?;
        }
        if !self.holes.is_empty() {
            write!(f, ",holes={}", self.holes)?;
        }
        if let Some(store) = &self.store {
            write!(f, ",store={store}")?;
        }
        match &self.key {
            Some(key) => write!(f, ",key={key}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_is_a_nanosecond_later() {
        let at = |seconds, nanos| Time { seconds, nanos };
        assert_eq!(at(1, 2).next(), at(1, 3));
        assert_eq!(at(1, 999_999_999).next(), at(2, 0));
        assert!(Time::now() > at(1_700_000_000, 0));
    }

    #[test]
    fn both_forms_survive_a_round_trip() {
        let plain = Claim {
            seconds: 1_700_000_000,
            seen: None,
            checksum: None,
            holes: Holes::default(),
            store: None,
            key: None,
        };
        assert_eq!(Claim::parse("1700000000"), Some(plain.clone()));
        assert_eq!(Claim::parse(&plain.to_string()), Some(plain));
        let mtime = Time {
            seconds: 1_700_000_000,
            nanos: 5,
        };
        let seen = Seen {
            mtime,
            ctime: Time {
                seconds: 1_700_000_001,
                nanos: 999_999_999,
            },
            size: 7,
        };
        let exact = Claim {
            seconds: mtime.seconds,
            seen: Some(seen),
            checksum: None,
            holes: Holes::default(),
            store: None,
            key: None,
        };
        let text = "1700000000;mtime=1700000000.000000005,ctime=1700000001.999999999,size=7";
        assert_eq!(exact.to_string(), text);
        assert_eq!(Claim::parse(text), Some(exact.clone()));
        let summed = Claim {
            checksum: Checksum::parse("crc64nvme:rosUhgp5mIg="),
            ..exact.clone()
        };
        let with_sum = format!("{text},checksum=crc64nvme:rosUhgp5mIg=");
        assert_eq!(summed.to_string(), with_sum);
        assert_eq!(Claim::parse(&with_sum), Some(summed.clone()));
        let sparse = Claim {
            holes: Holes::parse("1:0+1").unwrap(),
            ..summed.clone()
        };
        assert_eq!(sparse.to_string(), format!("{with_sum},holes=1:0+1"));
        assert_eq!(Claim::parse(&sparse.to_string()), Some(sparse.clone()));
        let elsewhere = Claim {
            store: Some("cold".to_owned()),
            key: Some("a/b".to_owned()),
            ..sparse.clone()
        };
        assert_eq!(
            elsewhere.to_string(),
            format!("{with_sum},holes=1:0+1,store=cold,key=a/b")
        );
        assert_eq!(Claim::parse(&elsewhere.to_string()), Some(elsewhere));
        let both = Claim {
            key: Some("a,checksum=crc32:y/Q5Jg==".to_owned()),
            ..summed
        };
        assert_eq!(Claim::parse(&both.to_string()), Some(both));
        for key in ["a/b", "with, commas=and ; more ", "k\u{fc}", ",key=k"] {
            let keyed = Claim {
                key: Some(key.to_owned()),
                ..exact.clone()
            };
            assert_eq!(keyed.to_string(), format!("{text},key={key}"));
            assert_eq!(Claim::parse(&keyed.to_string()), Some(keyed));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "now",
            "1.5",
            "1;",
            "1;mtime=1.0,ctime=1.000000000,size=7",
            "1;mtime=2.000000000,ctime=1.000000000,size=7",
            "1;mtime=1.000000000,ctime=1.000000000,size=-7",
            "1;mtime=1.000000000,ctime=1.000000000,size=7,key=",
            "1;mtime=1.000000000,ctime=1.000000000,size=7,name=x",
            "1;mtime=1.000000000,ctime=1.000000000,size=7,store=X,key=k",
            "1;mtime=1.000000000,ctime=1.000000000,size=7,checksum=md5:AAAA,key=k",
            "1;mtime=1.000000000,ctime=1.000000000,size=7,checksum=",
            "1;mtime=1.000000000,ctime=1.000000000,size=7,checksum=crc32:y/Q5Jg==,more=1",
            "1;mtime=1.000000000,ctime=1.000000000,size=7,holes=2:0+1,key=k",
            "1;mtime=1.000000000,ctime=1.000000000,size=7,holes=1:0+1,checksum=crc32:y/Q5Jg==,key=k",
            "1;size=7",
        ] {
            assert_eq!(Claim::parse(bad), None, "{bad}");
        }
    }

    const CORPUS: &[&str] = &[
        "1700000000",
        " 1700000000 ",
        "-1",
        "1700000000;mtime=1700000000.000000005,ctime=1700000001.999999999,size=7",
        "1700000000;mtime=1700000000.000000005,ctime=1700000001.999999999,size=7,key=a/b,c=d",
        "1;mtime=1.000000000,ctime=1.000000000,size=7,checksum=crc64nvme:rosUhgp5mIg=,key=k",
        "-5;mtime=-5.000000000,ctime=0.000000000,size=18446744073709551615,key=k",
        "1;mtime=1.000000000,ctime=1.+00000000,size=7",
        "1;mtime=1.000000000,ctime=1.000000000,size=7,holes=1:0+1:4+5,key=k",
    ];

    /// A parsed value is written without a change of meaning, and a size is never invented.
    #[test]
    fn fuzz() {
        cloudsync_fuzz::fuzz(CORPUS, |text| {
            let Some(claim) = Claim::parse(text) else {
                return;
            };
            assert_eq!(Claim::parse(&claim.to_string()).as_ref(), Some(&claim));
            assert_eq!(claim.seen.is_some(), text.contains(';'), "{text:?}");
            if let Some(seen) = claim.seen {
                assert_eq!(seen.mtime.seconds, claim.seconds);
                assert!(seen.mtime.nanos < 1_000_000_000 && seen.ctime.nanos < 1_000_000_000);
            }
            if let Some(key) = &claim.key {
                assert!(!key.is_empty() && text.ends_with(key.as_str()));
            }
        });
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The value of `trusted.glusterfs.csou.complete`: what the archiver saw of the file when it read it.
//!
//! `SECONDS` is the stock form: the mtime in whole seconds. Ours goes on behind it:
//! `SECONDS;mtime=SECONDS.NANOS,ctime=SECONDS.NANOS,size=BYTES`. The bricks compare the seconds only and ignore the
//! rest; the translator compares everything, under the file's lock, before it lets the bricks cut.

use std::fmt;

/// A point in time: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanos)
    }
}

/// What the archiver saw, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Last change of the bytes.
    pub mtime: Time,
    /// Last change of bytes or attributes.
    pub ctime: Time,
    /// Bytes.
    pub size: u64,
}

/// A parsed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The mtime in whole seconds.
    pub seconds: i64,
    /// What else was seen; the stock form does not say.
    pub seen: Option<Seen>,
}

impl Claim {
    /// Parses a value; `None` if it is in neither form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some((seconds, rest)) = text.trim().split_once(';') else {
            return Some(Self {
                seconds: text.trim().parse().ok()?,
                seen: None,
            });
        };
        let mut parts = rest.split(',');
        let mut part = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
        let seen = Seen {
            mtime: time(part("mtime")?)?,
            ctime: time(part("ctime")?)?,
            size: part("size")?.parse().ok()?,
        };
        let seconds = seconds.parse().ok()?;
        (parts.next().is_none() && seconds == seen.mtime.seconds).then_some(Self {
            seconds,
            seen: Some(seen),
        })
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.seen {
            None => Ok(()),
            Some(Seen { mtime, ctime, size }) => {
                write!(f, ";mtime={mtime},ctime={ctime},size={size}")
            }
        }
    }
}

fn time(text: &str) -> Option<Time> {
    let (seconds, nanos) = text.split_once('.')?;
    if nanos.len() != 9 || !nanos.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Time {
        seconds: seconds.parse().ok()?,
        nanos: nanos.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_survive_a_round_trip() {
        let plain = Claim {
            seconds: 1_700_000_000,
            seen: None,
        };
        assert_eq!(Claim::parse("1700000000"), Some(plain));
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
        };
        let text = "1700000000;mtime=1700000000.000000005,ctime=1700000001.999999999,size=7";
        assert_eq!(exact.to_string(), text);
        assert_eq!(Claim::parse(text), Some(exact));
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
            "1;mtime=1.000000000,ctime=1.000000000,size=7,key=x",
            "1;size=7",
        ] {
            assert_eq!(Claim::parse(bad), None, "{bad}");
        }
    }
}

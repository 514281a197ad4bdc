// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A file's times as users see them, also on a brick.
//!
//! With features.ctime a volume keeps its own times beside those of the bricks' file systems, where heals and recalls leave
//! theirs. A brick has them in an attribute (`posix_mdata_disk_t` in GlusterFS's posix-metadata-disk.h): a version, 8 bytes
//! of flags, and the seconds and nanoseconds of ctime, mtime and atime, big-endian.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cloudsync_format::claim::Time;

const KEPT_BY_THE_VOLUME: &str = "trusted.glusterfs.mdata";

/// A file's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// The last recall, or the last access that the volume noted: by default it notes none (`ctime.noatime`).
    pub(crate) accessed: Time,
    /// The last change of the bytes.
    pub(crate) modified: Time,
}

impl Times {
    /// Those in the attributes.
    pub(crate) fn of(data: &Metadata) -> Self {
        let time = |seconds, nanos| Time {
            seconds,
            nanos: u32::try_from(nanos).unwrap_or(0),
        };
        Self {
            accessed: time(data.atime(), data.atime_nsec()),
            modified: time(data.mtime(), data.mtime_nsec()),
        }
    }

    /// Those that the volume keeps for a file on a brick; `None` if it keeps none.
    pub(super) fn kept(at: &Path) -> io::Result<Option<Self>> {
        Ok(xattr::get(at, KEPT_BY_THE_VOLUME)?.and_then(|value| Self::parse(&value)))
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = value.get(at..at + 8)?;
            Some(u64::from_be_bytes(bytes.try_into().ok()?))
        };
        let time = |at| {
            Some(Time {
                seconds: number(at)?.cast_signed(),
                nanos: u32::try_from(number(at + 8)?).ok()?,
            })
        };
        Some(Self {
            modified: time(25)?,
            accessed: time(41)?,
        })
    }
}

/// Whether a time is at least `age` ago. False for times in the future.
pub(crate) fn is_older(time: Time, age: Duration) -> bool {
    let age = i128::try_from(age.as_nanos()).unwrap_or(i128::MAX);
    since(time) >= age
}

/// The nanoseconds from the epoch to a time.
pub(crate) fn nanoseconds(time: Time) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

/// The nanoseconds since a time; negative if it is in the future.
pub(crate) fn since(time: Time) -> i128 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let now = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
    now - nanoseconds(time)
}

/// How long ago a time was, for people.
pub(crate) fn ago(time: Time) -> String {
    match u64::try_from(since(time) / 1_000_000_000) {
        Ok(seconds) => format!("{} ago", age(Duration::from_secs(seconds))),
        Err(_) => "in the future".to_owned(),
    }
}

/// A time span in the units that options take, of which the two largest are shown: `90d`, `2d 3h`.
pub(crate) fn age(time: Duration) -> String {
    let mut left = time.as_secs();
    let mut parts = Vec::new();
    for (unit, seconds) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        let count = left / seconds;
        left %= seconds;
        if count > 0 || (unit == "s" && parts.is_empty()) {
            parts.push(format!("{count}{unit}"));
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brick_s_times_are_those_of_the_volume() {
        let mut value = vec![1];
        value.extend(0_u64.to_be_bytes());
        for number in [10_u64, 1, 20, 2, 30, 3] {
            value.extend(number.to_be_bytes());
        }
        let time = |seconds, nanos| Time { seconds, nanos };
        let times = Times {
            accessed: time(30, 3),
            modified: time(20, 2),
        };
        assert_eq!(Times::parse(&value), Some(times));
        assert_eq!(Times::parse(&value[..56]), None);
        assert_eq!(Times::parse(b""), None);
    }

    #[test]
    fn ages_are_shown_in_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (3600, "1h"),
            (90_061, "1d 1h"),
            (90 * 86_400, "90d"),
            (86_400 + 1, "1d 1s"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }

        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap().as_secs()).unwrap();
        let time = |seconds| Time { seconds, nanos: 0 };
        assert!(ago(time(now - 90_061)).starts_with("1d 1h"));
        assert_eq!(ago(time(i64::MAX / 2)), "in the future");
        assert!(is_older(time(now - 60), Duration::from_secs(60)));
        assert!(!is_older(time(now - 60), Duration::from_secs(90)));
        assert!(!is_older(time(now + 60), Duration::ZERO));
    }
}

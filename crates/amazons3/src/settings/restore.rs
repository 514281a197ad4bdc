// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses the settings for objects in a storage class that cannot be read.

#![forbid(unsafe_code)]

use std::time::Duration;

use aws_sdk_s3::types::Tier;
use cloudsync_format::settings::{Error, Settings as List};

/// The settings of restores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// `restore=standard|bulk|expedited|never`: the tier to request. Default never, because a restore costs money.
    pub tier: Option<Tier>,
    /// `restore-days=`: how long the store keeps the copy. Default 1, because it is not needed after the recall.
    pub days: i32,
    /// `restore-wait=`: how long a reader waits for the copy. Default 0: it gets `EBUSY` at once.
    pub wait: Duration,
}

impl Restore {
    /// Takes these settings out of the list.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn take(list: &mut List) -> Result<Self, Error> {
        const TIERS: &[&str] = &["standard", "bulk", "expedited", "never"];
        let tier = list.choice("restore", TIERS, "standard, bulk, expedited or never")?;
        let days = list.number("restore-days", 1, 365, "a number of days from 1 to 365")?;
        Ok(Self {
            tier: match tier {
                Some("standard") => Some(Tier::Standard),
                Some("bulk") => Some(Tier::Bulk),
                Some("expedited") => Some(Tier::Expedited),
                _ => None,
            },
            days: days.and_then(|days| days.try_into().ok()).unwrap_or(1),
            wait: list.duration("restore-wait")?.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_bad_ones_named() {
        let take = |text: &str| Restore::take(&mut List::parse(text).unwrap());
        let default = Restore {
            tier: None,
            days: 1,
            wait: Duration::ZERO,
        };
        assert_eq!(take(""), Ok(default.clone()));
        assert_eq!(take("restore=never"), Ok(default));
        let all = take("restore=bulk,restore-days=7,restore-wait=12h").unwrap();
        assert_eq!(all.tier, Some(Tier::Bulk));
        assert_eq!((all.days, all.wait), (7, Duration::from_secs(12 * 3600)));
        for bad in ["restore=soon", "restore-days=0", "restore-wait=5"] {
            let key = bad.split('=').next().unwrap();
            assert!(take(bad).unwrap_err().to_string().contains(key), "{bad}");
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The volume's options, parsed: what the engine needs to know. The store's own options are its plugin's business.

#![forbid(unsafe_code)]

use cloudsync_format::settings::{Error, Settings};

/// The option that names the store.
pub const STORETYPE: &str = "cloudsync-storetype";
/// The option that carries the settings of recalls.
pub const PRODUCT_ID: &str = "cloudsync-product-id";

/// Settings of recalls, from [`PRODUCT_ID`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Files that are brought back at once by this process.
    pub recalls: usize,
    /// Bytes in flight to the bricks for each recall.
    pub window: u64,
    /// Parts of a large file that are fetched at once.
    pub ranges: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            recalls: 16,
            window: 8 << 20,
            ranges: 4,
        }
    }
}

impl Config {
    /// Parses the value of [`PRODUCT_ID`]; an empty one gives the defaults.
    ///
    /// # Errors
    /// Names the key and what would have been right.
    pub fn parse(product_id: &str) -> Result<Self, Error> {
        let mut list = Settings::parse(product_id)?;
        let mut config = Self::default();
        if let Some(recalls) = list.number("recalls", 1, 256, "a number from 1 to 256")? {
            config.recalls = usize::try_from(recalls).unwrap_or(config.recalls);
        }
        if let Some(ranges) = list.number("ranges", 1, 64, "a number from 1 to 64")? {
            config.ranges = usize::try_from(ranges).unwrap_or(config.ranges);
        }
        if let Some(window) = list.bytes("window")? {
            if !(128 << 10..=1 << 30).contains(&window) {
                return Err(Error::Value {
                    key: "window".to_owned(),
                    value: window.to_string(),
                    expected: "128K to 1G",
                });
            }
            config.window = window;
        }
        list.finish()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_bad_ones_named() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
        let config = Config::parse("recalls=4,window=1M,ranges=2").unwrap();
        assert_eq!(
            config,
            Config {
                recalls: 4,
                window: 1 << 20,
                ranges: 2,
            }
        );
        for bad in ["recalls=0", "recalls=x", "window=1", "speed=9"] {
            let message = Config::parse(bad).unwrap_err().to_string();
            assert!(
                message.contains(bad.split('=').next().unwrap()),
                "{message}"
            );
        }
    }
}

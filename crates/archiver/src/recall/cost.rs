// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What a recall would cost: the prices are a file of the user's, by storage class, because every store and every contract
//! has its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cloudsync_logic::sizes::PART;
use serde::{Deserialize, Serialize};

use crate::cli::StoreFlags;
use crate::crawl::{Answer, ask_details};
use crate::exit::Error;
use crate::parallel::lock;
use crate::remote::Stores;
use crate::report::human;
use crate::volume::Target;

/// The class of the price for all classes that have none of their own.
const OTHERS: &str = "default";

/// In what stores count: 10^9 bytes.
const GB: f64 = 1e9;

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices {
    currency: String,
    class: BTreeMap<String, Price>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Price {
    #[serde(default)]
    per_1000_requests: f64,
    /// Everything that is paid by the byte: retrieval and transfer.
    #[serde(default)]
    per_gb: f64,
}

/// The files of one storage class. The field names are the keys of the JSON output.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Class {
    files: u64,
    bytes: u64,
    requests: u64,
    /// `None`: the class has no price.
    cost: Option<f64>,
}

/// Adds up what files would cost.
pub(super) struct Costs {
    prices: Prices,
    stores: Stores,
    classes: Mutex<BTreeMap<String, Class>>,
}

impl Costs {
    /// Reads the prices, and opens the own store of the first path's volume.
    pub(super) fn new(prices: &Path, path: &Path) -> Result<Self, Error> {
        let wrong = |why: String| Error::Usage(format!("{}: {why}", prices.display()));
        let text = fs::read_to_string(prices).map_err(|error| wrong(error.to_string()))?;
        let target = Target::find(path)?;
        Ok(Self {
            prices: parse(&text).map_err(wrong)?,
            stores: Stores::open(&target.volume, &StoreFlags::default())?,
            classes: Mutex::default(),
        })
    }

    /// Counts a cold file of so many bytes. Asks the store for its object's class.
    pub(super) fn add(&self, file: &Path, bytes: u64) -> Result<(), String> {
        let answer = ask_details(file).map_err(|error| error.to_string())?;
        let Answer { key, store, .. } = Answer::parse(&answer);
        let key = key.ok_or("only root can see the keys of objects")?;
        let store = self.stores.of(store.as_deref())?;
        let class = store.class(&key).map_err(|error| error.to_string())?;
        let class = class.unwrap_or_else(|| OTHERS.to_owned());
        let mut classes = lock(&self.classes);
        let sum = classes.entry(class).or_default();
        sum.files += 1;
        sum.bytes += bytes;
        sum.requests += bytes.div_ceil(PART).max(1);
        Ok(())
    }

    /// The sums, and the same in words.
    pub(super) fn finish(self) -> (BTreeMap<String, Class>, String) {
        let classes = self.classes.into_inner();
        let mut classes = classes.unwrap_or_else(PoisonError::into_inner);
        let text = price(&self.prices, &mut classes);
        (classes, text)
    }
}

fn parse(text: &str) -> Result<Prices, String> {
    let prices: Prices = toml::from_str(text).map_err(|error| error.to_string())?;
    let wrong = prices.class.iter().find(|(_, price)| {
        let amounts = [price.per_1000_requests, price.per_gb];
        amounts
            .iter()
            .any(|amount| !amount.is_finite() || *amount < 0.0)
    });
    match wrong {
        Some((class, _)) => Err(format!("class {class}: a price is a number from 0 up")),
        None => Ok(prices),
    }
}

#[allow(clippy::cast_precision_loss, reason = "an amount of money for people")]
fn price(prices: &Prices, classes: &mut BTreeMap<String, Class>) -> String {
    let (mut text, mut total, mut unknown) = (String::new(), 0.0, 0);
    for (name, class) in classes {
        let price = prices.class.get(name).or_else(|| prices.class.get(OTHERS));
        class.cost = price.map(|price| {
            class.requests as f64 / 1000.0 * price.per_1000_requests
                + class.bytes as f64 / GB * price.per_gb
        });
        let cost = match class.cost {
            Some(cost) => {
                total += cost;
                format!("{cost:.2} {}", prices.currency)
            }
            None => {
                unknown += class.files;
                "no price".to_owned()
            }
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{name}: {} files, {}, {} requests: {cost}",
            class.files,
            human(class.bytes),
            class.requests
        );
    }
    let _ = write!(text, "{total:.2} {}", prices.currency);
    if unknown > 0 {
        let _ = write!(text, ", and {unknown} files of classes without a price");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "currency = 'USD'\n[class.STANDARD]\nper-1000-requests = 0.4\nper-gb = 0.09\n";

    fn class(files: u64, bytes: u64, requests: u64) -> Class {
        Class {
            files,
            bytes,
            requests,
            cost: None,
        }
    }

    #[test]
    fn requests_and_bytes_have_their_prices() {
        let sums = || {
            BTreeMap::from([
                ("STANDARD".to_owned(), class(10, 20_000_000_000, 2500)),
                ("GLACIER".to_owned(), class(3, 1_000_000_000, 120)),
            ])
        };
        let mut classes = sums();
        let text = price(&parse(FILE).unwrap(), &mut classes);
        assert_eq!(classes["STANDARD"].cost, Some(1.0 + 1.8));
        assert_eq!(classes["GLACIER"].cost, None);
        assert!(
            text.contains("STANDARD: 10 files, 18.63 GiB, 2500 requests: 2.80 USD"),
            "{text}"
        );
        assert!(
            text.ends_with("2.80 USD, and 3 files of classes without a price"),
            "{text}"
        );
        let with_others = format!("{FILE}[class.default]\nper-gb = 1.0\n");
        let mut classes = sums();
        let text = price(&parse(&with_others).unwrap(), &mut classes);
        assert!(text.ends_with("\n3.80 USD"), "{text}");
    }

    #[test]
    fn mistakes_in_prices_are_named() {
        for (text, named) in [
            ("[class.X]\nper-gb = 1.0", "currency"),
            ("currency = 'EUR'\n[class.X]\nper-tb = 1.0", "per-tb"),
            ("currency = 'EUR'\n[class.X]\nper-gb = -1.0", "class X"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(named), "{why}");
        }
    }
}

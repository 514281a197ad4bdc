// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses the policy file. Unknown keys are refused, so that a misspelt rule is not silently ignored.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloudsync_format::settings;
use serde::Deserialize;

use super::step::Step;
use crate::cli::{
    KeyLayout, MIN_RESIDENCY, Order, PaceFlags, SelectFlags, StoreFlags, WhichFlags, WhosePins,
    values,
};
use crate::exit::Error;

mod steps;

use steps::{RawCatalog, RawGc, RawMigrate, RawRestore, RawVerify};

/// A validated policy.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) report: Option<PathBuf>,
    pub(super) key_layout: KeyLayout,
    pub(super) store: StoreFlags,
    pub(super) rules: Vec<Rule>,
    /// Done after the rules, in this order.
    pub(super) steps: Vec<Step>,
    /// Of a step: files at once.
    pub(super) jobs: u16,
}

/// Which files to archive from which targets, and how.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) targets: Vec<PathBuf>,
    /// Low watermark: run the rule only if less than this percentage is free.
    pub(super) start_below_free: Option<f64>,
    /// The store to archive to; default: the volume's own.
    pub(super) store: Option<String>,
    pub(super) select: SelectFlags,
    pub(super) pace: PaceFlags,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawPolicy {
    report: Option<PathBuf>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    store: RawStore,
    #[serde(default, rename = "rule")]
    rules: Vec<RawRule>,
    #[serde(default)]
    restore: Vec<RawRestore>,
    #[serde(default)]
    verify: Vec<RawVerify>,
    #[serde(default)]
    gc: Vec<RawGc>,
    #[serde(default)]
    migrate: Vec<RawMigrate>,
    #[serde(default)]
    catalog: Vec<RawCatalog>,
}

/// `64`, or `"auto"`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Jobs {
    Number(i64),
    Word(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawLimits {
    jobs: Option<Jobs>,
    files_per_second: Option<f64>,
    bytes_per_second: Option<String>,
    stop_percent: Option<f64>,
    stop_after: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawStore {
    #[serde(rename = "type")]
    kind: Option<String>,
    hostname: Option<String>,
    bucket: Option<String>,
    key_id: Option<String>,
    secret_key: Option<String>,
    store_id: Option<String>,
    key_layout: Option<RawLayout>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawLayout {
    Id,
    Path,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawOrder {
    Oldest,
    Found,
    Benefit,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawPins {
    Owners,
    Root,
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRule {
    name: String,
    targets: Vec<PathBuf>,
    store: Option<String>,
    older_than: String,
    unused_for: Option<String>,
    min_residency: Option<String>,
    recalled_before: Option<String>,
    larger_than: Option<String>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    owner: Vec<String>,
    pins: Option<RawPins>,
    limit: Option<u64>,
    start_below_free: Option<String>,
    free_until: Option<String>,
    order: Option<RawOrder>,
}

impl Policy {
    /// Reads and validates a policy file. Every failure is a usage error that names the file.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| Error::Usage(format!("{}: {error}", path.display())))?;
        Self::parse(&text).map_err(|why| Error::Usage(format!("{}: {why}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let raw: RawPolicy = toml::from_str(text).map_err(|error| error.to_string())?;
        let rules = raw.rules.into_iter().map(|rule| {
            let name = rule.name.clone();
            rule.check(&raw.limits)
                .map_err(|why| format!("rule '{name}': {why}"))
        });
        let rules: Vec<Rule> = rules.collect::<Result<_, _>>()?;
        let restore = raw.restore.into_iter().map(RawRestore::check);
        let verify = raw.verify.into_iter().map(RawVerify::check);
        let gc = raw.gc.into_iter().map(RawGc::check);
        let catalog = raw.catalog.into_iter().map(RawCatalog::check);
        let migrate = raw.migrate.into_iter().map(RawMigrate::check);
        // What was moved is verified, and then the old objects can go.
        let steps = restore.chain(migrate).chain(verify).chain(gc);
        let steps = steps.chain(catalog);
        let steps: Vec<Step> = steps.collect::<Result<_, _>>()?;
        if rules.is_empty() && steps.is_empty() {
            return Err("the policy has no [[rule]], and no other step".to_owned());
        }
        for (number, step) in steps.iter().enumerate() {
            let is_it = |other: &Step| other.command() == step.command() && other.name == step.name;
            if steps[..number].iter().any(is_it) {
                let (command, name) = (step.command(), &step.name);
                return Err(format!("two [[{command}]] have the name '{name}'"));
            }
        }
        let jobs = raw.limits.jobs()?;
        Ok(Self {
            report: raw.report,
            key_layout: match raw.store.key_layout {
                Some(RawLayout::Path) => KeyLayout::Path,
                Some(RawLayout::Id) | None => KeyLayout::Id,
            },
            store: StoreFlags {
                store_type: raw.store.kind,
                hostname: raw.store.hostname,
                bucket: raw.store.bucket,
                key_id: raw.store.key_id,
                secret_key: raw.store.secret_key,
                store_id: raw.store.store_id,
            },
            rules,
            steps,
            jobs,
        })
    }
}

impl RawLimits {
    fn jobs(&self) -> Result<u16, String> {
        let jobs = match &self.jobs {
            None => values::jobs("auto"),
            Some(Jobs::Number(number)) => values::jobs(&number.to_string()),
            Some(Jobs::Word(word)) => values::jobs(word),
        };
        jobs.map_err(|expected| format!("limits: jobs: {expected}"))
    }
}

impl RawRule {
    fn check(self, limits: &RawLimits) -> Result<Rule, String> {
        let jobs = limits.jobs()?;
        let optional = |name, text: Option<String>| text.map(|text| time(name, &text)).transpose();
        let percent = |name, text: Option<String>| {
            let parsed = text.map(|text| values::percent(&text)).transpose();
            parsed.map_err(|expected| format!("{name}: {expected}"))
        };
        if self.targets.is_empty() {
            return Err("targets: expected at least one path".to_owned());
        }
        let rate = limits.files_per_second;
        if rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            return Err("limits: files-per-second: expected a number above 0".to_owned());
        }
        let stop_percent = limits.stop_percent.unwrap_or(50.0);
        if !(0.0..=100.0).contains(&stop_percent) {
            return Err("limits: stop-percent: expected 0 to 100".to_owned());
        }
        Ok(Rule {
            start_below_free: percent("start-below-free", self.start_below_free)?,
            store: store(self.store)?,
            select: SelectFlags {
                older_than: time("older-than", &self.older_than)?,
                unused_for: optional("unused-for", self.unused_for)?,
                min_residency: optional("min-residency", self.min_residency)?
                    .unwrap_or(MIN_RESIDENCY),
                recalled_before: optional("recalled-before", self.recalled_before)?,
                which: WhichFlags {
                    larger_than: match &self.larger_than {
                        Some(text) => bytes("larger-than", text)?,
                        None => 1,
                    },
                    include: self.include,
                    exclude: self.exclude,
                    owner: self.owner,
                },
                pins: match self.pins {
                    Some(RawPins::Root) => WhosePins::Root,
                    Some(RawPins::None) => WhosePins::None,
                    Some(RawPins::Owners) | None => WhosePins::Owners,
                },
            },
            pace: PaceFlags {
                limit: self.limit,
                free_until: percent("free-until", self.free_until)?,
                files_per_second: rate,
                bytes_per_second: limits
                    .bytes_per_second
                    .as_deref()
                    .map(|text| bytes("limits: bytes-per-second", text))
                    .transpose()?,
                jobs,
                stop_percent,
                stop_after: limits.stop_after.unwrap_or(100),
                order: match self.order {
                    Some(RawOrder::Found) => Order::Found,
                    Some(RawOrder::Benefit) => Order::Benefit,
                    Some(RawOrder::Oldest) | None => Order::Oldest,
                },
            },
            name: self.name,
            targets: self.targets,
        })
    }
}

fn bytes(name: &str, text: &str) -> Result<u64, String> {
    settings::parse_bytes(text).ok_or_else(|| {
        format!("{name} = \"{text}\": expected a number of bytes, such as 64K or 1M")
    })
}

/// Checks the name of a store.
fn store(name: Option<String>) -> Result<Option<String>, String> {
    let checked =
        name.map(|name| values::store(&name).map_err(|why| format!("store = \"{name}\": {why}")));
    checked.transpose()
}

fn time(name: &str, text: &str) -> Result<Duration, String> {
    settings::parse_duration(text)
        .ok_or_else(|| format!("{name} = \"{text}\": expected a duration, such as 12h or 30d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy file that the packages install.
    const SAMPLE: &str = include_str!("../../../../packaging/systemd/policy.toml");

    #[test]
    fn the_sample_is_sound() {
        let policy = Policy::parse(SAMPLE).unwrap();
        assert!(!policy.rules.is_empty());
        assert!(
            policy
                .rules
                .iter()
                .all(|rule| rule.select.older_than > Duration::ZERO)
        );
    }

    #[test]
    fn mistakes_are_named() {
        let rule = |more: &str| {
            format!("[[rule]]\nname = 'r'\ntargets = ['/b']\nolder-than = '1d'\n{more}")
        };
        assert!(Policy::parse(&rule("")).is_ok());
        for (more, named) in [
            ("larger-then = '1M'", "larger-then"),
            ("larger-than = '1Q'", "rule 'r': larger-than"),
            ("free-until = '120%'", "free-until"),
            ("order = 'newest'", "newest"),
            ("store = 'Cold'", "rule 'r': store"),
        ] {
            let error = Policy::parse(&rule(more)).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        let limits = format!("[limits]\nstop-percent = 120.0\n{}", rule(""));
        let error = Policy::parse(&limits).unwrap_err();
        assert!(error.contains("stop-percent"), "{error}");
        assert!(Policy::parse("").unwrap_err().contains("no [[rule]]"));
        let without_age = "[[rule]]\nname = 'r'\ntargets = ['/b']\n";
        assert!(
            Policy::parse(without_age)
                .unwrap_err()
                .contains("older-than")
        );
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What happens on a day: settings are changed, keys rotated, the store is down or far away, bricks and clients die. One
//! after the other, in an order of the seed; each kind once before one comes again.

use std::time::Duration;

use cloudsync_lab::{Relay, until};

use crate::Answer;
use crate::day::{Day, Kind};
use crate::random::Random;
use crate::sampler::Source;
use crate::stage::Stage;

/// How long a state may be waited for, on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The kinds of events, which are also their names in the report.
pub(crate) const KINDS: [&str; 11] = [
    "options",
    "remote-read",
    "guard",
    "key rotated",
    "store refuses",
    "store resets",
    "store silent",
    "store far",
    "brick killed",
    "graph switched",
    "client killed",
];

/// Translators that the volume works without. Not io-cache, which is off by default: when another client has made a file
/// longer, it puts the pages after a short one in the wrong place.
const TOGGLED: [&str; 4] = [
    "performance.read-ahead",
    "performance.write-behind",
    "performance.open-behind",
    "performance.quick-read",
];

const HOSTNAME: &str = "features.s3plugin-hostname";
const PRODUCT: &str = "features.cloudsync-product-id";
const REMOTE_READ: &str = "features.cloudsync-remote-read";

/// What an event did, and how often it struck something.
type Struck = (String, u64);

/// Runs the events.
#[derive(Debug)]
pub(crate) struct Events<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) day: &'a Day,
    pub(crate) random: Random,
    pub(crate) kinds: &'a [&'static str],
    /// Those of [`TOGGLED`] that are on.
    on: [bool; TOGGLED.len()],
}

impl<'a> Events<'a> {
    pub(crate) fn new(
        stage: &'a Stage,
        day: &'a Day,
        random: Random,
        kinds: &'a [&'static str],
    ) -> Self {
        Self {
            stage,
            day,
            random,
            kinds,
            // As they are by default.
            on: [false, true, true, true],
        }
    }

    /// Works until `end`, in seconds of the day. Afterwards nothing is wrong any more.
    pub(crate) fn run(&mut self, end: f64) {
        // Some time without any, in which no application may get an error.
        self.day.rest(Duration::from_secs(15));
        let mut kinds = self.random.shuffled(self.kinds.to_vec());
        let mut all = false;
        // Each kind at least once, also on a slow machine.
        while (self.day.now() < end || !all) && !self.day.is_over() {
            if kinds.is_empty() {
                all = true;
                kinds = self.random.shuffled(self.kinds.to_vec());
                continue;
            }
            let Some(kind) = kinds.pop() else { return };
            self.day.begin(kind);
            let happened = self.happen(kind);
            match happened {
                Ok((what, strokes)) => self.day.end(what, strokes),
                Err(why) => {
                    self.day.fault(Kind::Other, &why);
                    self.day.end(why.to_string(), 0);
                }
            }
            let pause = self.random.time(1000, 4000);
            self.day.rest(pause);
        }
    }

    fn happen(&mut self, kind: &str) -> Answer<Struck> {
        match kind {
            "options" => self.options(),
            "remote-read" => self.remote_read(),
            "guard" => self.guard(),
            "key rotated" => {
                let what = self.stage.store.rotate_key(&self.stage.lab)?;
                self.hold(1000, 3000);
                Ok((what, 1))
            }
            "store refuses" => Ok(self.refuses()),
            "store resets" => Ok(self.interrupts(Relay::reset, 500, 5000)),
            "store silent" => Ok(self.interrupts(Relay::silence, 3000, 9000)),
            "store far" => self.far(),
            "brick killed" => self.brick(),
            "graph switched" => self.graph(),
            _ => self.client(),
        }
    }

    fn hold(&mut self, least: u64, most: u64) -> Duration {
        let time = self.random.time(least, most);
        self.day.rest(time);
        time
    }

    /// Goes on with a fault until it has struck, should nothing have needed the store until now. Returns how often.
    fn struck(&self, count: impl Fn() -> u64) -> u64 {
        let struck = || Some(count()).filter(|count| *count > 0 || self.day.is_over());
        until(Duration::from_secs(60), "something to strike", struck).unwrap_or(0)
    }

    fn set(&self, key: &str, value: &str) -> Answer<()> {
        Ok(self.stage.volume.set(key, value)?)
    }

    /// Other settings of recalls, which stay until the next such event.
    fn options(&mut self) -> Answer<Struck> {
        let value = [
            self.random
                .one(&["recalls=1", "recalls=4", "recalls=64", "recalls=auto"]),
            self.random
                .one(&["memory=16M", "memory=64M", "memory=auto"]),
            self.random.one(&["ranges=1", "ranges=8", "ranges=auto"]),
            self.random.one(&["reads=checked", "reads=early"]),
            self.random.one(&["window=256K", "window=8M"]),
            self.random.one(&["abandoned=cancel", "abandoned=continue"]),
        ]
        .map(|text| *text)
        .join(",");
        self.set(PRODUCT, &value)?;
        self.hold(2000, 6000);
        Ok((value, 1))
    }

    fn remote_read(&mut self) -> Answer<Struck> {
        let stage = self.stage;
        let count = || -> f64 {
            let sources = stage.clients.iter().cloned().map(Source::Mount);
            let metrics = sources.filter_map(|source| source.metrics());
            metrics.map(|m| m.get("cloudsync_remote_reads_total")).sum()
        };
        self.set(REMOTE_READ, "on")?;
        let before = count();
        let time = self.random.time(4000, 8000);
        self.day.rest(time);
        let served = (count() - before).max(0.0);
        self.set(REMOTE_READ, "off")?;
        Ok((
            format!("for {time:.1?}: {served} reads served"),
            served as u64,
        ))
    }

    /// At most three files are recalled in ten seconds; reads of others are served from the store.
    fn guard(&mut self) -> Answer<Struck> {
        self.set(PRODUCT, "guard-files=3,guard-window=10s")?;
        let time = self.hold(4000, 8000);
        self.set(PRODUCT, "guard-files=0")?;
        Ok((format!("for {time:.1?}"), 1))
    }

    fn refuses(&mut self) -> Struck {
        let refusing = &self.stage.store.refusing;
        let percent = *self.random.one(&[20, 50, 100]);
        let before = refusing.refused();
        refusing.set(percent);
        let time = self.random.time(3000, 7000);
        self.day.rest(time);
        let refused = self.struck(|| refusing.refused() - before);
        refusing.set(0);
        (
            format!("{percent} % for {time:.1?}: {refused} requests"),
            refused,
        )
    }

    /// What is done to the relay's connections, for some milliseconds.
    fn interrupts(&mut self, interrupt: fn(&Relay), least: u64, most: u64) -> Struck {
        let relay = &self.stage.store.relay;
        let before = relay.interrupted();
        let time = self.random.time(least, most);
        interrupt(relay);
        self.day.rest(time);
        relay.open();
        let struck = relay.interrupted() - before;
        (
            format!("for {time:.1?}: {struck} connections"),
            struck as u64,
        )
    }

    fn far(&mut self) -> Answer<Struck> {
        self.set(HOSTNAME, &self.stage.store.far)?;
        let time = self.hold(5000, 10_000);
        self.set(HOSTNAME, &self.stage.store.near)?;
        Ok((format!("for {time:.1?}"), 1))
    }

    /// Not before the bricks have healed from the last time: two of three must have every file.
    fn brick(&mut self) -> Answer<Struck> {
        let Stage { volume, .. } = self.stage;
        if self.stage.await_heal(PATIENCE).is_err() {
            return Ok(("not done: the bricks are still healing".to_owned(), 0));
        }
        let number = self.random.below(3) as usize;
        volume.kill_brick(number)?;
        let time = self.hold(3000, 8000);
        volume.start()?;
        volume.await_bricks()?;
        self.stage.await_connections()?;
        Ok((format!("number {number} for {time:.1?}"), 1))
    }

    fn graph(&mut self) -> Answer<Struck> {
        let stage = self.stage;
        let lives = || {
            let slots = stage.clients.each_ref();
            slots.map(|slot| slot.ask(switches).unwrap_or(0))
        };
        let before = lives();
        let number = self.random.below(TOGGLED.len() as u64) as usize;
        self.on[number] = !self.on[number];
        let value = if self.on[number] { "on" } else { "off" };
        self.set(TOGGLED[number], value)?;
        // The next request of an application makes a client switch.
        until(PATIENCE, "the new graph", || {
            let now = lives();
            self.day.rest(Duration::from_millis(300));
            let switched = before.iter().zip(&now).all(|(before, now)| now > before);
            (switched || self.day.is_over()).then_some(())
        })?;
        self.hold(1000, 3000);
        Ok((format!("{} {value}", TOGGLED[number]), 1))
    }

    fn client(&mut self) -> Answer<Struck> {
        let stage = self.stage;
        let slot = &stage.clients[1];
        slot.kill_and_mount(&stage.volume)?;
        self.hold(1000, 3000);
        Ok((slot.name.to_owned(), 1))
    }

    /// Sets what the comparisons at the end need.
    pub(crate) fn settle(&self) -> Answer<()> {
        self.set(PRODUCT, "recalls=auto")?;
        self.set(REMOTE_READ, "off")
    }
}

/// How often a client has switched to another graph.
fn switches(mount: &cloudsync_lab::Mount) -> usize {
    mount.log().matches("switched to graph").count()
}

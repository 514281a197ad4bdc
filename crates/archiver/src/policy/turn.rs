// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Whose turn a step of a policy is. All nodes have the same policy, but one of them is enough for a step. What they know of
//! each other is an attribute of the volume's root, `trusted.cloudsync-step.NAME`: `begun TIME NODE` or `done TIME NODE`.
//!
//! Two nodes that begin within the same moment both look again a little later: the attribute names one of them.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use rustix::system::uname;

use crate::exit::Error;

const PREFIX: &str = "trusted.cloudsync-step.";

/// How often a node says that it is still at it.
const BEAT: Duration = Duration::from_secs(1800);

/// After that, a node that has begun, and has neither ended nor said that it is still at it, has died.
const LONGEST: Duration = Duration::from_secs(3 * 3600);

/// How long after its own claim a node looks again. Clients see an attribute that another has set at once.
const MOMENT: Duration = Duration::from_secs(2);

/// A step that this node is to do. Dropping it leaves the step to any node.
#[derive(Debug)]
pub(super) struct Turn {
    place: Place,
    ended: bool,
    /// The thread that says so now and then, until the other end of the channel is dropped.
    beating: Option<(Sender<()>, JoinHandle<()>)>,
    /// Whether this node was the last one to do it.
    pub(super) was_ours: bool,
}

/// When a step may be done again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pause {
    /// Its last end must be so old,
    pub(super) every: Duration,
    /// and on another node so old: what a step keeps on its node is lost when another one takes over.
    pub(super) elsewhere: Duration,
}

/// Where the nodes say what they do about a step.
#[derive(Clone, Debug)]
struct Place {
    root: PathBuf,
    attribute: String,
}

/// What a node has said of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    done: bool,
    when: SystemTime,
    node: String,
}

impl Claim {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let done = match words.next()? {
            "done" => true,
            "begun" => false,
            _ => return None,
        };
        let when = humantime::parse_rfc3339(words.next()?).ok()?;
        let node = words.next()?.to_owned();
        Some(Self { done, when, node })
    }

    fn text(&self) -> String {
        let word = if self.done { "done" } else { "begun" };
        let when = humantime::format_rfc3339_seconds(self.when);
        format!("{word} {when} {}", self.node)
    }

    /// Why it is nobody's turn at the moment `now`; `None`: it is.
    fn forbids(&self, pause: Pause, this: &str, now: SystemTime) -> Option<String> {
        let age = now.duration_since(self.when).unwrap_or_default();
        let wait = match self.done {
            false => LONGEST,
            true if self.node == this => pause.every,
            true => pause.every.max(pause.elsewhere),
        };
        let text = humantime::format_duration(Duration::from_secs(age.as_secs()));
        (age < wait).then(|| match self.done {
            true => format!("was done {text} ago, on {}", self.node),
            false => format!("has been under way for {text}, on {}", self.node),
        })
    }
}

/// Takes the turn of the step `name`. `root`: the volume's, in a mount.
/// The inner error says why it is not this node's turn.
pub(super) fn take(root: &Path, name: &str, pause: Pause) -> Result<Result<Turn, String>, Error> {
    let place = Place {
        root: root.to_owned(),
        attribute: format!("{PREFIX}{name}"),
    };
    let last = place.claim()?;
    let forbids = |claim: &Claim| claim.forbids(pause, &node(), SystemTime::now());
    if let Some(why) = last.as_ref().and_then(forbids) {
        return Ok(Err(why));
    }
    let begun = format!("{}/{}", node(), std::process::id());
    place.say(&begun, false)?;
    thread::sleep(MOMENT);
    match place.claim()? {
        Some(claim) if claim.node != begun => Ok(Err(format!("{} begins it", claim.node))),
        _ => Ok(Ok(Turn {
            beating: Some(beat(place.clone(), begun)),
            place,
            ended: false,
            was_ours: last.is_some_and(|last| last.done && last.node == node()),
        })),
    }
}

/// Starts the thread that says that this node is still at it.
fn beat(place: Place, begun: String) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = channel();
    let beating = move || {
        while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
            // If it fails, it is tried again before another node takes over.
            let _ = place.say(&begun, false);
        }
    };
    (stop, thread::spawn(beating))
}

fn node() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

impl Place {
    fn failed(&self, error: std::io::Error) -> Error {
        Error::start(format!("{} of the volume's root", self.attribute), error)
    }

    fn claim(&self) -> Result<Option<Claim>, Error> {
        let value = xattr::get(&self.root, &self.attribute).map_err(|error| self.failed(error))?;
        Ok(value.and_then(|value| Claim::parse(&String::from_utf8_lossy(&value))))
    }

    fn say(&self, node: &str, done: bool) -> Result<(), Error> {
        let claim = Claim {
            done,
            when: SystemTime::now(),
            node: node.to_owned(),
        };
        xattr::set(&self.root, &self.attribute, claim.text().as_bytes())
            .map_err(|error| self.failed(error))
    }
}

impl Turn {
    /// The step has been done.
    pub(super) fn end(mut self) -> Result<(), Error> {
        self.ended = true;
        self.stop();
        self.place.say(&node(), true)
    }

    /// Waits for the end of the thread, which else could speak after the step's end.
    fn stop(&mut self) {
        if let Some((stop, thread)) = self.beating.take() {
            drop(stop);
            let _ended = thread.join();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.stop();
        if !self.ended {
            // If that fails, the step waits for some hours.
            let _ = xattr::remove(&self.place.root, &self.place.attribute);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_holds_for_its_time() {
        let text = "done 2026-11-29T19:00:00Z node-1";
        let done = Claim::parse(text).unwrap();
        assert_eq!(done.text(), text);
        let hour = Duration::from_secs(3600);
        let every = |every| Pause {
            every,
            ..Pause::default()
        };
        let forbids = |pause| done.forbids(pause, "node-1", done.when + hour);
        assert_eq!(
            forbids(every(2 * hour)).unwrap(),
            "was done 1h ago, on node-1"
        );
        assert_eq!(forbids(every(hour)), None);
        let elsewhere = Pause {
            elsewhere: 2 * hour,
            ..Pause::default()
        };
        assert_eq!(forbids(elsewhere), None);
        assert!(
            done.forbids(elsewhere, "node-2", done.when + hour)
                .is_some()
        );
        // Another node's clock is ahead.
        assert!(
            done.forbids(every(hour), "node-1", done.when - hour)
                .is_some()
        );
        let begun = Claim {
            done: false,
            ..done.clone()
        };
        assert_eq!(Claim::parse(&begun.text()), Some(begun.clone()));
        let after = |time| begun.forbids(Pause::default(), "node-1", begun.when + time);
        let why = "has been under way for 1h, on node-1";
        assert_eq!(after(hour).unwrap(), why);
        assert_eq!(after(3 * hour), None);
        assert_eq!(Claim::parse("something else"), None);
    }
}

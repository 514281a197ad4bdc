// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Reads that do not ask whether the file is cold (docs/design/local-reads.md): whether any of them, at any moments of a
//! run, would have returned bytes that are not the file's.
//!
//! No reader takes part in a run. The model notes what a brick would answer after each operation, and afterwards every
//! choice of moments is tried: those of the looks, of a read, and of the label in its answer.

use std::collections::BTreeSet;

use cloudsync_format::claim::Time;

/// What a brick's answer says of the file besides the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) size: u64,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
}

/// What a brick has after an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moment {
    label: Label,
    local: bool,
    /// Whether a read that does not ask gets the file's bytes.
    right: bool,
    stub: Stub,
}

/// The same for reads from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stub {
    /// The object of which the file is a stub without bytes.
    pub(crate) of: Option<String>,
    /// The objects that have the file's bytes.
    pub(crate) right: Vec<String>,
}

/// The rules that make such reads safe, each of which can be left out, and what they are checked on.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    /// A handshake changes the atime before it removes the bytes, where the volume keeps its own times.
    pub(crate) archives_change_it: bool,
    /// A recall changes it before it extends the file. A brick may miss that, and be healed.
    pub(crate) recalls_change_it: bool,
    /// A truncation changes the ctime when the file becomes local.
    pub(crate) truncations_change_it: bool,
    /// How often a client looks before it remembers a label.
    pub(crate) looks: usize,
    /// The same of a stub's; none where the volume does not keep its own times.
    pub(crate) looks_at_stubs: Option<usize>,
    moments: Vec<Moment>,
}

impl Labels {
    /// All rules, on a volume that keeps its own times, or not.
    pub(crate) fn of(own_times: bool) -> Self {
        Self {
            archives_change_it: true,
            recalls_change_it: true,
            truncations_change_it: true,
            looks: 2,
            looks_at_stubs: own_times.then_some(2),
            moments: Vec::new(),
        }
    }

    /// Notes what a brick has now.
    pub(crate) fn note(&mut self, label: Label, local: bool, right: bool, stub: Stub) {
        let now = Moment {
            label,
            local,
            right,
            stub,
        };
        if self.moments.last() != Some(&now) {
            self.moments.push(now);
        }
    }

    /// The label with which a client that remembers it accepts wrong bytes, if there is one.
    pub(crate) fn mislead(&self) -> Option<Label> {
        // A stub may have the label of an empty file, so that is not remembered.
        let labels = self.moments.iter().map(|moment| moment.label);
        let mut labels = labels.filter(|label| label.size > 0);
        labels
            .find(|label| self.misleads(*label))
            .or_else(|| self.misleads_from_the_store())
    }

    /// The label of a stub with which a client accepts wrong bytes from the store, if there is one.
    fn misleads_from_the_store(&self) -> Option<Label> {
        let objects: BTreeSet<_> = self
            .moments
            .iter()
            .filter_map(|moment| moment.stub.of.as_ref())
            .collect();
        let labels = self.moments.iter().map(|moment| moment.label);
        let mut labels = labels.filter(|label| label.size == 0);
        labels.find(|label| {
            objects
                .iter()
                .any(|object| self.misleads_from(*label, object))
        })
    }

    /// The same of a client that reads from the store while the file has the label of the object's stub. A brick looks at the
    /// attributes and checks the state in any order.
    fn misleads_from(&self, label: Label, object: &String) -> bool {
        let Some(looks) = self.looks_at_stubs else {
            return false;
        };
        let stub = |moment: &Moment| moment.stub.of.as_ref() == Some(object);
        let labelled = |moment: &Moment| moment.label == label;
        let wrong = |moment: &Moment| labelled(moment) && !moment.stub.right.contains(object);
        (0..1 << looks).any(|orders: usize| {
            let mut steps: Vec<&dyn Fn(&Moment) -> bool> = Vec::new();
            for look in 0..looks {
                let mut look_at: [&dyn Fn(&Moment) -> bool; 2] = [&stub, &labelled];
                look_at.rotate_left(orders >> look & 1);
                steps.extend(look_at);
            }
            steps.push(&wrong);
            self.can_be(&steps)
        })
    }

    fn misleads(&self, label: Label) -> bool {
        let local = |moment: &Moment| moment.local;
        let labelled = |moment: &Moment| moment.label == label;
        // A read that gets fewer bytes than the label promises is not believed.
        let wrong = |moment: &Moment| !moment.right && moment.label.size >= label.size;
        // A brick checks the state, and then looks at the attributes; it reads, and then looks at them.
        let mut steps: Vec<&dyn Fn(&Moment) -> bool> = Vec::new();
        for _ in 0..self.looks {
            steps.extend([&local as &dyn Fn(&Moment) -> bool, &labelled]);
        }
        steps.extend([&wrong as &dyn Fn(&Moment) -> bool, &labelled]);
        self.can_be(&steps)
    }

    /// A client's steps, in this order, each at the earliest moment that allows it: if it can end at all, it can so.
    fn can_be(&self, steps: &[&dyn Fn(&Moment) -> bool]) -> bool {
        let mut left = steps;
        for moment in &self.moments {
            while let Some((step, rest)) = left.split_first()
                && step(moment)
            {
                left = rest;
            }
        }
        left.is_empty()
    }
}

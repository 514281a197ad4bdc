// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Which events of the history get a line of their own: so many at once, then so many per second. The others are counted,
//! and the counts are a line every second.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use cloudsync_format::history::Unlisted;

use crate::sync::{Mutex, PoisonError};

/// The least time between two lines of counts.
const PAUSE: Duration = Duration::from_secs(1);

/// An event, for the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file of so many bytes was recalled.
    Recalled(u64),
    /// A recall failed.
    Failed,
    /// A file of so many bytes was archived.
    Archived(u64),
    /// A file was read from the store.
    Served,
}

/// Chooses what is listed.
#[derive(Debug)]
pub struct Listing {
    /// Lines at once.
    burst: u32,
    /// The time after which one more line may be written.
    each: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Lines that may be written now, at `at`.
    lines: Option<(u32, Instant)>,
    unlisted: Unlisted,
    /// When counts were last written, or when the first event was counted since.
    told: Option<Instant>,
}

/// What to write.
#[derive(Debug, PartialEq, Eq)]
pub struct Lines {
    /// Whether to write the event.
    pub event: bool,
    /// The counts to write before it.
    pub counts: Option<Unlisted>,
}

impl Listing {
    /// Lists `burst` events at once, and one more `each` time.
    #[must_use]
    pub fn new(burst: u32, each: Duration) -> Self {
        Self {
            burst,
            each,
            state: Mutex::default(),
        }
    }

    /// Whether an event that happened now would be listed.
    #[must_use]
    pub fn has_lines(&self, now: Instant) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.lines(&state, now).0 > 0
    }

    /// An event happens now.
    #[must_use]
    pub fn next(&self, kind: Kind, now: Instant) -> Lines {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let event = self.take(&mut state, now);
        if !event {
            state.count(kind);
            state.told.get_or_insert(now);
        }
        let due = state.told.is_some_and(|told| now - told >= PAUSE);
        let counts = (event || due).then(|| state.counts()).flatten();
        if counts.is_some() && !event {
            state.told = Some(now);
        }
        Lines { event, counts }
    }

    /// The counts that have not been written.
    #[must_use]
    pub fn rest(&self) -> Option<Unlisted> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.counts()
    }

    /// The lines that may be written now, and until when they are counted.
    fn lines(&self, state: &State, now: Instant) -> (u32, Instant) {
        let (lines, at) = state.lines.unwrap_or((self.burst, now));
        let more = now.saturating_duration_since(at).as_millis() / self.each.as_millis();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let lines = lines.saturating_add(more).min(self.burst);
        (lines, at + self.each * more)
    }

    /// Takes one of them.
    fn take(&self, state: &mut State, now: Instant) -> bool {
        let (lines, at) = self.lines(state, now);
        state.lines = Some((lines.saturating_sub(1), at));
        lines > 0
    }
}

impl State {
    fn count(&mut self, kind: Kind) {
        let unlisted = &mut self.unlisted;
        match kind {
            Kind::Recalled(bytes) => {
                unlisted.recalled += 1;
                unlisted.recalled_bytes += bytes;
            }
            Kind::Failed => unlisted.failed += 1,
            Kind::Archived(bytes) => {
                unlisted.archived += 1;
                unlisted.archived_bytes += bytes;
            }
            Kind::Served => unlisted.served += 1,
        }
    }

    fn counts(&mut self) -> Option<Unlisted> {
        self.told = None;
        let counts = std::mem::take(&mut self.unlisted);
        (counts != Unlisted::default()).then_some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BURST: u32 = 1000;
    const EACH: Duration = Duration::from_millis(10);

    fn listing() -> Listing {
        Listing::new(BURST, EACH)
    }

    #[test]
    fn what_is_not_listed_is_counted() {
        let (listing, start) = (listing(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let recalled = Kind::Recalled(10);
        for _ in 0..BURST {
            let lines = listing.next(recalled, start);
            assert!(lines.event && lines.counts.is_none());
        }
        assert!(!listing.has_lines(at(9)) && listing.has_lines(at(10)));
        for event in [recalled, Kind::Failed, Kind::Archived(5), recalled] {
            let lines = listing.next(event, at(9));
            assert!(!lines.event && lines.counts.is_none());
        }
        // A line is due again: the counts come first.
        let counts = Unlisted {
            recalled: 2,
            failed: 1,
            archived: 1,
            recalled_bytes: 20,
            archived_bytes: 5,
            ..Unlisted::default()
        };
        let lines = Lines {
            event: true,
            counts: Some(counts),
        };
        assert_eq!(listing.next(Kind::Failed, at(10)), lines);
        assert!(!listing.next(Kind::Failed, at(19)).event);
        let rest = listing.rest().unwrap();
        assert_eq!((rest.failed, rest.recalled), (1, 0));
        assert_eq!(listing.rest(), None);
        // After a pause, as many lines at once as in the beginning.
        let later = at(1_000_000);
        let listed = (0..BURST + 10).filter(|_| listing.next(recalled, later).event);
        assert_eq!(listed.count(), BURST as usize);
    }

    #[test]
    fn counts_are_written_every_second_while_nothing_is_listed() {
        // The largest rate at which each line is taken, and twice as many events.
        let (listing, start) = (listing(), Instant::now());
        let (mut listed, mut counted) = (0, 0);
        let mut lines_of_counts = 0;
        let all = 10_000_u32;
        for event in 0..all {
            let lines = listing.next(Kind::Failed, start + EACH / 2 * event);
            listed += u64::from(lines.event);
            if let Some(counts) = lines.counts {
                counted += counts.failed;
                lines_of_counts += 1;
            }
        }
        counted += listing.rest().map_or(0, |rest| rest.failed);
        assert_eq!(listed + counted, u64::from(all));
        assert!(lines_of_counts > 0);
    }
}

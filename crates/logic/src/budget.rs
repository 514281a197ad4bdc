// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The budget of bytes that a client may fetch from the store in a window of time, which it pays for.
//!
//! A recall reserves the bytes of its file before it begins, so that what was begun can be finished. What arrives is spent, and
//! no longer reserved. A read that the store answers reserves the bytes of its request in the same way.

#![forbid(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use cloudsync_format::option;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use cloudsync_format::message;

/// What may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in the window; 0: unlimited.
    pub bytes: u64,
    /// The length of the window, which slides.
    pub window: Duration,
    /// Whether reads are answered from the store all the same when it is used up.
    pub serve: bool,
}

/// The budget of one volume in this process.
#[derive(Debug)]
pub struct Budget(Mutex<State>);

#[derive(Debug)]
struct State {
    limits: Limits,
    ledger: Ledger,
}

/// What has been spent and reserved.
#[derive(Debug, Default)]
struct Ledger {
    /// What was spent, by the time at which a slot began.
    spent: VecDeque<(Instant, u64)>,
    bytes: u64,
    reserved: u64,
    refused: u64,
    /// It was reported as used up, and the fewest bytes that it has been found to lack since.
    lacks: Option<u64>,
}

/// A window has at least this number of slots.
const SLOTS: u32 = 128;

/// What to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    None,
    UsedUp,
    OpenAgain,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that are set aside, until they are spent or this is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    left: AtomicU64,
}

impl Reservation {
    /// Bytes have arrived, and were spent.
    pub fn arrived(&self, bytes: u64) {
        let take = |left: u64| Some(left.saturating_sub(bytes));
        let before = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        let before = before.unwrap_or_else(|left| left);
        lock(&self.budget.0).ledger.release(before.min(bytes));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let left = self.left.load(Ordering::Acquire);
        lock(&self.budget.0).ledger.release(left);
    }
}

impl Budget {
    /// Creates a budget.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            limits,
            ledger: Ledger::default(),
        })))
    }

    /// The process's budget of a volume's translator of this name. A new graph goes on with that of the old one.
    #[must_use]
    pub fn of_volume(name: &str, limits: Limits) -> Arc<Self> {
        static ALL: LazyLock<Mutex<HashMap<String, Arc<Budget>>>> = LazyLock::new(Mutex::default);
        let mut all = lock(&ALL);
        let budget = all
            .entry(name.to_owned())
            .or_insert_with(|| Self::new(limits));
        let budget = Arc::clone(budget);
        drop(all);
        budget.set(limits);
        budget
    }

    /// Changes the limits.
    pub fn set(&self, limits: Limits) {
        lock(&self.0).limits = limits;
    }

    /// Sets bytes aside; `None`: there are not so many left.
    #[must_use]
    pub fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        self.ask(bytes, true).then(|| Reservation {
            budget: Arc::clone(self),
            left: AtomicU64::new(bytes),
        })
    }

    /// Whether so many bytes are left. False counts as a refusal.
    #[must_use]
    pub fn has(&self, bytes: u64) -> bool {
        self.ask(bytes, false)
    }

    fn ask(&self, bytes: u64, reserve: bool) -> bool {
        let now = Instant::now();
        let mut state = lock(&self.0);
        let limits = state.limits;
        let fits = state.ledger.fits(&limits, bytes, now);
        let news = state.ledger.answered(bytes, fits);
        if fits && reserve {
            state.ledger.reserved += bytes;
        }
        drop(state);
        let name = option::text(option::PRODUCT_ID);
        match news {
            News::UsedUp => log::warn!(
                id = message::BUDGET_USED_UP;
                "budget-bytes of {name} ({} in {:?}) leaves no {bytes} bytes to fetch from the store: {}",
                limits.bytes,
                limits.window,
                if limits.serve {
                    "files stay cold, and only what is read is fetched"
                } else {
                    "files stay cold, and reads that need more than is left fail (EDQUOT)"
                }
            ),
            News::OpenAgain => {
                log::info!(
                    id = message::BUDGET_AGAIN;
                    "budget-bytes of {name} has bytes left again: files are recalled"
                );
            }
            News::None => {}
        }
        fits
    }

    /// Bytes have arrived from the store, of those that were set aside if `reserved` is given.
    pub fn receive(&self, bytes: u64, reserved: Option<&Reservation>) {
        self.spend(bytes);
        if let Some(reserved) = reserved {
            reserved.arrived(bytes);
        }
    }

    /// Bytes have arrived from the store.
    pub fn spend(&self, bytes: u64) {
        let mut state = lock(&self.0);
        let limits = state.limits;
        state.ledger.spend(&limits, bytes, Instant::now());
    }

    /// Whether reads are answered from the store all the same when it is used up.
    #[must_use]
    pub fn serves(&self) -> bool {
        lock(&self.0).limits.serve
    }

    /// How it stands; `None` if that cannot be determined without blocking.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let mut state = self.0.try_lock().ok()?;
        let limits = state.limits;
        state.ledger.forget(&limits, Instant::now());
        let Ledger {
            bytes,
            reserved,
            refused,
            ..
        } = state.ledger;
        Some(Report {
            limit: limits.bytes,
            spent: bytes,
            reserved,
            refused,
        })
    }
}

/// How a budget stands, in bytes but for `refused`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// The limit; 0 for none.
    pub limit: u64,
    /// Bytes that came within the window.
    pub spent: u64,
    /// Bytes set aside for recalls in progress.
    pub reserved: u64,
    /// How often it refused.
    pub refused: u64,
}

impl Ledger {
    /// Forgets what was spent before the window.
    fn forget(&mut self, limits: &Limits, now: Instant) {
        while let Some((when, bytes)) = self.spent.front().copied()
            && now.saturating_duration_since(when) >= limits.window
        {
            self.spent.pop_front();
            self.bytes -= bytes;
        }
    }

    fn spend(&mut self, limits: &Limits, bytes: u64, now: Instant) {
        self.forget(limits, now);
        // Without a limit it is counted, too: it may be set at any time.
        self.bytes += bytes;
        match self.spent.back_mut() {
            Some((when, spent)) if now.saturating_duration_since(*when) < limits.window / SLOTS => {
                *spent += bytes;
            }
            _ => self.spent.push_back((now, bytes)),
        }
    }

    fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    fn fits(&mut self, limits: &Limits, bytes: u64, now: Instant) -> bool {
        self.forget(limits, now);
        let used = self.bytes.saturating_add(self.reserved);
        bytes == 0 || limits.bytes == 0 || used.saturating_add(bytes) <= limits.bytes
    }

    /// Counts an answer. Tells when the budget is used up, and when it has again what it was first found to lack; each once.
    /// Slots bound how often that may change in a window.
    fn answered(&mut self, bytes: u64, fits: bool) -> News {
        match (self.lacks, fits) {
            (None, true) => News::None,
            (None, false) => {
                self.refused += 1;
                self.lacks = Some(bytes);
                News::UsedUp
            }
            (Some(lacks), false) => {
                self.refused += 1;
                self.lacks = Some(lacks.min(bytes));
                News::None
            }
            (Some(lacks), true) if bytes < lacks => News::None,
            (Some(_), true) => {
                self.lacks = None;
                News::OpenAgain
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(86400);
    const LIMITS: Limits = Limits {
        bytes: 100,
        window: WINDOW,
        serve: false,
    };

    #[test]
    fn what_was_spent_a_window_ago_counts_no_more() {
        let mut ledger = Ledger::default();
        let start = Instant::now();
        assert!(ledger.fits(&LIMITS, 100, start) && !ledger.fits(&LIMITS, 101, start));
        ledger.spend(&LIMITS, 60, start);
        ledger.spend(&LIMITS, 40, start + WINDOW / 2);
        for (later, most) in [(WINDOW / 2, 0), (WINDOW, 60), (WINDOW * 3 / 2, 100)] {
            let now = start + later;
            assert!(ledger.fits(&LIMITS, most, now), "{later:?}");
            assert!(!ledger.fits(&LIMITS, most + 1, now), "{later:?}");
        }
        assert!(ledger.spent.is_empty() && ledger.bytes == 0);
    }

    #[test]
    fn without_a_limit_everything_fits_and_is_counted() {
        let none = Limits { bytes: 0, ..LIMITS };
        let mut ledger = Ledger::default();
        let now = Instant::now();
        ledger.spend(&none, 90, now);
        assert!(ledger.fits(&none, u64::MAX, now));
        assert!(!ledger.fits(&LIMITS, 11, now), "from now on");
    }

    #[test]
    fn many_bytes_take_few_slots() {
        let mut ledger = Ledger::default();
        let start = Instant::now();
        for second in 0..100_000 {
            ledger.spend(&LIMITS, 1, start + Duration::from_secs(second));
        }
        assert!(ledger.spent.len() <= SLOTS as usize + 1);
        let counted: u64 = ledger.spent.iter().map(|slot| slot.1).sum();
        assert!(counted == ledger.bytes && counted >= 86_400 - 86_400 / u64::from(SLOTS));
    }

    #[test]
    fn its_end_and_its_return_are_told_once() {
        let mut ledger = Ledger::default();
        let steps = [
            (5, true, News::None),
            (50, false, News::UsedUp),
            (60, false, News::None),
            (9, true, News::None),
            (10, false, News::None),
            (9, true, News::None),
            (10, true, News::OpenAgain),
            (100, true, News::None),
            (1, false, News::UsedUp),
        ];
        for (bytes, fits, news) in steps {
            assert_eq!(ledger.answered(bytes, fits), news, "{bytes} {fits}");
        }
        assert_eq!(ledger.refused, 4);
    }

    #[test]
    fn what_is_reserved_is_not_counted_twice_when_it_arrives() {
        let budget = Budget::new(LIMITS);
        let used = || budget.report().map(|now| now.spent + now.reserved).unwrap();
        let first = budget.reserve(70).unwrap();
        assert!(budget.reserve(31).is_none() && !budget.has(31) && budget.has(30));
        budget.spend(50);
        first.arrived(50);
        assert_eq!(used(), 70);
        // More than was reserved, as after an interruption.
        budget.spend(25);
        first.arrived(25);
        assert_eq!(used(), 75);
        drop(first);
        let second = budget.reserve(25).unwrap();
        assert_eq!((used(), budget.report().unwrap().refused), (100, 2));
        drop(second);
        assert_eq!(used(), 75);
    }

    #[test]
    fn a_new_graph_goes_on_with_the_budget() {
        let name = "a-volume-of-this-test-cloudsync";
        Budget::of_volume(name, LIMITS).spend(99);
        assert!(!Budget::of_volume(name, LIMITS).has(2));
    }
}

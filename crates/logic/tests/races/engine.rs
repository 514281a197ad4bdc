// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Arriving operations, ending jobs, cancellation and shutdown, in thousands of orders. `CLOUDSYNC_ORDERS=100000`
//! explores more.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::model::host::Inode;
use crate::model::instance::Instance;
use crate::model::threads;
use crate::model::ticket::{Ledger, Ticket, who};
use crate::model::volume::{FILE, Volume};
use crate::orders;
use shuttle::thread::{self, JoinHandle};

const LONG: Duration = Duration::from_secs(3600);

/// Explores the default number of orders.
fn explore(body: impl Fn() + Send + Sync + Clone + 'static) {
    orders::explore(1000, body);
}

fn park(instance: &Arc<Instance>, ledger: &Arc<Ledger>, again: u8) -> JoinHandle<()> {
    let (instance, ticket) = (Arc::clone(instance), Ticket::new(Arc::clone(ledger), again));
    thread::spawn(move || instance.park(ticket))
}

/// Asserts that all operations that arrived were answered once, and that none is left.
fn assert_answered(instance: &Arc<Instance>, ledger: &Ledger, arrived: usize) {
    assert!(instance.volume.busy.wait_until_idle(LONG));
    let (resumed, failed) = (ledger.resumed.load(SeqCst), ledger.failed.load(SeqCst));
    assert_eq!(ledger.dropped.load(SeqCst), 0, "dropped without an answer");
    assert_eq!(
        resumed + failed,
        arrived,
        "{resumed} resumed, {failed} failed"
    );
    assert_eq!(instance.engine.load(), Some((0, 0)));
}

#[test]
fn every_operation_is_answered_once() {
    explore(|| {
        let (instance, ledger) = (Arc::new(Instance::default()), Arc::new(Ledger::default()));
        let parked: Vec<_> = [0, 0, 1]
            .map(|again| park(&instance, &ledger, again))
            .into();
        instance.engine.start(Inode(FILE), who(), true);
        parked.into_iter().for_each(|thread| thread.join().unwrap());
        assert_answered(&instance, &ledger, 3);
        assert_eq!(ledger.failed.load(SeqCst), 0);
        // A local file is not recalled.
        assert!(instance.volume.recalls.load(SeqCst) <= 2);
    });
}

#[test]
fn failed_recall_fails_every_waiting_operation() {
    explore(|| {
        let store_fails = true;
        let instance = Arc::new(Instance::new(Volume {
            store_fails,
            ..Volume::default()
        }));
        let ledger = Arc::new(Ledger::default());
        let parked: Vec<_> = [0, 0].map(|again| park(&instance, &ledger, again)).into();
        parked.into_iter().for_each(|thread| thread.join().unwrap());
        assert_answered(&instance, &ledger, 2);
        assert_eq!(ledger.failed.load(SeqCst), 2);
    });
}

#[test]
fn cancelling_wakes_every_operation_and_loses_none() {
    explore(|| {
        let (instance, ledger) = (Arc::new(Instance::default()), Arc::new(Ledger::default()));
        let parked: Vec<_> = [0, 0].map(|again| park(&instance, &ledger, again)).into();
        let cancelling = Arc::clone(&instance);
        let one = thread::spawn(move || {
            if let Some(job) = cancelling.engine.job(FILE) {
                job.cancel();
            }
        });
        instance.engine.cancel_all();
        one.join().unwrap();
        parked.into_iter().for_each(|thread| thread.join().unwrap());
        assert_answered(&instance, &ledger, 2);
    });
}

/// `fini`: operations that arrive during it, from threads that are still running, are answered and start no job.
#[test]
fn fini_answers_every_operation_and_starts_no_job() {
    explore(|| {
        let (instance, ledger) = (Arc::new(Instance::default()), Arc::new(Ledger::default()));
        let parked: Vec<_> = [0, 1].map(|again| park(&instance, &ledger, again)).into();
        instance.engine.end();
        let late = Arc::new(Ledger::default());
        instance.park(Ticket::new(Arc::clone(&late), 0));
        assert_eq!(late.failed.load(SeqCst), 1, "a job started");
        parked.into_iter().for_each(|thread| thread.join().unwrap());
        assert_answered(&instance, &ledger, 2);
    });
}

/// At most one of its three writes is in flight when it is cancelled, and no other one starts.
#[test]
fn job_cancelled_before_its_last_write_fails() {
    explore(|| {
        let (instance, ledger) = (Arc::new(Instance::default()), Arc::new(Ledger::default()));
        instance.park(Ticket::new(Arc::clone(&ledger), 0));
        let Some(job) = instance.engine.job(FILE) else {
            return;
        };
        job.cancel();
        let progress = job.progress();
        assert_answered(&instance, &ledger, 1);
        let failed = ledger.failed.load(SeqCst) == 1 && instance.volume.recalls.load(SeqCst) == 0;
        let early = progress.is_none_or(|(written, size)| written + 20 <= size);
        let none = instance.volume.writes.load(SeqCst) == 0;
        assert!(
            none || progress.is_some(),
            "it wrote after it was cancelled"
        );
        assert!(failed || !early);
    });
}

#[test]
fn operations_fail_without_threads_and_none_is_lost() {
    explore(|| {
        threads::become_scarce(true);
        let (instance, ledger) = (Arc::new(Instance::default()), Arc::new(Ledger::default()));
        let parked: Vec<_> = [0, 0, 0]
            .map(|again| park(&instance, &ledger, again))
            .into();
        parked.into_iter().for_each(|thread| thread.join().unwrap());
        assert_answered(&instance, &ledger, 3);
    });
}

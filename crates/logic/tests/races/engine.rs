// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Operations that come, jobs that end, cancelling and shutting down, in thousands of orders. `CLOUDSYNC_ORDERS=100000`
//! tries more.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::model::host::Inode;
use crate::model::instance::Instance;
use crate::model::threads;
use crate::model::ticket::{Ledger, Ticket};
use crate::model::volume::{FILE, Volume};
use crate::orders;
use shuttle::thread::{self, JoinHandle};

const LONG: Duration = Duration::from_secs(3600);

/// In so many orders.
fn explore(body: impl Fn() + Send + Sync + Clone + 'static) {
    orders::explore(1000, body);
}

fn park(instance: &Arc<Instance>, ledger: &Arc<Ledger>, again: u8) -> JoinHandle<()> {
    let (instance, ticket) = (Arc::clone(instance), Ticket::new(Arc::clone(ledger), again));
    thread::spawn(move || instance.park(ticket))
}

/// All that came were answered once, and nothing is left.
fn assert_answered(instance: &Arc<Instance>, ledger: &Ledger, came: usize) {
    assert!(instance.volume.busy.wait_until_idle(LONG));
    let (resumed, failed) = (ledger.resumed.load(SeqCst), ledger.failed.load(SeqCst));
    assert_eq!(ledger.dropped.load(SeqCst), 0, "answered by nobody");
    assert_eq!(resumed + failed, came, "{resumed} resumed, {failed} failed");
    assert_eq!(instance.engine.load(), Some((0, 0)));
}

#[test]
fn every_operation_is_answered_once() {
    explore(|| {
        let (instance, ledger) = (Arc::new(Instance::default()), Arc::new(Ledger::default()));
        let parked: Vec<_> = [0, 0, 1]
            .map(|again| park(&instance, &ledger, again))
            .into();
        instance.engine.start(Inode(FILE), true);
        parked.into_iter().for_each(|thread| thread.join().unwrap());
        assert_answered(&instance, &ledger, 3);
        assert_eq!(ledger.failed.load(SeqCst), 0);
        // Nobody recalls a file that is local.
        assert!(instance.volume.recalls.load(SeqCst) <= 2);
    });
}

#[test]
fn a_recall_that_fails_fails_whoever_waits_for_it() {
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
fn cancelling_wakes_everybody_and_loses_nobody() {
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

/// `fini`: operations that come then, from threads that are not done yet, are answered too, and start nothing.
#[test]
fn at_the_end_everybody_is_answered_and_no_job_begins() {
    explore(|| {
        let (instance, ledger) = (Arc::new(Instance::default()), Arc::new(Ledger::default()));
        let parked: Vec<_> = [0, 1].map(|again| park(&instance, &ledger, again)).into();
        instance.engine.end();
        let late = Arc::new(Ledger::default());
        instance.park(Ticket::new(Arc::clone(&late), 0));
        assert_eq!(late.failed.load(SeqCst), 1, "a job began");
        parked.into_iter().for_each(|thread| thread.join().unwrap());
        assert_answered(&instance, &ledger, 2);
    });
}

/// At most one of its three writes is in flight when it is cancelled, and no other begins.
#[test]
fn a_job_that_is_cancelled_before_its_last_write_fails() {
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
fn without_threads_operations_fail_and_none_is_lost() {
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

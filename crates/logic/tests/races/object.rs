// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Readers of one object, its recall, failing requests, and shutdown, in thousands of orders. Every answer is compared
//! with the file's bytes when it is given (by the model's tickets).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::model::host::{Attributes, Host, Object, Objects};
use crate::model::store::{Store, byte};
use crate::model::threads;
use crate::model::ticket::{Ledger, Ticket};
use crate::model::volume::FILE;
use crate::orders;
use cloudsync_format::checksum::Algorithm;
use cloudsync_format::xattr::State;
use cloudsync_logic::allowance::Allowance;
use cloudsync_logic::budget::Budget;
use cloudsync_logic::config::Config;
use cloudsync_logic::errno::Failure;
use cloudsync_logic::host::{Buffer as _, Host as _};
use cloudsync_logic::objects::identity::Identity;
use cloudsync_logic::objects::limits::{LIMITS, Use};
use cloudsync_logic::status::Status;
use cloudsync_logic::work::busy::Busy;
use shuttle::sync::atomic::AtomicBool;
use shuttle::thread::{self, JoinHandle};

const PIECE: u64 = Host::PIECE;
const LONG: Duration = Duration::from_secs(3600);
/// Four pieces and a part of one.
const SIZE: u64 = 4 * PIECE + 2;

/// Explores the default number of orders.
fn explore(body: impl Fn() + Send + Sync + Clone + 'static) {
    orders::explore(1000, body);
}

/// One file in one store.
struct World {
    store: Arc<Store>,
    object: Arc<Object>,
    busy: Arc<Busy>,
}

/// A read in progress.
struct Reader {
    range: Range<u64>,
    ledger: Arc<Ledger>,
    thread: JoinHandle<()>,
}

fn status(size: u64) -> Status<Attributes> {
    Status {
        state: State::Remote,
        attributes: Attributes(size),
        on_bricks: 0,
        remote: Some(b"key".to_vec()),
        key: None,
        archived_by_us: false,
        mark: None,
        version: None,
        record: None,
        archive_uuid: None,
        sharded_size: None,
        has_left_overs: true,
    }
}

fn read(object: &Arc<Object>, range: Range<u64>, read_ahead: bool) -> Reader {
    let ledger = Arc::new(Ledger::default());
    let ticket = Ticket::read(Arc::clone(&ledger), range.clone());
    let object = Arc::clone(object);
    let thread = thread::spawn(move || object.read(ticket, read_ahead));
    Reader {
        range,
        ledger,
        thread,
    }
}

/// Waits for the readers. Each must have been answered once: with the file's bytes, or with the errno returned here.
fn answers(readers: Vec<Reader>, idle: impl FnOnce() -> bool) -> Vec<Result<(), i32>> {
    let join = |reader: Reader| {
        reader.thread.join().unwrap();
        (reader.range, reader.ledger)
    };
    let readers: Vec<_> = readers.into_iter().map(join).collect();
    assert!(idle());
    let answer = |(range, ledger): (Range<u64>, Arc<Ledger>)| {
        let answers = ledger.resumed.load(SeqCst) + ledger.failed.load(SeqCst);
        assert_eq!((answers, ledger.dropped.load(SeqCst)), (1, 0), "{range:?}");
        match ledger.errno.load(SeqCst) {
            0 => Ok(()),
            errno => Err(errno),
        }
    };
    readers.into_iter().map(answer).collect()
}

/// Small budgets, as sizes are small here.
pub(crate) fn limits() -> Config {
    Config {
        memory: 1 << 20,
        connections: 16,
        ..Config::default()
    }
}

/// Reads may recall everything.
fn unlimited() -> Arc<Allowance> {
    let config = Config::default();
    Arc::new(Allowance::new(config.allowed, Budget::new(config.budget)))
}

impl World {
    fn new(store: Store) -> Self {
        LIMITS.set(&limits());
        let (store, busy) = (Arc::new(store), Arc::new(Busy::default()));
        let status = status(store.size);
        let identity = Identity::of(&status).unwrap();
        let object = Object::new(
            (),
            Arc::clone(&store),
            identity,
            &status.attributes,
            &busy,
            &unlimited(),
            &not_set(),
        );
        Self {
            store,
            object,
            busy,
        }
    }

    fn read(&self, range: Range<u64>, read_ahead: bool) -> Reader {
        read(&self.object, range, read_ahead)
    }

    fn answers(&self, readers: Vec<Reader>) -> Vec<Result<(), i32>> {
        answers(readers, || self.busy.wait_until_idle(LONG))
    }

    /// A recall that must receive the object in order. Once `cancelled`, it fails because of `why`.
    fn recall_until(
        &self,
        cancelled: &Arc<AtomicBool>,
        why: fn() -> Failure,
    ) -> JoinHandle<Result<(), Failure>> {
        let (object, cancelled) = (Arc::clone(&self.object), Arc::clone(cancelled));
        thread::spawn(move || {
            let (size, mut at) = (object.source.identity.size, 0);
            let keep_going = || match cancelled.load(SeqCst) {
                true => Err(why()),
                false => Ok(()),
            };
            let done = object.stream(
                0..size,
                Use::Recall,
                &keep_going,
                &mut |start, chunk, which| {
                    assert_eq!(start, at);
                    at += which.len() as u64;
                    let expected: Vec<u8> = (start..at).map(byte).collect();
                    assert_eq!(chunk.buffer().bytes()[which], expected);
                    // The bytes are being written to the bricks.
                    thread::yield_now();
                    Ok(())
                },
            );
            assert!(done.is_err() || at == size, "it ends at {at}");
            done
        })
    }

    fn recall(&self) -> JoinHandle<Result<(), Failure>> {
        self.recall_until(&not_set(), || Failure::Bug)
    }

    /// How often the most fetched byte was fetched.
    fn most(&self) -> u32 {
        let delivered = self.store.delivered.lock().unwrap();
        delivered.iter().copied().max().unwrap_or(0)
    }

    /// Asserts that nothing waits or is in flight, and that no memory is used once the object is dropped.
    fn assert_idle(self) {
        assert!(self.busy.wait_until_idle(LONG));
        assert_eq!(self.store.at_work.load(SeqCst), 0, "a request is running");
        assert_eq!(self.object.waiting(), 0, "a read is waiting");
        assert_eq!(LIMITS.used().1, 0, "a connection is in use");
        drop(self.object);
        assert_eq!(
            Arc::strong_count(&self.store),
            1,
            "the object is still referenced"
        );
        assert_eq!(LIMITS.used().0, 0, "memory is in use");
    }
}

fn not_set() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}

const EIO: Result<(), i32> = Err(libc::EIO);

#[test]
fn readers_share_requests_and_get_the_files_bytes() {
    explore(|| {
        let world = World::new(Store::new(SIZE));
        let readers = vec![
            world.read(0..5, true),
            world.read(3..9, true),
            world.read(8..SIZE + 7, false),
        ];
        assert_eq!(world.answers(readers), [Ok(()); 3]);
        assert_eq!(world.most(), 1, "a byte was fetched again");
        // Bytes in memory are answered immediately.
        assert_eq!(world.answers(vec![world.read(1..SIZE, false)]), [Ok(())]);
        assert_eq!(world.most(), 1, "a byte was fetched again");
        world.assert_idle();
    });
}

#[test]
fn recall_and_readers_share_fetched_bytes() {
    explore(|| {
        let world = World::new(Store::new(SIZE));
        let recall = world.recall();
        let readers = vec![world.read(2..7, false), world.read(10..14, true)];
        assert!(recall.join().unwrap().is_ok());
        assert_eq!(world.answers(readers), [Ok(()); 2]);
        assert_eq!(world.most(), 1, "a byte was fetched again");
        world.assert_idle();
    });
}

/// One request fails halfway.
#[test]
fn failed_request_fails_only_the_reads_waiting_for_it() {
    explore(|| {
        let place = 2 * PIECE + 1;
        let world = World::new(Store {
            fails: (place, AtomicUsize::new(1)),
            ..Store::new(SIZE)
        });
        let readers = vec![
            world.read(0..PIECE, false),
            world.read(place..place + 2, false),
            world.read(PIECE..SIZE, false),
            world.read(place + 3..SIZE, false),
        ];
        let answers = world.answers(readers);
        // Its request was only for these bytes.
        assert_eq!(answers[0], Ok(()));
        assert!(answers.iter().all(|answer| [Ok(()), EIO].contains(answer)));
        assert!(answers[1..].contains(&EIO), "the failure was not reported");
        // A retry gets them.
        assert_eq!(world.answers(vec![world.read(0..SIZE, true)]), [Ok(())]);
        world.assert_idle();
    });
}

#[test]
fn failed_request_fails_the_recall_waiting_for_it() {
    explore(|| {
        let place = 3 * PIECE;
        let world = World::new(Store {
            fails: (place, AtomicUsize::new(1)),
            ..Store::new(SIZE)
        });
        let reader = world.read(place..SIZE, false);
        let recall = world.recall().join().unwrap();
        let answers = world.answers(vec![reader]);
        // Either one fetches those bytes first; the other may arrive after the failure.
        assert!(
            recall.is_err() || answers == [EIO],
            "the failure was not reported"
        );
        if let Err(failure) = recall {
            assert_eq!(failure.errno().get(), libc::EIO);
        }
        world.assert_idle();
    });
}

#[test]
fn cancelled_recall_does_not_affect_readers() {
    explore(|| {
        let world = World::new(Store::new(SIZE));
        let cancelled = not_set();
        let recall = world.recall_until(&cancelled, || Failure::Cancelled);
        let readers = vec![world.read(0..6, false), world.read(9..SIZE, true)];
        cancelled.store(true, SeqCst);
        let recalled = recall.join().unwrap();
        assert!(
            matches!(recalled, Ok(()) | Err(Failure::Cancelled)),
            "{recalled:?}"
        );
        assert_eq!(world.answers(readers), [Ok(()); 2]);
        world.assert_idle();
    });
}

/// These readers must be answered before the bricks are asked again: the object may no longer match the file.
#[test]
fn recall_without_its_lock_gives_readers_no_bytes() {
    explore(|| {
        let world = World::new(Store {
            stalls: true,
            ..Store::new(SIZE)
        });
        let lost = not_set();
        let recall = world.recall_until(&lost, || Failure::LockLost);
        while world.store.at_work.load(SeqCst) == 0 {
            thread::yield_now();
        }
        let ledger = Arc::new(Ledger::default());
        let ticket = Ticket::read(Arc::clone(&ledger), 2..7);
        world.object.read(ticket, false);
        lost.store(true, SeqCst);
        let recalled = recall.join().unwrap();
        assert!(matches!(recalled, Err(Failure::LockLost)), "{recalled:?}");
        assert_eq!(ledger.errno.load(SeqCst), libc::ENOTCONN);
        assert_eq!(ledger.failed.load(SeqCst), 1);
        world.assert_idle();
    });
}

/// With memory for one piece and few connections, requests must not deadlock on each other.
fn with_little_memory(connections: usize) {
    let world = World::new(Store::new(SIZE));
    LIMITS.set(&Config {
        memory: PIECE,
        connections,
        ..limits()
    });
    let readers = vec![
        world.read(0..SIZE, false),
        world.read(PIECE - 1..3 * PIECE, true),
    ];
    assert!(world.recall().join().unwrap().is_ok());
    assert_eq!(world.answers(readers), [Ok(()); 2]);
    world.assert_idle();
}

#[test]
fn no_deadlock_with_little_memory_and_one_connection() {
    explore(|| with_little_memory(1));
}

#[test]
fn no_deadlock_with_little_memory_and_two_connections() {
    explore(|| with_little_memory(2));
}

#[test]
fn reads_fail_without_threads_and_none_is_lost() {
    explore(|| {
        threads::become_scarce(true);
        let world = World::new(Store::new(SIZE));
        let readers = vec![
            world.read(0..5, true),
            world.read(3..9, true),
            world.read(0..SIZE, false),
        ];
        let answers = world.answers(readers);
        threads::become_scarce(false);
        let fine = [Ok(()), Err(libc::ENOMEM)];
        assert!(answers.iter().all(|answer| fine.contains(answer)));
        world.assert_idle();
    });
}

/// The bytes of a single-piece file are verified before any reader gets them.
#[test]
fn single_piece_is_verified_before_it_is_read() {
    explore(|| {
        let world = World::new(Store {
            checksum: Some(Algorithm::Crc32c.of(b"another file")),
            ..Store::new(PIECE)
        });
        let readers = vec![world.read(0..1, true), world.read(2..PIECE, false)];
        let recall = world.recall();
        assert_eq!(
            recall.join().unwrap().unwrap_err().errno().get(),
            libc::EBADMSG
        );
        assert_eq!(world.answers(readers), [Err(libc::EBADMSG); 2]);
        world.assert_idle();
    });
}

/// An object is closed at the end of its recall, while readers still wait for their own requests.
#[test]
fn shutdown_cancels_requests_of_closed_objects() {
    explore(|| {
        LIMITS.set(&limits());
        let busy = Arc::new(Busy::default());
        let objects = Objects::new(&busy, &unlimited());
        let store = Arc::new(Store {
            stalls: true,
            ..Store::new(SIZE)
        });
        let object = objects.open((), &store, FILE, &status(SIZE)).unwrap();
        let readers = vec![read(&object, 0..5, false), read(&object, 5..6, true)];
        objects.close(FILE, None);
        let answers = answers(readers, || {
            objects.end();
            busy.wait_until_idle(LONG)
        });
        assert_eq!(answers, [Err(libc::ECANCELED); 2]);
        let again = objects.open((), &store, FILE, &status(SIZE));
        assert!(
            matches!(again, Err(Failure::Cancelled)),
            "it is not shut down"
        );
    });
}

/// `fini`: when it returns, no request is running and every read is answered, including those of an object that was
/// closed at the end of its recall.
#[test]
fn shutdown_answers_every_read_and_leaves_no_request() {
    explore(|| {
        LIMITS.set(&limits());
        let (store, busy) = (Arc::new(Store::new(SIZE)), Arc::new(Busy::default()));
        let objects = Arc::new(Objects::new(&busy, &unlimited()));
        let open = || objects.open((), &store, FILE, &status(SIZE)).unwrap();
        let first = open();
        let readers = vec![read(&first, 0..SIZE, false), read(&first, 5..6, true)];
        let closing = Arc::clone(&objects);
        let close = thread::spawn(move || closing.close(FILE, None));
        let answers = answers(readers, || {
            objects.end();
            busy.wait_until_idle(LONG)
        });
        assert_eq!(store.at_work.load(SeqCst), 0, "a request is running");
        let fine = [Ok(()), Err(libc::ECANCELED)];
        assert!(answers.iter().all(|answer| fine.contains(answer)));
        close.join().unwrap();
    });
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Readers of one object, its recall, requests that fail, and the end, in thousands of orders. Every answer is
//! compared with the file's bytes where it is given (the stand-in of an operation does that).

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
/// Four pieces, and a part of one.
const SIZE: u64 = 4 * PIECE + 2;

/// In so many orders.
fn explore(body: impl Fn() + Send + Sync + Clone + 'static) {
    orders::explore(1000, body);
}

/// One file, one store.
struct World {
    store: Arc<Store>,
    object: Arc<Object>,
    busy: Arc<Busy>,
}

/// Somebody who reads.
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

/// Waits for the readers. Each was answered, once: with the file's bytes, or with this errno.
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

/// Sizes are small here, and so is what may be in memory.
fn limits() -> Config {
    Config {
        memory: 1 << 20,
        connections: 16,
        ..Config::default()
    }
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
            &never(),
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

    /// A recall: what it gets, in order, is the object. Once `cancelled`, it fails because of `why`.
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
                    // On the way to the bricks.
                    thread::yield_now();
                    Ok(())
                },
            );
            assert!(done.is_err() || at == size, "it ends at {at}");
            done
        })
    }

    fn recall(&self) -> JoinHandle<Result<(), Failure>> {
        self.recall_until(&never(), || Failure::Bug)
    }

    /// How often the byte that came most often came.
    fn most(&self) -> u32 {
        let delivered = self.store.delivered.lock().unwrap();
        delivered.iter().copied().max().unwrap_or(0)
    }

    /// Nothing waits, nothing is on its way, and no memory is taken once nobody has the object.
    fn assert_idle(self) {
        assert!(self.busy.wait_until_idle(LONG));
        assert_eq!(self.store.at_work.load(SeqCst), 0, "a request goes on");
        assert_eq!(self.object.waiting(), 0, "a read waits");
        assert_eq!(LIMITS.used().1, 0, "a connection is taken");
        drop(self.object);
        assert_eq!(Arc::strong_count(&self.store), 1, "somebody has the object");
        assert_eq!(LIMITS.used().0, 0, "memory is taken");
    }
}

fn never() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}

const EIO: Result<(), i32> = Err(libc::EIO);

#[test]
fn readers_share_requests_and_get_the_file_s_bytes() {
    explore(|| {
        let world = World::new(Store::new(SIZE));
        let readers = vec![
            world.read(0..5, true),
            world.read(3..9, true),
            world.read(8..SIZE + 7, false),
        ];
        assert_eq!(world.answers(readers), [Ok(()); 3]);
        assert_eq!(world.most(), 1, "a byte was fetched again");
        // What is there is answered at once.
        assert_eq!(world.answers(vec![world.read(1..SIZE, false)]), [Ok(())]);
        assert_eq!(world.most(), 1, "a byte was fetched again");
        world.assert_idle();
    });
}

#[test]
fn a_recall_and_readers_share_what_either_fetches() {
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

/// One request fails, in its middle.
#[test]
fn a_request_that_fails_fails_who_waits_for_it_and_nobody_else() {
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
        // Its request was for these bytes only.
        assert_eq!(answers[0], Ok(()));
        assert!(answers.iter().all(|answer| [Ok(()), EIO].contains(answer)));
        assert!(answers[1..].contains(&EIO), "nobody heard of it");
        // Whoever asks again gets them.
        assert_eq!(world.answers(vec![world.read(0..SIZE, true)]), [Ok(())]);
        world.assert_idle();
    });
}

#[test]
fn a_request_that_fails_fails_the_recall_that_waits_for_it() {
    explore(|| {
        let place = 3 * PIECE;
        let world = World::new(Store {
            fails: (place, AtomicUsize::new(1)),
            ..Store::new(SIZE)
        });
        let reader = world.read(place..SIZE, false);
        let recall = world.recall().join().unwrap();
        let answers = world.answers(vec![reader]);
        // Either fetches those bytes first; the other may come when that has failed already.
        assert!(recall.is_err() || answers == [EIO], "nobody heard of it");
        if let Err(failure) = recall {
            assert_eq!(failure.errno().get(), libc::EIO);
        }
        world.assert_idle();
    });
}

#[test]
fn a_recall_that_is_given_up_costs_its_readers_nothing() {
    explore(|| {
        let world = World::new(Store::new(SIZE));
        let cancelled = never();
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

/// Nobody asks the bricks again before those readers are answered: what the object is may not be the file any more.
#[test]
fn a_recall_that_lost_its_lock_gives_readers_no_more_bytes() {
    explore(|| {
        let world = World::new(Store {
            stalls: true,
            ..Store::new(SIZE)
        });
        let lost = never();
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

/// Memory for one piece, and few connections: they must not wait for each other.
fn crowd(connections: usize) {
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
fn with_little_memory_and_one_connection_everybody_gets_bytes() {
    explore(|| crowd(1));
}

#[test]
fn with_little_memory_and_two_connections_everybody_gets_bytes() {
    explore(|| crowd(2));
}

#[test]
fn without_threads_reads_fail_and_none_is_lost() {
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

/// A file of one piece is compared before anybody sees a byte.
#[test]
fn nobody_reads_a_piece_that_is_not_the_file() {
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

/// An object is closed at the end of its recall, while readers still wait for requests of their own.
#[test]
fn the_end_reaches_requests_for_an_object_that_was_closed() {
    explore(|| {
        LIMITS.set(&limits());
        let busy = Arc::new(Busy::default());
        let objects = Objects::new(&busy);
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
        assert!(matches!(again, Err(Failure::Cancelled)), "it goes on");
    });
}

/// `fini`: when it says that all is over, nothing is at work and everybody is answered, readers of an object included
/// that was closed at the end of its recall.
#[test]
fn at_the_end_everybody_is_answered_and_nothing_goes_on() {
    explore(|| {
        LIMITS.set(&limits());
        let (store, busy) = (Arc::new(Store::new(SIZE)), Arc::new(Busy::default()));
        let objects = Arc::new(Objects::new(&busy));
        let open = || objects.open((), &store, FILE, &status(SIZE)).unwrap();
        let first = open();
        let readers = vec![read(&first, 0..SIZE, false), read(&first, 5..6, true)];
        let closing = Arc::clone(&objects);
        let close = thread::spawn(move || closing.close(FILE, None));
        let answers = answers(readers, || {
            objects.end();
            busy.wait_until_idle(LONG)
        });
        assert_eq!(store.at_work.load(SeqCst), 0, "a request goes on");
        let fine = [Ok(()), Err(libc::ECANCELED)];
        assert!(answers.iter().all(|answer| fine.contains(answer)));
        close.join().unwrap();
    });
}

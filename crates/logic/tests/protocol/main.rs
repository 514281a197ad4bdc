// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Every protocol, from every state that a client can leave behind, with every fault at every operation, and with every
//! concurrent act of other clients: exhaustively, against a model of the bricks. After each operation the laws are
//! asserted ([`world::World::check`]), and at the end another client must be able to read the truth.

// In a test, panicking is the right way to handle an error.
#![allow(clippy::unwrap_used, missing_docs)]

mod client;
mod jobs;
mod labels;
mod others;
mod world;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cloudsync_format::xattr::State;
use cloudsync_logic::decision::Want;
use cloudsync_logic::errno::Failure;
use cloudsync_logic::protocol::recall::{COMMIT, Step};

use self::client::{Client, Fault};
use self::labels::Labels;
use self::others::Act;
use self::world::World;

/// What a client does.
type Work = fn(&Client<'_>) -> Result<(), Failure>;

/// No job of another client has more operations.
const LONGEST: usize = 26;

/// All faults in which other clients do nothing.
fn simple_faults() -> Vec<Fault> {
    let each = |after| {
        [
            Fault::Fail { after },
            Fault::Die { after },
            Fault::PowerLoss { after },
            Fault::Disconnect {
                after,
                others: Act::Nothing,
            },
        ]
    };
    [false, true].into_iter().flat_map(each).collect()
}

/// All faults, including those in which others act.
fn all_faults() -> Vec<Fault> {
    let whole = [
        Act::Write,
        Act::Recall,
        Act::RecallAndWrite,
        Act::RecallAndArchive,
        Act::Archive,
    ];
    let dying = (0..LONGEST).flat_map(|at| [Act::RecallAndDie(at), Act::ArchiveAndDie(at)]);
    let acts: Vec<_> = whole.into_iter().chain(dying).collect();
    let disconnects = acts.into_iter().flat_map(|others| {
        let of = |after| Fault::Disconnect { after, others };
        [of(false), of(true), Fault::Quiet(others)]
    });
    let meanwhile = [Act::Write, Act::WriteLater, Act::TruncateLater, Act::Recall];
    simple_faults()
        .into_iter()
        .chain(disconnects)
        .chain(meanwhile.map(Fault::Meanwhile))
        .collect()
}

/// The end of a run: all previous clients have ended, and a new one needs the file's bytes. If `fault` is set, it hits
/// that client, and another one follows without a fault.
fn read_at_the_end(world: &RefCell<World>, fault: Option<(usize, Fault)>) {
    let end_all_clients = || {
        let mut world = world.borrow_mut();
        world.carry_out_stragglers();
        for client in 0..10 {
            world.forget_locks(client);
        }
    };
    end_all_clients();
    if fault.is_some() {
        let _ = jobs::job(&Client::new(world, 0, fault), Want::Bytes, false);
        end_all_clients();
    }
    let reader = Client::new(world, 0, None);
    let read = jobs::job(&reader, Want::Bytes, false);
    let world = world.borrow();
    assert!(read.is_ok(), "{read:?} {:#?}", world.history);
    assert_eq!(world.status().state, State::Local, "{:#?}", world.history);
    world.check();
    let misled = world.labels.borrow().mislead();
    assert_eq!(misled, None, "{:#?}", world.history);
}

/// Runs `work` in the world with each of these faults at each operation. Returns the number of runs.
fn try_all(
    world: &World,
    faults: &[Fault],
    second: &[Fault],
    work: &dyn Fn(&Client<'_>) -> Result<(), Failure>,
) -> usize {
    let undisturbed = RefCell::new(world.clone());
    let client = Client::new(&undisturbed, 0, None);
    let _ = work(&client);
    let operations = client.operations();
    read_at_the_end(&undisturbed, None);
    let mut runs = 1;
    for at in 0..operations {
        for fault in faults {
            let of_second: Vec<_> = second
                .iter()
                .flat_map(|fault| (0..LONGEST / 2).map(|at| Some((at, *fault))))
                .chain([None])
                .collect();
            for then in of_second {
                let world = RefCell::new(world.clone());
                world.borrow_mut().trying = [Some((at, *fault)), then];
                let _ = work(&Client::new(&world, 0, Some((at, *fault))));
                world.borrow().check();
                read_at_the_end(&world, then);
                runs += 1;
            }
        }
    }
    runs
}

/// Every state that a recall may find.
fn cold_worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for own_times in [true, false] {
        for removes_singly in if own_times {
            [true, false].as_slice()
        } else {
            &[false]
        } {
            let of_kind = [
                World::cold(own_times),
                World::half_recalled(own_times),
                World::half_committed(own_times),
                World::local_with_left_overs(own_times),
                World::written_while_off(own_times),
                World::copied(own_times),
            ];
            worlds.extend(of_kind.map(|mut world| {
                world.removes_singly = *removes_singly;
                world.is_replicated = *removes_singly;
                world
            }));
        }
    }
    worlds
}

#[test]
fn recall_survives_any_fault_at_any_step() {
    let faults = all_faults();
    let mut runs = 0;
    for world in cold_worlds() {
        for one_write in [true, false] {
            runs += try_all(&world, &faults, &[], &|client| {
                jobs::job(client, Want::Bytes, one_write)
            });
        }
    }
    println!("| recalls | {runs} runs |");
    assert!(runs > 10_000, "{runs}");
}

#[test]
fn truncation_survives_any_fault_at_any_step() {
    let faults = all_faults();
    // If the bricks refuse, it is merely a failed recall, so fewer faults suffice.
    let few = simple_faults();
    let mut runs = 0;
    for mut world in cold_worlds() {
        for (refuses, faults) in [(false, &faults), (true, &few)] {
            world.refuses = refuses;
            for (keep, one_write) in [(0, false), (2, false), (2, true)] {
                runs += try_all(&world, faults, &[], &|client| {
                    jobs::job(client, Want::First(keep), one_write)
                });
            }
        }
    }
    println!("| truncations | {runs} runs |");
    assert!(runs > 10_000, "{runs}");
}

#[test]
fn handshake_survives_any_fault_at_any_step() {
    let faults = all_faults();
    let mut runs = 0;
    for (own_times, is_replicated) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut world = World::local(own_times);
        world.is_replicated = is_replicated;
        runs += try_all(&world, &faults, &[], &|client| jobs::archive(client));
    }
    println!("| handshakes | {runs} runs |");
    assert!(runs > 6_000, "{runs}");
}

#[test]
fn healing_after_a_fault_survives_a_second_fault() {
    let faults = simple_faults();
    // For the second fault, a failure or a death suffices.
    let second: Vec<_> = faults
        .iter()
        .copied()
        .filter(|fault| matches!(fault, Fault::Fail { .. } | Fault::Die { .. }))
        .collect();
    let mut runs = 0;
    for own_times in [true, false] {
        let (mut cold, mut local) = (World::cold(own_times), World::local(own_times));
        // Two failures in a row may leave wrong times where the volume does not keep its own.
        cold.times_count = own_times;
        local.times_count = own_times;
        runs += try_all(&cold, &faults, &second, &|client| {
            jobs::job(client, Want::Bytes, false)
        });
        runs += try_all(&local, &faults, &second, &|client| jobs::archive(client));
    }
    println!("| healing, two faults | {runs} runs |");
    assert!(runs > 20_000, "{runs}");
}

/// Of reads that do not ask whether the file is cold, none may return wrong bytes, which every run of this file checks
/// ([`labels`]). Without one of the rules, some do; and they hold where many operations have the same ctime, too.
#[test]
fn reads_without_a_question_need_each_of_their_rules() {
    let faults = all_faults();
    // The stock handshake does not wait for earlier operations, and loses them.
    let later = |fault: &Fault| {
        !matches!(
            fault,
            Fault::Meanwhile(Act::WriteLater | Act::TruncateLater)
        )
    };
    let of_stock: Vec<_> = faults.iter().copied().filter(later).collect();
    let survives_of = |faults: &[Fault], world: &World, archive: Work| {
        // Where the volume does not keep its own times, a failed recall by one write may leave a wrong mtime within one tick of
        // the clock, which is not what is tested here.
        let ways: &[bool] = if world.own_times {
            &[false, true]
        } else {
            &[false]
        };
        ways.iter().all(|one_write| {
            let tried = || {
                try_all(world, faults, &[], &|client| {
                    let archived = archive(client);
                    archived.and_then(|()| jobs::job(client, Want::Bytes, *one_write))
                })
            };
            catch_unwind(AssertUnwindSafe(tried)).is_ok()
        })
    };
    let with = |own_times, looks, archives_change_it, recalls_change_it| {
        let mut world = World::local(own_times);
        world.coarse = true;
        let labels = world.labels.get_mut();
        labels.looks = looks;
        labels.archives_change_it = archives_change_it;
        labels.recalls_change_it = recalls_change_it;
        world
    };
    let survives = |world: &World| survives_of(&faults, world, jobs::archive);
    let survives_stock = |world: &World| survives_of(&of_stock, world, jobs::stock_archive);
    for own_times in [true, false] {
        let all = with(own_times, 2, true, true);
        assert!(survives(&all), "{own_times}");
        let one = with(own_times, 1, true, true);
        assert!(!survives(&one), "{own_times}: a look");
    }
    let missed = with(true, 2, true, false);
    assert!(survives(&missed), "a brick missed the recall's atime");
    assert!(survives_stock(&with(true, 2, false, true)), "stock");
    assert!(
        !survives_stock(&missed),
        "stock, without the recall's atime"
    );
    let neither = with(true, 2, false, false);
    assert!(!survives(&neither), "without another atime");
    let mut without_pause = with(false, 2, true, true);
    without_pause.pauses = false;
    assert!(!survives(&without_pause), "within one tick of the clock");
}

/// Of reads that leave the file cold and do not ask whether it still is, none may return bytes that are not the file's, which
/// every run of this file checks, too. Without one of the rules, some do.
#[test]
fn reads_from_the_store_without_a_question_need_each_of_their_rules() {
    let faults = all_faults();
    let survives = |own_times, change: fn(&mut Labels)| {
        let mut world = World::cold(own_times);
        world.coarse = true;
        world.times_count = own_times;
        change(world.labels.get_mut());
        let works: [Work; 3] = [
            |client| jobs::job(client, Want::First(0), false),
            |client| jobs::job(client, Want::First(2), true),
            |client| {
                jobs::job(client, Want::Bytes, true)?;
                client.world.borrow_mut().application_writes();
                jobs::archive(client)
            },
        ];
        works.iter().all(|work| {
            catch_unwind(AssertUnwindSafe(|| try_all(&world, &faults, &[], work))).is_ok()
        })
    };
    assert!(survives(true, |_| {}));
    let unchanging = survives(true, |labels| labels.truncations_change_it = false);
    assert!(!unchanging, "a truncation does not change the label");
    let one = survives(true, |labels| labels.looks_at_stubs = Some(1));
    assert!(!one, "a look");
    let of_bricks = survives(false, |labels| labels.looks_at_stubs = Some(2));
    assert!(!of_bricks, "times of the bricks");
}

/// Tries all orders of the commit's steps. An order survives every fault if and only if the marks are removed last and
/// the times are set before the caller's truncation changes them; the position of fsync among these does not matter.
#[test]
fn commit_survives_in_no_other_order() {
    let faults = all_faults();
    let survives = |order: &'static [Step]| {
        let tried = |own_times, want| {
            let world = World::cold(own_times);
            let work = |client: &Client<'_>| jobs::job_with(client, want, false, order);
            catch_unwind(AssertUnwindSafe(|| try_all(&world, &faults, &[], &work))).is_ok()
        };
        let wants = [Want::Bytes, Want::First(2)];
        wants
            .into_iter()
            .all(|want| tried(true, want) && tried(false, want))
    };
    let place = |order: &[Step], step| order.iter().position(|other| *other == step);
    let mut right = 0;
    for order in permutations(&COMMIT) {
        let order: &'static [_] = order.leak();
        let expected = place(order, Step::Unmark) == Some(3)
            && place(order, Step::Times) < place(order, Step::Truncate);
        assert_eq!(survives(order), expected, "{order:?}");
        right += usize::from(expected);
    }
    assert_eq!(right, 3);
}

fn permutations(steps: &[Step]) -> Vec<Vec<Step>> {
    if steps.is_empty() {
        return vec![Vec::new()];
    }
    let first = |place: usize| {
        let mut rest = steps.to_vec();
        let step = rest.remove(place);
        let rest = permutations(&rest).into_iter();
        rest.map(move |rest| [vec![step], rest].concat())
    };
    (0..steps.len()).flat_map(first).collect()
}

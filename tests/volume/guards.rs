// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What the bricks refuse takes nothing from a cold file: each way to cut a file under each guard of the host, through
//! a mount and through gfapi, beside a local file to which the same is done.

mod kinds;
mod layouts;
mod tries;

use crate::scene::{Scene, assert_same, pattern};
use tries::{ACTS, Client, Tries, after};

/// A guard of the host.
pub(crate) struct Guard {
    /// Who tries.
    user: u32,
    /// What a refusal of this guard says.
    says: &'static [&'static str],
    /// What it refuses to at least one of the clients; the rest it may let through.
    refuses: &'static [&'static str],
}

/// Writes the files, archives half of them, raises the guard, tries, lowers it and looks at what is left.
#[track_caller]
fn hold<T>(
    scene: &mut Scene,
    guard: &Guard,
    prepare: impl Fn(&Scene, &str),
    raise: impl FnOnce(&Scene) -> T,
    lower: impl FnOnce(&Scene, T),
) {
    for client in Client::ALL {
        for state in ["local", "cold"] {
            for (number, act) in ACTS.iter().enumerate() {
                let name = client.file(state, act);
                scene.write(&name, &pattern(number as u64, 50_000));
                prepare(scene, &name);
                if state == "cold" {
                    scene.archive(&name);
                }
            }
        }
    }
    scene.remount();
    let mut waiting = Vec::new();
    for client in Client::ALL {
        for state in ["local", "cold"] {
            waiting.push(Tries::start(scene, client, state, guard.user));
        }
    }
    let raised = raise(scene);
    let mut verdicts = Vec::new();
    for pair in waiting.chunks_exact_mut(2) {
        let [local, cold] = pair else { unreachable!() };
        // The local ones first: they show what the guard does.
        verdicts.push((local.client, local.verdicts(scene), cold.verdicts(scene)));
    }
    for act in guard.refuses {
        let refused = |verdict: &String| verdict != "done";
        let somewhere = verdicts.iter().any(|(_, local, _)| refused(&local[*act]));
        assert!(somewhere, "nobody is refused {act}: {verdicts:?}");
    }
    let mut wrong = Vec::new();
    for (client, _, cold) in &verdicts {
        for act in ACTS.iter().filter(|act| cold[**act] != "done") {
            let (name, got) = (client.file("cold", act), &cold[*act]);
            if !guard.says.contains(&got.as_str()) {
                wrong.push(format!("{name}: {got} is not what this guard says"));
            }
            if !(scene.is_cold(&name) || scene.is_plain(&name)) {
                wrong.push(format!("{name}: {got}, and {}", scene.marks(&name)));
            }
        }
    }
    lower(scene, raised);
    drop(waiting);
    scene.remount();
    for (client, local, cold) in &verdicts {
        for (number, act) in ACTS.iter().enumerate() {
            let whole = pattern(number as u64, 50_000);
            let (want, got) = (&local[*act], &cold[*act]);
            let name = client.file("cold", act);
            let of_local = scene.read(&client.file("local", act)).unwrap();
            // Replicas answer an open that cuts with success when the cut was refused: nothing happened then. With
            // shard it leaves as many zeros: at least that must not happen to a cold one.
            let lied = *want == "done" && of_local == whole;
            let broken = !lied && of_local != after(act, want, whole.clone());
            // An open that cuts goes past some guards of the host's. To refuse that is right too.
            let stricter = lied || matches!(*act, "open" | "create");
            if want != got && !(stricter && guard.says.contains(&got.as_str())) {
                wrong.push(format!("{name}: {got}, of a local file: {want}"));
            }
            let right = if lied {
                whole.clone()
            } else {
                after(act, got, whole.clone())
            };
            match scene.read(&name) {
                Ok(read) if read == right || (broken && read == whole) => {}
                Ok(read) => wrong.push(format!(
                    "{name}: {got}, and it reads as {} bytes, {} of them 0, instead of {} (a local file: {want}, {} bytes)",
                    read.len(),
                    read.iter().filter(|byte| **byte == 0).count(),
                    right.len(),
                    of_local.len()
                )),
                Err(error) => wrong.push(format!("{name}: {got}, and {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The other side: where nobody minds, a cut to nothing asks no store, and a cut to some keeps those.
#[test]
fn what_is_allowed_works_and_a_cut_to_nothing_needs_no_object() {
    let mut scene = Scene::new("allowed");
    let whole = pattern(7, 50_000);
    for client in Client::ALL {
        for act in ACTS {
            let name = client.file("cold", act);
            scene.write(&name, &whole);
            scene.archive(&name);
            if after(act, "done", whole.clone()).is_empty() {
                scene.bucket.delete(&name).unwrap();
            }
        }
    }
    scene.remount();
    for client in Client::ALL {
        let mut tries = Tries::start(&scene, client, "cold", 0);
        let verdicts = tries.verdicts(&scene);
        for act in ACTS {
            assert_eq!(verdicts[*act], "done", "{client:?} {act}: {verdicts:?}");
        }
    }
    scene.remount();
    for client in Client::ALL {
        for act in ACTS {
            let name = client.file("cold", act);
            let want = after(act, "done", whole.clone());
            assert_same(&scene.read(&name).unwrap(), &want, &name);
            scene.await_plain(&name);
        }
    }
}

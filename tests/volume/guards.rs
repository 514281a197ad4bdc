// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A change that the bricks refuse does not damage a cold file: every way to truncate a file, under each access control
//! of GlusterFS, through a mount and through gfapi, compared with the same action on a local file.

mod kinds;
mod layouts;
mod tries;

use crate::scene::{Scene, assert_same, pattern};
use tries::{ACTIONS, Client, Tries, after};

/// An access control of GlusterFS.
pub(crate) struct Guard {
    /// The user id that tries the actions.
    user: u32,
    /// The errnos with which it refuses.
    errnos: &'static [&'static str],
    /// The actions that it refuses to at least one of the clients; it may allow the others.
    refuses: &'static [&'static str],
}

/// Writes the files, archives half of them, enables the guard, tries every action, disables the guard and compares.
#[track_caller]
fn check<T>(
    scene: &mut Scene,
    guard: &Guard,
    prepare: impl Fn(&Scene, &str),
    enable: impl FnOnce(&Scene) -> T,
    disable: impl FnOnce(&Scene, T),
) {
    for client in Client::ALL {
        for state in ["local", "cold"] {
            for (number, action) in ACTIONS.iter().enumerate() {
                let name = client.file(state, action);
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
    let enabled = enable(scene);
    let mut verdicts = Vec::new();
    for pair in waiting.chunks_exact_mut(2) {
        let [local, cold] = pair else { unreachable!() };
        // The local files first: they show what the guard refuses.
        verdicts.push((local.client, local.verdicts(scene), cold.verdicts(scene)));
    }
    for action in guard.refuses {
        let refused = |verdict: &String| verdict != "done";
        let somewhere = verdicts
            .iter()
            .any(|(_, local, _)| refused(&local[*action]));
        assert!(somewhere, "no client is refused {action}: {verdicts:?}");
    }
    let mut wrong = Vec::new();
    for (client, _, cold) in &verdicts {
        for action in ACTIONS.iter().filter(|action| cold[**action] != "done") {
            let (name, got) = (client.file("cold", action), &cold[*action]);
            if !guard.errnos.contains(&got.as_str()) {
                wrong.push(format!("{name}: {got} is not an errno of this guard"));
            }
            if !(scene.is_cold(&name) || scene.is_local(&name)) {
                wrong.push(format!("{name}: {got}, and {}", scene.marks(&name)));
            }
        }
    }
    disable(scene, enabled);
    drop(waiting);
    scene.remount();
    for (client, local, cold) in &verdicts {
        for (number, action) in ACTIONS.iter().enumerate() {
            let whole = pattern(number as u64, 50_000);
            let (want, got) = (&local[*action], &cold[*action]);
            let name = client.file("cold", action);
            let of_local = scene.read(&client.file("local", action)).unwrap();
            // With replication, an open with O_TRUNC succeeds although the truncation was refused: then nothing changed.
            // With shard, it leaves zeros instead: that must not happen to a cold file.
            let lied = *want == "done" && of_local == whole;
            let broken = !lied && of_local != after(action, want, whole.clone());
            // An open with O_TRUNC bypasses some guards on a local file. Refusing it is right, too.
            let stricter = lied || matches!(*action, "open" | "create");
            if want != got && !(stricter && guard.errnos.contains(&got.as_str())) {
                wrong.push(format!("{name}: {got}, but of a local file: {want}"));
            }
            let right = if lied {
                whole.clone()
            } else {
                after(action, got, whole.clone())
            };
            match scene.read(&name) {
                Ok(read) if read == right || (broken && read == whole) => {}
                Ok(read) => wrong.push(format!(
                    "{name}: {got}, but it reads as {} bytes, {} of them 0, instead of {} (local file: {want}, {} bytes)",
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

/// Without a guard, truncating to zero needs no object, and truncating to a size keeps the bytes before it.
#[test]
fn allowed_changes_work_and_truncating_to_zero_needs_no_object() {
    let mut scene = Scene::new("allowed");
    let whole = pattern(7, 50_000);
    for client in Client::ALL {
        for action in ACTIONS {
            let name = client.file("cold", action);
            scene.write(&name, &whole);
            scene.archive(&name);
            if after(action, "done", whole.clone()).is_empty() {
                scene.bucket.delete(&name).unwrap();
            }
        }
    }
    scene.remount();
    for client in Client::ALL {
        let mut tries = Tries::start(&scene, client, "cold", 0);
        let verdicts = tries.verdicts(&scene);
        for action in ACTIONS {
            assert_eq!(
                verdicts[*action], "done",
                "{client:?} {action}: {verdicts:?}"
            );
        }
    }
    scene.remount();
    for client in Client::ALL {
        for action in ACTIONS {
            let name = client.file("cold", action);
            let want = after(action, "done", whole.clone());
            assert_same(&scene.read(&name).unwrap(), &want, &name);
            scene.await_local(&name);
        }
    }
}

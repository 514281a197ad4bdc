// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests `cloudsync restore` with a store that refuses to read objects until they have been restored, as Glacier does: a proxy
//! in front of the real S3 server, which has no such class.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use cloudsync_lab::relay::{Exchange, exchanges};
use cloudsync_lab::{ADDRESS, until};

use crate::scene::{PATIENCE, PROGRAM, Scene, lab, number, pattern};

const FILES: u64 = 20;

/// What the store was asked for.
#[derive(Debug, Default)]
struct Restores {
    /// The paths of the objects, without the query.
    asked: BTreeSet<String>,
    bodies: Vec<String>,
    /// They have ended.
    done: bool,
}

/// Objects below `cold/`, and one that needs no restore. Returns the option for the store's address.
fn scene(name: &str) -> (Scene, Arc<Mutex<Restores>>, String) {
    let mut scene = Scene::new(name);
    for n in 0..FILES {
        scene.write(&format!("cold/{n}"), &pattern(n, 5000));
    }
    scene.write("standard", &pattern(99, 5000));
    scene.write("local", &pattern(98, 5000));
    scene.remount();
    let archive = ["archive", "--older-than=0s", "--key-layout=path"];
    scene.done(&[&archive[..], &["--exclude=local", &scene.brick(0)]].concat());
    let restores = Arc::new(Mutex::new(Restores::default()));
    let serving = Arc::clone(&restores);
    let port = lab().s3().unwrap().http_port();
    let listening =
        lab().listen(move |client| exchanges(client, port, |exchange| answer(exchange, &serving)));
    let hostname = format!("--hostname=http://{}", listening.unwrap());
    (scene, restores, hostname)
}

fn answer(exchange: Exchange<'_>, restores: &Mutex<Restores>) -> io::Result<()> {
    let length = exchange.length();
    let mut body = exchange.server.take(length);
    let method = exchange.request.method.as_str();
    let path = exchange
        .request
        .target
        .split('?')
        .next()
        .unwrap_or_default();
    let mut restores = restores.lock().unwrap();
    let asked = restores.asked.contains(path);
    let state = format!("x-amz-restore: ongoing-request=\"{}\"", !restores.done);
    let with_state = || format!("{}\r\n{state}\r\n\r\n", exchange.answer.trim_end());
    let answer = match method {
        _ if !path.contains("/cold/") => exchange.answer,
        "POST" if asked => "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "POST" => {
            restores.asked.insert(path.to_owned());
            let body = String::from_utf8_lossy(&exchange.request.body).into_owned();
            restores.bodies.push(body);
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
        "HEAD" if asked => with_state(),
        "GET" if asked && restores.done => with_state(),
        "HEAD" => exchange.answer,
        _ => {
            io::copy(&mut body, &mut io::sink())?;
            let error = "<Error><Code>InvalidObjectState</Code></Error>";
            let length = error.len();
            format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\n\r\n{error}")
        }
    };
    drop(restores);
    if method == "POST" {
        io::copy(&mut body, &mut io::sink())?;
    }
    exchange.client.write_all(answer.as_bytes())?;
    io::copy(&mut body, exchange.client).map(drop)
}

#[track_caller]
fn assert_counts(output: &str, counts: [(&str, u64); 5]) {
    for (name, count) in counts {
        assert_eq!(number(output, name), count, "{name}: {output}");
    }
}

#[test]
fn restores_of_a_tree_are_asked_for_once_and_waited_for() {
    let (mut scene, restores, hostname) = scene("restore");
    let root = scene.inside("");
    let all = |more: &[&str]| {
        let args = ["restore", "--json", &hostname, "--tier=bulk", "--days=3"];
        scene.done(&[&args[..], more, &[&root]].concat())
    };
    let cold = ("cold", FILES + 1);
    let output = all(&["--dry-run"]);
    assert!(output.contains("would ask for"), "{output}");
    let [not_needed, none] = [("not_needed", 1), ("failed", 0)];
    assert_counts(
        &output,
        [cold, ("asked", FILES), ("under_way", 0), not_needed, none],
    );
    assert!(restores.lock().unwrap().asked.is_empty());

    let output = all(&[]);
    assert_counts(
        &output,
        [cold, ("asked", FILES), ("back", 0), not_needed, none],
    );
    assert_eq!(number(&output, "asked_bytes"), FILES * 5000);
    let bodies = restores.lock().unwrap().bodies.clone();
    let right =
        |body: &String| body.contains("<Tier>Bulk</Tier>") && body.contains("<Days>3</Days>");
    assert!(
        bodies.len() as u64 == FILES && bodies.iter().all(right),
        "{bodies:?}"
    );

    let output = all(&[]);
    assert_counts(
        &output,
        [cold, ("asked", 0), ("under_way", FILES), not_needed, none],
    );

    // A brick, and one file of it.
    let file = format!("{}/cold/7", scene.brick(0));
    let mut waiting = scene.start(&["restore", &hostname, "--wait", &file]);
    assert!(waiting.try_wait().unwrap().is_none());
    restores.lock().unwrap().done = true;
    assert!(waiting.wait().unwrap().success());

    let output = all(&["--wait", "-v"]);
    assert!(output.contains("\"event\":\"back\""), "{output}");
    assert_counts(
        &output,
        [cold, ("asked", 0), ("back", FILES), not_needed, none],
    );
    assert_eq!(restores.lock().unwrap().bodies.len() as u64, FILES);

    let url = hostname.trim_start_matches("--hostname=");
    scene.volume.set("features.s3plugin-hostname", url).unwrap();
    scene.remount();
    scene.done(&["recall", "--recursive", "--wait", &scene.inside("")]);
    for n in 0..FILES {
        assert!(scene.read(&format!("cold/{n}")) == pattern(n, 5000), "{n}");
    }
}

#[test]
fn waiting_for_restores_ends_with_a_signal() {
    let (scene, restores, hostname) = scene("restore-signal");
    let mut run = scene.start(&["restore", "--wait", &hostname, &scene.inside("cold")]);
    until(PATIENCE, "all restores", || {
        (restores.lock().unwrap().asked.len() as u64 == FILES).then_some(())
    })
    .unwrap();
    // Its id in the lab is another one than here.
    let script = format!(
        "for p in /proc/[0-9]*; do \
           tr '\\0' ' ' < $p/cmdline | grep -q '^{PROGRAM} restore --wait {hostname} ' && kill -INT ${{p#/proc/}}; \
         done 2>/dev/null; true"
    );
    lab().sh(&script).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
}

#[test]
fn a_run_of_restores_stops_when_the_store_is_gone() {
    let (scene, restores, _) = scene("restore-gone");
    let nobody = format!("--hostname=http://{ADDRESS}:1");
    let settings = "--store-id=retries=0,connect-timeout=1s";
    let args = ["restore", "--json", &nobody, settings, &scene.inside("")];
    let outcome = scene.cloudsync(&args);
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    assert!(outcome.text().contains("times in a row"), "{outcome}");
    assert!(restores.lock().unwrap().asked.is_empty());
    // A folder has no objects that must be restored.
    let args = [
        "restore",
        "--store-type=directory",
        "--store-id=path=/",
        &scene.inside(""),
    ];
    let outcome = scene.cloudsync(&args);
    assert_eq!(outcome.code(), Some(3), "{outcome}");
}

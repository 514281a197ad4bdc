// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `cloudsync metrics`: what it prints, and that a real Prometheus reads it. The rules for alerts and the dashboard are
//! tried there, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use cloudsync_lab::{ADDRESS, until};
use serde_json::Value;

use crate::scene::{PATIENCE, Scene, lab, pattern};

const PORT: u16 = 9942;
const PROMETHEUS: u16 = 9943;

/// A program of the test, which is ended with it.
struct Running {
    child: Child,
    /// The file with its process id in the lab.
    pid: String,
}

impl Running {
    fn signal(&self, signal: &str) {
        // It may have ended already.
        let _sent = lab().sh(&format!("kill -{signal} $(cat {})", self.pid));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ended = self.child.wait();
    }
}

fn monitoring(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../monitoring")
        .join(file)
}

fn run(program: &str, args: &[&str], log: &Path) -> Running {
    let pid = lab().inner(log.with_extension("pid")).display().to_string();
    let log = fs::File::create(log).unwrap();
    let mut command = lab().command("sh");
    command
        .args(["-c", "echo $$ >$0; exec \"$@\"", &pid, program])
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let child = command.spawn().unwrap();
    Running { child, pid }
}

/// A volume with a file that was recalled by its mount.
fn recalled(name: &str) -> Scene {
    let mut scene = Scene::new(name);
    scene.write("file", &pattern(1, 300_000));
    scene.done(&["archive", "--older-than=0s", &scene.brick(0)]);
    scene.remount();
    scene.recall("file");
    scene
}

fn curl(args: &[&str]) -> Option<String> {
    let outcome = lab()
        .run("curl", ["-sSf", "-m", "20"].iter().chain(args))
        .unwrap();
    outcome.success().then(|| outcome.text())
}

#[test]
fn metrics_of_mounts_are_printed_and_written() {
    let scene = recalled("printed");
    let (mount, volume) = (scene.inside(""), scene.volume.name().to_owned());
    let text = scene.done(&["metrics", &mount]);
    let sample =
        format!("cloudsync_recalls_finished_total{{mount=\"{mount}\",volume=\"{volume}\"}} 1\n");
    assert!(text.contains(&sample), "{text}");
    assert!(
        text.contains(&format!("cloudsync_up{{mount=\"{mount}\"}} 1\n")),
        "{text}"
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
    // What is no mount is named, and the others are printed.
    let outcome = scene.cloudsync(&["metrics", &mount, "/tmp"]);
    assert_eq!(outcome.code(), Some(1), "{outcome}");
    assert!(
        outcome.text().contains("cloudsync_up{mount=\"/tmp\"} 0\n"),
        "{outcome}"
    );
    assert!(outcome.text().contains(&sample), "{outcome}");
    assert!(
        outcome.to_string().contains("cloudsync: /tmp: "),
        "{outcome}"
    );
    let link = lab().scratch("link-to-mount").display().to_string();
    lab().sh(&format!("ln -s {mount} {link}")).unwrap();
    let text = scene.done(&["metrics", &link]);
    assert!(text.contains(&format!("mount=\"{link}\"")), "{text}");
    // node_exporter reads the file as another user.
    let file = lab().scratch("cloudsync.prom").display().to_string();
    scene.done(&["metrics", "--textfile", &file, &mount]);
    let checked = format!("stat -c %a {file} && promtool check metrics < {file}");
    assert_eq!(lab().sh(&checked).unwrap().trim(), "644");
}

#[test]
fn runs_write_their_metrics() {
    let scene = Scene::new("runs");
    scene.write("file", &pattern(1, 1000));
    let (brick, mount) = (scene.brick(0), scene.inside(""));
    let file = lab().scratch("run.prom").display().to_string();
    let of = |args: &[&str]| {
        let outcome = scene.cloudsync(&[args, &["--metrics-file", &file]].concat());
        let read = format!("promtool check metrics < {file} && cat {file}");
        (outcome.code().unwrap(), lab().sh(&read).unwrap())
    };
    let (_, text) = of(&["archive", "--older-than=0s", &brick]);
    for line in [
        "cloudsync_run_archived{command=\"archive\"} 1",
        "cloudsync_run_uploaded_bytes{command=\"archive\"} 1000",
        "cloudsync_run_exit_code{command=\"archive\"} 0",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
    }
    // A dry run replaces nothing.
    let (_, same) = of(&["archive", "--dry-run", "--older-than=0s", &brick]);
    assert_eq!(same, text);
    let policy =
        format!("[[rule]]\nname = \"all\"\ntargets = [\"{brick}\"]\nolder-than = \"0s\"\n");
    let config = lab().scratch("metrics-policy.toml");
    fs::write(lab().outer(&config), policy).unwrap();
    let (code, text) = of(&["run", "--config", config.to_str().unwrap()]);
    let line = format!(
        "cloudsync_run_already_cold{{command=\"run\",rule=\"all\",target=\"{brick}\"}} 1\n"
    );
    assert!(code == 0 && text.contains(&line), "{text}");
    let (_, text) = of(&["status", "--summary", &mount, &brick]);
    let line = format!("cloudsync_run_cold_files{{command=\"status\",path=\"{brick}\"}} 1\n");
    assert!(text.contains(&line), "{text}");
    // A run that cannot start says so, too.
    let (code, text) = of(&["verify", "/nowhere"]);
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("cloudsync_run_exit_code{command=\"verify\"} 3\n"),
        "{text}"
    );
}

#[test]
fn prometheus_reads_what_is_served() {
    let scene = recalled("served");
    let mount = scene.inside("");
    let folder = lab().scratch("prometheus");
    let outer = lab().outer(&folder);
    fs::create_dir_all(&outer).unwrap();
    fs::copy(monitoring("alerts.yml"), outer.join("alerts.yml")).unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [alerts.yml]\nscrape_configs:\n- job_name: cloudsync\n  static_configs: [{{targets: ['{ADDRESS}:{PORT}']}}]\n"
    );
    fs::write(outer.join("prometheus.yml"), config).unwrap();
    let inside = |file: &str| folder.join(file).display().to_string();
    lab()
        .sh(&format!(
            "promtool check config {}",
            inside("prometheus.yml")
        ))
        .unwrap();

    let listen = format!("{ADDRESS}:{PORT}");
    let log = outer.join("cloudsync.log");
    let mut serving = run(
        env!("CARGO_BIN_EXE_cloudsync"),
        &["metrics", "--listen", &listen, &mount],
        &log,
    );
    let url = format!("http://{listen}/metrics");
    let page = until(PATIENCE, "the metrics over HTTP", || curl(&["-i", &url])).unwrap();
    assert!(page.contains("application/openmetrics-text"), "{page}");
    assert!(page.contains("cloudsync_recalls_finished_total{"), "{page}");
    assert!(curl(&[&format!("http://{listen}/other")]).is_none());

    let address = format!("{ADDRESS}:{PROMETHEUS}");
    let _prometheus = run(
        "prometheus",
        &[
            &format!("--config.file={}", inside("prometheus.yml")),
            &format!("--storage.tsdb.path={}", inside("data")),
            &format!("--web.listen-address={address}"),
        ],
        &outer.join("prometheus.log"),
    );
    let ask = |query: &str| -> Option<Value> {
        let query = format!("query={query}");
        let api = format!("http://{address}/api/v1/query");
        let text = curl(&["-G", &api, "--data-urlencode", &query])?;
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        Some(answer["data"]["result"].take())
    };
    let query = format!("cloudsync_recalls_finished_total{{mount=\"{mount}\"}}");
    let sample = until(PATIENCE, "the metrics in Prometheus", || {
        let found = ask(&query)?;
        found[0]["value"][1].as_str().map(str::to_owned)
    });
    let sample = sample.unwrap_or_else(|error| {
        let log = fs::read_to_string(outer.join("prometheus.log"));
        panic!("{error}\n{}", log.unwrap_or_default())
    });
    assert_eq!(sample, "1");
    assert_eq!(ask("up").unwrap()[0]["value"][1], "1");

    // The dashboard's queries are valid there.
    let dashboard = fs::read_to_string(monitoring("grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let mut queries = 0;
    for target in targets.flatten() {
        let query = target["expr"].as_str().unwrap();
        let query = query
            .replace("$volume", ".*")
            .replace("$mount", ".*")
            .replace("$__rate_interval", "1m");
        assert!(ask(&query).is_some(), "{query}");
        queries += 1;
    }
    assert!(queries > 20, "{queries}");

    // A signal ends it.
    serving.signal("TERM");
    let ended = until(PATIENCE, "the end of cloudsync metrics", || {
        serving.child.try_wait().unwrap()
    });
    assert!(ended.unwrap().success());
}

/// Every metric in the rules and in the dashboard exists.
#[test]
fn rules_and_dashboard_name_metrics_that_exist() {
    let scene = Scene::new("named");
    let mut text = scene.done(&["metrics", &scene.inside("")]);
    // Those of the archiver's runs come from their files.
    let file = lab().scratch("named.prom").display().to_string();
    scene.done(&["archive", "--metrics-file", &file, &scene.brick(0)]);
    text += &lab().sh(&format!("cat {file}")).unwrap();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for file in ["alerts.yml", "grafana.json"] {
        let content = fs::read_to_string(monitoring(file)).unwrap();
        let names: Vec<_> = content
            .split(|c| !is_name(c))
            .filter(|word| word.starts_with("cloudsync_"))
            .collect();
        assert!(names.len() > 10, "{file}");
        for name in names {
            let sample = |line: &str| line.split(['{', ' ']).next() == Some(name);
            assert!(text.lines().any(sample), "{file}: {name}");
        }
    }
}

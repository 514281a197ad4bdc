// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The S3 server, used with the aws CLI and curl.

use std::sync::Arc;
use std::time::Instant;

use cloudsync_lab::{Bucket, Lab, Options, S3Server};

fn server() -> Arc<S3Server> {
    Lab::shared(Options::default).s3().expect("an S3 server")
}

fn bucket(stem: &str) -> Bucket {
    server().bucket(stem).expect("a bucket")
}

#[test]
fn objects_round_trip_on_both_endpoints() {
    let started = Instant::now();
    let plain = bucket("both");
    println!("lab, store and bucket: {:?}", started.elapsed());
    let secure = plain.over_https();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let started = Instant::now();
    plain.put("plain", &bytes).unwrap();
    println!("put of 3 MB: {:?}", started.elapsed());
    secure.put("secure", &bytes).unwrap();
    assert_eq!(secure.get("plain").unwrap(), bytes);
    assert_eq!(plain.get("secure").unwrap(), bytes);
    plain
        .put_with("meta", b"x", &[("x-amz-meta-colour", "blue")])
        .unwrap();
    let head = plain.head("meta").unwrap().unwrap();
    assert_eq!(
        (head.size, head.header("x-amz-meta-colour")),
        (1, Some("blue"))
    );
    plain.delete("meta").unwrap();
    assert_eq!(plain.head("meta").unwrap(), None);
    assert_eq!(plain.get_status("meta").unwrap(), 404);
    assert!(
        plain
            .get("meta")
            .unwrap_err()
            .to_string()
            .contains("NoSuchKey")
    );
    plain.put("empty", b"").unwrap();
    assert_eq!(plain.get("empty").unwrap(), b"");
    assert_eq!(plain.list("").unwrap(), ["empty", "plain", "secure"]);
}

#[test]
fn unusual_keys_round_trip() {
    // Not ".." and ".": newer versions of curl remove them from a signed path.
    let bucket = bucket("odd");
    let long = ["0123456789"; 60].join("");
    let deep = ["dir"; 100].join("/");
    let mut keys = vec![
        "a b", "100%", "50%25", "1+1=2", "what?", "a&b", "a#b", "a//b", "/lead",
    ];
    keys.extend(["quote\"'", "<xml>", "\u{fc}\u{4e2d}\u{1f600}", "tail/"]);
    keys.extend([
        "back\\slash",
        "new\nline",
        "~-._!*()",
        "a:b@c;d,e$f",
        &long,
        &deep,
    ]);
    for key in &keys {
        bucket.put(key, key.as_bytes()).unwrap();
    }
    for key in &keys {
        assert_eq!(bucket.get(key).unwrap(), key.as_bytes(), "{key:?}");
    }
    keys.sort_unstable();
    assert_eq!(bucket.list("").unwrap(), keys);
    assert_eq!(bucket.list("what?").unwrap(), ["what?"]);
    // The CLI reads the same keys.
    let lab = Lab::shared(Options::default);
    let to = lab.scratch("from-the-cli");
    for key in ["1+1=2", "what?", "50%25", "\u{fc}\u{4e2d}\u{1f600}", &long] {
        let args = [
            "s3api",
            "get-object",
            "--bucket",
            bucket.name(),
            "--key",
            key,
        ];
        let args = args.iter().map(AsRef::as_ref).chain([to.as_os_str()]);
        bucket.aws(args).unwrap().check().unwrap();
        assert_eq!(std::fs::read_to_string(lab.outer(&to)).unwrap(), key);
    }
}

#[test]
fn aws_cli_stores_on_both_endpoints() {
    let lab = Lab::shared(Options::default);
    let plain = bucket("cli");
    lab.sh(&format!(
        "mkdir -p {0}/sub; echo one >{0}/1; echo two >{0}/sub/2",
        tree(lab)
    ))
    .unwrap();
    let dir = lab.outer(tree(lab));
    let started = Instant::now();
    plain.put_tree(&dir, "http").unwrap();
    println!("put_tree: {:?}", started.elapsed());
    plain.over_https().put_tree(&dir, "https").unwrap();
    plain.put_file(&dir.join("1"), "file").unwrap();
    let keys = ["file", "http/1", "http/sub/2", "https/1", "https/sub/2"];
    assert_eq!(plain.list("").unwrap(), keys);
    assert_eq!(plain.get("https/sub/2").unwrap(), b"two\n");
}

fn tree(lab: &Lab) -> String {
    lab.scratch("tree-to-put").display().to_string()
}

#[test]
fn list_continues_after_a_thousand_keys() {
    let lab = Lab::shared(Options::default);
    let bucket = bucket("many");
    let dir = lab.scratch("many").display().to_string();
    lab.sh(&format!(
        "mkdir {dir}; cd {dir}; for i in {{1000..2050}}; do echo $i >$i; done"
    ))
    .unwrap();
    let started = Instant::now();
    bucket.put_tree(&lab.outer(dir), "n").unwrap();
    println!("1051 objects: {:?}", started.elapsed());
    assert_eq!(bucket.list("n/").unwrap().len(), 1051);
}

#[test]
fn user_without_rights_is_refused() {
    let bucket = bucket("mine");
    bucket.put("key", b"mine").unwrap();
    let strange = bucket.as_user(server().user_without_rights());
    assert_eq!(strange.get_status("key").unwrap(), 403);
    assert!(strange.put("key", b"theirs").is_err());
    let unknown = cloudsync_lab::User {
        key: "NOBODY".into(),
        secret: "wrong".into(),
    };
    assert!(
        bucket
            .as_user(unknown)
            .get("key")
            .unwrap_err()
            .to_string()
            .contains("InvalidAccessKeyId")
    );
    assert_eq!(bucket.get("key").unwrap(), b"mine");
}

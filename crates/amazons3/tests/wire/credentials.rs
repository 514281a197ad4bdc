// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Keys that change, and every source of credentials, each with a server of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use amazons3::S3;
use cloudsync_store::{Options, Store, StoreError};

use crate::server::{Reply, Request, Server};
use crate::{SECRET, options};

/// A folder of the test.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("cloudsync-credentials-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder).unwrap();
    folder
}

fn signed_by(request: &Request, key: &str) -> bool {
    let signature = request.header("authorization").unwrap_or_default();
    signature.contains(&format!("Credential={key}/"))
}

/// Options of a store at `address`, with these instead of the keys.
fn with(address: &str, id: &str, key: &str, list: &str) -> Options {
    let host = format!("http://{address}");
    [
        ("s3plugin-hostname", host.as_str()),
        ("s3plugin-bucketid", "archive"),
        ("s3plugin-keyid", id),
        ("s3plugin-seckey", key),
        ("cloudsync-store-id", list),
    ]
    .into_iter()
    .collect()
}

/// A store that knows one key at a time. `refusing` is called before it refuses a request.
fn store_that_knows(
    key: &Arc<Mutex<String>>,
    refusing: impl Fn() + Send + Sync + 'static,
) -> Server {
    let key = Arc::clone(key);
    Server::start(move |_, request| {
        if signed_by(request, &key.lock().unwrap()) {
            return Reply::object(request, b"x");
        }
        refusing();
        Reply::error(403, "InvalidAccessKeyId")
    })
}

#[test]
fn rotated_key_files_are_read_again() {
    let folder = folder();
    let write = {
        let folder = folder.clone();
        move |id: &str| {
            fs::write(folder.join("id"), id).unwrap();
            fs::write(folder.join("key"), format!("secret of {id}")).unwrap();
        }
    };
    write("FIRST");
    let known = Arc::new(Mutex::new("FIRST".to_owned()));
    // In the end, the files are replaced only after a request was signed with the old ones.
    let late = Arc::new(Mutex::new(None::<&str>));
    let (rotate, replace) = (Arc::clone(&late), write.clone());
    let server = store_that_knows(&known, move || {
        if let Some(id) = rotate.lock().unwrap().take() {
            replace(id);
        }
    });
    let file = |name| format!("file:{}", folder.join(name).display());
    let options = with(&server.address, &file("id"), &file("key"), "");
    let store = S3::open(&options).unwrap();
    store.head("key").unwrap();
    write("SECOND");
    *known.lock().unwrap() = "SECOND".to_owned();
    store.head("key").unwrap();
    assert_eq!(server.requests().len(), 2, "nothing was refused");
    // Refused, read again, and still the same: one more request, and one more for the reason of each.
    *known.lock().unwrap() = "THIRD".to_owned();
    for _ in 0..2 {
        let error = store.head("key").unwrap_err();
        assert!(matches!(error, StoreError::BadCredentials(_)), "{error}");
        assert!(!error.to_string().contains("secret of"), "{error}");
    }
    assert!(server.requests().len() <= 8, "{:?}", server.summary());
    write("THIRD");
    store.head("key").unwrap();
    *known.lock().unwrap() = "FOURTH".to_owned();
    *late.lock().unwrap() = Some("FOURTH");
    store.head("key").unwrap();
    // A file that is missing for a moment is no reason to give up keys that are good.
    fs::remove_file(folder.join("id")).unwrap();
    store.head("key").unwrap();
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn session_token_is_sent() {
    let folder = folder();
    let file = folder.join("token");
    fs::write(&file, "token-of-a-file\n").unwrap();
    let server = Server::start(|_, request| Reply::object(request, b"x"));
    for (value, token) in [
        ("token-itself".to_owned(), "token-itself"),
        (format!("file:{}", file.display()), "token-of-a-file"),
    ] {
        let list = format!("session-token={value}");
        let store = S3::open(&options(&server.address, &list)).unwrap();
        assert!(!format!("{store:?}").contains("token-"), "{store:?}");
        store.head("key").unwrap();
        let last = server.requests().pop().unwrap();
        assert_eq!(last.header("x-amz-security-token"), Some(token));
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn profile_is_chosen_and_read_again() {
    let folder = folder();
    let file = folder.join("credentials");
    let write = |id: &str| {
        let text = format!(
            "[default]\naws_access_key_id = OTHER\naws_secret_access_key = x\n\
             [backup]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET}\n"
        );
        fs::write(&file, text).unwrap();
    };
    write("FIRST");
    let known = Arc::new(Mutex::new("FIRST".to_owned()));
    let server = store_that_knows(&known, || {});
    let list = format!("profile=backup,credentials-file={}", file.display());
    let store = S3::open(&with(&server.address, "", "", &list)).unwrap();
    store.head("key").unwrap();
    write("SECOND!");
    *known.lock().unwrap() = "SECOND!".to_owned();
    store.head("key").unwrap();
    assert_eq!(server.requests().len(), 2);
    let none = format!("profile=none,credentials-file={}", file.display());
    let store = S3::open(&with(&server.address, "", "", &none)).unwrap();
    let error = store.head("key").unwrap_err();
    assert!(matches!(error, StoreError::BadCredentials(_)), "{error}");
    assert!(!error.to_string().contains(SECRET), "{error}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn proxy_of_the_options_is_used() {
    let proxy = Server::start(|_, request| Reply::object(request, b"x"));
    for (list, password) in [("", false), ("me:pass@", true)] {
        let list = format!("proxy=http://{list}{}", proxy.address);
        let store = S3::open(&options("store.invalid", &list)).unwrap();
        store.head("key").unwrap();
        let last = proxy.requests().pop().unwrap();
        assert!(
            last.target.starts_with("http://store.invalid/archive/key"),
            "{}",
            last.target
        );
        let sent = last.header("proxy-authorization");
        assert_eq!(sent, password.then_some("Basic bWU6cGFzcw=="));
    }
    // Nothing says its password, whatever happens.
    let away = options(
        "store.invalid",
        "proxy=http://me:pass@127.0.0.1:1,retries=0",
    );
    let store = S3::open(&away).unwrap();
    let error = store.head("key").unwrap_err();
    assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
    assert!(
        !format!("{error} {store:?}").contains("pass"),
        "{error} {store:?}"
    );
}

/// A source reads the environment, which a test cannot change without affecting others: so the store is opened in a
/// separate process, with this environment and a list of options. Returns the store.
fn run(test: &str, environment: &[(&str, &str)], list: &str) -> Server {
    let server = Server::start(|_, request| Reply::object(request, b"x"));
    let name = format!("credentials::{test}");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .envs(environment.iter().copied())
        .env(STORE, &server.address)
        .env(LIST, list)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    server
}

const STORE: &str = "CLOUDSYNC_TEST_STORE";
const LIST: &str = "CLOUDSYNC_TEST_LIST";

/// The body of the separate process; false in the test itself.
fn is_in_the_process() -> bool {
    let Ok(address) = std::env::var(STORE) else {
        return false;
    };
    let list = std::env::var(LIST).unwrap();
    let store = S3::open(&with(&address, "", "", &list)).unwrap();
    store.head("key").unwrap();
    true
}

fn json() -> Reply {
    Reply::new(200).body(
        br#"{"Code": "Success", "AccessKeyId": "OFTHEHOST", "SecretAccessKey": "s", "Token": "session",
            "Expiration": "2099-01-01T00:00:00Z"}"#,
    )
}

fn assert_signed(store: &Server) {
    let request = &store.requests()[0];
    assert!(signed_by(request, "OFTHEHOST"), "{}", request.head);
    assert_eq!(request.header("x-amz-security-token"), Some("session"));
}

/// With the second version of the protocol only, and not through a proxy, which could not reach it.
#[test]
fn instance_s_role() {
    if is_in_the_process() {
        return;
    }
    let service = Server::start(|_, request| {
        let target = request.target.as_str();
        match (request.method.as_str(), target) {
            ("PUT", "/latest/api/token") => {
                let reply = Reply::new(200).header("x-aws-ec2-metadata-token-ttl-seconds", 21600);
                reply.body(b"the-token")
            }
            _ if request.header("x-aws-ec2-metadata-token") != Some("the-token") => Reply::new(401),
            ("GET", path) if path.ends_with("/role") => json(),
            ("GET", path) if path.contains("/security-credentials") => {
                Reply::new(200).body(b"role")
            }
            _ => Reply::new(404),
        }
    });
    let proxy = Server::start(|_, request| Reply::object(request, b"x"));
    let url = format!("http://{}", service.address);
    let list = format!("proxy=http://{}", proxy.address);
    let environment = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    assert_signed(&run("instance_s_role", &environment, ""));
    let store = run("instance_s_role", &environment, &list);
    assert!(store.requests().is_empty(), "{:?}", store.summary());
    assert_signed(&proxy);
    assert_eq!(proxy.requests().len(), 1, "{:?}", proxy.summary());
}

#[test]
fn container_s_role() {
    if is_in_the_process() {
        return;
    }
    let service = Server::start(|_, request| match request.header("authorization") {
        Some("the-token") => json(),
        _ => Reply::new(403),
    });
    let url = format!("http://{}/v2/credentials", service.address);
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "the-token"),
    ];
    assert_signed(&run("container_s_role", &environment, ""));
}

#[test]
fn web_identity() {
    if is_in_the_process() {
        return;
    }
    let folder = folder();
    let token = folder.join("token");
    fs::write(&token, "web-token").unwrap();
    let service = Server::start(|_, request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        if !body.contains("AssumeRoleWithWebIdentity") || !body.contains("web-token") {
            return Reply::new(400);
        }
        Reply::new(200).body(
            b"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
              <AccessKeyId>OFTHEHOST</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
              <SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
              </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        )
    });
    let url = format!("http://{}", service.address);
    let environment = [
        ("AWS_ENDPOINT_URL_STS", url.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
    ];
    assert_signed(&run("web_identity", &environment, ""));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn credential_process() {
    if is_in_the_process() {
        return;
    }
    let folder = folder();
    let (config, answer) = (folder.join("config"), folder.join("answer"));
    let json = r#"{"Version": 1, "AccessKeyId": "OFTHEHOST", "SecretAccessKey": "s", "SessionToken": "session"}"#;
    fs::write(&answer, json).unwrap();
    let text = format!("[default]\ncredential_process = cat {}\n", answer.display());
    fs::write(&config, text).unwrap();
    let environment = [("AWS_CONFIG_FILE", config.to_str().unwrap())];
    assert_signed(&run("credential_process", &environment, ""));
    fs::remove_dir_all(folder).unwrap();
}

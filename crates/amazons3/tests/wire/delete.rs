// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Deleting several objects in one request.

use cloudsync_store::{Archive, StoreError};

use crate::open;
use crate::server::{Reply, Request, Server};

const DONE: &str = "<DeleteResult></DeleteResult>";

fn is_several(request: &Request) -> bool {
    request.method == "POST" && request.target.contains("delete")
}

#[test]
fn several_objects_are_deleted_in_one_request() {
    let server = Server::start(|_, _| Reply::new(200).body(DONE.as_bytes()));
    let store = open(&server, "");
    assert_eq!(store.delete_all(&["a/1", "a/2"]), []);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    let body = String::from_utf8_lossy(&requests[0].body).into_owned();
    assert!(is_several(&requests[0]), "{}", requests[0].head);
    assert!(
        body.contains("<Key>a/1</Key>") && body.contains("<Key>a/2</Key>"),
        "{body}"
    );
}

#[test]
fn a_server_that_deletes_only_one_at_a_time_is_asked_for_each() {
    let server = Server::start(|_, request| match request.method.as_str() {
        "POST" => Reply::error(501, "NotImplemented"),
        _ => Reply::new(204),
    });
    let store = open(&server, "retries=0");
    assert_eq!(store.delete_all(&["a/1", "a/2"]), []);
    let deleted = server.requests();
    let deleted = deleted.iter().filter(|request| request.method == "DELETE");
    assert_eq!(deleted.count(), 2);
}

#[test]
fn an_object_that_stays_is_named_with_the_reason() {
    let refused =
        "<DeleteResult><Error><Key>a/2</Key><Code>AccessDenied</Code></Error></DeleteResult>";
    let server = Server::start(move |_, request| match request.method.as_str() {
        "POST" => Reply::new(200).body(refused.as_bytes()),
        _ => Reply::error(403, "AccessDenied"),
    });
    let failed = open(&server, "retries=0").delete_all(&["a/1", "a/2"]);
    assert!(
        matches!(&failed[..], [(key, StoreError::PermissionDenied(_))] if key == "a/2"),
        "{failed:?}"
    );
}

#[test]
fn a_key_that_xml_would_change_is_deleted_by_itself() {
    let server = Server::start(|_, _| Reply::new(204));
    assert_eq!(open(&server, "").delete_all(&["a/1", "a/2\r"]), []);
    assert!(!server.requests().iter().any(is_several));
}

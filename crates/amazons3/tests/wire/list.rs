// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Lists with several pages, and pages with a missing or repeated token.

use std::ops::ControlFlow;
use std::time::Duration;

use cloudsync_store::Archive;

use crate::open;
use crate::server::{End, Reply, Server};

/// A page with these keys and elements.
fn page(keys: &[&str], more: &str) -> String {
    let entry = |key: &&str| {
        format!(
            "<Contents><Key>{key}</Key><Size>7</Size>\
             <LastModified>2026-11-22T10:11:12.000Z</LastModified></Contents>"
        )
    };
    let entries: String = keys.iter().map(entry).collect();
    format!("<ListBucketResult><EncodingType>url</EncodingType>{entries}{more}</ListBucketResult>")
}

#[test]
fn list_continues_and_decodes_names() {
    let first = page(
        &["a/1", "a/with+blank%2Bplus"],
        "<NextContinuationToken>t</NextContinuationToken>",
    );
    // Some servers send an empty token with the last page.
    let second = page(
        &["a/%C3%BC"],
        "<IsTruncated>false</IsTruncated><NextContinuationToken></NextContinuationToken>",
    );
    let server = Server::start(move |_, request| {
        let next = request.target.contains("continuation-token=t");
        let body = if next { &second } else { &first };
        Reply::new(200).body(body.as_bytes())
    });
    let mut keys = Vec::new();
    let store = open(&server, "");
    store
        .list("a/", &mut |object| {
            // The store can be used in between.
            assert_eq!(object.size, 7);
            keys.push(object.key);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(keys, ["a/1", "a/with blank+plus", "a/\u{fc}"]);
}

/// Lists from a server whose page number `n` ends with `more(n)`. Returns the error and the number of requests.
fn refused(more: impl Fn(usize) -> String + Send + Sync + 'static) -> (String, usize) {
    let server = Server::start(move |number, _| {
        Reply::new(200).body(page(&["a/1"], &more(number)).as_bytes())
    });
    let listed = open(&server, "").list("a/", &mut |_| ControlFlow::Continue(()));
    let error = listed.unwrap_err().to_string();
    assert!(
        error.contains("bucket archive at http://127.0.0.1:")
            && error.contains("cannot be trusted"),
        "{error}"
    );
    (error, server.requests().len())
}

const TRUNCATED: &str = "<IsTruncated>true</IsTruncated>";

fn token(text: &str) -> String {
    format!("{TRUNCATED}<NextContinuationToken>{text}</NextContinuationToken>")
}

#[test]
fn page_without_progress_is_an_error_naming_the_server() {
    let (error, requests) = refused(|_| TRUNCATED.to_owned());
    assert!(
        error.contains("a truncated page has no marker of the next page") && requests == 1,
        "{error}"
    );
    for empty in [token(""), "<NextContinuationToken/>".to_owned()] {
        let (error, requests) = refused(move |_| empty.clone());
        assert!(
            error.contains("marker of the next page is empty") && requests == 1,
            "{error}"
        );
    }
    let (error, requests) = refused(|_| token("same"));
    assert!(
        error.contains("repeats an earlier one") && requests == 2,
        "{requests}: {error}"
    );
    // Three tokens that form a cycle.
    let (error, requests) = refused(|number| token(&format!("t{}", number % 3)));
    assert!(
        error.contains("repeats an earlier one") && requests < 12,
        "{requests}: {error}"
    );
}

#[test]
fn uploads_page_without_progress_is_an_error() {
    let all = |more: &'static str| {
        let server = Server::start(move |_, _| {
            let body = format!(
                "<ListMultipartUploadsResult><EncodingType>url</EncodingType>{more}</ListMultipartUploadsResult>"
            );
            Reply::new(200).body(body.as_bytes())
        });
        let found = open(&server, "").unfinished("a/", Duration::ZERO, false);
        (found, server.requests().len())
    };
    assert_eq!(all("").0.unwrap(), Vec::<String>::new());
    for (more, words, most) in [
        (TRUNCATED, "has no marker of the next page", 1),
        (
            "<IsTruncated>true</IsTruncated><NextKeyMarker></NextKeyMarker>",
            "marker of the next page is empty",
            1,
        ),
        (
            "<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>\
             <NextUploadIdMarker>u</NextUploadIdMarker>",
            "repeats an earlier one",
            2,
        ),
    ] {
        let (found, requests) = all(more);
        let error = found.unwrap_err().to_string();
        assert!(
            error.contains(words) && error.contains("bucket archive at http://127.0.0.1:"),
            "{error}"
        );
        assert_eq!(requests, most, "{error}");
    }
}

/// The SDK reads a page to its end, however long that takes.
#[test]
fn page_that_stalls_is_asked_for_again() {
    let text = page(&["a/1"], "<IsTruncated>false</IsTruncated>");
    let server = Server::start(move |number, _| {
        let reply = Reply::new(200).body(text.as_bytes());
        match number {
            0 => reply.truncate_body(20, End::Stall),
            _ => reply,
        }
    });
    let mut keys = Vec::new();
    let listed = open(&server, "stall-timeout=50ms,read-timeout=300ms").list("a/", &mut |object| {
        keys.push(object.key);
        ControlFlow::Continue(())
    });
    assert_eq!((listed, keys), (Ok(()), vec!["a/1".to_owned()]));
    assert_eq!(server.requests().len(), 2);
}

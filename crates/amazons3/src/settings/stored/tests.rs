// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of the settings of what objects are stored as.

use super::*;

fn take(text: &str) -> Result<Stored, String> {
    Stored::take(&mut List::parse(text).unwrap(), false)
}

#[test]
fn settings_are_read() {
    let none = take("").unwrap();
    assert!(none.class.is_none() && none.tags.is_empty() && none.acl.is_none());
    assert_eq!(none.actions(), "s3:PutObject");
    let all =
        take("storage-class=GLACIER_IR,acl=bucket-owner-full-control,tags=a=b c&d%26=e%2Cf=g")
            .unwrap();
    assert_eq!(all.class.as_deref(), Some("GLACIER_IR"));
    assert_eq!(all.acl, Some("bucket-owner-full-control"));
    assert_eq!(all.tagging().as_deref(), Some("a=b%20c&d%26=e%2Cf%3Dg"));
    assert_eq!(
        all.actions(),
        "s3:PutObject, s3:PutObjectTagging and s3:PutObjectAcl"
    );
    assert_eq!(
        take("tags=empty=").unwrap().tagging().as_deref(),
        Some("empty=")
    );
}

#[test]
fn bad_settings_are_named() {
    let many: Vec<_> = (0..11).map(|n| format!("t{n}=x")).collect();
    let many = format!("tags={}", many.join("&"));
    let long = format!("tags={}=x", "n".repeat(129));
    for (bad, word) in [
        ("storage-class=", "storage-class"),
        ("storage-class=cold storage", "'storage-class=cold storage'"),
        ("acl=public-read", "'acl=public-read'"),
        ("tags=", "'' has no value"),
        ("tags=a", "'a' has no value"),
        ("tags=a=b&", "'' has no value"),
        ("tags==b", "no name"),
        ("tags=aws:a=b", "no name that is allowed"),
        ("tags=a=b&a=c", "'a' is given twice"),
        ("tags=a=b;c", "not allowed"),
        ("tags=a=%0A", "not allowed"),
        (&many, "at most 10"),
        (&long, "too long"),
    ] {
        let error = take(bad).unwrap_err();
        assert!(error.contains(word), "{bad}: {error}");
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of the settings of encryption.

use super::*;

fn take(text: &str) -> Result<Encryption, String> {
    Encryption::take(&mut List::parse(text).unwrap(), false)
}

#[test]
fn settings_are_read_and_bad_ones_named() {
    assert!(matches!(take(""), Ok(Encryption::Bucket)));
    assert!(matches!(take("sse=AES256"), Ok(Encryption::Store)));
    assert!(matches!(take("sse=aws:kms"), Ok(Encryption::Service(None))));
    let arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab";
    let service = take(&format!("sse=aws:kms,kms-key={arn}")).unwrap();
    assert!(matches!(service, Encryption::Service(Some(key)) if key == arn));
    for (bad, word) in [
        ("sse=on", "'sse=on'"),
        ("kms-key=k", "kms-key= needs sse=aws:kms"),
        ("sse=AES256,kms-key=k", "kms-key= needs sse=aws:kms"),
        ("sse=aws:kms,kms-key=a b", "'kms-key=a b'"),
        ("sse=AES256,sse-c-key-file=/k", "exclude each other"),
        ("sse-c-key-file=/nowhere", "sse-c-key-file: cannot read"),
    ] {
        let error = take(bad).unwrap_err();
        assert!(error.contains(word), "{bad}: {error}");
    }
}

#[test]
fn a_customers_key_is_read_checked_and_shown_nowhere() {
    let path = std::env::temp_dir().join(format!("cloudsync-sse-c-{}", std::process::id()));
    let list = format!("sse-c-key-file={}", path.display());
    let key = STANDARD.encode([7; 32]);
    std::fs::write(&path, format!("{key}\n")).unwrap();
    let read = take(&list).unwrap();
    assert!(!format!("{read:?}").contains(&key));
    let Encryption::Customer(read) = read else {
        panic!("{read:?}")
    };
    assert_eq!(read.headers()[1].1, key);
    let error = Encryption::take(&mut List::parse(&list).unwrap(), true).unwrap_err();
    assert!(
        error.contains("sse-c-key-file") && error.contains("https://"),
        "{error}"
    );
    for text in [
        "hunter2",
        &STANDARD.encode([7; 31]),
        "",
        &format!("{key}{key}"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = take(&list).unwrap_err();
        assert!(error.contains("sse-c-key-file"), "{error}");
        assert!(text.is_empty() || !error.contains(text), "{error}");
    }
    std::fs::remove_file(path).unwrap();
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Checks that a response to a GET matches the request, because some stores and proxies ignore `Range`.

#![forbid(unsafe_code)]

use std::ops::Range;

/// Returns how many bytes to skip at the beginning of a response's body, for a request of the bytes `requested` of an
/// object of `size` bytes. The error describes what is wrong with the response.
pub(crate) fn bytes_to_skip(
    requested: &Range<u64>,
    size: u64,
    content_range: Option<&str>,
    content_length: Option<i64>,
) -> Result<u64, String> {
    let length = content_length
        .map(u64::try_from)
        .transpose()
        .map_err(|error| error.to_string())?;
    let (skip, expected) = match content_range {
        Some(text) => {
            let right = parse(text).is_some_and(|(range, total)| {
                range == *requested && total.is_none_or(|total| total == size)
            });
            if !right {
                return Err(format!(
                    "it sent the range '{text}' of an object of {size} bytes for a request of {requested:?}"
                ));
            }
            (0, requested.end - requested.start)
        }
        // The whole object, which contains the range.
        None => (requested.start, size),
    };
    match length {
        Some(length) if length != expected => {
            Err(format!("it sent {length} bytes instead of {expected}"))
        }
        // With neither a length nor a range, the response cannot be checked.
        None if content_range.is_none() => Err("it sent bytes without a length".to_owned()),
        _ => Ok(skip),
    }
}

/// Whether a proxy has compressed the response, so that its bytes are not the object's. An object that was uploaded as
/// compressed has such a header, too, but a response with it has a length, which a proxy cannot know in advance.
pub(crate) fn is_compressed(encoding: Option<&str>, content_length: Option<i64>) -> bool {
    let mut names = encoding.into_iter().flat_map(|text| text.split(','));
    let changes = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        !["", "identity", "aws-chunked"].contains(&name.as_str())
    };
    names.any(changes) && content_length.is_none()
}

/// An etag without the mark of a weak one.
pub(crate) fn strong_etag(etag: &str) -> &str {
    etag.trim_start_matches("W/")
}

/// An etag without what servers and proxies write differently: quotes, and the mark of a weak one.
pub(crate) fn bare_etag(etag: &str) -> &str {
    strong_etag(etag).trim_matches('"')
}

/// Parses `bytes 0-99/100` or `bytes 0-99/*`.
fn parse(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let range = first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?;
    let total = if total == "*" {
        None
    } else {
        Some(total.parse().ok()?)
    };
    Some((range, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_exactly_what_was_asked_for_or_the_whole_object() {
        let good = [
            (0..100, Some("bytes 0-99/100"), Some(100), 0),
            (40..100, Some("bytes 40-99/100"), Some(60), 0),
            (40..50, Some("bytes 40-49/*"), None, 0),
            (0..100, None, Some(100), 0),
            (40..50, None, Some(100), 40),
        ];
        for (asked, range, length, skip) in good {
            assert_eq!(
                bytes_to_skip(&asked, 100, range, length),
                Ok(skip),
                "{range:?}"
            );
        }
        let bad = [
            (0..100, Some("bytes 0-98/100"), Some(99)),
            (0..100, Some("bytes 0-99/101"), Some(100)),
            (40..100, Some("bytes 0-99/100"), Some(100)),
            (0..100, Some("bytes 0-99/100"), Some(99)),
            (0..100, Some("bytes 0-18446744073709551615/*"), None),
            (0..100, Some("nonsense"), Some(100)),
            (0..100, None, Some(99)),
            (0..100, None, None),
            (40..50, None, Some(10)),
            (0..100, None, Some(-1)),
        ];
        for (asked, range, length) in bad {
            assert!(
                bytes_to_skip(&asked, 100, range, length).is_err(),
                "{range:?} {length:?}"
            );
        }
    }

    #[test]
    fn only_what_a_proxy_has_compressed_is_refused() {
        for (encoding, length, refused) in [
            (None, None, false),
            (Some("gzip"), None, true),
            (Some("aws-chunked, BR"), None, true),
            (Some("gzip"), Some(100), false),
            (Some("aws-chunked"), None, false),
            (Some("identity"), None, false),
            (Some(""), None, false),
        ] {
            assert_eq!(is_compressed(encoding, length), refused, "{encoding:?}");
        }
        for etag in ["abc", "\"abc\"", "W/\"abc\""] {
            assert_eq!(bare_etag(etag), "abc");
        }
        assert_ne!(bare_etag("\"abc-2\""), "abc");
    }

    const CORPUS: &[&str] = &[
        "bytes 40-49/100",
        "bytes 40-49/*",
        "bytes 0-99/100",
        "bytes */100",
        "bytes 40-49",
        "bytes=40-49/100",
        "bytes 18446744073709551615-18446744073709551615/18446744073709551615",
        "bytes 0-18446744073709551615/*",
    ];

    /// An accepted response has exactly the requested range.
    #[test]
    fn fuzz() {
        cloudsync_fuzz::fuzz(CORPUS, |text| {
            for length in [None, Some(10), Some(9), Some(-1), Some(i64::MAX)] {
                if let Ok(skip) = bytes_to_skip(&(40..50), 100, Some(text), length) {
                    assert_eq!(skip, 0);
                    assert!([None, Some(10)].contains(&length), "{text:?} {length:?}");
                    let (range, total) = parse(text).unwrap();
                    assert!(
                        range == (40..50) && [None, Some(100)].contains(&total),
                        "{text:?}"
                    );
                }
            }
        });
    }
}

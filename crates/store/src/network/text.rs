// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Encodes any text for headers and URLs, which hold printable ASCII only: all else is percent-encoded.

#![forbid(unsafe_code)]

use std::fmt::Write;

/// The text as a header can hold it.
#[must_use]
pub fn encode_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Decodes `%41`, and, in a listing, `+`, which is how some stores encode a blank there. Text that is not encoded is
/// unchanged.
#[must_use]
pub fn decode_text(text: &str, plus_is_blank: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let [first, rest @ ..] = left {
        let pair = rest
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        let code = pair
            .filter(|_| *first == b'%')
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (code, first) {
            (Some(code), _) => bytes.push(code),
            (None, b'+') if plus_is_blank => bytes.push(b' '),
            (None, _) => bytes.push(*first),
        }
        left = if code.is_some() { &rest[2..] } else { rest };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_survives() {
        for text in [
            "",
            "plain/path",
            "a b",
            "100%",
            "%41",
            "\u{fc}\n\u{1f600}",
            " edge ",
        ] {
            let encoded = encode_text(text);
            assert!(
                encoded.bytes().all(|byte| byte.is_ascii_graphic()),
                "{encoded}"
            );
            assert_eq!(decode_text(&encoded, false), text);
        }
    }

    #[test]
    fn what_others_wrote_is_taken_as_it_is() {
        assert_eq!(decode_text("50% of +1 %zz %4", false), "50% of +1 %zz %4");
        assert_eq!(decode_text("a+b%2Bc", true), "a b+c");
    }
}

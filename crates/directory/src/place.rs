// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Maps a key to the path of its object. The mapping is one-to-one, so no key can lead out of the folder or to another
//! object, and a listing can recover the keys.
//!
//! A key is percent-encoded, and split into names that every file system accepts. Names of folders that only lead to
//! the next part end in `+`, which is never part of an encoded key. They are below two levels of 256 folders, chosen by
//! a hash of the key, so that no folder becomes large.

#![forbid(unsafe_code)]

use cloudsync_store::StoreError;

/// The folder of the objects.
pub(crate) const OBJECTS: &str = "objects";
/// The folder of objects that were put there manually.
pub(crate) const PLAIN: &str = "plain";
/// The folder of uploads and removals in progress.
pub(crate) const STAGING: &str = "staging";
/// Ends the name of a folder that only leads to the next part of a key.
pub(crate) const LEADS_ON: char = '+';

/// Linux limits names to 255 bytes; some file systems that encrypt names allow fewer.
const LONGEST_NAME: usize = 140;
const LONGEST_KEY: usize = 4096;

/// The names of the folders from the store's root to the object's folder, including it.
pub(crate) fn folders(key: &str) -> Result<Vec<String>, StoreError> {
    if key.is_empty() || key.len() > LONGEST_KEY {
        return Err(StoreError::Missing(format!(
            "a key must have 1 to {LONGEST_KEY} bytes, but this one has {}",
            key.len()
        )));
    }
    let hash = hash(key);
    let mut folders = vec![
        OBJECTS.to_owned(),
        format!("{:02x}", hash >> 8),
        format!("{:02x}", hash & 0xff),
    ];
    let mut name = String::new();
    for byte in key.bytes() {
        if name.len() + 3 > LONGEST_NAME {
            name.push(LEADS_ON);
            folders.push(std::mem::take(&mut name));
        }
        // A name that begins with a dot is hidden, or is `.` or `..`.
        let first = name.is_empty();
        push_encoded(&mut name, byte, |byte| {
            byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && !first)
        });
    }
    folders.push(name);
    Ok(folders)
}

/// The key of the names that [`folders`] returns, without the first three; `None` if no key has these names.
pub(crate) fn key(names: &[String]) -> Option<String> {
    let (last, leading) = names.split_last()?;
    let mut text = String::new();
    for name in leading {
        text += name.strip_suffix(LEADS_ON)?;
    }
    let key = decode(&(text + last))?;
    let same = folders(&key).is_ok_and(|folders| folders[3..] == *names);
    same.then_some(key)
}

/// The names below [`PLAIN`] of the key's file; `None` if the key is not the path of a file.
pub(crate) fn plain(key: &str) -> Option<Vec<&str>> {
    let names: Vec<&str> = key.split('/').collect();
    let fine = |name: &&str| !["", ".", ".."].contains(name) && !name.contains('\0');
    names.iter().all(fine).then_some(names)
}

fn push_encoded(text: &mut String, byte: u8, plain: impl Fn(u8) -> bool) {
    if plain(byte) {
        text.push(char::from(byte));
    } else {
        *text += &format!("%{byte:02X}");
    }
}

/// Encodes `text` as printable ASCII without blanks.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        push_encoded(&mut encoded, byte, |byte| {
            byte.is_ascii_graphic() && byte != b'%'
        });
    }
    encoded
}

/// Decodes the text of [`encode`] or the names of [`folders`]; `None` if it is invalid.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? << 4 | digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// FNV-1a, folded to 16 bits.
fn hash(key: &str) -> u16 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    [hash, hash >> 16, hash >> 32, hash >> 48]
        .into_iter()
        .fold(0, |folded, part| folded ^ (part & 0xffff) as u16)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn hostile() -> Vec<String> {
        let mut keys: Vec<String> = [
            "plain",
            ".",
            "..",
            "../../etc/passwd",
            "/etc/passwd",
            "a/../b",
            "a//b",
            "a/",
            "/",
            "%2e%2e",
            "%",
            "+",
            "a+",
            "nul\0inside",
            "line\nbreak",
            "\u{e4}\u{20ac}\u{1f600}",
            "data",
            "meta",
            "A",
            "a",
            "\\..\\x",
            ".nfs1",
        ]
        .map(str::to_owned)
        .to_vec();
        for length in [139, 140, 142, 255, 257, 1024, 4096] {
            keys.push("x".repeat(length));
            keys.push(".".repeat(length));
            keys.push("\u{e4}".repeat(length.min(2000)));
        }
        keys
    }

    #[test]
    fn every_key_has_a_place_of_its_own_and_no_place_is_outside() {
        let mut places = BTreeSet::new();
        for wanted in hostile() {
            let folders = folders(&wanted).unwrap();
            for name in &folders {
                assert!((1..=255).contains(&name.len()), "{name}");
                assert!(
                    !name.starts_with('.') && !name.contains(['/', '\0']),
                    "{name}"
                );
            }
            assert_eq!(key(&folders[3..]).as_ref(), Some(&wanted));
            assert!(places.insert(folders.join("/")), "{wanted}");
        }
        // No object is a folder that leads to another.
        let prefix = |place: &String| {
            places
                .iter()
                .any(|other| other.starts_with(&format!("{place}/")))
        };
        assert!(!places.iter().any(prefix));
        assert!(folders("").is_err() && folders(&"x".repeat(4097)).is_err());
    }

    #[test]
    fn names_that_no_key_makes_are_no_keys() {
        for names in [
            vec![],
            vec!["%"],
            vec!["%zz"],
            vec!["a%2Fb+"],
            vec!["a", "b"],
            vec!["%41"],
            vec![".x"],
        ] {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            assert_eq!(key(&names), None, "{names:?}");
        }
    }

    #[test]
    fn the_archiver_s_keys_spread_over_the_folders() {
        let of = |n: u32| {
            let key = format!(
                "0f3c/{:08x}-0000-4000-8000-{n:012x}/1",
                n.wrapping_mul(2_654_435_761)
            );
            folders(&key).unwrap()[1..3].join("/")
        };
        let mut counts = std::collections::BTreeMap::new();
        for n in 0..65536 {
            *counts.entry(of(n)).or_insert(0) += 1;
        }
        let most = counts.values().max().unwrap();
        assert!(
            counts.len() > 35_000 && *most < 16,
            "{} folders, up to {most}",
            counts.len()
        );
    }

    #[test]
    fn only_a_path_inside_is_plain() {
        assert_eq!(plain("dir/file").unwrap(), ["dir", "file"]);
        for key in ["", "/etc/passwd", "a/../b", "..", "a//b", "a/", "nul\0"] {
            assert_eq!(plain(key), None, "{key}");
        }
    }
}

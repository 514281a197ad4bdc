// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `user.DOSATTRIB`, in which Samba stores a file's DOS attributes (`xattr_DOSATTRIB` in its librpc/idl/xattr.idl). In the
//! answer to Samba, a cold file has the attribute *offline*: Windows then shows a clock on it and makes no previews. Samba
//! never stores that bit.
//!
//! The format is NDR, little endian: an empty string (one byte, and one to align), the version, the version again, two bytes
//! to align, and then, in versions 3 to 5, which fields are valid and the attributes.

use std::ffi::CStr;

/// The extended attribute.
pub const NAME: &CStr = c"user.DOSATTRIB";

/// `FILE_ATTRIBUTE_OFFLINE`.
const OFFLINE: u32 = 0x1000;
/// `XATTR_DOSINFO_ATTRIB`: the field with the attributes is valid.
const VALID: u32 = 1;
/// The version that is made here, and the newest that is known.
const VERSION: u16 = 5;
const FLAGS: std::ops::Range<usize> = 8..12;
const ATTRIBUTES: std::ops::Range<usize> = 12..16;
/// Of versions 4 and 5; version 3 is longer.
const LENGTH: usize = 24;

/// The value for a cold file, from the one that is stored. `None` if its version is not known: then it is left as it is.
#[must_use]
pub fn offline(stored: Option<&[u8]>) -> Option<Vec<u8>> {
    let Some(stored) = stored else {
        let mut value = vec![0; LENGTH];
        for place in [2..4, 4..6] {
            value
                .get_mut(place)?
                .copy_from_slice(&VERSION.to_le_bytes());
        }
        value.get_mut(FLAGS)?.copy_from_slice(&VALID.to_le_bytes());
        value
            .get_mut(ATTRIBUTES)?
            .copy_from_slice(&OFFLINE.to_le_bytes());
        return Some(value);
    };
    let version = u16::from_le_bytes(stored.get(2..4)?.try_into().ok()?);
    let known =
        stored.starts_with(&[0]) && (3..=VERSION).contains(&version) && stored.len() >= LENGTH;
    if !known {
        return None;
    }
    let mut value = stored.to_vec();
    for (place, bit) in [(FLAGS, VALID), (ATTRIBUTES, OFFLINE)] {
        let field = value.get_mut(place)?;
        let number = u32::from_le_bytes(field.try_into().ok()?) | bit;
        field.copy_from_slice(&number.to_le_bytes());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Samba 4.17 stores it: version 5, hidden and archive, with the time of creation.
    const STORED: [u8; 24] = [
        0, 0, 5, 0, 5, 0, 0, 0, 0x11, 0, 0, 0, 0x22, 0, 0, 0, 0x80, 0x3e, 0xd5, 0xde, 0xb1, 0x9d,
        1, 2,
    ];

    #[test]
    fn the_bit_is_added_and_the_rest_kept() {
        let value = offline(Some(&STORED)).unwrap();
        assert_eq!(value[..12], STORED[..12]);
        assert_eq!(value[12..16], [0x22, 0x10, 0, 0]);
        assert_eq!(value[16..], STORED[16..]);
    }

    #[test]
    fn a_file_without_attributes_gets_the_bit_alone() {
        let value = offline(None).unwrap();
        assert_eq!(
            (value.len(), value[12..16].to_vec()),
            (24, vec![0, 0x10, 0, 0])
        );
        assert_eq!(offline(Some(&value)), Some(value));
    }

    #[test]
    fn what_is_not_known_is_left_alone() {
        for stored in [&b""[..], b"0x20\0", &STORED[..20], &[0; 24]] {
            assert_eq!(offline(Some(stored)), None, "{stored:?}");
        }
    }
}

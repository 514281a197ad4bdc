// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Checksums of whole objects: the CRCs that S3 supports, in its notation (`crc64nvme:` and base64, big-endian).

#![forbid(unsafe_code)]

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest, checksum_combine};

/// A CRC that S3 supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// CRC-64/NVME, 8 bytes.
    Crc64Nvme,
    /// CRC-32/ISCSI, 4 bytes.
    Crc32c,
    /// CRC-32/ISO-HDLC, 4 bytes.
    Crc32,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Crc64Nvme, Self::Crc32c, Self::Crc32];

    const fn name(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc32c => "crc32c",
            Self::Crc32 => "crc32",
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
        }
    }

    const fn crc(self) -> CrcAlgorithm {
        match self {
            Self::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            Self::Crc32c => CrcAlgorithm::Crc32Iscsi,
            Self::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
        }
    }
}

/// A checksum of a whole object. Its text is `algorithm:base64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    value: u64,
}

impl Checksum {
    /// Parses `algorithm:base64`; `None` if it is not a checksum that we can compute.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once(':')?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)?;
        Self::from_base64(algorithm, value)
    }

    /// Parses the value of an `x-amz-checksum-...` header; `None` if it is not the checksum of one whole object (S3
    /// appends `-N` to that of N parts).
    #[must_use]
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Self> {
        let bytes = STANDARD
            .decode(text)
            .ok()
            .filter(|bytes| bytes.len() == algorithm.bytes())?;
        let value = bytes
            .into_iter()
            .fold(0, |value, byte| value << 8 | u64::from(byte));
        Some(Self { algorithm, value })
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(self) -> Algorithm {
        self.algorithm
    }

    /// The value as S3 writes it in `x-amz-checksum-...`.
    #[must_use]
    pub fn base64(self) -> String {
        let bytes = self.value.to_be_bytes();
        STANDARD.encode(&bytes[bytes.len() - self.algorithm.bytes()..])
    }

    /// The checksum of this one's bytes followed by `size` bytes whose checksum is `next`.
    #[must_use]
    pub fn then(self, next: Self, size: u64) -> Self {
        // That of no bytes. To combine takes as long as the checksum of a mebibyte, and most files are one part.
        if self.value == 0 {
            return next;
        }
        let value = checksum_combine(self.algorithm.crc(), self.value, next.value, size);
        Self { value, ..self }
    }

    /// Starts to verify bytes against this checksum.
    #[must_use]
    pub fn verify(self) -> Running {
        Running {
            expected: self,
            digest: Digest::new(self.algorithm.crc()),
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.base64())
    }
}

/// A checksum that is being computed.
#[derive(Debug)]
pub struct Computing {
    algorithm: Algorithm,
    digest: Digest,
}

impl Algorithm {
    /// Starts to compute a checksum.
    #[must_use]
    pub fn compute(self) -> Computing {
        Computing {
            algorithm: self,
            digest: Digest::new(self.crc()),
        }
    }

    /// The checksum of `bytes`.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> Checksum {
        let mut computing = self.compute();
        computing.update(bytes);
        computing.finish()
    }

    /// The checksum of `size` zeros. Takes a time that grows with the number of digits of `size`.
    #[must_use]
    pub fn of_zeros(self, size: u64) -> Checksum {
        let mut sum = self.of(&[]);
        let mut power = self.of(&[0]);
        for bit in 0..u64::BITS - size.leading_zeros() {
            if size >> bit & 1 == 1 {
                sum = sum.then(power, 1 << bit);
            }
            power = power.then(power, 1 << bit);
        }
        sum
    }
}

impl Computing {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// The checksum of all bytes added.
    #[must_use]
    pub fn finish(self) -> Checksum {
        Checksum {
            algorithm: self.algorithm,
            value: self.digest.finalize(),
        }
    }
}

/// A checksum that is being computed to compare it with an expected one.
#[derive(Debug)]
pub struct Running {
    expected: Checksum,
    digest: Digest,
}

impl Running {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// Compares the checksum of all bytes added with the expected one.
    ///
    /// # Errors
    /// [`Mismatch`] if they differ.
    pub fn finish(self) -> Result<(), Mismatch> {
        let found = Checksum {
            value: self.digest.finalize(),
            ..self.expected
        };
        if found == self.expected {
            Ok(())
        } else {
            Err(Mismatch {
                expected: self.expected,
                found,
            })
        }
    }
}

/// Two checksums that should be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("checksum {found}, expected {expected}")]
pub struct Mismatch {
    expected: Checksum,
    found: Checksum,
}

#[cfg(test)]
mod tests {
    use super::*;

    // The check values of the CRC catalogue (reveng), over "123456789".
    const KNOWN: [&str; 3] = [
        "crc64nvme:rosUhgp5mIg=",
        "crc32c:4waSgw==",
        "crc32:y/Q5Jg==",
    ];

    #[test]
    fn known_values_agree_and_others_do_not() {
        for text in KNOWN {
            let checksum = Checksum::parse(text).unwrap();
            assert_eq!(checksum.to_string(), text);
            let mut running = checksum.verify();
            running.update(b"1234");
            running.update(b"56789");
            assert_eq!(running.finish(), Ok(()));
            let mut running = checksum.verify();
            running.update(b"123456780");
            assert!(running.finish().unwrap_err().to_string().ends_with(text));
        }
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        for text in KNOWN {
            let whole = Checksum::parse(text).unwrap();
            let algorithm = whole.algorithm();
            assert_eq!(algorithm.of(b"123456789"), whole);
            let sum = algorithm.of(b"1234").then(algorithm.of(b"56789"), 5);
            assert_eq!(sum, whole);
            assert_eq!(algorithm.of(b"").then(whole, 9), whole);
            assert_eq!(format!("{}:{}", algorithm.name(), whole.base64()), text);
        }
    }

    #[test]
    fn zeros_count_without_being_read() {
        for text in KNOWN {
            let algorithm = Checksum::parse(text).unwrap().algorithm();
            for size in [0, 1, 2, 3, 4096, 65_537, 1_000_003] {
                let zeros = vec![0; size];
                assert_eq!(algorithm.of_zeros(size as u64), algorithm.of(&zeros));
            }
            // It must not take a time that grows with the size.
            let (half, whole) = (algorithm.of_zeros(1 << 62), algorithm.of_zeros(1 << 63));
            assert_eq!(half.then(half, 1 << 62), whole);
            let _ends = algorithm.of_zeros(u64::MAX);
        }
    }

    #[test]
    fn what_is_no_checksum_of_a_whole_object_is_none() {
        for text in [
            "",
            "crc32",
            "crc32:",
            "crc32:y/Q5Jg==-3",
            "crc32:y/Q5Jg",
            "crc32:y/Q5J*==",
            "crc32:rosUhgp5mIg=",
            "sha256:y/Q5Jg==",
            "crc32:====",
        ] {
            assert_eq!(Checksum::parse(text), None, "{text}");
        }
    }

    /// Different texts are never the same checksum.
    #[test]
    fn fuzz() {
        cloudsync_fuzz::fuzz(&KNOWN, |text| {
            let Some(checksum) = Checksum::parse(text) else {
                return;
            };
            assert_eq!(checksum.to_string(), text);
        });
    }
}

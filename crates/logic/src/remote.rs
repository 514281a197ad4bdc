// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Checks a plugin's answer to a remote read (`fop_remote_read`). The plugin is third-party code, and the reader must get
//! the file's bytes or an error.

#![forbid(unsafe_code)]

use crate::errno::{Errno, Failure};

/// A read of a cold file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where it starts, in bytes.
    pub offset: u64,
    /// The maximum number of bytes.
    pub size: u64,
    /// The file's size.
    pub file: u64,
}

impl Asked {
    /// The number of bytes that the file has there.
    #[must_use]
    pub const fn due(&self) -> u64 {
        let left = self.file.saturating_sub(self.offset);
        if left < self.size { left } else { self.size }
    }

    /// Whether the read reaches the end of the file.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.offset.saturating_add(self.due()) >= self.file
    }

    /// Checks an answer. `got`: its number of bytes, negative for an error. `errno`: that error. `held`: the bytes that
    /// came with it.
    ///
    /// # Errors
    /// [`Failure::Store`]: the plugin's error. [`Failure::BadAnswer`]: not the bytes that were asked for. A plugin that
    /// knows of more bytes than the file has, or of fewer, reads another file.
    pub fn check(&self, got: i32, errno: i32, held: u64) -> Result<(), Failure> {
        let Ok(got) = u64::try_from(got) else {
            return Err(Failure::Store(refusal(errno)));
        };
        if got == self.due() && held >= got {
            return Ok(());
        }
        Err(Failure::BadAnswer {
            offset: self.offset,
            got: got.min(held),
            want: self.due(),
        })
    }
}

/// The errno of a plugin that failed, perhaps without saying why.
#[must_use]
pub const fn refusal(errno: i32) -> Errno {
    match errno {
        0 => Errno::EREMOTEIO,
        errno => Errno::new(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bytes_that_are_due_are_accepted() {
        // (offset, size), due, at the end; in a file of 100 bytes
        for ((offset, size), due, at_end) in [
            ((0, 40), 40, false),
            ((0, 100), 100, true),
            ((0, 4096), 100, true),
            ((60, 40), 40, true),
            ((60, 39), 39, false),
            ((99, 4096), 1, true),
            ((100, 4096), 0, true),
            ((u64::MAX, u64::MAX), 0, true),
            ((10, 0), 0, false),
        ] {
            let asked = Asked {
                offset,
                size,
                file: 100,
            };
            assert_eq!((asked.due(), asked.is_at_end()), (due, at_end), "{asked:?}");
            for got in [0, 1, 39, 40, 41, 99, 100, 101, i32::MAX] {
                let answer = asked.check(got, 0, u64::MAX);
                assert_eq!(answer.is_ok(), got as u64 == due, "{asked:?} {got}");
                if let Err(failure) = answer {
                    assert_eq!(failure.errno(), Errno::EREMOTEIO);
                }
            }
        }
    }

    #[test]
    fn a_count_without_its_bytes_is_refused() {
        let asked = Asked {
            offset: 0,
            size: 40,
            file: 100,
        };
        assert!(asked.check(40, libc::ENOENT, 40).is_ok());
        let failure = asked.check(40, 0, 39).unwrap_err();
        assert!(
            failure
                .to_string()
                .contains("answered 39 bytes at offset 0")
        );
    }

    #[test]
    fn an_error_keeps_its_errno_and_always_has_one() {
        let asked = Asked {
            offset: 0,
            size: 40,
            file: 100,
        };
        for (errno, shown) in [
            (libc::EACCES, libc::EACCES),
            (-libc::EACCES, libc::EACCES),
            (0, libc::EREMOTEIO),
            (5000, libc::EIO),
        ] {
            let failure = asked.check(-1, errno, 0).unwrap_err();
            assert_eq!(failure.errno().get(), shown);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The trait [`Restores`]: objects that must be restored before they can be read, for the archiver.

#![forbid(unsafe_code)]

use crate::StoreError;

/// How fast an object is to be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// Within hours.
    Standard,
    /// The cheapest, within a day or two.
    Bulk,
    /// Within minutes, where the store offers it.
    Expedited,
}

/// What to ask for. Where nothing is set, the volume's settings of restores count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// For how many days the store keeps the readable copy.
    pub days: Option<u32>,
    /// How fast. If the volume's settings have none either: standard.
    pub speed: Option<Speed>,
}

/// What has become of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It can be read, and needs no restore.
    NotNeeded,
    /// It can be read, because it was restored.
    Back,
    /// A restore that was asked for before is under way.
    UnderWay,
    /// It is archived. If anything was wanted, its restore was asked for now.
    Archived,
}

/// A store that has objects of this kind.
pub trait Restores: Sync {
    /// Asks for the restore of an object that cannot be read. With `None`, only tells whether it can be. Does not wait for
    /// the end of the restore.
    ///
    /// # Errors
    /// [`StoreError::Archived`] if the store cannot restore it as wanted now, or the store's error.
    fn restore(&self, key: &str, wanted: Option<&Wanted>) -> Result<Restored, StoreError>;
}

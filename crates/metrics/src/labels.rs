// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The values of labels. All of a family's exist from the beginning, at zero, so that a rate over the first event is
//! right.

/// Why a recall failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The bricks failed or disconnected.
    Bricks,
    /// The bricks have no room, or would have too little afterwards.
    Full,
    /// The budget has too few bytes left.
    Budget,
    /// No store is loaded.
    NoStore,
    /// The object does not exist.
    Missing,
    /// The object is not the one that was archived.
    Changed,
    /// The store rejects the credentials, or they lack a permission.
    Denied,
    /// The store does not answer.
    Unreachable,
    /// The store asks for fewer requests, or the object must be restored first.
    Busy,
    /// The store failed in another way, or its plugin did.
    Store,
    /// Another client has the file's lock.
    Locked,
    /// It was cancelled, or the caller may not truncate the file.
    Cancelled,
    /// The file's marks are damaged, or cloudsync has a fault.
    Internal,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Bricks,
        Self::Full,
        Self::Budget,
        Self::NoStore,
        Self::Missing,
        Self::Changed,
        Self::Denied,
        Self::Unreachable,
        Self::Busy,
        Self::Store,
        Self::Locked,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The label's value.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Bricks => "bricks",
            Self::Full => "full",
            Self::Budget => "budget",
            Self::NoStore => "no_store",
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Denied => "denied",
            Self::Unreachable => "unreachable",
            Self::Busy => "busy",
            Self::Store => "store",
            Self::Locked => "locked",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// How a handshake ended, by which an archiver makes a file cold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The file is cold.
    Archived,
    /// The file is not as the archiver saw it, is in use, or its object is not right.
    Refused,
    /// The bricks or the store failed.
    Failed,
}

impl Handshake {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Archived, Self::Refused, Self::Failed];

    /// The label's value.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Archived => "archived",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// A call of the store's plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `fetch`: a part of an object.
    Fetch,
    /// `head`: what an object is.
    Head,
    /// `fop_download`, of a plugin made for the translator of GlusterFS: the whole object.
    Download,
}

impl Request {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fetch, Self::Head, Self::Download];

    /// The label's value.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Head => "head",
            Self::Download => "download",
        }
    }
}

/// What put a read off its recall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `guard-files` or `guard-bytes`: the read was served from the store instead.
    Guard,
    /// `keep-free`, or full bricks: the recall was refused.
    Room,
    /// `budget-bytes`: the read was served from the store instead, or refused; or the recall was.
    Budget,
    /// `callers`: the read was served from the store instead, or refused.
    Callers,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Guard, Self::Room, Self::Budget, Self::Callers];

    /// The label's value.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Room => "room",
            Self::Budget => "budget",
            Self::Callers => "callers",
        }
    }
}

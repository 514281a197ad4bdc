// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Where the credentials come from: keys in the options, a profile, or whatever the client's host has.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use cloudsync_format::option;
use cloudsync_store::settings::{Error, Settings as List};
use cloudsync_store::{Options, SecretSource, StoreError};

/// The source of the credentials.
#[derive(Clone, Debug)]
pub enum Account {
    /// Keys that the options contain or name.
    Keys {
        /// `s3plugin-keyid`.
        id: SecretSource,
        /// `s3plugin-seckey`.
        key: SecretSource,
        /// `session-token=`, for temporary keys.
        token: Option<SecretSource>,
    },
    /// `profile=`, `credentials-file=`: a profile in a shared file, and no other source.
    Profile {
        /// The profile's name; `None`: `AWS_PROFILE`, or `default`.
        name: Option<String>,
        /// The file; `None`: the host's default files.
        file: Option<PathBuf>,
    },
    /// The first of: environment, profile, web identity, container, instance.
    Host,
}

impl Account {
    /// Takes the settings of credentials from the list of `cloudsync-store-id`. Keys that are named are read, to find
    /// errors early.
    pub(super) fn take(options: &Options, list: &mut List) -> Result<Self, StoreError> {
        const KEY_ID: &str = option::text(option::KEY_ID);
        const SECRET_KEY: &str = option::text(option::SECRET_KEY);
        let token = list.text("session-token");
        let name = list.text("profile");
        let file = list.text("credentials-file").map(PathBuf::from);
        let profile = name.is_some() || file.is_some();
        options.secret(KEY_ID)?;
        options.secret(SECRET_KEY)?;
        match (options.source(KEY_ID), options.source(SECRET_KEY)) {
            (Some(_), Some(_)) if profile => Err(of_list(
                "profile= and credentials-file= need s3plugin-keyid and s3plugin-seckey to be empty",
            )),
            (Some(id), Some(key)) => {
                let token = token.map(|text| SecretSource::parse(&text));
                if let Some(token) = &token {
                    let read = token.read();
                    read.map_err(|why| of_list(&format!("session-token: {why}")))?;
                }
                Ok(Self::Keys { id, key, token })
            }
            (Some(_), None) => Err(wrong(SECRET_KEY, "is not set, but s3plugin-keyid is")),
            (None, Some(_)) => Err(wrong(KEY_ID, "is not set, but s3plugin-seckey is")),
            (None, None) if token.is_some() => Err(of_list(
                "session-token= needs s3plugin-keyid and s3plugin-seckey",
            )),
            (None, None) if profile => Ok(Self::Profile { name, file }),
            (None, None) => Ok(Self::Host),
        }
    }
}

/// An error of an option.
pub(super) fn wrong(option: &str, why: &str) -> StoreError {
    StoreError::Settings(format!("option {option}: {why}"))
}

/// An error of the list.
pub(super) fn of_list(why: &str) -> StoreError {
    wrong(option::text(option::STORE_ID), why)
}

/// As [`of_list`], for a setting that does not parse.
pub(super) fn of_error(error: Error) -> StoreError {
    of_list(&error.to_string())
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Options that say which store, and override what the volume's options say of its own.

use clap::Args;
use cloudsync_format::option;
use cloudsync_format::stores::OWN;

use super::values::{secret, store};

/// One of the volume's stores.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Store (default: the volume's options)")]
pub(crate) struct StoreChoice {
    /// Which of the volume's stores, by its name in features.cloudsync-store-id; the flags below are about its own
    /// [default: the volume's own; of undelete and rebuild: all]
    #[arg(long, value_name = "NAME", value_parser = store)]
    pub(crate) store: Option<String>,
    /// Overrides of the volume's own store.
    #[command(flatten)]
    pub(crate) overrides: StoreFlags,
}

impl StoreChoice {
    /// The store of this name, or the volume's own with these overrides.
    pub(crate) fn of(name: Option<&str>, overrides: &StoreFlags) -> Self {
        Self {
            store: name.map(str::to_owned),
            overrides: match name {
                None | Some(OWN) => overrides.clone(),
                Some(_) => StoreFlags {
                    store_id: overrides.store_id.clone(),
                    ..StoreFlags::default()
                },
            },
        }
    }

    /// The store's name; `None`: the volume's own.
    pub(crate) fn name(&self) -> Option<&str> {
        self.store.as_deref().filter(|name| *name != OWN)
    }
}

/// Overrides of the volume's own store options.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Store (default: the volume's options)")]
pub(crate) struct StoreFlags {
    /// Kind of store (features.cloudsync-storetype)
    #[arg(long, value_name = "NAME", env = "CLOUDSYNC_STORE_TYPE")]
    pub(crate) store_type: Option<String>,
    /// host, host:port or URL (features.s3plugin-hostname)
    #[arg(long, value_name = "HOST", env = "CLOUDSYNC_HOSTNAME")]
    pub(crate) hostname: Option<String>,
    /// bucket or bucket/prefix (features.s3plugin-bucketid)
    #[arg(long, value_name = "BUCKET", env = "CLOUDSYNC_BUCKET")]
    pub(crate) bucket: Option<String>,
    /// Access key: file:/path or env:NAME (features.s3plugin-keyid)
    #[arg(long, value_name = "WHERE", env = "CLOUDSYNC_KEY_ID", value_parser = secret)]
    pub(crate) key_id: Option<String>,
    /// Secret key: file:/path or env:NAME; the key itself would be visible in the process list
    /// (features.s3plugin-seckey)
    #[arg(long, value_name = "WHERE", env = "CLOUDSYNC_SECRET_KEY", value_parser = secret)]
    pub(crate) secret_key: Option<String>,
    /// key=value,... (features.cloudsync-store-id)
    #[arg(long, value_name = "LIST", env = "CLOUDSYNC_STORE_ID")]
    pub(crate) store_id: Option<String>,
}

impl StoreFlags {
    /// The overrides that are given, as names and values of the volume's options without `features.`.
    pub(crate) fn options(&self) -> impl Iterator<Item = (String, String)> {
        [
            (option::STORETYPE, &self.store_type),
            (option::HOSTNAME, &self.hostname),
            (option::BUCKET_ID, &self.bucket),
            (option::KEY_ID, &self.key_id),
            (option::SECRET_KEY, &self.secret_key),
            (option::STORE_ID, &self.store_id),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((option::text(name).to_owned(), value.clone()?)))
    }

    /// Whether any about the volume's own store alone was typed, and is not in the environment.
    pub(crate) fn are_typed(&self) -> bool {
        let pairs = [
            ("CLOUDSYNC_STORE_TYPE", &self.store_type),
            ("CLOUDSYNC_HOSTNAME", &self.hostname),
            ("CLOUDSYNC_BUCKET", &self.bucket),
            ("CLOUDSYNC_KEY_ID", &self.key_id),
            ("CLOUDSYNC_SECRET_KEY", &self.secret_key),
        ];
        let mut typed = pairs
            .into_iter()
            .filter(|(name, value)| value.is_some() && std::env::var_os(name).is_none());
        typed.next().is_some()
    }
}

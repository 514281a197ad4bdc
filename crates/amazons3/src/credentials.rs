// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Credentials that may change while the volume is mounted: files are read again when they change, and everything is
//! obtained again when the store refuses it. The SDK would keep keys without an expiry for a quarter of an hour.

#![forbid(unsafe_code)]

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};

use crate::settings::Account;
use crate::shared_files::SharedFiles;

/// How long credentials without an expiry are used, unless they come from the options.
const WITHOUT_EXPIRY: Duration = Duration::from_secs(15 * 60);
/// How long before they expire others are obtained.
const IN_TIME: Duration = Duration::from_secs(60);

/// The credentials of one store.
pub(crate) struct Rotating {
    account: Account,
    /// For services of Amazon, through the proxy.
    outside: ProviderConfig,
    /// For services of this host, which no proxy reaches.
    inside: ProviderConfig,
    /// Held while they are obtained, so that only one request does.
    obtaining: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    /// What the store refused last.
    refused: Option<Credentials>,
}

#[derive(Clone)]
struct Kept {
    credentials: Credentials,
    /// The files that they came from, as they were before they were read.
    files: Vec<(PathBuf, Option<Stamp>)>,
    since: Instant,
}

/// Differs if a file was changed or replaced.
type Stamp = (u64, u64, i64, i64, i64);

impl Rotating {
    pub(crate) fn new(account: Account, outside: ProviderConfig, inside: ProviderConfig) -> Self {
        Self {
            account,
            outside,
            inside,
            obtaining: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// The store refuses the credentials: forgets them. Returns whether others may be had, which is worth one more
    /// request, but not another one if they turn out to be the same.
    pub(crate) fn refused(&self) -> bool {
        let mut state = self.state();
        let Some(kept) = state.kept.take() else {
            // Another request was refused, too.
            return true;
        };
        let fixed = kept.files.is_empty() && matches!(self.account, Account::Keys { .. });
        if fixed || state.refused.as_ref() == Some(&kept.credentials) {
            return false;
        }
        state.refused = Some(kept.credentials);
        true
    }

    /// Those to use now.
    pub(crate) async fn current(&self) -> Result<Credentials, CredentialsError> {
        if let Some(credentials) = self.kept() {
            return Ok(credentials);
        }
        let _one = self.obtaining.lock().await;
        if let Some(credentials) = self.kept() {
            return Ok(credentials);
        }
        // Before they are read: a change in between is then noticed.
        let files = self.files();
        let stamps = files.into_iter().map(|path| {
            let stamp = stamp(&path);
            (path, stamp)
        });
        let files = stamps.collect();
        match self.obtain().await {
            Ok(credentials) => {
                self.state().kept = Some(Kept {
                    credentials: credentials.clone(),
                    files,
                    since: Instant::now(),
                });
                Ok(credentials)
            }
            // A file is being replaced, or a service of the host does not answer.
            Err(error) => self.earlier().ok_or(error),
        }
    }

    /// The credentials in use, unless others should be obtained.
    fn kept(&self) -> Option<Credentials> {
        let kept = self.state().kept.clone()?;
        let fresh = match kept.credentials.expiry() {
            Some(expiry) => SystemTime::now() + IN_TIME < expiry,
            None if matches!(self.account, Account::Keys { .. }) => true,
            None => kept.since.elapsed() < WITHOUT_EXPIRY,
        };
        let same = |(path, before): &(PathBuf, Option<Stamp>)| stamp(path) == *before;
        (fresh && kept.files.iter().all(same)).then_some(kept.credentials)
    }

    /// Credentials that should have been replaced, but are still good.
    fn earlier(&self) -> Option<Credentials> {
        let kept = self.state().kept.clone()?.credentials;
        let good = kept
            .expiry()
            .is_none_or(|expiry| SystemTime::now() < expiry);
        good.then_some(kept)
    }

    fn files(&self) -> Vec<PathBuf> {
        match &self.account {
            Account::Keys { id, key, token } => {
                let sources = [Some(id), Some(key), token.as_ref()];
                let files = sources
                    .into_iter()
                    .flatten()
                    .filter_map(|source| source.file());
                files.map(Path::to_owned).collect()
            }
            Account::Profile { file, .. } => SharedFiles::find(file.as_deref()).paths,
            Account::Host => SharedFiles::find(None).paths,
        }
    }

    async fn obtain(&self) -> Result<Credentials, CredentialsError> {
        match &self.account {
            Account::Keys { id, key, token } => {
                let token = token.as_ref().map(|token| token.read()).transpose();
                let read = id.read().and_then(|id| Ok((id, key.read()?, token?)));
                let (id, key, token) = read.map_err(CredentialsError::invalid_configuration)?;
                let token = token.map(|token| token.expose().to_owned());
                Ok(Credentials::new(
                    id.expose(),
                    key.expose(),
                    token,
                    None,
                    "volume options",
                ))
            }
            Account::Profile { name, file } => {
                let profile = self.profile(file.as_deref());
                match name {
                    Some(name) => {
                        profile
                            .profile_name(name)
                            .build()
                            .provide_credentials()
                            .await
                    }
                    None => profile.build().provide_credentials().await,
                }
            }
            Account::Host => {
                // Built anew, because the SDK keeps what it has read of the files.
                let identity = WebIdentityTokenCredentialsProvider::builder();
                let container = EcsCredentialsProvider::builder();
                let instance = ImdsCredentialsProvider::builder();
                let environment = EnvironmentVariableCredentialsProvider::new();
                let chain = CredentialsProviderChain::first_try("Environment", environment)
                    .or_else("Profile", self.profile(None).build())
                    .or_else(
                        "WebIdentityToken",
                        identity.configure(&self.outside).build(),
                    )
                    .or_else("EcsContainer", container.configure(&self.inside).build())
                    .or_else(
                        "Ec2InstanceMetadata",
                        instance.configure(&self.inside).build(),
                    );
                chain.provide_credentials().await
            }
        }
    }

    fn profile(&self, file: Option<&Path>) -> aws_config::profile::credentials::Builder {
        ProfileFileCredentialsProvider::builder()
            .configure(&self.outside)
            .profile_files(SharedFiles::find(file).files)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = fs::metadata(path).ok()?;
    let time = (data.mtime(), data.mtime_nsec(), data.ctime_nsec());
    Some((data.ino(), data.len(), time.0, time.1, time.2))
}

impl ProvideCredentials for Rotating {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.current())
    }
}

impl fmt::Debug for Rotating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotating")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

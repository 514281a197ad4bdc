// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Sets up the AWS SDK from our settings only: nothing may depend on a user's `~/.aws/config`, except the credentials
//! if the volume's options have none.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AsyncSleep, BehaviorVersion, Config, IdentityCache, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, RuntimeComponents, SharedAsyncSleep, SharedCredentialsProvider,
    SharedHttpClient, Sleep, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};
use cloudsync_store::{Secret, StoreError};

use crate::credentials::Rotating;
use crate::direct::{Direct, GET_OBJECT};
use crate::headers::Headers;
use crate::settings::{Account, Settings};

/// How much longer than `stall-timeout` the rest of an answer may take that is no object's bytes: a page of a list, on a
/// slow line. The SDK reads it to its end and watches only its beginning, also that of an error that answers a GET.
const REST: u32 = 12;

/// What makes requests.
pub(crate) struct Made {
    pub(crate) client: Client,
    /// The credentials that both use.
    pub(crate) credentials: Arc<Rotating>,
    /// For the GETs that are not the client's.
    pub(crate) direct: Direct,
}

/// Creates clients. Does not connect or obtain credentials yet.
pub(crate) fn client(settings: &Settings) -> Result<Made, StoreError> {
    let connectors = connectors(settings, proxy(settings)?)?;
    let http = http_client(&connectors);
    let region = Region::new(settings.region.clone());
    let provider = |http| {
        ProviderConfig::default()
            .with_region(Some(region.clone()))
            .with_http_client(http)
    };
    let credentials = Arc::new(Rotating::new(
        settings.account.clone(),
        provider(http.clone()),
        provider(http_client(&self::connectors(
            settings,
            ProxyConfig::disabled(),
        )?)),
    ));
    let shared: Arc<dyn ProvideCredentials> = Arc::<Rotating>::clone(&credentials);
    let rest = settings.stall_timeout.saturating_mul(REST);
    let answered = settings
        .connect_timeout
        .saturating_add(settings.read_timeout);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.read_timeout)
        .operation_attempt_timeout(answered.saturating_add(rest))
        .build();
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(region)
        .credentials_provider(SharedCredentialsProvider::from(shared))
        .identity_cache(IdentityCache::no_cache())
        .use_arn_region(true)
        .accelerate(settings.kind.accelerate)
        .use_dual_stack(settings.kind.dualstack)
        .use_fips(settings.kind.fips)
        .force_path_style(settings.path_style)
        .http_client(http)
        .interceptor(Headers::new(settings))
        .timeout_config(timeouts)
        // We retry ourselves (`Tries`), and `fetch` detects stalls: a slow volume must not count as a slow store.
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // `put` sends the checksum of the settings, and the recall compares the whole object's.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    let waiting = HttpConnectorSettings::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.read_timeout)
        .build();
    let headers = Headers::new(settings);
    let direct = Direct::new(
        SharedHttpConnector::new(connectors(
            Some(&waiting),
            Some(SharedAsyncSleep::new(Clock)),
        )),
        Arc::clone(&credentials),
        headers.of(GET_OBJECT).cloned().collect(),
        answered.saturating_add(rest),
    );
    Ok(Made {
        client: Client::from_conf(config.build()),
        credentials,
        direct,
    })
}

/// The runtime's clock.
#[derive(Debug)]
struct Clock;

impl AsyncSleep for Clock {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration))
    }
}

/// The proxy of the settings, or else of the environment.
fn proxy(settings: &Settings) -> Result<ProxyConfig, StoreError> {
    match settings.proxy.as_ref().map(Secret::expose) {
        None => Ok(ProxyConfig::from_env()),
        Some("none") => Ok(ProxyConfig::disabled()),
        Some(url) => ProxyConfig::all(url)
            .map_err(|_| StoreError::Settings("proxy: not a valid URL".to_owned())),
    }
}

/// Makes connectors, which open and keep connections.
type Connectors = Arc<
    dyn Fn(Option<&HttpConnectorSettings>, Option<SharedAsyncSleep>) -> Connector + Send + Sync,
>;

fn http_client(connectors: &Connectors) -> SharedHttpClient {
    let connectors = Arc::clone(connectors);
    Builder::new().build_with_connector_fn(move |settings, components| {
        connectors(settings, components.and_then(RuntimeComponents::sleep_impl))
    })
}

fn connectors(settings: &Settings, proxy: ProxyConfig) -> Result<Connectors, StoreError> {
    let plain = settings
        .endpoint
        .as_ref()
        .is_some_and(|url| url.starts_with("http://"));
    let tls = !plain || !matches!(settings.account, Account::Keys { .. });
    let mut trusted = TrustStore::default();
    if let Some(pem) = &settings.ca {
        trusted.add_pem_certificate(pem.as_slice());
    }
    let context = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| StoreError::Settings(format!("cannot set up TLS: {error}")))?;
    Ok(Arc::new(move |settings, sleep| {
        let mut connector = Connector::builder().proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(sleep);
        if tls {
            let provider = Provider::Rustls(CryptoMode::Ring);
            connector
                .tls_provider(provider)
                .tls_context(context.clone())
                .build()
        } else {
            connector.build_http()
        }
    }))
}

#[cfg(test)]
mod tests;

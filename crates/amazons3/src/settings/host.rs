// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store's address: `s3plugin-hostname`, and what Amazon's host names say about region and kind of endpoint.

#![forbid(unsafe_code)]

use super::name::consists_of;

/// The parsed `s3plugin-hostname`.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// A URL; `None`: one of Amazon's public endpoints, which the SDK chooses.
    pub(super) endpoint: Option<String>,
    /// What was given, as a URL.
    pub(super) url: String,
    /// The region in the name.
    pub(super) region: Option<String>,
    pub(super) aws: bool,
    pub(super) kind: Kind,
}

/// Kinds of Amazon's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// Transfer acceleration.
    pub accelerate: bool,
    /// IPv6 as well as IPv4.
    pub dualstack: bool,
    /// With certified cryptography.
    pub fips: bool,
}

impl Host {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self {
                aws: true,
                ..Self::default()
            });
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (authority, None),
        };
        // Rust accepts numbers with a leading plus, which a URL's port may not have.
        let port_is_good =
            |port: &str| !port.starts_with('+') && port.parse::<u16>().is_ok_and(|port| port > 0);
        let six = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let good = ["http", "https"].contains(&scheme)
            && port.is_none_or(port_is_good)
            && six.map_or(consists_of(name, "-._"), |six| {
                six.parse::<std::net::Ipv6Addr>().is_ok()
            });
        if !good {
            return Err(format!(
                "'{text}' is neither a host, host:port nor a URL http(s)://host:port without a path"
            ));
        }
        let name = name.to_ascii_lowercase();
        let front = of_amazon(&name);
        let url = format!("{scheme}://{authority}");
        let (region, kind) = match front.and_then(public) {
            Some((region, kind)) => (region, Some(kind)),
            None => (front.and_then(private), None),
        };
        // The SDK chooses the public endpoint of the region.
        let kind = kind.filter(|_| scheme == "https" && port.is_none());
        Ok(Self {
            endpoint: kind.is_none().then(|| url.clone()),
            url,
            region,
            aws: front.is_some(),
            kind: kind.unwrap_or_default(),
        })
    }

    /// Whether what is sent there can be read on its way. Not if it stays on this host: a proxy there may encrypt it.
    pub(super) fn sends_in_the_clear(&self) -> bool {
        let Some(authority) = self.url.strip_prefix("http://") else {
            return false;
        };
        let here = ["127.0.0.1", "localhost", "[::1]"];
        let rest = here
            .into_iter()
            .find_map(|name| authority.strip_prefix(name));
        !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }
}

/// The name without Amazon's domain; `None`: another one's.
fn of_amazon(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".cn").unwrap_or(name);
    name.strip_suffix(".amazonaws.com")
}

/// Region and kind of one of Amazon's public S3 endpoints: `s3`, `s3.REGION`, `s3-REGION`, `s3-fips.REGION`,
/// `s3.dualstack.REGION`, `s3-accelerate.dualstack`, ...
fn public(front: &str) -> Option<(Option<String>, Kind)> {
    let mut kind = Kind::default();
    let mut labels = front.split('.');
    let mut region = match labels.next()? {
        "s3" => None,
        "s3-fips" => {
            kind.fips = true;
            None
        }
        "s3-accelerate" => {
            kind.accelerate = true;
            None
        }
        "s3-external-1" => Some("us-east-1"),
        old => {
            let region = old.strip_prefix("s3-")?;
            let certified = region.strip_prefix("fips-");
            kind.fips = certified.is_some();
            Some(certified.unwrap_or(region))
        }
    };
    for label in labels {
        match (label, region) {
            ("dualstack", None) if !kind.dualstack => kind.dualstack = true,
            (label, None) if !kind.accelerate => region = Some(label),
            _ => return None,
        }
    }
    Some((region.map(str::to_owned), kind))
}

/// The region of an endpoint in a private network: `bucket.ID.s3.REGION.vpce`.
fn private(front: &str) -> Option<String> {
    let (_, region) = front.strip_suffix(".vpce")?.rsplit_once('.')?;
    Some(region.to_owned())
}

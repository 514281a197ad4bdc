// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Tests of valid settings, and of the errors for invalid ones.

use cloudsync_store::checksum::Algorithm;

use super::*;

fn parse(options: &[(&str, &str)]) -> Result<Settings, String> {
    let mut all = vec![("s3plugin-bucketid", "archive")];
    all.extend_from_slice(options);
    Settings::parse(&all.into_iter().collect()).map_err(|error| error.to_string())
}

fn with_host(host: &str) -> Result<Settings, String> {
    parse(&[
        ("s3plugin-hostname", host),
        ("cloudsync-store-id", "retries=1"),
    ])
}

fn with_list(list: &str) -> Result<Settings, String> {
    parse(&[
        ("s3plugin-hostname", "s3.example.org"),
        ("cloudsync-store-id", list),
    ])
}

#[test]
fn host_becomes_an_endpoint() {
    for (host, endpoint) in [
        ("s3.example.org", "https://s3.example.org"),
        ("s3.example.org:9000", "https://s3.example.org:9000"),
        ("http://10.0.0.1:7480", "http://10.0.0.1:7480"),
        ("https://s3.example.org/", "https://s3.example.org"),
        ("[fd00::1]:9000", "https://[fd00::1]:9000"),
        ("http://[fd00::1]", "http://[fd00::1]"),
    ] {
        let settings = with_host(host).unwrap();
        assert_eq!(settings.endpoint.as_deref(), Some(endpoint));
        assert!(settings.path_style);
    }
}

#[test]
fn aws_endpoints_are_derived_from_the_region() {
    for (host, region) in [
        ("s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3-eu-west-1.amazonaws.com", "eu-west-1"),
        ("S3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ] {
        let settings = with_host(host).unwrap();
        assert_eq!(
            (settings.endpoint, settings.region.as_str()),
            (None, region)
        );
        assert!(!settings.path_style);
    }
    for host in ["", "s3.amazonaws.com"] {
        let list = ("cloudsync-store-id", "region=eu-north-1");
        let settings = parse(&[("s3plugin-hostname", host), list]).unwrap();
        assert_eq!(
            (settings.endpoint, settings.region.as_str()),
            (None, "eu-north-1")
        );
    }
    let private = "bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com";
    assert_eq!(
        with_host(private).unwrap().endpoint,
        Some(format!("https://{private}"))
    );
}

#[test]
fn invalid_hosts_are_refused() {
    for host in [
        "ftp://s3.example.org",
        "s3.example.org/bucket",
        "user:password@s3.example.org",
        "s3.example.org:port",
        "s3.example.org:0",
        "s3 example",
        "[fd00::1",
        "://x",
    ] {
        let error = with_host(host).unwrap_err();
        assert!(
            error.starts_with("option s3plugin-hostname: "),
            "{host}: {error}"
        );
    }
}

#[test]
fn bucket_may_have_a_prefix() {
    for (text, key) in [
        ("b", "a key"),
        ("b/", "a key"),
        ("b/deep/down", "deep/down/a key"),
        ("b//deep/", "deep/a key"),
    ] {
        let options = [("s3plugin-bucketid", text)].into_iter().collect();
        let settings = Settings::parse(&options).unwrap();
        assert_eq!(
            (settings.bucket.as_str(), settings.key("a key").as_str()),
            ("b", key)
        );
    }
    for text in ["", "/prefix", "no bucket"] {
        let options = [("s3plugin-bucketid", text)].into_iter().collect();
        let error = Settings::parse(&options).unwrap_err().to_string();
        assert!(error.starts_with("option s3plugin-bucketid: "), "{error}");
    }
}

#[test]
fn keys_or_a_profile_or_the_host() {
    assert!(matches!(parse(&[]).unwrap().account, Account::Host));
    let with = |list| parse(&[("cloudsync-store-id", list)]);
    for list in ["profile=p", "credentials-file=/etc/keys"] {
        let account = with(list).unwrap().account;
        assert!(matches!(account, Account::Profile { .. }), "{account:?}");
    }
    let error = parse(&[("s3plugin-keyid", "AKID")]).unwrap_err();
    assert!(error.starts_with("option s3plugin-seckey: "), "{error}");
    let error = parse(&[("s3plugin-seckey", "hunter2")]).unwrap_err();
    assert!(
        error.starts_with("option s3plugin-keyid: ") && !error.contains("hunter2"),
        "{error}"
    );
    let keys = [("s3plugin-keyid", "AKID"), ("s3plugin-seckey", "hunter2")];
    let all = |list| parse(&[keys[0], keys[1], ("cloudsync-store-id", list)]);
    let settings = all("session-token=hunter3,proxy=http://me:hunter4@10.0.0.1:3128").unwrap();
    assert!(!format!("{settings:?}").contains("hunter"));
    for (list, name) in [
        ("profile=p", "profile="),
        ("session-token=file:/nowhere", "session-token: cannot read"),
        ("proxy=socks5://me:hunter4@h", "proxy: expected"),
        ("proxy=me:hunter4@h", "proxy: expected"),
    ] {
        let error = all(list).unwrap_err();
        assert!(error.starts_with("option cloudsync-store-id: "), "{error}");
        assert!(error.contains(name) && !error.contains("hunter"), "{error}");
    }
    assert!(
        with("session-token=x")
            .unwrap_err()
            .contains("session-token=")
    );
}

#[test]
fn list_sets_the_other_settings() {
    let settings = with_list(
        "region=eu-1,path-style=off,checksum=when_supported,connect-timeout=1s,\
         read-timeout=2s,stall-timeout=300ms,retries=0",
    )
    .unwrap();
    assert_eq!(settings.region, "eu-1");
    assert!(!settings.path_style);
    assert_eq!(settings.checksum, Sent::Crc(Algorithm::Crc64Nvme));
    assert_eq!(settings.connect_timeout, Duration::from_secs(1));
    assert_eq!(settings.read_timeout, Duration::from_secs(2));
    assert_eq!(settings.stall_timeout, Duration::from_millis(300));
    assert_eq!(settings.retries, 0);
    let settings = with_list("region=eu-1").unwrap();
    assert!(settings.path_style);
    for (list, checksum) in [
        ("", Sent::Auto),
        ("checksum=when_required", Sent::Auto),
        ("checksum=crc32", Sent::Crc(Algorithm::Crc32)),
        ("checksum=crc32c", Sent::Crc(Algorithm::Crc32c)),
        ("checksum=md5", Sent::Md5),
        ("checksum=none", Sent::None),
    ] {
        assert_eq!(with_list(list).unwrap().checksum, checksum, "{list}");
    }
    assert_eq!(settings.retries, 8);
}

#[test]
fn invalid_list_items_are_refused_by_name() {
    for (list, name) in [
        ("reggion=eu-1", "unknown setting 'reggion'"),
        ("path-style=maybe", "'path-style=maybe'"),
        ("versions=all", "'versions=all'"),
        ("requester-pays=me", "'requester-pays=me'"),
        ("checksum=always", "'checksum=always'"),
        ("read-timeout=0s", "read-timeout"),
        ("retries=101", "'retries=101'"),
        ("ca=/nowhere/ca.pem", "ca=/nowhere/ca.pem"),
        ("ca=/dev/null", "no certificate"),
    ] {
        let error = with_list(list).unwrap_err();
        assert!(
            error.starts_with("option cloudsync-store-id: ") && error.contains(name),
            "{error}"
        );
    }
}

const HOSTS: &[&str] = &[
    "s3.example.org",
    "http://10.0.0.1:7480",
    "https://[fd00::1]:9000/",
    "s3.eu-west-1.amazonaws.com",
    "s3-eu-west-1.amazonaws.com.cn",
    "[::]:0",
    "https://:443",
    "a:b:c",
    "http://user:word@host",
    "http://10.0.0.1:+7480",
];

/// An accepted host becomes a URL that contains nothing else.
#[test]
fn fuzz_hosts() {
    cloudsync_fuzz::fuzz(HOSTS, |host| match with_host(host) {
        Ok(Settings {
            endpoint: Some(url),
            ..
        }) => {
            let (scheme, authority) = url.split_once("://").unwrap();
            assert!(["http", "https"].contains(&scheme), "{url}");
            let good = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
            assert!(
                !authority.is_empty() && authority.chars().all(good),
                "{url}"
            );
        }
        Ok(_) => assert!(
            host.trim().is_empty() || host.to_ascii_lowercase().contains("amazonaws"),
            "{host:?}"
        ),
        Err(why) => assert!(
            why.contains("s3plugin-hostname") || why.contains("region="),
            "{why}"
        ),
    });
}

const LISTS: &[&str] = &[
    "",
    "region=eu-west-1,path-style=on,checksum=when_supported,retries=100",
    "connect-timeout=1ms,read-timeout=1d,stall-timeout=0s",
    "ca=/nowhere,ca=/dev/null",
    "retries=101",
    "read-timeout=18446744073709551615s",
];

/// An accepted list has non-zero times and a limited number of retries.
#[test]
fn fuzz_lists() {
    cloudsync_fuzz::fuzz(LISTS, |list| match with_list(list) {
        Ok(settings) => {
            assert!(settings.retries <= 100, "{list:?}");
            for time in [
                settings.connect_timeout,
                settings.read_timeout,
                settings.stall_timeout,
            ] {
                assert!(!time.is_zero() && time <= LONGEST, "{list:?}");
            }
        }
        Err(why) => assert!(why.contains("cloudsync-store-id"), "{why}"),
    });
}

const BUCKETS: &[&str] = &[
    "archive",
    "archive/prefix/",
    "a/../b",
    "a//b",
    "/a",
    "bucket?x=y",
    "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/prefix",
    "arn:aws:s3-outposts:eu-west-1:1:outpost/op-1/accesspoint/mine",
];

#[test]
fn fuzz_buckets() {
    cloudsync_fuzz::fuzz(BUCKETS, |text| {
        if let Ok(settings) = parse(&[("s3plugin-bucketid", text)]) {
            let arn = settings.bucket.starts_with("arn:");
            let extra = if arn { "-._:/" } else { "-._" };
            let good = |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
            assert!(settings.bucket.chars().all(good), "{text:?}");
            assert!(
                settings.prefix.is_empty() || settings.prefix.ends_with('/'),
                "{text:?}"
            );
        }
    });
}

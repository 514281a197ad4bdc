// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Where requests go, and what region they are signed for.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;

use super::*;

/// The URL that a request would go to, and the region that it is signed for.
fn asked(host: &str, bucket: &str, list: &str) -> Result<(String, String), StoreError> {
    let options = [
        ("s3plugin-hostname", host),
        ("s3plugin-bucketid", bucket),
        ("s3plugin-keyid", "AKID"),
        ("s3plugin-seckey", "hunter2"),
        ("cloudsync-store-id", list),
    ];
    let settings = Settings::parse(&options.into_iter().collect())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = client(&settings)?.client;
        let request = client
            .head_object()
            .bucket(&settings.bucket)
            .key(settings.key("k"));
        let config = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
        let signed = request.presigned(config).await;
        let signed = signed.unwrap_or_else(|error| panic!("{bucket} {list}: {error:?}"));
        let (place, query) = signed.uri().split_once('?').unwrap();
        let scope = query.split("X-Amz-Credential=AKID%2F").nth(1).unwrap();
        let region = scope.split("%2F").nth(1).unwrap().to_owned();
        Ok((place.to_owned(), region))
    })
}

#[test]
fn amazon_s_endpoints_are_reached() {
    let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
    let point = "https://mine-123456789012.s3-accesspoint";
    for (host, bucket, list, place, region) in [
        (
            "",
            "bkt",
            "region=eu-north-1",
            "https://bkt.s3.eu-north-1.amazonaws.com/k",
            "eu-north-1",
        ),
        (
            "",
            "bkt",
            "region=us-gov-west-1",
            "https://bkt.s3.us-gov-west-1.amazonaws.com/k",
            "us-gov-west-1",
        ),
        (
            "",
            "bkt",
            "region=cn-north-1",
            "https://bkt.s3.cn-north-1.amazonaws.com.cn/k",
            "cn-north-1",
        ),
        (
            "s3.cn-north-1.amazonaws.com.cn",
            "bkt",
            "",
            "https://bkt.s3.cn-north-1.amazonaws.com.cn/k",
            "cn-north-1",
        ),
        (
            "",
            "bkt",
            "region=eu-west-1,accelerate=on",
            "https://bkt.s3-accelerate.amazonaws.com/k",
            "eu-west-1",
        ),
        (
            "s3-accelerate.amazonaws.com",
            "bkt",
            "region=eu-west-1",
            "https://bkt.s3-accelerate.amazonaws.com/k",
            "eu-west-1",
        ),
        (
            "s3-accelerate.dualstack.amazonaws.com",
            "bkt",
            "region=eu-west-1",
            "https://bkt.s3-accelerate.dualstack.amazonaws.com/k",
            "eu-west-1",
        ),
        (
            "s3.dualstack.eu-west-1.amazonaws.com",
            "bkt",
            "",
            "https://bkt.s3.dualstack.eu-west-1.amazonaws.com/k",
            "eu-west-1",
        ),
        (
            "",
            "bkt",
            "region=eu-west-1,dualstack=on",
            "https://bkt.s3.dualstack.eu-west-1.amazonaws.com/k",
            "eu-west-1",
        ),
        (
            "",
            "bkt",
            "region=us-west-2,fips=on",
            "https://bkt.s3-fips.us-west-2.amazonaws.com/k",
            "us-west-2",
        ),
        (
            "s3-fips.us-gov-east-1.amazonaws.com",
            "bkt",
            "",
            "https://bkt.s3-fips.us-gov-east-1.amazonaws.com/k",
            "us-gov-east-1",
        ),
        (
            "s3-fips-us-gov-west-1.amazonaws.com",
            "bkt",
            "",
            "https://bkt.s3-fips.us-gov-west-1.amazonaws.com/k",
            "us-gov-west-1",
        ),
        (
            "s3-fips.dualstack.us-west-2.amazonaws.com",
            "bkt",
            "",
            "https://bkt.s3-fips.dualstack.us-west-2.amazonaws.com/k",
            "us-west-2",
        ),
        (
            "s3-external-1.amazonaws.com",
            "bkt",
            "",
            "https://bkt.s3.us-east-1.amazonaws.com/k",
            "us-east-1",
        ),
        (
            "",
            "bkt",
            "region=us-east-1,path-style=on",
            "https://s3.us-east-1.amazonaws.com/bkt/k",
            "us-east-1",
        ),
        (
            "",
            arn,
            "",
            &format!("{point}.eu-west-1.amazonaws.com/k"),
            "eu-west-1",
        ),
        (
            "",
            &format!("{arn}/deep"),
            "region=us-east-1",
            &format!("{point}.eu-west-1.amazonaws.com/deep/k"),
            "eu-west-1",
        ),
        (
            "",
            "mine-abc123-s3alias",
            "region=eu-west-1",
            "https://mine-abc123-s3alias.s3.eu-west-1.amazonaws.com/k",
            "eu-west-1",
        ),
        // Any region is signed for, whatever the name says.
        (
            "s3.eu-west-1.amazonaws.com",
            "bkt",
            "region=eu-north-1",
            "https://bkt.s3.eu-west-1.amazonaws.com/k",
            "eu-north-1",
        ),
        (
            "bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com",
            "bkt",
            "",
            "https://bkt.bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com/k",
            "eu-west-1",
        ),
        (
            "s3.example.org",
            "bkt",
            "region=here",
            "https://s3.example.org/bkt/k",
            "here",
        ),
    ] {
        let expected = (place.to_owned(), region.to_owned());
        assert_eq!(
            asked(host, bucket, list),
            Ok(expected),
            "{host} {bucket} {list}"
        );
    }
}

#[test]
fn what_cannot_be_reached_is_refused() {
    for (host, bucket, list, why) in [
        (
            "s3.example.org",
            "b",
            "dualstack=on",
            "leave s3plugin-hostname empty",
        ),
        (
            "",
            "arn:aws:s3::123456789012:accesspoint/m.mrap",
            "",
            "multi-region",
        ),
        (
            "",
            "arn:aws:s3:eu-west-1:123456789012:bucket",
            "",
            "not the ARN",
        ),
        (
            "",
            "arn:aws:iam:eu-west-1:123456789012:accesspoint/a",
            "",
            "not the ARN",
        ),
    ] {
        let error = asked(host, bucket, list).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

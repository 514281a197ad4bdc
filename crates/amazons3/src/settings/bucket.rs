// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! `s3plugin-bucketid`: a bucket or an access point, and a prefix.

#![forbid(unsafe_code)]

use super::name::consists_of;

/// Returns the bucket, or an access point's ARN or alias, and the prefix: empty, or ending with `/`.
pub(super) fn parse(text: &str) -> Result<(String, String), &'static str> {
    let (bucket, prefix) = match text.strip_prefix("arn:") {
        Some(_) => access_point(text)?,
        None => text.split_once('/').unwrap_or((text, "")),
    };
    if bucket.is_empty() {
        return Err("is not set: expected bucket or bucket/prefix");
    }
    let extra = if text.starts_with("arn:") {
        "-._:/"
    } else {
        "-._"
    };
    if !consists_of(bucket, extra) {
        return Err("is not a valid bucket name or bucket/prefix");
    }
    let prefix = prefix.trim_matches('/');
    let prefix = if prefix.is_empty() {
        String::new()
    } else {
        format!("{prefix}/")
    };
    Ok((bucket.to_owned(), prefix))
}

/// Splits `arn:PARTITION:s3:REGION:ACCOUNT:accesspoint/NAME[/PREFIX]`, or the same with a colon before the name.
fn access_point(text: &str) -> Result<(&str, &str), &'static str> {
    const EXPECTED: &str =
        "is not the ARN of an access point: arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME";
    let mut fields = text.splitn(6, ':');
    let fields: [&str; 6] = std::array::from_fn(|_| fields.next().unwrap_or_default());
    let [_, _, service, region, account, resource] = fields;
    if !["s3", "s3-object-lambda", "s3-outposts"].contains(&service) || account.is_empty() {
        return Err(EXPECTED);
    }
    if region.is_empty() {
        return Err("is a multi-region access point, which is not supported: use one of a region");
    }
    // An Outpost's has two names before that: outpost/ID/accesspoint/NAME.
    let names = if resource.starts_with("outpost") {
        4
    } else {
        2
    };
    let parts = resource.split(['/', ':']).take(names);
    let length = parts.clone().map(str::len).sum::<usize>() + names - 1;
    if parts.clone().count() < names || parts.clone().any(str::is_empty) {
        return Err(EXPECTED);
    }
    let (_, prefix) = resource.split_at(length);
    if !parts.take(names - 1).any(|part| part == "accesspoint") {
        return Err(EXPECTED);
    }
    Ok((&text[..text.len() - prefix.len()], prefix))
}

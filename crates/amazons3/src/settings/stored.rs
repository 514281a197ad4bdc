// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses what objects are stored as: `storage-class=`, `tags=`, `acl=`, and [how they are encrypted](super::encryption).

#![forbid(unsafe_code)]

use cloudsync_store::network::decode_text;
use cloudsync_store::settings::Settings as List;

use super::encryption::Encryption;
use super::name::consists_of;

/// What new objects are stored as.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// `storage-class=`: any name, because other stores than Amazon's have classes of their own.
    pub class: Option<String>,
    /// `tags=name=value&name=value`.
    pub tags: Vec<(String, String)>,
    /// `acl=private|bucket-owner-read|bucket-owner-full-control`. Default: the header is not sent.
    pub acl: Option<&'static str>,
    /// `sse=`, `kms-key=`, `sse-c-key-file=`.
    pub encryption: Encryption,
}

/// Amazon's limits.
const MOST_TAGS: usize = 10;
const LONGEST_NAME: usize = 128;
const LONGEST_VALUE: usize = 256;

impl Stored {
    /// Takes these settings out of the list. `plain`: requests are not encrypted on their way.
    ///
    /// # Errors
    /// A text that names the setting.
    pub(super) fn take(list: &mut List, plain: bool) -> Result<Self, String> {
        // No archive should be readable by everyone, so the public ones are left out.
        const ACLS: &[&str] = &["private", "bucket-owner-read", "bucket-owner-full-control"];
        let expected = "private, bucket-owner-read or bucket-owner-full-control";
        let class = list.text("storage-class").map(|text| class(&text));
        let tags = list.text("tags").map(|text| tags(&text));
        let acl = list.choice("acl", ACLS, expected);
        Ok(Self {
            class: class.transpose()?,
            tags: tags.transpose()?.unwrap_or_default(),
            acl: acl.map_err(|error| error.to_string())?,
            encryption: Encryption::take(list, plain)?,
        })
    }

    /// The tags as the header `x-amz-tagging` has them.
    pub(crate) fn tagging(&self) -> Option<String> {
        let pair =
            |(name, value): &(String, String)| format!("{}={}", in_query(name), in_query(value));
        let pairs: Vec<_> = self.tags.iter().map(pair).collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }

    /// The settings that are given, for an error of the store that names none of them.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let encryption = match self.encryption {
            Encryption::Bucket => None,
            Encryption::Store | Encryption::Service(_) => Some("sse="),
            Encryption::Customer(_) => Some("sse-c-key-file="),
        };
        let given = [
            self.class.is_some().then_some("storage-class="),
            (!self.tags.is_empty()).then_some("tags="),
            self.acl.map(|_| "acl="),
            encryption,
        ];
        given.into_iter().flatten().collect()
    }

    /// The permissions that creating an object needs.
    #[must_use]
    pub fn actions(&self) -> &'static str {
        match (self.tags.is_empty(), self.acl) {
            (true, None) => "s3:PutObject",
            (false, None) => "s3:PutObject and s3:PutObjectTagging",
            (true, Some(_)) => "s3:PutObject and s3:PutObjectAcl",
            (false, Some(_)) => "s3:PutObject, s3:PutObjectTagging and s3:PutObjectAcl",
        }
    }
}

fn class(text: &str) -> Result<String, String> {
    if !consists_of(text, "-_") {
        return Err(format!(
            "'storage-class={text}': expected the name of a class, such as STANDARD_IA or GLACIER_IR"
        ));
    }
    Ok(text.to_owned())
}

fn tags(text: &str) -> Result<Vec<(String, String)>, String> {
    let wrong = |why: &str| {
        format!(
            "'tags={text}': {why}; expected name=value&name=value, with %2C for a comma and %26 for an ampersand"
        )
    };
    let mut tags: Vec<(String, String)> = Vec::new();
    for tag in text.split('&') {
        let (name, value) = tag
            .split_once('=')
            .ok_or_else(|| wrong(&format!("'{tag}' has no value")))?;
        let (name, value) = (decode_text(name, false), decode_text(value, false));
        let allowed = |c: char| c.is_alphanumeric() || " +-=._:/@,&".contains(c);
        if name.is_empty() || name.starts_with("aws:") {
            return Err(wrong(&format!("'{tag}' has no name that is allowed")));
        }
        if !name.chars().chain(value.chars()).all(allowed) {
            return Err(wrong(&format!(
                "'{tag}' has a character that is not allowed"
            )));
        }
        if name.chars().count() > LONGEST_NAME || value.chars().count() > LONGEST_VALUE {
            return Err(wrong(&format!("'{name}' is too long")));
        }
        if tags.iter().any(|(other, _)| *other == name) {
            return Err(wrong(&format!("'{name}' is given twice")));
        }
        tags.push((name, value));
    }
    if tags.len() > MOST_TAGS {
        return Err(wrong("an object has at most 10 tags"));
    }
    Ok(tags)
}

/// Encodes all that has a meaning in a query.
fn in_query(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests;

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Buckets and objects, through curl (which can sign, and takes 20 ms) and the aws CLI (which takes a second).

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ceph::{S3Server, User};
use crate::percent::{decode, encode};
use crate::run::{Failure, Outcome};
use crate::signed::{self, Answer};

const PATIENCE: Duration = Duration::from_secs(300);

/// The answer to a HEAD request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Content-Length.
    pub size: u64,
    /// ETag with its quotes.
    pub etag: String,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The value of a header; `name` is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A bucket, accessed as one user.
#[derive(Debug, Clone)]
pub struct Bucket {
    server: Arc<S3Server>,
    name: String,
    user: User,
    url: String,
}

impl S3Server {
    /// Creates a bucket for the owner, named after `stem` and a unique number.
    ///
    /// # Errors
    /// With the server's answer when it refuses.
    pub fn bucket(self: &Arc<Self>, stem: &str) -> Result<Bucket, Failure> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // S3 requires three characters; RGW rejects shorter names with an answer that confuses clients.
        let name = format!("{stem}-{:03}", NEXT.fetch_add(1, Ordering::Relaxed));
        let (user, url) = (self.owner(), self.http_url());
        let bucket = Bucket {
            server: Arc::clone(self),
            name,
            user,
            url,
        };
        bucket.request(&["-X", "PUT"], "", "")?.ok("create")?;
        Ok(bucket)
    }
}

impl Bucket {
    /// The bucket's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same bucket, with requests signed by another user.
    #[must_use]
    pub fn as_user(&self, user: User) -> Self {
        Self {
            user,
            ..self.clone()
        }
    }

    /// The same bucket over https.
    #[must_use]
    pub fn over_https(&self) -> Self {
        self.at(self.server.https_url())
    }

    /// The same bucket at another URL of its server, such as a relay's.
    #[must_use]
    pub fn at(&self, url: String) -> Self {
        Self {
            url,
            ..self.clone()
        }
    }

    /// The URL of its server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The options for a volume that stores its cold files in this bucket, in the order of the README.
    #[must_use]
    pub fn settings(&self) -> [(&'static str, String); 6] {
        [
            ("features.cloudsync", "on".to_owned()),
            ("features.cloudsync-storetype", "amazons3".to_owned()),
            ("features.s3plugin-hostname", self.url.clone()),
            ("features.s3plugin-bucketid", self.name.clone()),
            ("features.s3plugin-keyid", self.user.key.clone()),
            ("features.s3plugin-seckey", self.user.secret.clone()),
        ]
    }

    /// Stores an object.
    ///
    /// # Errors
    /// With the server's answer when it refuses.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.put_with(key, bytes, &[])
    }

    /// Stores an object with headers such as `x-amz-meta-name`.
    ///
    /// # Errors
    /// With the server's answer when it refuses.
    pub fn put_with(
        &self,
        key: &str,
        bytes: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<(), Failure> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let space = self.server.space();
        let name = format!("upload-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let file = space.ram("home").join(name);
        let outer = space.outer(&file);
        fs::write(&outer, bytes).map_err(|e| Failure::at(&outer, &e))?;
        let done = self.upload(&file, key, headers);
        let _ = fs::remove_file(outer);
        done
    }

    /// Stores a file of this process or, with a path from [`crate::Lab::outer`] or a mount, of the lab.
    ///
    /// # Errors
    /// With the server's answer when it refuses.
    pub fn put_file(&self, path: &Path, key: &str) -> Result<(), Failure> {
        self.upload(&self.server.space().inner(path), key, &[])
    }

    fn upload(&self, inside: &Path, key: &str, headers: &[(&str, &str)]) -> Result<(), Failure> {
        let path = inside.display().to_string();
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        // curl would append the file's name to a key that ends in a slash, so such objects are sent as data.
        let (data, kind) = (format!("@{path}"), "Content-Type: binary/octet-stream");
        let mut args = vec!["-T", &path];
        if key.ends_with('/') {
            args = vec!["-X", "PUT", "--data-binary", &data, "-H", kind];
        }
        args.extend(headers.iter().flat_map(|header| ["-H", header]));
        self.request(&args, key, "")?.ok("put").map(drop)
    }

    /// Stores all files below a directory with one command, with keys of `prefix` and the relative path.
    ///
    /// # Errors
    /// With what the aws CLI printed.
    pub fn put_tree(&self, dir: &Path, prefix: &str) -> Result<(), Failure> {
        let dir = self.server.space().inner(dir).display().to_string();
        let to = format!("s3://{}/{prefix}", self.name);
        let args = ["s3", "cp", "--recursive", "--only-show-errors", &dir, &to];
        self.aws(args)?.check().map(drop)
    }

    /// The object's bytes.
    ///
    /// # Errors
    /// With the server's answer when there is no such object.
    pub fn get(&self, key: &str) -> Result<Vec<u8>, Failure> {
        self.request(&[], key, "")?.ok("get")
    }

    /// The HTTP status of a GET.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get_status(&self, key: &str) -> Result<u16, Failure> {
        Ok(self.request(&["-o", "/dev/null"], key, "")?.status)
    }

    /// The answer to HEAD; `None` when the object does not exist.
    ///
    /// # Errors
    /// With the server's answer when it refuses.
    pub fn head(&self, key: &str) -> Result<Option<Head>, Failure> {
        let answer = self.request(&["-I"], key, "")?;
        if answer.status == 404 {
            return Ok(None);
        }
        let text = answer.ok("head")?;
        let text = String::from_utf8_lossy(&text);
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        let headers: Vec<(String, String)> = pairs
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut head = Head {
            size: 0,
            etag: String::new(),
            headers,
        };
        head.size = head
            .header("content-length")
            .and_then(|size| size.parse().ok())
            .unwrap_or(0);
        head.etag = head.header("etag").unwrap_or_default().to_owned();
        Ok(Some(head))
    }

    /// Removes an object; succeeds if it does not exist.
    ///
    /// # Errors
    /// With the server's answer when it refuses.
    pub fn delete(&self, key: &str) -> Result<(), Failure> {
        self.request(&["-X", "DELETE"], key, "")?
            .ok("delete")
            .map(drop)
    }

    /// All keys that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// With the server's answer when it refuses.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = encode(keys.last().map_or("", String::as_str), b"");
            // The signature requires sorted parameters.
            let query = format!(
                "?encoding-type=url&list-type=2&prefix={}&start-after={after}",
                encode(prefix, b"")
            );
            let page = self.request(&[], "", &query)?.ok("list")?;
            let page = String::from_utf8_lossy(&page);
            let found = page
                .split("<Key>")
                .skip(1)
                .filter_map(|rest| rest.split("</Key>").next());
            let before = keys.len();
            // The apostrophe is not percent-encoded but escaped for XML.
            keys.extend(found.map(|key| decode(&key.replace("&apos;", "'"))));
            if keys.len() == before || !page.contains("<IsTruncated>true") {
                return Ok(keys);
            }
        }
    }

    /// Runs the aws CLI as this user against this endpoint, for at most five minutes.
    ///
    /// RGW leaves the text of most errors empty, and this CLI then only prints "argument of type 'NoneType' is not
    /// iterable".
    ///
    /// # Errors
    /// When it cannot be started; its exit status is in the [`Outcome`].
    pub fn aws<I, S>(&self, args: I) -> Result<Outcome, Failure>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut words = vec![
            OsStr::new("--endpoint-url").to_owned(),
            self.url.clone().into(),
        ];
        words.extend(args.into_iter().map(|word| word.as_ref().to_owned()));
        self.server
            .space()
            .run_with(PATIENCE, "aws", words, |command| {
                command
                    .envs(self.user.environment())
                    .env("AWS_CA_BUNDLE", self.server.ca_pem());
            })
    }

    /// Sends one request for a key of this bucket.
    fn request(&self, args: &[&str], key: &str, query: &str) -> Result<Answer, Failure> {
        let slash = if key.is_empty() { "" } else { "/" };
        let url = format!(
            "{}/{}{slash}{}{query}",
            self.url,
            self.name,
            encode(key, b"/")
        );
        let ca = self.server.ca_pem();
        signed::request(self.server.space(), &self.user, ca, PATIENCE, args, &url)
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Signed S3 requests, made with curl in the lab.

use std::path::Path;
use std::time::Duration;

use crate::ceph::User;
use crate::run::{Failure, Outcome};
use crate::space::Space;

/// An answer from the server.
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) status: u16,
}

impl Answer {
    /// The body, if the status is a success.
    pub(crate) fn ok(self, what: &str) -> Result<Vec<u8>, Failure> {
        if (200..300).contains(&self.status) {
            Ok(self.outcome.stdout)
        } else {
            Err(Failure::new(format!("{what}: HTTP status {}", self.status)).with(self.outcome))
        }
    }
}

/// Sends one request. The status goes to standard error, so that standard output is only the body.
pub(crate) fn request(
    space: &Space,
    user: &User,
    ca: &Path,
    deadline: Duration,
    args: &[&str],
    url: &str,
) -> Result<Answer, Failure> {
    let (user, ca) = (
        format!("{}:{}", user.key, user.secret),
        ca.display().to_string(),
    );
    let mut all = vec!["-sS", "--cacert", &ca, "-w", "%{stderr}%{http_code}"];
    all.extend(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user]);
    all.extend(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
    all.extend(args);
    all.push(url);
    let outcome = space.run_with(deadline, "curl", all, |_| {})?;
    let status = String::from_utf8_lossy(&outcome.stderr)
        .trim()
        .parse()
        .unwrap_or(0);
    if status == 0 {
        return Err(Failure::new("no answer of the S3 server").with(outcome));
    }
    Ok(Answer { outcome, status })
}

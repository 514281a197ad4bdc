// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Finds the shared files of Amazon's tools, `~/.aws/credentials` and `~/.aws/config`, also for a process without `HOME`,
//! as a mount from fstab or systemd is.

#![forbid(unsafe_code)]

use std::env;
use std::path::{Path, PathBuf};

use aws_runtime::env_config::file::{EnvConfigFileKind as Kind, EnvConfigFiles};

/// The files to read.
pub(crate) struct SharedFiles {
    pub(crate) files: EnvConfigFiles,
    /// Where they are, or would be.
    pub(crate) paths: Vec<PathBuf>,
}

impl SharedFiles {
    /// The host's files, with `credentials` in the place of the one of that name.
    pub(crate) fn find(credentials: Option<&Path>) -> Self {
        // If the variable is not set, the standard library asks the host's list of users.
        let home = env::home_dir().unwrap_or_else(|| "/root".into());
        let variable = |name| env::var_os(name).filter(|path| !path.is_empty());
        let mut files = EnvConfigFiles::builder();
        let mut paths = Vec::new();
        let mut any = false;
        for (kind, name, file) in [
            (Kind::Config, "AWS_CONFIG_FILE", "config"),
            (
                Kind::Credentials,
                "AWS_SHARED_CREDENTIALS_FILE",
                "credentials",
            ),
        ] {
            let given = credentials.filter(|_| matches!(kind, Kind::Credentials));
            let path = match (given, variable(name)) {
                (Some(path), _) => path.to_owned(),
                (None, Some(path)) => match Path::new(&path).strip_prefix("~") {
                    Ok(below) => home.join(below),
                    Err(_) => path.into(),
                },
                (None, None) => home.join(".aws").join(file),
            };
            // The SDK takes a named file that does not exist for an error; only the one in the option should exist.
            if given.is_some() || path.exists() {
                any = true;
                files = files.with_file(kind, &path);
            }
            paths.push(path);
        }
        // It also takes a set without files for one.
        let files = files.include_default_config_file(!any);
        Self {
            files: files.build(),
            paths,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    use super::*;

    /// The environment of a test cannot be changed without affecting others, so the body runs in a separate process.
    #[test]
    fn home_is_known_without_the_variable() {
        const NAME: &str = "shared_files::tests::home_is_known_without_the_variable";
        if env::var_os("HOME").is_some() {
            let mut child = Command::new(env::current_exe().unwrap());
            let output = child.args(["--exact", NAME]).env_clear().output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.status.success() && text.contains("1 passed"),
                "{text}"
            );
            return;
        }
        let user = fs::metadata("/proc/self").unwrap().uid().to_string();
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let mut lines = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let home = lines.find(|fields| fields[2] == user).unwrap()[5].to_owned();
        let expected =
            ["config", "credentials"].map(|name| PathBuf::from(format!("{home}/.aws/{name}")));
        assert_eq!(SharedFiles::find(None).paths, expected);
        let given = SharedFiles::find(Some(Path::new("/etc/keys")));
        assert_eq!(given.paths[1], Path::new("/etc/keys"));
    }
}

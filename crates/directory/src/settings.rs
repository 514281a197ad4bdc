// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Parses the volume's option `cloudsync-store-id`: `path=/folder[,mounted=/mount/point]`.

#![forbid(unsafe_code)]

use std::path::{Component, Path, PathBuf};

use cloudsync_store::{Options, StoreError, option};

const OPTION: &str = option::text(option::STORE_ID);

/// The location of the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `path=`: the folder, the same on every client.
    pub path: PathBuf,
    /// `mounted=`: a mount point above the folder, or the folder itself. While nothing is mounted there, the store is
    /// unreachable: an empty mount point must not be taken for a store without objects, or be filled with them.
    pub mounted: Option<PathBuf>,
}

impl Settings {
    /// Parses a volume's options. Does not access the folder, which may be on a mount that is down.
    ///
    /// # Errors
    /// [`StoreError::Settings`].
    pub fn parse(options: &Options) -> Result<Self, StoreError> {
        let (path, mounted) =
            options.settings(OPTION, |list| Ok((list.text("path"), list.text("mounted"))))?;
        let wrong = |why: String| StoreError::Settings(format!("option {OPTION}: {why}"));
        let path = path.ok_or_else(|| wrong("path=/folder is missing".to_owned()))?;
        let path = absolute("path", &path).map_err(wrong)?;
        let mounted = mounted
            .map(|mounted| absolute("mounted", &mounted))
            .transpose()
            .map_err(wrong)?;
        if let Some(mounted) = &mounted
            && !path.starts_with(mounted)
        {
            return Err(wrong(format!(
                "mounted={}: is neither path= nor above it",
                mounted.display()
            )));
        }
        Ok(Self { path, mounted })
    }
}

fn absolute(key: &str, text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if path.is_absolute() && path.components().all(plain) {
        Ok(path.to_owned())
    } else {
        Err(format!(
            "'{key}={text}': expected a path that begins with / and has no .."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        let options: Options = [(OPTION, text)].into_iter().collect();
        Settings::parse(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn a_folder_is_needed_and_must_be_absolute() {
        assert_eq!(
            parse("path=/srv/store").unwrap(),
            Settings {
                path: "/srv/store".into(),
                mounted: None
            }
        );
        let both = parse("path=/mnt/nfs/store,mounted=/mnt/nfs").unwrap();
        assert_eq!(both.mounted, Some("/mnt/nfs".into()));
        for (text, why) in [
            ("", "path=/folder is missing"),
            ("path=", "begins with /"),
            ("path=srv", "begins with /"),
            ("path=/srv/../etc", "no .."),
            ("path=/srv,mounted=/mnt", "neither path= nor above it"),
            ("path=/srv,paht=/srv", "unknown setting 'paht'"),
            ("path", "key=value"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("option cloudsync-store-id: "), "{error}");
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}

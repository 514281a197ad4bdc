// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Maps store names to plugin libraries. A name that is not in the table means `lib<name>.so` in the plugin folder, so
//! third-party plugins need no change here.

#![forbid(unsafe_code)]

use std::path::Path;

/// A store that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// The value of the option `cloudsync-storetype`.
    pub name: &'static str,
    /// Its file in the plugin folder.
    pub library: &'static str,
    /// Files that are preferred if they are in the plugin folder, in this order.
    pub own: &'static [&'static str],
    /// A short description.
    pub description: &'static str,
    /// A library that the plugin opens itself, and crashes if it is missing.
    pub needs: Option<&'static str>,
}

/// The stores that are known by name.
pub const PLUGINS: &[Plugin] = &[
    Plugin {
        name: "amazons3",
        library: "libamazons3.so",
        own: &[],
        description: "Any S3 server.",
        needs: None,
    },
    Plugin {
        name: "cloudsyncs3",
        library: "libamazons3.so",
        // A file of the store's own name, such as GlusterFS's own plugin, is what its user has had under this name.
        own: &["libcloudsyncs3.so", "cloudsyncs3.so"],
        description: "The same, under the name that the stock translator knows.",
        needs: None,
    },
    Plugin {
        name: "cvlt",
        library: "cloudsynccvlt.so",
        own: &[],
        description: "Commvault.",
        // If its fop_init fails, the plugin calls a function of this library even if the library was not loaded.
        needs: Some("libopenarchive.so"),
    },
    Plugin {
        name: "azureblob",
        library: "libazureblob.so",
        own: &[],
        description: "Azure Blob Storage.",
        needs: None,
    },
    Plugin {
        name: "googlecloud",
        library: "libgooglecloud.so",
        own: &[],
        description: "Google Cloud Storage.",
        needs: None,
    },
    Plugin {
        name: "directory",
        library: "libdirectory.so",
        own: &[],
        description: "A folder.",
        needs: None,
    },
];

impl Plugin {
    /// The file in `folder` that the name means there.
    fn file(&self, folder: &Path) -> &'static str {
        let own = self.own.iter().find(|file| folder.join(file).is_file());
        own.copied().unwrap_or(self.library)
    }
}

/// Returns the file in the plugin folder for a store's name; `None` if the name is invalid. The result never contains a
/// slash, so it cannot leave the folder.
#[must_use]
pub fn library(name: &str, folder: &Path) -> Option<String> {
    if let Some(plugin) = PLUGINS.iter().find(|plugin| plugin.name == name) {
        return Some(plugin.file(folder).to_owned());
    }
    let fits = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
    };
    let fine = (1..=64).contains(&name.len()) && name.bytes().all(fits);
    fine.then(|| format!("lib{name}.so"))
}

/// Returns the library that a store's plugin opens itself, and crashes if it is missing.
#[must_use]
pub fn needs(name: &str) -> Option<&'static str> {
    let plugin = PLUGINS.iter().find(|plugin| plugin.name == name);
    plugin.and_then(|plugin| plugin.needs)
}

/// Returns the names of the stores whose library is in `folder`: those of the table first, then the others in
/// alphabetical order.
#[must_use]
pub fn installed(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = PLUGINS
        .iter()
        .filter(|plugin| folder.join(plugin.file(folder)).is_file())
        .map(|plugin| plugin.name.to_owned())
        .collect();
    let ours = |library: &str| {
        let mut all = PLUGINS.iter();
        all.any(|plugin| plugin.library == library || plugin.own.contains(&library))
    };
    let mut others: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let file = entry.ok()?.file_name().into_string().ok()?;
            let name = file.strip_prefix("lib")?.strip_suffix(".so")?.to_owned();
            (!ours(&file) && library(&name, folder) == Some(file)).then_some(name)
        })
        .collect();
    others.sort();
    names.append(&mut others);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_libraries_and_never_leave_the_folder() {
        let none = Path::new("/nonexistent");
        let library = |name| library(name, none);
        assert_eq!(library("amazons3").as_deref(), Some("libamazons3.so"));
        assert_eq!(library("cloudsyncs3").as_deref(), Some("libamazons3.so"));
        assert_eq!(library("cvlt").as_deref(), Some("cloudsynccvlt.so"));
        assert_eq!(library("my-tape_2").as_deref(), Some("libmy-tape_2.so"));
        for bad in [
            "",
            "../evil",
            "a/b",
            "A",
            "a.b",
            "a b",
            "\u{e4}",
            &"x".repeat(65),
        ] {
            assert_eq!(library(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_installed_is_listed() {
        let folder = std::env::temp_dir().join(format!("cloudsync-table-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for file in [
            "libamazons3.so",
            "libtape.so",
            "libalpha.so",
            "README",
            "libBad.so",
            "other.so",
        ] {
            std::fs::write(folder.join(file), "").unwrap();
        }
        assert_eq!(
            installed(&folder),
            ["amazons3", "cloudsyncs3", "alpha", "tape"]
        );
        // A plugin of the stock name is what the name means, wherever there is one.
        let meant = || library("cloudsyncs3", &folder);
        assert_eq!(meant().as_deref(), Some("libamazons3.so"));
        std::fs::write(folder.join("cloudsyncs3.so"), "").unwrap();
        assert_eq!(meant().as_deref(), Some("cloudsyncs3.so"));
        std::fs::write(folder.join("libcloudsyncs3.so"), "").unwrap();
        assert_eq!(meant().as_deref(), Some("libcloudsyncs3.so"));
        std::fs::remove_file(folder.join("libamazons3.so")).unwrap();
        assert_eq!(installed(&folder), ["cloudsyncs3", "alpha", "tape"]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(installed(&folder).is_empty());
    }
}

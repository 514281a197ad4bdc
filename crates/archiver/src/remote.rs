// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Opens a volume's store, which the volume's own options name. Flags and environment variables override them.

use cloudsync_store::{Archive, Options, Store};

use cloudsync_format::option;

use crate::cli::StoreFlags;
use crate::exit::Error;
use crate::volume::Volume;

/// Opens the volume's store. The error names the volume.
pub(crate) fn open(volume: &Volume, flags: &StoreFlags) -> Result<Box<dyn Archive>, Error> {
    const STORE_TYPE: &str = option::text(option::STORETYPE);
    let mut options: Vec<(String, String)> = volume
        .options
        .iter()
        .filter_map(|(name, value)| {
            Some((name.strip_prefix("features.")?.to_owned(), value.clone()))
        })
        .collect();
    // Later options override earlier ones.
    options.extend(flags.options());
    let find = |name: &str| {
        let found = options.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let kind = find(STORE_TYPE).map(str::to_owned);
    let options: Options = options.into_iter().collect();
    let wrong = |error| Error::start(format!("volume {}", volume.name), error);
    match kind.as_deref() {
        Some("amazons3" | "cloudsyncs3") => {
            Ok(Box::new(amazons3::S3::open(&options).map_err(wrong)?))
        }
        Some("directory") => {
            let store = cloudsync_directory::Directory::open(&options);
            Ok(Box::new(store.map_err(wrong)?))
        }
        Some("azureblob") => {
            let store = cloudsync_objectstore::AzureBlob::open(&options);
            Ok(Box::new(store.map_err(wrong)?))
        }
        Some("googlecloud") => {
            let store = cloudsync_objectstore::GoogleCloud::open(&options);
            Ok(Box::new(store.map_err(wrong)?))
        }
        Some(other) => Err(Error::Start(format!(
            "volume {}: this program cannot archive to a store of type '{other}'; \
             it supports amazons3, azureblob, directory and googlecloud",
            volume.name
        ))),
        None => Err(Error::Start(format!(
            "volume {}: no store is set; run: gluster volume set {} features.{STORE_TYPE} amazons3",
            volume.name, volume.name
        ))),
    }
}

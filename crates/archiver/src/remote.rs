// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Opens a volume's store, which the volume's own options name. Flags and environment variables override them.

use amazons3::S3;
use cloudsync_directory::Directory;
use cloudsync_encoding::Encoded;
use cloudsync_format::option;
use cloudsync_objectstore::{AzureBlob, GoogleCloud};
use cloudsync_store::{Archive, Options, Store, StoreError};

use crate::cli::StoreFlags;
use crate::exit::Error;
use crate::volume::Volume;

/// The options by which the volume's store is found; later ones override earlier ones.
fn options(volume: &Volume, flags: &StoreFlags) -> Vec<(String, String)> {
    let set = volume.options.iter().filter_map(|(name, value)| {
        Some((name.strip_prefix("features.")?.to_owned(), value.clone()))
    });
    set.chain(flags.options()).collect()
}

/// Tells stores apart: of what kind it is, where, and its settings, without the keys.
pub(crate) fn about(volume: &Volume, flags: &StoreFlags) -> String {
    let names = [
        option::STORETYPE,
        option::HOSTNAME,
        option::BUCKET_ID,
        option::STORE_ID,
    ];
    let all = options(volume, flags);
    let of = |name| find(&all, option::text(name)).unwrap_or_default();
    names.map(of).join("\n")
}

fn find<'o>(options: &'o [(String, String)], name: &str) -> Option<&'o str> {
    let found = options.iter().rev().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// Opens the volume's store. The error names the volume.
pub(crate) fn open(volume: &Volume, flags: &StoreFlags) -> Result<Box<dyn Archive>, Error> {
    const STORE_TYPE: &str = option::text(option::STORETYPE);
    let options = options(volume, flags);
    let kind = find(&options, STORE_TYPE).map(str::to_owned);
    let options: Options = options.into_iter().collect();
    let opened = match kind.as_deref() {
        Some("amazons3" | "cloudsyncs3") => encoded::<S3>(&options),
        Some("directory") => encoded::<Directory>(&options),
        Some("azureblob") => encoded::<AzureBlob>(&options),
        Some("googlecloud") => encoded::<GoogleCloud>(&options),
        Some(other) => {
            return Err(Error::Start(format!(
                "volume {}: this program cannot archive to a store of type '{other}'; \
                 it supports amazons3, azureblob, directory and googlecloud",
                volume.name
            )));
        }
        None => {
            return Err(Error::Start(format!(
                "volume {}: no store is set; run: gluster volume set {} features.{STORE_TYPE} amazons3",
                volume.name, volume.name
            )));
        }
    };
    opened.map_err(|error| Error::start(format!("volume {}", volume.name), error))
}

/// Opens a store whose objects may be compressed and encrypted.
fn encoded<S: Archive>(options: &Options) -> Result<Box<dyn Archive>, StoreError> {
    Ok(Box::new(Encoded::<S>::open(options)?))
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Opens a volume's stores, which the volume's own options describe. Flags and environment variables override those of
//! its own store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use amazons3::S3;
use cloudsync_directory::Directory;
use cloudsync_encoding::Encoded;
use cloudsync_format::option;
use cloudsync_format::stores::{self, Named};
use cloudsync_objectstore::{AzureBlob, GoogleCloud};
use cloudsync_store::{Archive, Options, Store, StoreError};

use crate::cli::{StoreChoice, StoreFlags};
use crate::exit::Error;
use crate::parallel::lock;
use crate::volume::Volume;

pub(crate) mod apart;

/// Names and values of options.
type Values = Vec<(String, String)>;

/// The options by which the volume's stores are found; later ones override earlier ones.
fn options(volume: &Volume, flags: &StoreFlags) -> Values {
    let set = volume.options.iter().filter_map(|(name, value)| {
        Some((name.strip_prefix("features.")?.to_owned(), value.clone()))
    });
    set.chain(flags.options()).collect()
}

fn find<'o>(options: &'o [(String, String)], name: &str) -> Option<&'o str> {
    let found = options.iter().rev().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// Tells stores apart: of what kind they are, where, and their settings, without the keys.
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

/// The list of the volume's own store, and the further stores. A flag's list replaces that of the own store, and adds to the
/// others.
fn divided(volume: &Volume, flags: &StoreFlags) -> (String, BTreeMap<String, Named>) {
    let list = volume.option(option::text(option::STORE_ID));
    let (mut own, mut named) = stores::divide(list.unwrap_or_default());
    if let Some(list) = &flags.store_id {
        let (replacing, more) = stores::divide(list);
        own = replacing;
        named.extend(more);
    }
    (own, named)
}

/// The names of the volume's further stores.
pub(crate) fn names(volume: &Volume, flags: &StoreFlags) -> Vec<String> {
    divided(volume, flags).1.into_keys().collect()
}

/// The options of one store.
fn of_store(volume: &Volume, flags: &StoreFlags, name: Option<&str>) -> Result<Values, Error> {
    let (own, named) = divided(volume, flags);
    let Some(name) = name else {
        let mut options = options(volume, flags);
        options.push((option::text(option::STORE_ID).to_owned(), own));
        return Ok(options);
    };
    let known: Vec<_> = named.keys().map(String::as_str).collect();
    let Some(settings) = named.get(name) else {
        return Err(Error::Start(format!(
            "volume {}: it has no store '{name}' (known: {}); features.{} describes one with {name}.storetype=... and more",
            volume.name,
            [&[stores::OWN], &known[..]].concat().join(", "),
            option::text(option::STORE_ID)
        )));
    };
    let settings = settings.options(name).map_err(|why| {
        let option = option::text(option::STORE_ID);
        Error::start(format!("volume {}: features.{option}", volume.name), why)
    })?;
    let pairs = settings.into_iter();
    Ok(pairs
        .map(|(name, value)| (option::text(name).to_owned(), value))
        .collect())
}

/// A new key for an object that is put to try a store: outside of the volume's own keys, so that no other command takes it
/// for a file's.
pub(crate) fn probe_key(volume: &Volume) -> String {
    format!("cloudsync-check/{}-{:016x}", volume.id, fastrand::u64(..))
}

/// Opens one of the volume's stores. The error names the volume.
pub(crate) fn open(volume: &Volume, choice: &StoreChoice) -> Result<Box<dyn Archive>, Error> {
    refuse_overrides(choice)?;
    open_named(volume, &choice.overrides, choice.name())
}

/// The flags for the volume's own store say nothing of another one.
fn refuse_overrides(choice: &StoreChoice) -> Result<(), Error> {
    if let Some(name) = choice.name()
        && choice.overrides.are_typed()
    {
        return Err(Error::Usage(format!(
            "--store {name}: --hostname, --bucket and so on are of the volume's own store; those of '{name}' are in \
             features.{}",
            option::text(option::STORE_ID)
        )));
    }
    Ok(())
}

fn open_named(
    volume: &Volume,
    flags: &StoreFlags,
    name: Option<&str>,
) -> Result<Box<dyn Archive>, Error> {
    const STORE_TYPE: &str = option::text(option::STORETYPE);
    let options = of_store(volume, flags, name)?;
    let kind = find(&options, STORE_TYPE).map(str::to_owned);
    let options: Options = options.into_iter().collect();
    let place = match name {
        None => format!("volume {}", volume.name),
        Some(name) => format!("volume {}, store '{name}'", volume.name),
    };
    let opened = match kind.as_deref() {
        Some("amazons3" | "cloudsyncs3") => encoded::<S3>(&options),
        Some("directory") => encoded::<Directory>(&options),
        Some("azureblob") => encoded::<AzureBlob>(&options),
        Some("googlecloud") => encoded::<GoogleCloud>(&options),
        Some(other) => {
            return Err(Error::Start(format!(
                "{place}: this program cannot archive to a store of type '{other}'; \
                 it supports amazons3, azureblob, directory and googlecloud"
            )));
        }
        None => {
            return Err(Error::Start(format!(
                "{place}: no store is set; run: gluster volume set {} features.{STORE_TYPE} amazons3",
                volume.name
            )));
        }
    };
    opened.map_err(|error| Error::start(place, error))
}

/// Opens a store whose objects may be compressed and encrypted.
fn encoded<S: Archive>(options: &Options) -> Result<Box<dyn Archive>, StoreError> {
    Ok(Box::new(Encoded::<S>::open(options)?))
}

/// A store, or why it cannot be opened.
pub(crate) type Opened = Result<Arc<dyn Archive>, String>;

/// The stores of a volume, for commands about cold files, each of which is in one of them. Each is opened when it is first
/// needed.
pub(crate) struct Stores {
    volume: Volume,
    flags: StoreFlags,
    open: Mutex<BTreeMap<String, Opened>>,
}

impl Stores {
    /// Opens the volume's own store, if there is one, or no other. The error names the volume.
    pub(crate) fn open(volume: &Volume, flags: &StoreFlags) -> Result<Self, Error> {
        let stores = Self {
            volume: volume.clone(),
            flags: flags.clone(),
            open: Mutex::default(),
        };
        if stores.has_own() || stores.names().is_empty() {
            let own = open_named(volume, flags, None)?;
            let own = (stores::OWN.to_owned(), Ok(Arc::from(own)));
            lock(&stores.open).extend([own]);
        }
        Ok(stores)
    }

    /// The same, for a command on one of them.
    pub(crate) fn to_choose_from(volume: &Volume, choice: &StoreChoice) -> Result<Self, Error> {
        refuse_overrides(choice)?;
        Self::open(volume, &choice.overrides)
    }

    /// The same, and the store that was chosen.
    pub(crate) fn with_choice(
        volume: &Volume,
        choice: &StoreChoice,
    ) -> Result<(Self, Arc<dyn Archive>), Error> {
        let stores = Self::to_choose_from(volume, choice)?;
        let chosen = stores.of(choice.name()).map_err(Error::Start)?;
        Ok((stores, chosen))
    }

    fn has_own(&self) -> bool {
        let options = options(&self.volume, &self.flags);
        find(&options, option::text(option::STORETYPE)).is_some()
    }

    /// The names of the further stores.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.volume, &self.flags)
    }

    /// The names of all stores, as [`of`](Self::of) takes them.
    pub(crate) fn all(&self) -> Vec<Option<String>> {
        let own = self.has_own().then_some(None);
        own.into_iter()
            .chain(self.names().into_iter().map(Some))
            .collect()
    }

    /// The store of this name; `None` is the name of the volume's own. The error is text for the user.
    pub(crate) fn of(&self, name: Option<&str>) -> Opened {
        let shown = stores::shown(name);
        let mut open = lock(&self.open);
        if let Some(known) = open.get(shown) {
            return known.clone();
        }
        let opened = open_named(&self.volume, &self.flags, name);
        let opened = opened.map(Arc::from).map_err(|error| error.to_string());
        open.insert(shown.to_owned(), opened.clone());
        opened
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The objects of a volume, in order, and which of a file's is the one to recreate.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use cloudsync_format::object::Key;
use cloudsync_format::stores;

use super::Opened;
use crate::crawl::order::{Candidate, Sorter};
use crate::exit::Error;
use crate::interrupt::interrupted;

/// An object, and the name of the store that has it, as [`stores::shown`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: String,
    pub(super) store: String,
}

/// All objects of that volume in these stores, in the order of their keys, sorted on disk.
pub(super) fn all(
    stores: &[Opened],
    from: &str,
) -> Result<impl Iterator<Item = io::Result<Place>> + Send + use<>, Error> {
    let mut sorter = Sorter::default();
    let mut added = Ok(());
    for (name, store) in stores {
        let name = stores::shown(name.as_deref());
        let listed = store.list(&format!("{from}/"), &mut |object| {
            if Key::parse(&object.key).is_some() {
                added = sorter.add(Candidate {
                    rank: 0,
                    // Neither has a blank.
                    path: PathBuf::from(format!("{} {name}", object.key)),
                    size: object.size,
                    soon: false,
                });
            }
            if added.is_ok() && !interrupted() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        listed.map_err(|error| {
            let hint = "with --store, only one store is looked at";
            Error::start(format!("store '{name}' ({hint})"), error)
        })?;
    }
    let sorted = added.and_then(|()| sorter.finish());
    let sorted = sorted.map_err(|error| Error::start("the list of objects", error))?;
    Ok(sorted.map(|found| {
        let found = found?.path.to_string_lossy().into_owned();
        let place = found.split_once(' ').map(|(key, store)| Place {
            key: key.to_owned(),
            store: store.to_owned(),
        });
        place.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }))
}

/// Passes the last object of each file to `give`, until that returns false. The archives of one file are adjacent in `all`;
/// only the last is the file, of those until the moment `until`, whichever store has it. `count` is called for each object.
pub(super) fn last(
    all: impl Iterator<Item = io::Result<Place>>,
    until: Option<&str>,
    count: &dyn Fn(),
    give: &(dyn Fn(Place) -> bool + Sync),
) -> io::Result<()> {
    let of = |key: &str| Key::parse(key).map(|key| key.gfid.to_owned());
    let late = |key: &str| {
        let archive = Key::parse(key).map(|key| key.archive);
        until
            .zip(archive)
            .is_some_and(|(until, archive)| archive.get(..until.len()).unwrap_or(archive) > until)
    };
    let mut last: Option<Place> = None;
    for place in all {
        let place = place?;
        count();
        if late(&place.key) {
            continue;
        }
        if let Some(before) = last.replace(place.clone())
            && of(&before.key) != of(&place.key)
            && !give(before)
        {
            return Ok(());
        }
    }
    if let Some(place) = last {
        give(place);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::parallel::lock;

    const VOLUME: &str = "8a45823a-57e8-4fe2-a80c-c265638ce08f";

    fn given(until: Option<&str>) -> Vec<String> {
        let all = [
            "11111111-57e8-4fe2-a80c-c265638ce08f/20261101T000000000Z-00000001 default",
            "11111111-57e8-4fe2-a80c-c265638ce08f/20261103T000000000Z-00000002 cold",
            "22222222-57e8-4fe2-a80c-c265638ce08f/20261102T000000000Z-00000003 default",
            "33333333-57e8-4fe2-a80c-c265638ce08f/20261104T000000000Z-00000004 default",
        ];
        let all = all.iter().map(|text| {
            let (key, store) = text.split_once(' ').unwrap();
            Ok(Place {
                key: format!("{VOLUME}/{key}"),
                store: store.to_owned(),
            })
        });
        let keys_given = Mutex::new(Vec::new());
        let give = |place: Place| {
            let id = place.key.rsplit_once('-').unwrap().1;
            lock(&keys_given).push(id.to_owned());
            true
        };
        last(all, until, &|| (), &give).unwrap();
        keys_given.into_inner().unwrap()
    }

    #[test]
    fn the_last_archive_of_a_file_counts_or_the_last_before_a_moment() {
        assert_eq!(given(None), ["00000002", "00000003", "00000004"]);
        assert_eq!(
            given(Some("20261102T000000000Z")),
            ["00000001", "00000003"],
            "that moment counts"
        );
        assert_eq!(given(Some("20261001T000000000Z")), Vec::<String>::new());
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The objects of a volume, in order, and which of a file's is the one to recreate.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use cloudsync_format::object::Key;
use cloudsync_store::Archive;

use crate::crawl::order::{Candidate, Sorter};
use crate::exit::Error;
use crate::interrupt::interrupted;

/// All keys of that volume in order, sorted on disk.
pub(super) fn keys(
    store: &dyn Archive,
    from: &str,
) -> Result<impl Iterator<Item = io::Result<String>> + Send + use<>, Error> {
    let mut sorter = Sorter::default();
    let mut added = Ok(());
    let listed = store.list(&format!("{from}/"), &mut |object| {
        if Key::parse(&object.key).is_some() {
            added = sorter.add(Candidate {
                rank: 0,
                path: PathBuf::from(object.key),
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
    listed.map_err(|error| Error::start("the store", error))?;
    let sorted = added.and_then(|()| sorter.finish());
    let sorted = sorted.map_err(|error| Error::start("the list of objects", error))?;
    Ok(sorted.map(|found| found.map(|found| found.path.to_string_lossy().into_owned())))
}

/// Passes the last key of each file to `give`, until that returns false. The archives of one file are adjacent in `keys`;
/// only the last is the file, of those until the moment `until`. `count` is called for each key.
pub(super) fn last(
    keys: impl Iterator<Item = io::Result<String>>,
    until: Option<&str>,
    count: &dyn Fn(),
    give: &(dyn Fn(String) -> bool + Sync),
) -> io::Result<()> {
    let of = |key: &str| Key::parse(key).map(|key| key.gfid.to_owned());
    let late = |key: &str| {
        let archive = Key::parse(key).map(|key| key.archive);
        until
            .zip(archive)
            .is_some_and(|(until, archive)| archive.get(..until.len()).unwrap_or(archive) > until)
    };
    let mut last: Option<String> = None;
    for key in keys {
        let key = key?;
        count();
        if late(&key) {
            continue;
        }
        if let Some(before) = last.replace(key.clone())
            && of(&before) != of(&key)
            && !give(before)
        {
            return Ok(());
        }
    }
    if let Some(key) = last {
        give(key);
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
        let keys = [
            "11111111-57e8-4fe2-a80c-c265638ce08f/20261101T000000000Z-00000001",
            "11111111-57e8-4fe2-a80c-c265638ce08f/20261103T000000000Z-00000002",
            "22222222-57e8-4fe2-a80c-c265638ce08f/20261102T000000000Z-00000003",
            "33333333-57e8-4fe2-a80c-c265638ce08f/20261104T000000000Z-00000004",
        ];
        let keys = keys.iter().map(|key| Ok(format!("{VOLUME}/{key}")));
        let keys_given = Mutex::new(Vec::new());
        let give = |key: String| {
            lock(&keys_given).push(key.rsplit_once('-').unwrap().1.to_owned());
            true
        };
        last(keys, until, &|| (), &give).unwrap();
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

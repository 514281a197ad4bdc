// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Checks the volume's snapshots. Their files may be cold, with objects that no file of the volume names any more.

use crate::cli::{Also, GcArgs};
use crate::exit::Error;
use crate::volume::{Volume, gluster};

const ALL: &str = "all";

/// Fails if the volume has a snapshot that the command line does not name.
pub(super) fn check(volume: &Volume, args: &GcArgs) -> Result<(), Error> {
    if args.ignore_snapshot.iter().any(|name| name == ALL) {
        return Ok(());
    }
    let name = &volume.name;
    let words = ["snapshot", "list", name];
    let list = gluster(None, &words);
    // On a client, ask the volume's server, which may not accept remote commands.
    let list = list.or_else(|why| gluster(Some(&volume.server), &words).map_err(|_| why));
    let text = list.map_err(|why| {
        Error::Start(format!(
            "nothing is deleted: cannot list the snapshots of volume {name}: {why}; run gc on a server of the \
             volume, or use --ignore-snapshot {ALL} if it has none"
        ))
    })?;
    let unknown = unknown(&text, &args.also, &args.ignore_snapshot);
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::Start(format!(
        "nothing is deleted: volume {name} has snapshots whose cold files may need the objects: {}; mount each one and \
         use --also SNAPSHOT=PATH, or --ignore-snapshot SNAPSHOT to give up its cold files",
        unknown.join(", ")
    )))
}

/// The listed snapshots that the command line neither mounts nor ignores.
fn unknown<'a>(list: &'a str, also: &[Also], ignored: &[String]) -> Vec<&'a str> {
    let known = |name: &str| {
        let mounted = also
            .iter()
            .any(|also| also.snapshot.as_deref() == Some(name));
        mounted || ignored.iter().any(|ignored| ignored == name)
    };
    let names = list.lines().map(str::trim).filter(|line| !line.is_empty());
    // One name per line, or the sentence that there are none.
    names
        .filter(|line| !line.starts_with("No snapshots present") && !known(line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_is_not_named_is_unknown() {
        let also = [Also::parse("daily=/mnt/daily").unwrap()];
        let ignored = ["old".to_owned()];
        let list = "daily\nold\nweekly\n";
        assert_eq!(unknown(list, &also, &ignored), ["weekly"]);
        assert!(unknown("No snapshots present\n", &[], &[]).is_empty());
        assert!(unknown("", &[], &[]).is_empty());
    }
}

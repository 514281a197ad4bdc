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
    let snapshots = list(volume).map_err(|why| {
        Error::Start(format!(
            "nothing is deleted: cannot list the snapshots of volume {name}: {why}; run gc on a server of the \
             volume, or use --ignore-snapshot {ALL} if it has none"
        ))
    })?;
    let unknown = unknown(&snapshots, &args.also, &args.ignore_snapshot);
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::Start(format!(
        "nothing is deleted: volume {name} has snapshots whose cold files may need the objects: {}; mount each one and \
         use --also SNAPSHOT=PATH, or --ignore-snapshot SNAPSHOT to give up its cold files",
        unknown.join(", ")
    )))
}

/// The names of the volume's snapshots, or why they cannot be listed.
pub(crate) fn list(volume: &Volume) -> Result<Vec<String>, String> {
    let words = ["snapshot", "list", &volume.name];
    let list = gluster(None, &words);
    // On a client, ask the volume's server, which may not accept remote commands.
    let list = list.or_else(|why| gluster(Some(&volume.server), &words).map_err(|_| why));
    list.map(|text| parse(&text))
}

/// One name per line, or the sentence that there are none.
fn parse(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let names = lines.filter(|line| !line.is_empty() && !line.starts_with("No snapshots present"));
    names.map(str::to_owned).collect()
}

/// The snapshots that the command line neither mounts nor ignores.
fn unknown<'a>(snapshots: &'a [String], also: &[Also], ignored: &[String]) -> Vec<&'a str> {
    let known = |name: &str| {
        let mounted = also
            .iter()
            .any(|also| also.snapshot.as_deref() == Some(name));
        mounted || ignored.iter().any(|ignored| ignored == name)
    };
    let names = snapshots.iter().map(String::as_str);
    names.filter(|name| !known(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_is_not_named_is_unknown() {
        let also = [Also::parse("daily=/mnt/daily").unwrap()];
        let ignored = ["old".to_owned()];
        let list = parse("daily\nold\n\nweekly\n");
        assert_eq!(unknown(&list, &also, &ignored), ["weekly"]);
        assert!(parse("No snapshots present\n").is_empty());
        assert!(parse("").is_empty());
    }
}

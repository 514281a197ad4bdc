// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Snapshots of the volume. Their files may be cold with objects that no file of the volume names any more.

use crate::cli::{Also, GcArgs};
use crate::exit::Error;
use crate::volume::{Volume, gluster};

const ALL: &str = "all";

/// Refuses to go on while the volume has a snapshot that the command line does not name.
pub(super) fn check(volume: &Volume, args: &GcArgs) -> Result<(), Error> {
    if args.ignore_snapshot.iter().any(|name| name == ALL) {
        return Ok(());
    }
    let name = &volume.name;
    let words = ["snapshot", "list", name];
    let list = gluster(None, &words);
    // On a client glusterd is elsewhere, if it lets itself be asked from there.
    let list = list.or_else(|why| gluster(Some(&volume.server), &words).map_err(|_| why));
    let text = list.map_err(|why| {
        Error::Start(format!(
            "nothing is deleted: cannot learn which snapshots volume {name} has: {why}; run gc on a server of the \
             volume, or give --ignore-snapshot {ALL} if it has none"
        ))
    })?;
    let unknown = unknown(&text, &args.also, &args.ignore_snapshot);
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::Start(format!(
        "nothing is deleted: volume {name} has snapshots whose cold files may need the objects: {}; mount each one and \
         give --also SNAPSHOT=PATH, or --ignore-snapshot SNAPSHOT to give up its cold files",
        unknown.join(", ")
    )))
}

fn unknown<'a>(list: &'a str, also: &[Also], ignored: &[String]) -> Vec<&'a str> {
    let known = |name: &str| {
        let mounted = also
            .iter()
            .any(|also| also.snapshot.as_deref() == Some(name));
        mounted || ignored.iter().any(|ignored| ignored == name)
    };
    let names = list.lines().map(str::trim).filter(|line| !line.is_empty());
    // Names have no blanks; the sentence that says that there are none has.
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

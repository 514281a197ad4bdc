// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The tools, each with the options that copy all metadata, with remote reads off and on.

use super::{Tool, check_copies};

const RSYNC: Tool = Tool {
    script: "rsync -aHAX $from/ $to/",
    moves: false,
};
const CP: Tool = Tool {
    script: "cp -a $from/. $to/",
    moves: false,
};
const TAR: Tool = Tool {
    script: "tar --xattrs --xattrs-include='*' -C $from -cf - . | tar --xattrs --xattrs-include='*' -C $to -xpf -",
    moves: false,
};
const RESTIC: Tool = Tool {
    script: "export RESTIC_REPOSITORY=$scratch RESTIC_PASSWORD=secret HOME=$scratch
             restic --no-cache init
             cd $from; restic --no-cache backup .
             cd /; restic --no-cache restore latest --target $to
             rm -r $scratch",
    moves: false,
};
const BORG: Tool = Tool {
    script: "export BORG_BASE_DIR=$scratch.home BORG_REPO=$scratch
             borg init -e none
             cd $from; borg create ::copy .
             cd $to; borg extract ::copy
             cd /; rm -r $scratch $scratch.home",
    moves: false,
};
const MV: Tool = Tool {
    script: "mv $from/* $to/",
    moves: true,
};

#[test]
fn rsync_copies_cold_files() {
    check_copies("rsync", false, &RSYNC);
}

#[test]
fn rsync_copies_cold_files_with_remote_read() {
    check_copies("rsync-far", true, &RSYNC);
}

#[test]
fn cp_copies_cold_files() {
    check_copies("cp", false, &CP);
}

#[test]
fn cp_copies_cold_files_with_remote_read() {
    check_copies("cp-far", true, &CP);
}

#[test]
fn tar_copies_cold_files() {
    check_copies("tar", false, &TAR);
}

#[test]
fn tar_copies_cold_files_with_remote_read() {
    check_copies("tar-far", true, &TAR);
}

#[test]
fn restic_copies_cold_files() {
    check_copies("restic", false, &RESTIC);
}

#[test]
fn restic_copies_cold_files_with_remote_read() {
    check_copies("restic-far", true, &RESTIC);
}

#[test]
fn borg_copies_cold_files() {
    check_copies("borg", false, &BORG);
}

#[test]
fn borg_copies_cold_files_with_remote_read() {
    check_copies("borg-far", true, &BORG);
}

#[test]
fn mv_moves_cold_files() {
    check_copies("mv", false, &MV);
}

#[test]
fn mv_moves_cold_files_with_remote_read() {
    check_copies("mv-far", true, &MV);
}

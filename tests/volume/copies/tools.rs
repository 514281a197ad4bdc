// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The programs, each with the options that copy all there is, with reads from the store off and on.

use super::{Tool, copies};

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
fn by_rsync() {
    copies("rsync", false, &RSYNC);
}

#[test]
fn by_rsync_with_reads_from_the_store() {
    copies("rsync-far", true, &RSYNC);
}

#[test]
fn by_cp() {
    copies("cp", false, &CP);
}

#[test]
fn by_cp_with_reads_from_the_store() {
    copies("cp-far", true, &CP);
}

#[test]
fn by_tar() {
    copies("tar", false, &TAR);
}

#[test]
fn by_tar_with_reads_from_the_store() {
    copies("tar-far", true, &TAR);
}

#[test]
fn by_restic() {
    copies("restic", false, &RESTIC);
}

#[test]
fn by_restic_with_reads_from_the_store() {
    copies("restic-far", true, &RESTIC);
}

#[test]
fn by_borg() {
    copies("borg", false, &BORG);
}

#[test]
fn by_borg_with_reads_from_the_store() {
    copies("borg-far", true, &BORG);
}

#[test]
fn by_mv() {
    copies("mv", false, &MV);
}

#[test]
fn by_mv_with_reads_from_the_store() {
    copies("mv-far", true, &MV);
}

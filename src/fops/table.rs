// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Every operation of the host (`glusterfs_fop_t`, `struct xlator_fops`) and what it means for a cold file, in the
//! host's order. What depends on the arguments is decided in [`super::classify`]; the class here is then the one that
//! the operation can have at most.

#![forbid(unsafe_code)]

use crate::sys::glusterfs_fop_t as fop;
use cloudsync_logic::decision::Class;

/// By number, from 1 on.
pub(super) const TABLE: [(fop::Type, Class); fop::GF_FOP_MAXVALUE as usize - 1] = [
    (fop::GF_FOP_STAT, Class::Look),
    (fop::GF_FOP_READLINK, Class::Pass),
    (fop::GF_FOP_MKNOD, Class::Pass),
    (fop::GF_FOP_MKDIR, Class::Pass),
    // Shows the attributes of directories only. The object stays; the archiver's collector knows.
    (fop::GF_FOP_UNLINK, Class::Pass),
    (fop::GF_FOP_RMDIR, Class::Pass),
    (fop::GF_FOP_SYMLINK, Class::Pass),
    (fop::GF_FOP_RENAME, Class::Patch),
    (fop::GF_FOP_LINK, Class::Patch),
    (fop::GF_FOP_TRUNCATE, Class::Bytes),
    // Only with O_TRUNC: the bricks would cut the stub, and the next recall would bring the old bytes back.
    (fop::GF_FOP_OPEN, Class::Unchecked),
    (fop::GF_FOP_READ, Class::Bytes),
    (fop::GF_FOP_WRITE, Class::Bytes),
    (fop::GF_FOP_STATFS, Class::Pass),
    (fop::GF_FOP_FLUSH, Class::Pass),
    (fop::GF_FOP_FSYNC, Class::Patch),
    // The handshake and the commands, by name; with any other attribute the answer shows the file's.
    (fop::GF_FOP_SETXATTR, Class::Archive),
    (fop::GF_FOP_GETXATTR, Class::Control),
    (fop::GF_FOP_REMOVEXATTR, Class::Patch),
    (fop::GF_FOP_OPENDIR, Class::Pass),
    (fop::GF_FOP_FSYNCDIR, Class::Pass),
    (fop::GF_FOP_ACCESS, Class::Pass),
    // Makes a new file. A client that does not know of one that exists opens that, and sees it in the answer.
    (fop::GF_FOP_CREATE, Class::Patch),
    (fop::GF_FOP_FTRUNCATE, Class::Bytes),
    (fop::GF_FOP_FSTAT, Class::Look),
    (fop::GF_FOP_LK, Class::Pass),
    (fop::GF_FOP_LOOKUP, Class::Look),
    // Names only.
    (fop::GF_FOP_READDIR, Class::Pass),
    (fop::GF_FOP_INODELK, Class::Pass),
    (fop::GF_FOP_FINODELK, Class::Pass),
    (fop::GF_FOP_ENTRYLK, Class::Pass),
    (fop::GF_FOP_FENTRYLK, Class::Pass),
    (fop::GF_FOP_XATTROP, Class::Pass),
    (fop::GF_FOP_FXATTROP, Class::Pass),
    (fop::GF_FOP_FGETXATTR, Class::Control),
    (fop::GF_FOP_FSETXATTR, Class::Control),
    (fop::GF_FOP_RCHECKSUM, Class::Bytes),
    (fop::GF_FOP_SETATTR, Class::Look),
    (fop::GF_FOP_FSETATTR, Class::Look),
    (fop::GF_FOP_READDIRP, Class::Look),
    // Not operations: callbacks that the host numbers along with them.
    (fop::GF_FOP_FORGET, Class::Pass),
    (fop::GF_FOP_RELEASE, Class::Pass),
    (fop::GF_FOP_RELEASEDIR, Class::Pass),
    (fop::GF_FOP_GETSPEC, Class::Pass),
    (fop::GF_FOP_FREMOVEXATTR, Class::Patch),
    (fop::GF_FOP_FALLOCATE, Class::Bytes),
    (fop::GF_FOP_DISCARD, Class::Bytes),
    (fop::GF_FOP_ZEROFILL, Class::Bytes),
    (fop::GF_FOP_IPC, Class::Pass),
    (fop::GF_FOP_SEEK, Class::Bytes),
    (fop::GF_FOP_LEASE, Class::Pass),
    (fop::GF_FOP_COMPOUND, Class::Pass),
    (fop::GF_FOP_GETACTIVELK, Class::Pass),
    (fop::GF_FOP_SETACTIVELK, Class::Pass),
    // Makes a new file with its bytes.
    (fop::GF_FOP_PUT, Class::Pass),
    (fop::GF_FOP_ICREATE, Class::Pass),
    (fop::GF_FOP_NAMELINK, Class::Pass),
    // The bricks check the destination, not the source.
    (fop::GF_FOP_COPY_FILE_RANGE, Class::Unchecked),
];

/// The class of an operation; one that a newer host has and we do not know passes.
pub(super) fn class(number: fop::Type) -> Class {
    usize::try_from(number)
        .ok()
        .and_then(|number| TABLE.get(number.checked_sub(1)?))
        .map_or(Class::Pass, |(_, class)| *class)
}

// A row at another place than its number would give an operation another one's class.
const _: () = {
    let mut row = 0;
    while row < TABLE.len() {
        assert!(TABLE[row].0 as usize == row + 1);
        row += 1;
    }
};

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The class of every operation of the host (`glusterfs_fop_t`, `struct xlator_fops`), in the host's order. Where the
//! class depends on the arguments, [`super::classify`] decides, and the table has the strictest class possible.

#![forbid(unsafe_code)]

use crate::sys::glusterfs_fop_t as fop;
use cloudsync_logic::decision::Class;

/// Indexed by the operation's number minus 1.
pub(super) const TABLE: [(fop::Type, Class); fop::GF_FOP_MAXVALUE as usize - 1] = [
    (fop::GF_FOP_STAT, Class::Attributes),
    (fop::GF_FOP_READLINK, Class::Pass),
    (fop::GF_FOP_MKNOD, Class::Pass),
    (fop::GF_FOP_MKDIR, Class::Pass),
    // The answer has attributes of directories only. The object remains until the archiver's collector removes it.
    (fop::GF_FOP_UNLINK, Class::Pass),
    (fop::GF_FOP_RMDIR, Class::Pass),
    (fop::GF_FOP_SYMLINK, Class::Pass),
    (fop::GF_FOP_RENAME, Class::Patch),
    (fop::GF_FOP_LINK, Class::Patch),
    (fop::GF_FOP_TRUNCATE, Class::Bytes),
    // Only with O_TRUNC: the bricks would truncate the stub, and the next recall would restore the old bytes.
    (fop::GF_FOP_OPEN, Class::Unchecked),
    (fop::GF_FOP_READ, Class::Bytes),
    (fop::GF_FOP_WRITE, Class::Bytes),
    (fop::GF_FOP_STATFS, Class::Pass),
    (fop::GF_FOP_FLUSH, Class::Pass),
    (fop::GF_FOP_FSYNC, Class::Patch),
    // The handshake and the commands, by name. With any other name, the answer has the file's attributes.
    (fop::GF_FOP_SETXATTR, Class::Archive),
    (fop::GF_FOP_GETXATTR, Class::Control),
    (fop::GF_FOP_REMOVEXATTR, Class::Patch),
    (fop::GF_FOP_OPENDIR, Class::Pass),
    (fop::GF_FOP_FSYNCDIR, Class::Pass),
    (fop::GF_FOP_ACCESS, Class::Pass),
    // Creates a file, or opens an existing one that this client does not know of; the answer shows which.
    (fop::GF_FOP_CREATE, Class::Patch),
    (fop::GF_FOP_FTRUNCATE, Class::Bytes),
    (fop::GF_FOP_FSTAT, Class::Attributes),
    (fop::GF_FOP_LK, Class::Pass),
    (fop::GF_FOP_LOOKUP, Class::Attributes),
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
    (fop::GF_FOP_SETATTR, Class::Attributes),
    (fop::GF_FOP_FSETATTR, Class::Attributes),
    (fop::GF_FOP_READDIRP, Class::Attributes),
    // Not operations, but callbacks that the host numbers with them.
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
    // Creates a file with its bytes.
    (fop::GF_FOP_PUT, Class::Pass),
    (fop::GF_FOP_ICREATE, Class::Pass),
    (fop::GF_FOP_NAMELINK, Class::Pass),
    // The bricks check the destination, not the source.
    (fop::GF_FOP_COPY_FILE_RANGE, Class::Unchecked),
];

/// Returns the class of an operation; an unknown one of a newer host passes.
pub(super) fn class(number: fop::Type) -> Class {
    usize::try_from(number)
        .ok()
        .and_then(|number| TABLE.get(number.checked_sub(1)?))
        .map_or(Class::Pass, |(_, class)| *class)
}

// A misplaced row would give an operation the class of another one.
const _: () = {
    let mut row = 0;
    while row < TABLE.len() {
        assert!(TABLE[row].0 as usize == row + 1);
        row += 1;
    }
};

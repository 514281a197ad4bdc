#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Runs a command in this checkout, but on another release of Debian, and so on another version of GlusterFS:
#
#   scripts/in-debian.sh trixie scripts/test.sh       all tests on GlusterFS 11.1
#
# The first run makes the release's root with debootstrap, in target/debian/RELEASE; later runs keep it, and what cargo
# built there. The command runs as root in namespaces of its own: its mounts and its processes end with it. The network is
# this machine's, for the package manager. This machine's Rust toolchain is used.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# -lt 2 ]; then
    sed -n '3,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
release=$1
shift
if [ "$(id -u)" -ne 0 ]; then
    exec sudo -E "$0" "$release" "$@"
fi
PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
here=$PWD
kept=$(realpath -m "${CARGO_TARGET_DIR:-target}")/debian/$release
root=$kept/root
cargo_home=${CARGO_HOME:-$HOME/.cargo}
rustup_home=${RUSTUP_HOME:-$HOME/.rustup}

if [ ! -e "$root/etc/os-release" ]; then
    command -v debootstrap >/dev/null || scripts/deps.sh releases
    mkdir -p "$kept"
    rm -rf "$root.new"
    # The mirror is debootstrap's default, or the one that MIRROR names.
    debootstrap --variant=minbase --include=ca-certificates "$release" "$root.new" ${MIRROR:+"$MIRROR"}
    # How this machine fetches packages: through which proxy, and whether from expired lists.
    apt-config dump Acquire >"$root.new/etc/apt/apt.conf.d/00acquire"
    mv "$root.new" "$root"
fi
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
mkdir -p "$kept/target" "$root/$here" "$root/$cargo_home" "$root/$rustup_home" "$root/target"

# In the new mount namespace: everything is bound below the root, which then becomes /.
inside='
set -euo pipefail
release=$1 root=$2 here=$3 target=$4 cargo_home=$5 rustup_home=$6
shift 6
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$here" "$root/$here"
mount --bind "$target" "$root/target"
mount --bind "$cargo_home" "$root/$cargo_home"
if [ -d "$rustup_home" ]; then mount --bind "$rustup_home" "$root/$rustup_home"; fi
export CARGO_TARGET_DIR=/target CARGO_HOME=$cargo_home RUSTUP_HOME=$rustup_home
export PATH=$cargo_home/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export CLOUDSYNC_RELEASE=$release
unset TMPDIR
# Not chroot: unshare, which the tests call, needs a root that is a mount.
cd "$root"
pivot_root . .
umount -l .
cd "$here"
exec "$@"
'
exec unshare --mount --pid --fork --kill-child --propagation private \
    bash -c "$inside" in-debian "$release" "$root" "$here" "$kept/target" "$cargo_home" "$rustup_home" "$@"

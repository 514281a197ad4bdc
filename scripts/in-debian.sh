#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Runs a command in this checkout, but on another release of Debian, and so on another version of GlusterFS:
#
#   scripts/in-debian.sh trixie scripts/test.sh       all tests on GlusterFS 11.1
#   scripts/in-debian.sh --clean bookworm COMMAND     on a fresh minimal system, which is removed afterwards
#
# The first run makes the release's root with debootstrap, in target/debian/RELEASE; later runs keep it, and what cargo
# built there. The command runs as root in namespaces of its own: its mounts and its processes end with it. The network is
# this machine's, for the package manager. This machine's Rust toolchain is used.
#
# With --clean there is no toolchain; the checkout and /target, which is this machine's target folder, can only be read.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ "$(id -u)" -ne 0 ] && [ $# -ge 2 ]; then
    exec sudo -E "$0" "$@"
fi
clean=
if [ "${1:-}" = --clean ]; then
    clean=yes
    shift
fi
if [ $# -lt 2 ]; then
    sed -n '3,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
release=$1
shift
PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
here=$PWD
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
kept=$target/debian/$release
cargo_home=${CARGO_HOME:-$HOME/.cargo}
rustup_home=${RUSTUP_HOME:-$HOME/.rustup}

root=$kept/root
[ -z "$clean" ] || root=$kept/clean
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

# What the root shows of this machine: FOLDER PLACE OPTIONS, and again.
if [ -n "$clean" ]; then
    template=$root
    # What a run left that was killed.
    for left in "$kept"/clean-*; do
        [ -e "/proc/${left##*-}" ] || rm -rf --one-file-system "$left"
    done
    root=$kept/clean-$$
    mkdir "$root"
    running=
    trap 'rm -rf --one-file-system "$root"' EXIT
    # The namespaces end with their first process. Whoever reads what this prints may have ended before.
    trap 'trap "" PIPE; [ -z "$running" ] || { kill -KILL "$running"; wait; }; exit 130' INT TERM HUP
    cp -a "$template/." "$root"
    # What the package manager fetches is kept for the next run.
    mkdir -p "$kept/archives"
    shown=("$here" "$here" ro "$target" /target ro "$kept/archives" /var/cache/apt/archives rw)
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
else
    mkdir -p "$kept/target"
    shown=("$here" "$here" rw "$kept/target" /target rw "$cargo_home" "$cargo_home" rw)
    [ ! -d "$rustup_home" ] || shown+=("$rustup_home" "$rustup_home" rw)
    export CARGO_HOME=$cargo_home RUSTUP_HOME=$rustup_home CLOUDSYNC_RELEASE=$release
    PATH=$cargo_home/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
fi
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
# A proxy may have a certificate authority of its own, which this machine trusts.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
fi

# In the new mount namespace: everything is bound below the root, which then becomes /.
inside='
set -euo pipefail
root=$1 here=$2
shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
while [ "$1" != -- ]; do
    mkdir -p "$root/$2"
    mount -o "bind,$3" "$1" "$root/$2"
    shift 3
done
shift
export CARGO_TARGET_DIR=/target
unset TMPDIR
# Not chroot: unshare, which the tests call, needs a root that is a mount.
cd "$root"
pivot_root . .
umount -l .
cd "$here"
exec "$@"
'
namespaces=(unshare --mount --pid --fork --kill-child --propagation private
    bash -c "$inside" in-debian "$root" "$here" "${shown[@]}" -- "$@")
[ -n "$clean" ] || exec "${namespaces[@]}"
"${namespaces[@]}" <&0 &
running=$!
code=0
wait $running || code=$?
running=
exit $code

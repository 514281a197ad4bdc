#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Tests a cluster in the middle of an upgrade of GlusterFS: this machine's version, and that of another release of Debian
# (scripts/in-debian.sh makes its root, and builds in it), as servers and as clients of one volume.
#
#   scripts/upgrade.sh [RELEASE]       trixie; bookworm, if this machine has GlusterFS 11
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
cargo=${CARGO:-cargo}
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export PATH CARGO_TARGET_DIR

release=trixie
case $(glusterfs --version | head -n 1) in
'glusterfs 11'*) release=bookworm ;;
esac
release=${1:-$release}
other=$CARGO_TARGET_DIR/debian/$release
scripts/in-debian.sh "$release" scripts/deps.sh build run
scripts/in-debian.sh "$release" "$cargo" build --workspace --exclude cloudsync-lab --locked
if [ -z "${CLOUDSYNC_ARTIFACTS:-}" ]; then
    scripts/deps.sh build run s3
    "$cargo" build --workspace --exclude cloudsync-lab --locked
fi
export CLOUDSYNC_OTHER_ROOT=$other/root CLOUDSYNC_OTHER_BUILD=$other/target/debug
exec "$cargo" test --locked --test volume -- upgrade::

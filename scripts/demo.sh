#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Builds what the demo needs and runs it: a real volume on this machine, in namespaces of its own, whose cold files
# live in a folder.
#
#   scripts/demo.sh [--s3] [--disk]
#
#   --s3    the store is a real S3 server (Ceph's), which this installs and starts
#   --disk  brick and folder are on disk and not in memory
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

needed=(build run)
packages=(-p cloudsync -p cloudsync-directory-plugin)
for arg; do
    if [ "$arg" = --s3 ]; then
        needed+=(s3)
        packages=(-p cloudsync -p cloudsync-amazons3)
    fi
done
scripts/deps.sh "${needed[@]}"
PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
cargo=${CARGO:-cargo}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CLOUDSYNC_ARTIFACTS=$target/release

"$cargo" build --release "${packages[@]}" --locked
# Mounts and namespaces are root's; the build is not.
if [ "$(id -u)" -ne 0 ]; then
    host=$("$cargo" -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=sudo -E"
fi
exec "$cargo" run --release --locked -p cloudsync-lab --bin demo -- "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Builds and runs the demo: a real volume on this machine, in separate namespaces, whose cold files are stored in a
# directory.
#
#   scripts/demo.sh [--s3] [--disk]
#
#   --s3    the store is a real S3 server (Ceph's), which this installs and starts
#   --disk  brick and store directory are on disk instead of in memory
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
. scripts/cargo.sh

export CLOUDSYNC_ARTIFACTS=$CARGO_TARGET_DIR/release
"$cargo" build --release "${packages[@]}" --locked
exec "$cargo" run --release --locked -p cloudsync-lab --bin demo -- "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Builds what the demo needs and runs it: a real volume and a real S3 server, on this machine, in namespaces of
# their own. Arguments go to the demo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/deps.sh build run
PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
cargo=${CARGO:-cargo}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CLOUDSYNC_ARTIFACTS=$target/release

"$cargo" build --release --workspace --exclude cloudsync-lab --locked
# Mounts and namespaces are root's; the build is not.
if [ "$(id -u)" -ne 0 ]; then
    host=$("$cargo" -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=sudo -E"
fi
exec "$cargo" run --release --locked -p cloudsync-lab --bin demo -- "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# A week of an imaginary department, with and without rules: see 'A week' in docs/ARCHIVER.md. [--days N] [--files N] [--short]
# are passed to the program. The table is week/report.md in the target directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/deps.sh build run s3 acts

PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
cargo=${CARGO:-cargo}
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
CLOUDSYNC_ARTIFACTS=$CARGO_TARGET_DIR/release
# The program mounts volumes and needs root; the build does not.
if [ "$(id -u)" -ne 0 ]; then
    host=$("$cargo" -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=sudo -E"
fi
export PATH CARGO_TARGET_DIR CLOUDSYNC_ARTIFACTS
"$cargo" build --release --workspace --exclude cloudsync-lab --locked
exec "$cargo" test --locked --test week -- "$@"

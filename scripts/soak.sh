#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# A day in production: applications, archiver and faults together, see docs/RELIABILITY.md. [--minutes N] [--seed N] are
# passed to the program. The report is soak/report.html in the target directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/deps.sh build run s3
. scripts/cargo.sh

export CLOUDSYNC_ARTIFACTS=$CARGO_TARGET_DIR/release
"$cargo" build --release --workspace --exclude cloudsync-lab --locked
exec "$cargo" test --locked --test soak -- "$@"

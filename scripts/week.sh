#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# A week of an imaginary department, with and without rules: see 'A week' in docs/ARCHIVER.md. [--days N] [--files N] [--short]
# are passed to the program. The table is week/report.md in the target directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/deps.sh build run s3 acts
. scripts/cargo.sh

export CLOUDSYNC_ARTIFACTS=$CARGO_TARGET_DIR/release
"$cargo" build --release --workspace --exclude cloudsync-lab --locked
exec "$cargo" test --locked --test week -- "$@"

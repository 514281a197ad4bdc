#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Measures cloudsync against its limits: see docs/BENCHMARKS.md. Arguments are passed to the program, such as --quick.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/deps.sh build run s3 bench
. scripts/cargo.sh

"$cargo" build --release --workspace --exclude cloudsync-lab --locked
exec "$cargo" bench --locked --bench limits -- "$@"

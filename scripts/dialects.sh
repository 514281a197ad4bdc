#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Runs the S3 plugin's conformance suite against other S3 servers, which it installs in the target directory first.
# docs/OPTIONS.md has the table of what each of them cannot do; a test compares it with what the tests expect.
#
#   scripts/dialects.sh [TEST...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR CLOUDSYNC_EMULATORS=$CARGO_TARGET_DIR/emulators
scripts/emulators.sh "$CLOUDSYNC_EMULATORS" --built
exec cargo test --locked -p cloudsync-amazons3 --features emulators-built --test emulators -- "$@"

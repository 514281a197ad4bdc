#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Runs tests on real volumes with every client under valgrind's memcheck. Arguments select tests, as for `cargo test`;
# without any, all tests run, which takes hours. The result is whether our code causes any report: clients are twenty
# times slower, so tests that depend on timing may fail.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/deps.sh build run s3 check

PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
cargo=${CARGO:-cargo}
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
"$cargo" build --locked --workspace
CLOUDSYNC_MEMCHECK=$reports "$cargo" test --locked --test volume --no-fail-fast -- --test-threads=2 "$@" ||
    echo 'Some tests failed, possibly only because clients are so slow.'
"$cargo" run --locked --quiet -p cloudsync-lab --bin memcheck -- "$reports"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Runs the tests that print figures, and writes what they print to docs/figures/reliability.md, which
# docs/RELIABILITY.md refers to. Arguments: only these groups, printed and not written. Takes about twenty minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/deps.sh build run s3 check

PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
cargo=${CARGO:-cargo}
file=docs/figures/reliability.md
all=(faults host leaks memory secrets crash protocol)
log=$(mktemp)
trap 'rm -f "$log" "$file.new"' EXIT

# The tests of a group, with what they print.
group()
{
    if [ "$1" = protocol ]; then
        "$cargo" test --locked --package cloudsync-logic --test protocol -- --nocapture
    else
        "$cargo" test --locked --test volume -- --nocapture "$1::"
    fi
}

# The table of a group. A test that fails ends this script.
table()
{
    group "$1" >"$log" 2>&1 || {
        grep -a -A 20 -e 'panicked at' -e '^error' "$log" >&2
        echo "figures: $1 failed" >&2
        return 1
    }
    printf '\n## %s\n\n| what | result |\n|---|---|\n' "$1"
    grep -a '^| ' "$log" | LC_ALL=C sort
}

# As the tests run by default: a debug build.
"$cargo" build --locked --workspace
if [ $# -gt 0 ]; then
    for name; do
        table "$name"
    done
    exit
fi
mkdir -p "${file%/*}"
{
    cat <<'END'
<!-- SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later -->
# What the tests of faults printed

Written by `scripts/figures.sh`. [RELIABILITY.md](../RELIABILITY.md) describes the tests.

END
    printf '%s cores, %s, GlusterFS %s, debug build.\n' "$(nproc)" "$(uname -m)" \
        "$(glusterfs --version | sed -n '1s/glusterfs //p')"
    for name in "${all[@]}"; do
        table "$name"
    done
} >"$file.new"
mv "$file.new" "$file"
echo "$file"

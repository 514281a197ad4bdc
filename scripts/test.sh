#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Runs every check and every test there is. Its last line is the sum: "N passed, N failed".
# No step may hang: each has a limit, and all together have $budget seconds.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
shopt -s nullglob

budget=5000
passed=0
failed=0
failures=()
logs=$(mktemp -d)
running=
with_sudo=
# The tests mount volumes, which is root's; the build is not.
if [ "$(id -u)" -ne 0 ] && command -v sudo >/dev/null; then
    with_sudo=yes
fi
trap 'rm -rf "$logs"' EXIT
trap '[ -z "$running" ] || kill "$running"; exit 130' INT TERM

# finish: the last line, and the exit code that goes with it.
finish()
{
    echo
    [ ${#failures[@]} -eq 0 ] || printf 'failed: %s\n' "${failures[@]}"
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# count LOG: adds up what cargo's test programs and the install test say of themselves.
count()
{
    awk '/^test result: / { passed += $4; failed += $6 }
        /^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
        END { print passed + 0, failed + 0 }' "$1"
}

# step NAME SECONDS KIND COMMAND...: runs it, shows what it says, and counts it: KIND `one` is a single check, `sum`
# has counts of its own, `none` counts only when it fails. False if it failed.
step()
{
    local name=$1 limit=$2 kind=$3 log=$logs/log start=$SECONDS code good=0 bad=0
    shift 3
    ((limit <= budget - SECONDS)) || limit=$((budget - SECONDS))
    printf '\n== %s\n' "$name"
    if ((limit <= 0)); then
        echo "not run: the time is used up"
        failures+=("$name (not run)")
        failed=$((failed + 1))
        return 1
    fi
    # Asked for here, since a step runs in the background, where sudo cannot ask for a password.
    [ -z "$with_sudo" ] || sudo -v || true
    # Through a file and not a pipe: a daemon that a test leaves behind would hold a pipe open for ever.
    : >"$log"
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null &
    running=$!
    tail -n +1 -s 0.2 -f --pid="$running" "$log" &
    wait "$running"
    code=$?
    running=
    wait
    case $kind in
    sum) read -r good bad < <(count "$log") ;;
    one) [ $code -ne 0 ] || good=1 ;;
    esac
    [ $code -ne 124 ] && [ $code -ne 137 ] || echo "stopped: it took longer than $limit s"
    # A crash leaves no count behind, and a step that tested nothing has not passed.
    if [ "$bad" -eq 0 ] && { [ $code -ne 0 ] || { [ "$kind" = sum ] && [ "$good" -eq 0 ]; }; }; then
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    [ "$bad" -eq 0 ] || failures+=("$name")
    case $kind in
    sum) printf -- '-- %s: %d passed, %d failed' "$name" "$good" "$bad" ;;
    *) printf -- '-- %s: %s' "$name" "$([ "$bad" -eq 0 ] && echo ok || echo FAILED)" ;;
    esac
    printf ' (%d s)\n' $((SECONDS - start))
    [ "$bad" -eq 0 ]
}

step 'packages' 900 none scripts/deps.sh build run s3 acts check bench || finish

PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
cargo=${CARGO:-cargo}
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
CLOUDSYNC_ARTIFACTS=$CARGO_TARGET_DIR/release
export PATH CARGO_TARGET_DIR CLOUDSYNC_ARTIFACTS
# Here nothing may be left out because the machine lacks something.
export CLOUDSYNC_REQUIRE_GLUSTERFS=1 CLOUDSYNC_REQUIRE_LAB=1
if [ -n "$with_sudo" ]; then
    host=$("$cargo" -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=sudo -n -E"
fi

step 'format of the Rust sources' 120 one "$cargo" fmt --all --check
step 'format of the C sources' 60 one \
    clang-format --dry-run -Werror src/shim/*.[ch] crates/*/src/*.[ch] include/*.h tests/*.[ch] tests/*/*.[ch]
if "$cargo" deny --version >/dev/null 2>&1; then
    step 'licences and sources of the dependencies' 120 one "$cargo" deny --locked check bans licenses sources
fi
# As `make` builds it, so that nothing is compiled twice.
step 'build' 2400 one "$cargo" build --release --workspace --exclude cloudsync-lab --locked || finish
# The test that uses it would build it too, but among other tests.
step 'build with crash points' 600 one "$cargo" build --locked --lib --package cloudsync --features crash-points \
    --target-dir "$CARGO_TARGET_DIR/tmp/crash-points" || finish
step 'clippy' 1200 one "$cargo" clippy --workspace --all-targets --locked -- -D warnings
step 'clippy of the orders of events' 600 one "$cargo" clippy --package cloudsync-logic --features shuttle --all-targets \
    --locked -- -D warnings
step 'tests' 3000 sum "$cargo" test --workspace --locked --no-fail-fast
# By itself: its feature changes the locks of the translator's logic.
step 'orders of events' 600 sum "$cargo" test --package cloudsync-logic --features shuttle --locked --test races
# No figure is judged here, only whether there is one for every row.
step 'the benchmark, short' 600 one "$cargo" bench --locked --bench limits -- --quick
if command -v npm >/dev/null && command -v pip3 >/dev/null; then
    export CLOUDSYNC_EMULATORS=$CARGO_TARGET_DIR/emulators
    if step 'emulators' 300 none scripts/emulators.sh "$CLOUDSYNC_EMULATORS"; then
        step 'tests against emulators' 600 sum "$cargo" test --workspace --locked \
            --features cloudsync-objectstore/emulators --test emulators
    fi
else
    printf '\n== tests against emulators\nnot run: npm and pip3 bring the emulators, and are not here\n'
fi
step 'installation' 600 sum tests/install.sh
finish

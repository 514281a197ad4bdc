#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Runs all checks and tests. The last line is the total: "N passed, N failed".
# Every step has a time limit, and all together have $budget seconds.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
shopt -s nullglob

budget=5250
passed=0
failed=0
failures=()
logs=$(mktemp -d)
why=$logs/why
running=
with_sudo=
# The tests mount volumes and need root; the build does not.
if [ "$(id -u)" -ne 0 ] && command -v sudo >/dev/null; then
    with_sudo=yes
fi
trap 'rm -rf "$logs"' EXIT
trap '[ -z "$running" ] || kill "$running"; exit 130' INT TERM

# finish: prints the last line and exits with the corresponding code.
finish()
{
    echo
    [ ! -s "$why" ] || cat "$why"
    [ ${#failures[@]} -eq 0 ] || printf 'failed: %s\n' "${failures[@]}"
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# count LOG: adds up the results printed by cargo's test programs and the tests in shell scripts.
count()
{
    awk '/^test result: / { passed += $4; failed += $6 }
        /^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
        END { print passed + 0, failed + 0 }' "$1"
}

# panics LOG: the first lines of what each failed test of cargo's said, which else stand far above the end, without the
# functions that called each other.
panics()
{
    awk -v most=25 '/^---- .* stdout ----$/ { left = most } /^failures:$/ { left = 0 }
        /^stack backtrace:$/ { calls = 1; next } calls && /^ / { next } { calls = 0 }
        left-- > 0 { print substr($0, 1, 600) }' "$1"
}

# step NAME SECONDS KIND COMMAND...: runs a command, shows its output, and counts the result: KIND `one` is a single
# check, `sum` prints counts, `none` is counted only if it fails. False if it failed.
step()
{
    local name=$1 limit=$2 kind=$3 log=$logs/log start=$SECONDS code good=0 bad=0
    shift 3
    ((limit <= budget - SECONDS)) || limit=$((budget - SECONDS))
    printf '\n== %s\n' "$name"
    if ((limit <= 0)); then
        echo "not run: no time left"
        failures+=("$name (not run)")
        failed=$((failed + 1))
        return 1
    fi
    # Ask for the password here: a step runs in the background, where sudo cannot ask.
    [ -z "$with_sudo" ] || sudo -v || true
    # Uses a file instead of a pipe: a daemon left behind by a test would keep a pipe open forever.
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
    # A crash prints no count, and a step without any tests has not passed.
    if [ "$bad" -eq 0 ] && { [ $code -ne 0 ] || { [ "$kind" = sum ] && [ "$good" -eq 0 ]; }; }; then
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    if [ "$bad" -ne 0 ]; then
        failures+=("$name")
        panics "$log" >>"$why"
    fi
    case $kind in
    sum) printf -- '-- %s: %d passed, %d failed' "$name" "$good" "$bad" ;;
    *) printf -- '-- %s: %s' "$name" "$([ "$bad" -eq 0 ] && echo ok || echo FAILED)" ;;
    esac
    printf ' (%d s)\n' $((SECONDS - start))
    [ "$bad" -eq 0 ]
}

# A cross-section of the tests on the other supported version of GlusterFS, which another release of Debian has: loading,
# every layout, every operation, plugins, crash points and the model test. All of them on that version:
# scripts/in-debian.sh RELEASE scripts/test.sh
other_host()
{
    local release=trixie version=11 there other
    case $(glusterfs --version | head -n 1) in
    'glusterfs 11'*) release=bookworm version=10 ;;
    esac
    there=$CARGO_TARGET_DIR/debian/$release/target/debug
    other=(scripts/in-debian.sh "$release" env CLOUDSYNC_ARTIFACTS=/target/debug
        CLOUDSYNC_OTHER_BUILD="$CLOUDSYNC_ARTIFACTS")
    step "GlusterFS $version: missing packages" 900 none "${other[@]}" scripts/deps.sh build run s3 check || return
    step "GlusterFS $version: build" 1500 one \
        "${other[@]}" "$cargo" build --workspace --exclude cloudsync-lab --locked || return
    # Other steps than on this version, and fewer.
    step "GlusterFS $version: loading and the model test" 900 sum \
        "${other[@]}" env CLOUDSYNC_MODEL_SEED=1 CLOUDSYNC_MODEL_STEPS=4000 CLOUDSYNC_FSX_SEED=1 \
        CLOUDSYNC_FSX_OPERATIONS=40000 "$cargo" test --locked --no-fail-fast --test loading --test symbols --test model
    step "GlusterFS $version: tests on volumes" 1500 sum \
        "${other[@]}" "$cargo" test --locked --no-fail-fast --test volume -- \
        layouts:: operations:: change:: plugins:: gfapi:: options:: crash::points
    step "loading of what was built for GlusterFS $version" 120 sum \
        env CLOUDSYNC_OTHER_BUILD="$there" "$cargo" test --locked --test loading
    step "servers and clients of this version and of GlusterFS $version" 300 sum scripts/upgrade.sh "$release"
}

step 'missing packages' 900 none scripts/deps.sh build run s3 acts check bench package releases || finish

PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
cargo=${CARGO:-cargo}
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
CLOUDSYNC_ARTIFACTS=$CARGO_TARGET_DIR/release
export PATH CARGO_TARGET_DIR CLOUDSYNC_ARTIFACTS
# Most tests wait most of the time: for servers, mounts and clients.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
# No test may be skipped because the machine lacks something.
export CLOUDSYNC_REQUIRE_GLUSTERFS=1 CLOUDSYNC_REQUIRE_LAB=1
if [ -n "$with_sudo" ]; then
    host=$("$cargo" -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=sudo -n -E"
fi

# Formats and lints do not depend on the host: scripts/in-debian.sh, which sets the variable, leaves them out.
if [ -z "${CLOUDSYNC_RELEASE:-}" ]; then
    step 'format of the Rust sources' 120 one "$cargo" fmt --all --check
    step 'format of the C sources' 60 one \
        clang-format --dry-run -Werror src/shim/*.[ch] crates/*/src/*.[ch] include/*.h tests/*.[ch] tests/*/*.[ch]
    if "$cargo" deny --version >/dev/null 2>&1; then
        step 'licences and sources of the dependencies' 120 one "$cargo" deny --locked check bans licenses sources
    fi
fi
# As `make` does, so that nothing is compiled twice.
step 'build' 2400 one "$cargo" build --release --workspace --exclude cloudsync-lab --locked || finish
# Otherwise the test that uses it would build it while other tests run.
step 'build with crash points' 600 one "$cargo" build --locked --lib --package cloudsync --features crash-points \
    --target-dir "$CARGO_TARGET_DIR/tmp/crash-points" || finish
if [ -z "${CLOUDSYNC_RELEASE:-}" ]; then
    step 'clippy' 1200 one "$cargo" clippy --workspace --all-targets --locked -- -D warnings
    step 'clippy of the orders of events' 600 one "$cargo" clippy --package cloudsync-logic --features shuttle --all-targets \
        --locked -- -D warnings
fi
step 'tests' 3000 sum "$cargo" test --workspace --locked --no-fail-fast
# Separately: its feature replaces the locks of the translator's logic.
step 'orders of events' 600 sum "$cargo" test --package cloudsync-logic --features shuttle --locked --test races
# All faults of scripts/soak.sh once; half an hour of them, and with Samba, is for a human to start.
# Half a week, without any rules and with all of them; scripts/week.sh lives all of it, in four ways.
step 'a department, three days' 600 sum "$cargo" test --locked --test week -- --short --days 3 --files 40
step 'a day in production, short' 900 sum "$cargo" test --locked --test soak -- --minutes 3 --without-samba
# Only checks that every row has a figure.
step 'instructions and operations of five paths' 600 one "$cargo" bench --locked --bench limits -- --guard
step 'the benchmark, short' 600 one "$cargo" bench --locked --bench limits -- --quick
if command -v npm >/dev/null && command -v pip3 >/dev/null; then
    export CLOUDSYNC_EMULATORS=$CARGO_TARGET_DIR/emulators
    if step 'emulators' 300 none scripts/emulators.sh "$CLOUDSYNC_EMULATORS"; then
        step 'tests against emulators' 600 sum "$cargo" test --workspace --locked \
            --features cloudsync-objectstore/emulators,cloudsync-amazons3/emulators --test emulators
    fi
else
    printf '\n== tests against emulators\nnot run: the emulators need npm and pip3, which are not installed\n'
fi
step 'installation' 600 sum tests/install.sh
step 'packages' 900 sum tests/packages.sh
[ -n "${CLOUDSYNC_RELEASE:-}" ] || other_host
finish

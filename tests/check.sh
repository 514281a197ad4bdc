# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# What the tests in shell scripts share: they count what passes, and clean up.
# shellcheck disable=SC2317 # most is called through `check`

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0

# check NAME COMMAND...: one test. What the command says is shown if it fails.
check()
{
    local name=$1
    shift
    if "$@" >"$tmp/out" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        tail -n 30 "$tmp/out" | sed 's/^/      /'
        return 1
    fi
}

finish()
{
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

absent()
{
    local file
    for file; do
        if [ -e "$file" ]; then
            echo "there is $file"
            return 1
        fi
    done
}

# run COMMAND...: keeps what it prints, for `says`.
run()
{
    "$@" >"$tmp/said" 2>&1 || {
        cat "$tmp/said"
        return 1
    }
}

# says WORD...: what the last command printed has each of them.
says()
{
    local word
    for word; do
        grep -qF -e "$word" "$tmp/said" || {
            echo "not said: $word"
            cat "$tmp/said"
            return 1
        }
    done
}

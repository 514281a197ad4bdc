# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Run in the lab: makes the folder AT the root of another release, which shares the lab's files.
# Arguments: AT ROOT DIR. Prints the release's translator folder, as its programs see it, without the lab's copy.
set -eu
at=$1 root=$2 dir=$3

mkdir -p "$at"
mount -t tmpfs -o mode=755 lab-release "$at"
# Links into usr.
cp -a "$root"/{bin,lib,lib64,sbin} "$at/"
mkdir -p "$at/var"
cp -a "$root/var/run" "$at/var/"
mkdir -m 1777 "$at/tmp"
for place in usr etc; do
    mkdir "$at/$place"
    mount -o bind,ro "$root/$place" "$at/$place"
done
# A mount that a client of the release makes must be seen in the whole lab.
mount --make-shared "$dir/ram"
for place in /dev /proc /sys /run /var/lib/glusterd /var/lib/cloudsync /var/log/glusterfs "$dir/ram"; do
    mkdir -p "$at$place"
    mount --rbind "$place" "$at$place"
done

xlators=$(chroot "$at" glusterfs --print-xlatordir)
tree=${xlators%/*}
mkdir "$dir/ram/release"
cp -a "$at$tree/." "$dir/ram/release/"
mount --bind "$dir/ram/release" "$at$tree"

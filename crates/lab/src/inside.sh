# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Pid 1 of the lab: sets up the namespaces, then only reaps. Arguments: DIR GLUSTER-TREE RAM.
set -eu
dir=$1 tree=$2 ram=$3

# /proc still shows the outer pids here.
read -r pid _ </proc/self/stat
echo "$pid" >"$dir/holder.new"
mv "$dir/holder.new" "$dir/holder"

# Our copies of the host's FUSE mounts would keep those mounts alive.
mapfile -t mounts </proc/self/mounts
for line in "${mounts[@]}"; do
    read -r _ at type _ <<<"$line"
    case $type in
    fuse | fuse.*) umount -l "$(printf '%b' "$at")" ;;
    esac
done

mount -t proc proc /proc
ip link set lo up
ip addr add 10.99.0.1/24 dev lo
# Below the bricks' ports (49152 and up), above glusterd's.
echo 30000 49000 >/proc/sys/net/ipv4/ip_local_port_range

mkdir -p "$dir/ram" "$dir/disk"
mount -t tmpfs -o "mode=755,size=$ram" lab "$dir/ram"
mkdir -p "$dir"/ram/{glusterd,log,tree,bricks,mnt,home,store}
mount -t tmpfs -o mode=755 lab-run /run
mkdir -p /run/gluster /run/lock /var/lib/cloudsync
mount -t tmpfs -o mode=755 lab-state /var/lib/cloudsync
mount --bind "$dir/ram/glusterd" /var/lib/glusterd
mount --bind "$dir/ram/log" /var/log/glusterfs
# A copy mounted over the original, so that the translator and its plugins can be replaced only here.
cp -a "$tree/." "$dir/ram/tree/"
mount --bind "$dir/ram/tree" "$tree"

: >"$dir/ready"
while :; do
    sleep 86400 &
    wait
done

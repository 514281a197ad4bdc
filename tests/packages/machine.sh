#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# What the packages do on a machine: installed together with GlusterFS, used on a volume, upgraded, downgraded, removed.
# tests/packages.sh runs it in a system of its own, which ends with it, and so do a glusterd, bricks and mounts:
#
#   tests/packages/machine.sh DIR GLUSTER-VERSION XLATORDIR
#
# DIR has the packages: first, newer, broken (.deb) and rpm. Everything is installed with the network of this machine,
# and everything else happens in a network of its own.
# shellcheck disable=SC2016,SC2034,SC2317 # `check` runs functions and quoted commands
set -uo pipefail
given=$1
gluster=$2
xlatordir=$3
# shellcheck source=tests/check.sh
. tests/check.sh
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
so=$xlatordir/features/cloudsync.so
plugins=$(realpath -m "$xlatordir/../cloudsync-plugins")
ours=(cloudsync glusterfs-cloudsync{,-amazons3,-azureblob,-dev,-directory,-googlecloud})

# apt ARGUMENT...: also without a network, for what is there already.
apt()
{
    run timeout 300 apt-get -y -q --no-install-recommends -o Acquire::Retries=3 "$@"
}

if [ -z "${MACHINE_NETWORK:-}" ]; then
    # As on any machine, but nothing is started.
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    # Old lists may still name what is in a cache or a mirror.
    apt update
    # What the tests themselves use, and what runs before ours.
    check 'a fresh machine' apt install iproute2 rpm kmod procps systemd systemd-sysv dbus || finish
    check 'apt installs the packages together with GlusterFS' apt install glusterfs-server "$given"/first/*.deb || finish
    check 'it says what to restart' says 'systemctl restart glusterd' 'unmount the volume'
    export MACHINE_NETWORK=$passed
    rm -rf "$tmp"
    exec unshare --net "$0" "$@"
fi
passed=$MACHINE_NETWORK

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for()
{
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= end)); then
            echo "not within the time: $*"
            return 1
        fi
        sleep 0.1
    done
}

# The distribution's own file, by the list of its package.
original()
{
    local sum
    sum=$(sed -n "s,  ${so#/}\$,,p" /var/lib/dpkg/info/glusterfs-common.md5sums)
    [ -n "$sum" ] && echo "$sum  $1" | md5sum -c
}

# packed FOLDER: the translator of the package there.
packed()
{
    dpkg-deb --fsys-tarfile "$given/$1"/glusterfs-cloudsync_*.deb | tar -xO ".$so" >"$tmp/packed"
}

# in_place FOLDER: that file is in its place, and the distribution's is kept.
in_place()
{
    packed "$1" && cmp "$so" "$tmp/packed" && original "$so.distrib" &&
        [ "$(dpkg-divert --listpackage "$so")" = glusterfs-cloudsync ] && absent "$so.ours" "$so.dpkg-new" "$so.dpkg-tmp"
}

# Nothing is left of ours but in logs and caches, and what the distribution has is as it was.
gone()
{
    original "$so" || return
    [ -z "$(dpkg-divert --list '*cloudsync*')" ] || return
    find / \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run -o -path /var/log -o -path /var/cache \
        -o -path /target -o -path "$PWD" \) -prune -o \
        \( -iname '*cloudsync*' -o -name 'libamazons3*' -o -name 'libazureblob*' -o -name 'libgooglecloud*' \
        -o -name libdirectory.so \) -print | grep -vxF -e "$so" -e "$plugins" -e "$plugins/cloudsynccvlt.so" \
        -e "$plugins/cloudsyncs3.so" >"$tmp/left"
    cat "$tmp/left"
    [ ! -s "$tmp/left" ]
}

# ---------------------------------------------------------------------------------------------------------------

check "the translator is in its place, and the distribution's is kept" in_place first
check 'every package is configured' eval \
    'for p in "${ours[@]}"; do [ "$(dpkg-query -W -f "\${db:Status-Status}" "$p")" = installed ] || exit 1; done'
check 'the timer is neither enabled nor masked' eval \
    '! find /etc/systemd -name "cloudsync*" | grep . && find /lib/systemd/system/ -name "cloudsync.timer" | grep .'
check 'glusterd will find its hooks' [ -x /var/lib/glusterd/hooks/1/set/post/S30cloudsync.sh ]
check 'the program runs' run cloudsync --version

# ---------------------------------------------------------------------------------------------------------------
# A volume. Bricks are told a host's address, and refuse that of the loopback.

address=10.99.0.1
ip link set lo up && ip address add "$address/24" dev lo
mkdir -p /bricks/v /store
files=(a b c d e)
for file in "${files[@]}"; do
    head -c 3000001 /dev/urandom >"$tmp/$file"
done

# mounted NAME: a mount of the volume at /mnt/NAME, in a process whose id is in /run/NAME.pid.
mounted()
{
    mkdir -p "/mnt/$1"
    timeout 60 glusterfs --volfile-server="$address" --volfile-id=v --pid-file="/run/$1.pid" "/mnt/$1" &&
        wait_for 60 mountpoint -q "/mnt/$1" && wait_for 60 timeout 10 ls "/mnt/$1"
}

# reads NAME FILE: that mount shows the file's bytes.
reads()
{
    timeout 60 cmp "/mnt/$1/$2" "$tmp/$2"
}

cold()
{
    [ ! -s "/bricks/v/$1" ]
}

# A cold file that the mount has brought back: every byte is on the brick.
recalls()
{
    cold "$2" && reads "$1" "$2" && wait_for 30 cmp "/bricks/v/$2" "$tmp/$2"
}

# uses NAME: new if the mount's process has the translator that is installed now, otherwise old.
uses()
{
    local inode
    inode=$(awk -v so="$so" '$6 == so { print $5; exit }' "/proc/$(cat "/run/$1.pid")/maps")
    if [ -z "$inode" ]; then
        echo none
    elif [ "$inode" = "$(stat -c %i "$so")" ]; then
        echo new
    else
        echo old
    fi
}

gluster()
{
    run timeout 120 gluster --mode=script "$@"
}

check 'glusterd starts' eval 'run timeout 60 glusterd --pid-file=/run/glusterd.pid && wait_for 60 gluster volume list' ||
    finish
check 'a volume whose store is a folder' eval \
    'gluster volume create v $address:/bricks/v force && gluster volume set v features.cloudsync-storetype directory &&
        gluster volume set v features.cloudsync-store-id path=/store && gluster volume set v features.cloudsync on &&
        gluster volume start v' || finish
check 'it is mounted' mounted first || finish
check 'with the translator of the package' [ "$(uses first)" = new ]
check 'files are written' eval \
    'for f in "${files[@]}"; do cp "$tmp/$f" /mnt/first/ && touch -d "100 days ago" "/mnt/first/$f"; done'
check 'they are archived' run timeout 120 cloudsync archive --older-than 90d /bricks/v
check 'no byte is left on the brick' eval 'for f in "${files[@]}"; do cold $f || exit 1; done'
check 'a fresh mount' mounted second
check 'reads one back' recalls second a

check 'an upgrade under a mount' apt install "$given"/newer/*.deb
check 'the newer translator is in its place' in_place newer
check 'the mount keeps the old one' [ "$(uses first)" = old ]
check 'and reads a cold file' recalls first b
check 'a new mount' mounted third
check 'has the newer one' [ "$(uses third)" = new ]
check 'and reads a cold file, too' recalls third c

check 'a downgrade' apt install --allow-downgrades "$given"/first/*.deb
check 'the first translator is in its place again' in_place first
check 'the mount reads a cold file' recalls third d
check 'glusterd starts again' eval \
    'kill "$(cat /run/glusterd.pid)" && wait_for 60 eval "! kill -0 $(cat /run/glusterd.pid)" &&
        run timeout 60 glusterd --pid-file=/run/glusterd.pid && wait_for 60 gluster volume info v'
check 'a mount after it reads a cold file' eval 'mounted fourth && recalls fourth e'

check "a new build of the distribution's package" apt install --reinstall glusterfs-common
check 'leaves ours in its place' in_place first
check 'make install stops, and says which package to remove' eval \
    '! run scripts/place.sh over "$given/first" "$so" && says "apt-get remove glusterfs-cloudsync" && in_place first'
check 'make uninstall stops, too' eval \
    '! run scripts/place.sh back "$so" && says "apt-get remove glusterfs-cloudsync" && in_place first'

check 'everything is stopped' eval \
    'for m in first second third fourth; do timeout 60 umount "/mnt/$m" || exit 1; done
        gluster volume stop v force && kill "$(cat /run/glusterd.pid)" &&
        wait_for 60 eval "! kill -0 $(cat /run/glusterd.pid)"'

# ---------------------------------------------------------------------------------------------------------------
# The units, by a real systemd.

# on COMMAND...: where systemd runs.
on()
{
    run timeout 120 nsenter --target "$first" --all "$@"
}

# active UNIT RESULT: it has ended, with that result.
ended()
{
    on systemctl show --property=ActiveState --property=Result "$1" && says ActiveState=inactive "Result=$2"
}

unshare --mount --pid --uts --ipc --cgroup --fork --kill-child --propagation private tests/packages/boot.sh \
    >"$tmp/boot" 2>&1 &
booted=$!
first=
# The first process of the namespaces.
boots()
{
    first=$(pgrep -P "$booted") && [ "$(cat "/proc/$first/comm")" = systemd ] && on systemctl is-active multi-user.target
}
check 'systemd starts' wait_for 120 boots || cat "$tmp/boot"
check 'and glusterd, with our check in its journal' eval \
    'on systemctl start glusterd && wait_for 60 on gluster volume list &&
        on journalctl --no-pager -u glusterd && says "cloudsync.so: "'
check 'the volume' eval 'on gluster --mode=script volume start v force && wait_for 60 on gluster volume status v'
mkdir -p /etc/cloudsync
printf '[[rule]]\nname = "all"\ntargets = ["/bricks/v"]\nolder-than = "1s"\nmin-residency = "0s"\n' >/etc/cloudsync/policy.toml
check 'the service archives by the policy' eval \
    'on systemctl start cloudsync.service && ended cloudsync.service success &&
        for f in "${files[@]}"; do cold $f || exit 1; done'
check 'the service that verifies finds the objects' eval \
    'on systemctl start cloudsync-verify@bricks-v.service && ended cloudsync-verify@bricks-v.service success &&
        on journalctl --no-pager -u cloudsync-verify@bricks-v && says "5 cold files" "0 missing"'
check 'the service that watches the space does nothing while there is enough' eval \
    'on systemctl start cloudsync-space.service && ended cloudsync-space.service success'
check 'the timers start' eval \
    'on systemctl enable --now cloudsync{,-space,-verify@bricks-v}.timer && on systemctl list-timers &&
        says cloudsync.timer cloudsync-space.timer cloudsync-verify@bricks-v.timer &&
        on systemctl disable --now cloudsync{,-space,-verify@bricks-v}.timer'
check 'a cold file of before is read' eval \
    'mkdir -p /mnt/fifth && on mount -t glusterfs "$address:v" /mnt/fifth && on cmp /mnt/fifth/a - <"$tmp/a"'
check 'all is stopped' eval \
    'on umount /mnt/fifth && on gluster --mode=script volume stop v force && on systemctl stop glusterd'
# It ignores other signals while it waits.
kill -KILL "$booted"
wait "$booted" 2>/dev/null
rm -rf /etc/cloudsync

# ---------------------------------------------------------------------------------------------------------------
# Away with them, and the ways in which an installation fails.

mkdir -p /etc/cloudsync
echo '# mine' >/etc/cloudsync/policy.toml
check 'the packages are removed' apt remove "${ours[@]}"
check "the distribution's translator is back" eval 'original "$so" && absent "$so.distrib"'
check 'what the administrator wrote is kept' rm /etc/cloudsync/policy.toml
check 'they are purged' run timeout 60 dpkg --purge "${ours[@]}"
rmdir /etc/cloudsync 2>/dev/null
check 'no file of ours is left' gone

check 'a package that cannot be unpacked is refused' eval '! run timeout 60 dpkg -i "$given"/broken/*.deb && says dpkg'
check 'and leaves the original' eval 'original "$so" && absent "$so.distrib" && apt purge glusterfs-cloudsync; gone'

translator=("$given"/first/glusterfs-cloudsync_*.deb)
packed first
check 'as `make install` does it' run scripts/place.sh over "$tmp/packed" "$so"
check 'after an install from source the package is refused' eval '! apt install "${translator[@]}"'
check 'and says what to do' says 'was installed from source' 'make uninstall'
check 'the install from source is as it was' eval 'cmp "$so" "$tmp/packed" && original "$so.distrib"'
check 'after make uninstall' run scripts/place.sh back "$so"
check 'the package is installed' eval 'apt install "${translator[@]}" && in_place first'

# As an older version left it, whose GlusterFS had another folder.
older=${so/"/$gluster/"/"/9.9/"}
mkdir -p "${older%/*}"
apt purge glusterfs-cloudsync
dpkg-divert --quiet --package glusterfs-cloudsync --no-rename --divert "$older.distrib" --add "$older"
check "what was diverted in an older GlusterFS's folder is given up" eval \
    'apt install "${translator[@]}" && [ -z "$(dpkg-divert --listpackage "$older")" ] && in_place first'

check 'GlusterFS is removed, and takes the packages with it' apt purge glusterfs-common
check 'then nothing is left' eval \
    'absent "$so" "$so.distrib" && [ -z "$(dpkg-divert --list "*cloudsync*")" ]'

# ---------------------------------------------------------------------------------------------------------------
# The .rpm files, where rpm has no diversions. dpkg knows no GlusterFS any more.

rpm()
{
    run timeout 60 rpm --nodeps "$@"
}

# shows TEXT FILE
shows()
{
    [ "$(cat "$2")" = "$1" ]
}

mkdir -p /var/lib/rpm
check 'rpm installs GlusterFS and then ours' eval \
    'rpm -i "$given/rpm/glusterfs-$gluster-1".*.rpm && rpm -i "$given"/rpm/glusterfs-cloudsync-*+gluster"$gluster"-*.rpm'
check 'it says what to restart' says 'systemctl restart glusterd'
check "the translator is in its place, and the distribution's is kept" eval \
    'cmp "$so" "$tmp/packed" && shows "the translator of $gluster-1" "$so.distrib"'
check 'a new build of GlusterFS' rpm -U "$given/rpm/glusterfs-$gluster-2".*.rpm
check 'leaves ours in its place, and is kept itself' eval \
    'cmp "$so" "$tmp/packed" && shows "the translator of $gluster-2" "$so.distrib"'
check 'ours is removed' rpm -e glusterfs-cloudsync
check "the distribution's newest is back" eval \
    'shows "the translator of $gluster-2" "$so" && absent "$so.distrib" "$so.ours" /usr/libexec/cloudsync'
echo >"$so.ours"
check 'after an install from source the package is refused' eval \
    '! rpm -i "$given"/rpm/glusterfs-cloudsync-*+gluster"$gluster"-*.rpm && says "make uninstall"'
rm "$so.ours"
check 'both, and then both of another version' eval \
    'rpm -i "$given"/rpm/glusterfs-cloudsync-*+gluster"$gluster"-*.rpm && cmp "$so" "$tmp/packed" &&
        rpm -U "$given"/rpm/glusterfs-99.1-1.*.rpm "$given"/rpm/glusterfs-cloudsync-*+gluster99.1-*.rpm'
newest=${so/"/$gluster/"/"/99.1/"}
check 'ours is in the new folder, and nothing in the old one' eval \
    'cmp "$newest" "$tmp/packed" && shows "the translator of 99.1-1" "$newest.distrib" && absent "$so" "$so.ours" "$so.distrib"'
check 'and is removed from there' eval 'rpm -e glusterfs-cloudsync && shows "the translator of 99.1-1" "$newest"'
finish

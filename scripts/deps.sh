#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Installs the packages that a bare Debian 12 lacks, and only those: a second run does nothing and needs no network.
#
#   scripts/deps.sh [build] [run] [s3] [acts] [check] [bench] [package] [releases]     without arguments: all of them
#
#   build  for compiling: C compiler, autotools, libclang, GlusterFS's headers (and requires a Rust toolchain)
#   run    for the demo and the tests on real volumes: GlusterFS's server and client
#   s3     for those demos and tests that use an S3 server: Ceph's
#   acts   programs that the tests run on cold files; no server among them is started
#   check  for the checks that need no volume
#   bench  for scripts/bench.sh: fio, and valgrind, which counts instructions
#   package  for scripts/package.sh and its test: tools that make .deb and .rpm, and check them
#   releases  for scripts/in-debian.sh: tests on another release of Debian
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The package with Samba's module for GlusterFS: from Debian 13 on, one of its own.
samba_module()
{
    if [ "$(sed -n 's/^VERSION_ID="\{0,1\}\([0-9]*\).*/\1/p' /etc/os-release)" = 12 ]; then
        echo samba-vfs-modules
    else
        echo samba-vfs-glusterfs
    fi
}

# PACKAGE or PACKAGE:PROBE. A probe is a command or a file: if it exists, the package is not installed, whatever
# provides it.
build=(
    gcc:cc libc6-dev:/usr/include/stdio.h make autoconf automake ca-certificates
    libclang-dev
    libglusterfs-dev:/usr/include/glusterfs/xlator.h
    # Included by GlusterFS's headers, but not dependencies of libglusterfs-dev.
    liburcu-dev:/usr/include/urcu/arch.h libssl-dev:/usr/include/openssl/md5.h uuid-dev:/usr/include/uuid/uuid.h
    glusterfs-client:glusterfs
)
run=(
    glusterfs-server:glusterd glusterfs-client:glusterfs attr:getfattr
    iproute2:ip util-linux:nsenter procps:ps
)
s3=(
    ceph-mon ceph-osd radosgw ceph-common:ceph openssl awscli:aws curl
)
acts=(
    rsync tar attr:getfattr acl:setfacl git restic borgbackup:borg sqlite3
    qemu-utils:qemu-img qemu-block-extra:/usr/lib/x86_64-linux-gnu/qemu/block-gluster.so
    samba:smbd samba-testsuite:smbtorture "$(samba_module):/usr/lib/x86_64-linux-gnu/samba/vfs/glusterfs.so" smbclient
    # The soak test has a client of its own.
    libsmbclient-dev:/usr/include/samba-4.0/libsmbclient.h
    nfs-ganesha-gluster:/usr/lib/x86_64-linux-gnu/ganesha/libfsalgluster.so libnfs-utils:nfs-cat
    # Slows down one thread of a brick.
    strace
    # A real one reads our metrics, and promtool checks them and the rules for alerts.
    prometheus
)
# Units of those packages, which must not be started on this machine.
servers=(smbd nmbd samba-ad-dc nfs-ganesha nfs-ganesha-lock rpcbind rpc-statd prometheus)
check=(
    # What decodes objects without us.
    age:age-keygen zstd
    attr:getfattr binutils:nm clang-format valgrind
    # Plugins in C are built as their authors would do it.
    pkg-config g++:c++
)
bench=(age:age-keygen fio rclone awscli:aws valgrind:/usr/include/valgrind/callgrind.h)
packaging=(binutils:strip debhelper dpkg-dev:dpkg-buildpackage lintian rpm:rpmbuild)
releases=(debootstrap)

installed()
{
    local package=${1%%:*} probe=${1#*:}
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] && return
    case $probe in
    "$package") return 1 ;;
    /*) [ -e "$probe" ] ;;
    *) PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v "$probe" >/dev/null ;;
    esac
}

rust_toolchain()
{
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    found=$(PATH=$PATH:$HOME/.cargo/bin "${CARGO:-cargo}" --version 2>/dev/null | cut -d ' ' -f 2) || found=
    if [ -n "$found" ] && printf '%s\n' "$wanted" "$found" | sort -C -V; then
        return
    fi
    cat >&2 <<END
deps: Rust $wanted or newer is needed${found:+, and cargo here is of $found}. Debian 12 has an older one. Either
deps:   rustup update stable
deps: or, where there is no rustup yet,
deps:   curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --component rustfmt,clippy
END
    return 1
}

apt()
{
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# quietly COMMAND...: runs it under a policy that lets no package start a server, and with the units of the servers
# masked that it installs. Servers or a policy that exist already are not touched.
quietly()
{
    local policy=/usr/sbin/policy-rc.d units=/etc/systemd/system unit made='' code=0
    for unit in "${servers[@]}"; do
        [[ " ${missing[*]} " =~ ' samba '|' nfs-ganesha'|' prometheus ' ]] || break
        if [ ! -e "/lib/systemd/system/$unit.service" ] && [ ! -L "$units/$unit.service" ] && [ -d "$units" ]; then
            "${root[@]}" ln -s /dev/null "$units/$unit.service"
            echo "deps: masked $unit.service (systemctl unmask $unit, to use it)"
        fi
    done
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $policy >/dev/null
        "${root[@]}" chmod 755 $policy
        made=yes
    fi
    "$@" || code=$?
    [ -z "$made" ] || "${root[@]}" rm -f $policy
    return $code
}

[ $# -gt 0 ] || set -- build run s3 acts check bench package releases
missing=()
toolchain=no
for group; do
    case $group in
    build) wanted=("${build[@]}") toolchain=yes ;;
    run) wanted=("${run[@]}") ;;
    s3) wanted=("${s3[@]}") ;;
    check) wanted=("${check[@]}") ;;
    bench) wanted=("${bench[@]}") ;;
    acts) wanted=("${acts[@]}") ;;
    package) wanted=("${packaging[@]}") ;;
    releases) wanted=("${releases[@]}") ;;
    *)
        echo "deps: unknown group $group; the groups are build, run, s3, acts, check, bench, package and releases" >&2
        exit 2
        ;;
    esac
    for entry in "${wanted[@]}"; do
        # A libclang from elsewhere is sufficient.
        [ "$entry" = libclang-dev ] && [ -n "${LIBCLANG_PATH:-}" ] && continue
        installed "$entry" || missing+=("${entry%%:*}")
    done
done

if [ ${#missing[@]} -eq 0 ]; then
    echo "deps: nothing is missing ($*)"
else
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    echo "deps: missing: ${missing[*]}"
    if ! command -v apt-get >/dev/null; then
        echo "deps: apt-get not found; install the equivalents of these Debian packages" >&2
        exit 1
    fi
    root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "deps: run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
            exit 1
        fi
        root=(sudo)
    fi
    # Outdated lists may suffice for packages in a cache or a mirror, so a failure here is not fatal.
    apt update || echo "deps: apt-get update failed; continuing with the existing lists" >&2
    quietly apt install -y --no-install-recommends "${missing[@]}"
    echo "deps: installed: ${missing[*]}"
fi

[ $toolchain = no ] || rust_toolchain

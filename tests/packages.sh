#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Tests scripts/package.sh: what the packages hold and ask for, that two runs make the same bytes, and, in a fresh minimal
# Debian of the release that this machine runs (scripts/in-debian.sh --clean), what they do there
# (tests/packages/machine.sh). The last line says "N passed, N failed".
# shellcheck disable=SC2016,SC2317 # functions and quoted commands are run by `check`
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
packages=$target/packages
# Below the target folder, which is what the fresh system can read.
mkdir -p "$target/tmp"
export TMPDIR=$target/tmp
# shellcheck source=tests/check.sh
. tests/check.sh
unset TMPDIR
scripts/deps.sh build package check releases || exit 2

check 'packages are made' run scripts/package.sh || finish
check 'they are listed' says "$packages/glusterfs-cloudsync_" .rpm
check 'and nothing else is left in their folder' [ -z "$(find "$packages" -mindepth 1 ! -name '*.deb' ! -name '*.rpm')" ]

# same: the packages of another run, in another place, are the same files.
same()
{
    diff <(cd "$packages" && sha256sum -- *) <(cd "$tmp/again" && sha256sum -- *)
}
check 'made again in another folder, time zone and language' eval \
    '(umask 077 && TZ=Asia/Tokyo LC_ALL=C.UTF-8 run scripts/package.sh --into "$tmp/again")'
check 'they are the same bytes' same
rm -rf "$tmp/again"
check 'lintian finds no error' lintian --fail-on error "$packages"/*.deb

# ---------------------------------------------------------------------------------------------------------------
# What is in the .deb files, and what they ask for.

gluster=$(glusterfs --version | sed -n '1s/^glusterfs \([^ ]*\).*/\1/p')
xlatordir=$(glusterfs --print-xlatordir)
plugindir=${xlatordir%/*}/cloudsync-plugins
libdir=${xlatordir%/glusterfs/*}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)+gluster$gluster-1
plugins=(amazons3 azureblob directory googlecloud)
hooks=(/var/lib/glusterd/hooks/1/{reset,set}/post/S30cloudsync.sh)
mapfile -t pages < <("$target/release/cloudsync" manual "$tmp/pages" && cd "$tmp/pages" &&
    printf '/usr/share/man/man1/%s\n' *)
examples=(Makefile shelf.{c,sym} stock.{c,sym})

deb()
{
    echo "$packages/$1_${version}_$(dpkg --print-architecture).deb"
}

# lists LIST FILE...: the list of files, besides what each package says of itself, has these and no others.
lists()
{
    local list=$1 self='^/usr/share/((doc|licenses)/[^/]*(/[^/]*|/examples/plugin-c)?|lintian/.*)$'
    shift
    diff <(grep -vE "$self" "$list" | sort) <(printf '%s\n' "$@" | sort)
}

# holds PACKAGE FILE...: the .deb has these files and no others, all of them root's, and nobody else may write to them.
holds()
{
    local package=$1
    shift
    dpkg-deb -c "$(deb "$package")" >"$tmp/table" || return
    awk '$2 != "root/root" || ($1 !~ /^l/ && substr($1, 6, 1) substr($1, 9, 1) ~ /w/) { print; bad = 1 }
        END { exit bad }' "$tmp/table" || return
    sed -n 's/^-.* \.\(\/[^ ]*\)$/\1/p' "$tmp/table" >"$tmp/list"
    lists "$tmp/list" "$@"
}

# says_of PACKAGE FIELD WORD...: that field of the .deb has the words.
says_of()
{
    dpkg-deb -f "$(deb "$1")" "$2" >"$tmp/said"
    says "${@:3}"
}

check 'there is a .deb for each part' eval \
    '[ "$(ls "$packages"/*.deb)" = "$(for p in cloudsync glusterfs-cloudsync glusterfs-cloudsync-{amazons3,azureblob,dev,directory,googlecloud}; do deb $p; done | LC_ALL=C sort)" ]'
check 'glusterfs-cloudsync has the translator' holds glusterfs-cloudsync "$xlatordir/features/cloudsync.so"
for plugin in "${plugins[@]}"; do
    check "glusterfs-cloudsync-$plugin has one plugin" holds "glusterfs-cloudsync-$plugin" "$plugindir/lib$plugin.so"
    check 'and goes with this very translator and GlusterFS' says_of "glusterfs-cloudsync-$plugin" Depends \
        "glusterfs-cloudsync (= $version)" "glusterfs-common (>= $gluster)" "glusterfs-common (<< $gluster.0~)"
done
check 'the translator goes with this very GlusterFS' says_of glusterfs-cloudsync Depends \
    "glusterfs-common (>= $gluster)" "glusterfs-common (<< $gluster.0~)"
check 'any revision of it is good, and no other version' eval \
    'dpkg --compare-versions "$gluster-99" ge "$gluster" && dpkg --compare-versions "$gluster-99+deb1u1" lt "$gluster.0~" &&
        ! dpkg --compare-versions "$gluster.0-1" lt "$gluster.0~" && ! dpkg --compare-versions "$gluster~rc1-1" ge "$gluster"'
check 'glusterfs-cloudsync-dev has the header and the examples' holds glusterfs-cloudsync-dev \
    /usr/include/cloudsync/cloudsync-common.h "$libdir/pkgconfig/cloudsync.pc" \
    "${examples[@]/#//usr/share/doc/glusterfs-cloudsync-dev/examples/plugin-c/}"
check 'and brings the headers that it includes' says_of glusterfs-cloudsync-dev Depends \
    libglusterfs-dev liburcu-dev libssl-dev uuid-dev
# Where this release's debhelper puts them.
units=$(dpkg-deb -c "$(deb cloudsync)" | sed -n 's/.* \.\(.*\)\/cloudsync\.timer$/\1/p')
check 'cloudsync has the program and what belongs to it' holds cloudsync /usr/sbin/cloudsync \
    "${pages[@]/%/.gz}" "${hooks[@]}" "$units"/cloudsync.{service,timer} \
    /usr/lib/systemd/system/cloudsync-{space,verify@}.{service,timer} \
    /usr/lib/systemd/system/glusterd.service.d/cloudsync.conf \
    /usr/share/doc/cloudsync/examples/policy.toml /usr/share/zsh/vendor-completions/_cloudsync \
    /usr/share/bash-completion/completions/cloudsync /usr/share/fish/vendor_completions.d/cloudsync.fish

for package in glusterfs-cloudsync glusterfs-cloudsync-{amazons3,dev} cloudsync; do
    mkdir -p "$tmp/$package"
    dpkg-deb -x "$(deb "$package")" "$tmp/$package/root"
    dpkg-deb -e "$(deb "$package")" "$tmp/$package/control"
done
so=$tmp/glusterfs-cloudsync/root$xlatordir/features/cloudsync.so
check 'without its symbols the translator still exports what it did' eval \
    'diff <(nm -D --defined-only "$so") <(nm -D --defined-only "$target/release/libcloudsync.so") && nm "$so" 2>&1 | grep "no symbols"'
check 'the scripts have no blanks left to fill in' eval '! grep -n "#[A-Z]" "$tmp"/*/control/p*'
check 'the licences of the Rust libraries come along' eval \
    'zcat "$tmp/cloudsync/root/usr/share/doc/cloudsync/third-party-licences.gz" >"$tmp/said" &&
        says "aws-sdk-s3 v" "rustls v" "Apache License" "Permission is hereby granted"'
check 'the hook names the installed program' eval \
    '(. <(sed "/^volume=/,\$d" "$tmp/cloudsync/root${hooks[0]}") && [ "$program" = /usr/sbin/cloudsync ])'
check 'the units name no file that a package lacks' eval \
    'grep -d skip -hoE "(/usr/sbin|man:)[^ ]*" "$tmp/cloudsync/root$units"/* >"$tmp/said" && says /usr/sbin/cloudsync &&
        sed -n "s/^man:\(.*\)(1)/\1.1/p" "$tmp/said" | while read -r page; do [ -e "$tmp/pages/$page" ] || exit 1; done'

# What a plugin's author does. PKG_CONFIG_SYSROOT_DIR is for the unpacked package only.
dev=$tmp/glusterfs-cloudsync-dev/root
check 'the example builds with the packed header' run env PKG_CONFIG_PATH="$dev$libdir/pkgconfig" \
    PKG_CONFIG_SYSROOT_DIR="$dev" make -C "$dev/usr/share/doc/glusterfs-cloudsync-dev/examples/plugin-c"

# ---------------------------------------------------------------------------------------------------------------
# The same of the .rpm files.

rpms=("$packages"/*.rpm)
architecture=$(uname -m)
of_rpm()
{
    local package=$1
    shift
    rpm -qp "$@" "$packages/$package-$version.$architecture.rpm" >"$tmp/said"
}

check 'there is an .rpm for each part' [ "${#rpms[@]}" -eq 7 ]
check "glusterfs-cloudsync keeps the translator beside the distribution's file" eval \
    'of_rpm glusterfs-cloudsync -l && lists "$tmp/said" /usr/libexec/cloudsync{,/cloudsync.so,/place.sh}'
check 'and goes with this very GlusterFS' eval 'of_rpm glusterfs-cloudsync --requires && says "glusterfs = $gluster"'
check 'its scripts put it into its place, and the original back' eval \
    'of_rpm glusterfs-cloudsync --scripts && says "place.sh anew" "place.sh back" "make uninstall"'
check 'also after an upgrade of the package glusterfs' eval \
    'of_rpm glusterfs-cloudsync --triggers && says "triggerin scriptlet" "-- glusterfs" "place.sh anew"'
for plugin in "${plugins[@]}"; do
    check "glusterfs-cloudsync-$plugin has one plugin, for this translator" eval \
        'of_rpm "glusterfs-cloudsync-$plugin" -l && lists "$tmp/said" "$plugindir/lib$plugin.so" &&
            of_rpm "glusterfs-cloudsync-$plugin" --requires && says "glusterfs-cloudsync = $version" "glusterfs = $gluster"'
done
check 'glusterfs-cloudsync-devel has the header and the examples' eval \
    'of_rpm glusterfs-cloudsync-devel -l && lists "$tmp/said" /usr/include/cloudsync{,/cloudsync-common.h} \
        "$libdir/pkgconfig/cloudsync.pc" "${examples[@]/#//usr/share/doc/glusterfs-cloudsync-devel/examples/plugin-c/}"'
check 'cloudsync has the program and what belongs to it' eval \
    'of_rpm cloudsync -l && lists "$tmp/said" /usr/sbin/cloudsync /etc/cloudsync "${pages[@]}" \
        "${hooks[@]}" /usr/lib/systemd/system/cloudsync{,-space,-verify@}.{service,timer} /usr/share/doc/cloudsync/examples/policy.toml \
        /usr/lib/systemd/system/glusterd.service.d{,/cloudsync.conf} /usr/share/zsh/site-functions/_cloudsync /usr/share/bash-completion/completions/cloudsync \
        /usr/share/fish/vendor_completions.d/cloudsync.fish'
check 'the licences come along' eval \
    'for p in cloudsync glusterfs-cloudsync; do
        of_rpm $p -l && says /usr/share/doc/$p/third-party-licences /usr/share/licenses/$p/{COPYING,LGPL-3.0-or-later.txt} || exit 1
    done'

# ---------------------------------------------------------------------------------------------------------------
# A fresh machine, and the packages that it is given: these, newer ones, one that cannot be unpacked; and .rpm files,
# those of a distribution that has GlusterFS in a package `glusterfs` among them.

given=$tmp/given
mkdir -p "$given"/{first,newer,broken,rpm}
cp "$packages"/*.deb "$given/first"

# again DEB FOLDER COMMAND...: packs it again after the command has changed it, in a folder that is `$unpacked`.
again()
{
    local deb=$1 folder=$2
    shift 2
    unpacked=$tmp/unpacked
    rm -rf "$unpacked"
    dpkg-deb -R "$deb" "$unpacked" && "$@" && rm -f "$unpacked/DEBIAN/md5sums" &&
        dpkg-deb -Znone --root-owner-group -b "$unpacked" "$folder"
}

# As a higher version, whose translator is another file.
raise()
{
    sed -i 's/\(+gluster[^ )]*\)-1/\1-2/' "$unpacked/DEBIAN/control"
    local so=$unpacked$xlatordir/features/cloudsync.so
    [ ! -e "$so" ] || printf 'a newer build' >>"$so"
}

# With a file that belongs to dpkg, so that dpkg refuses it half-way.
spoil()
{
    mkdir -p "$unpacked/usr/bin" && echo x >"$unpacked/usr/bin/dpkg"
}

newer()
{
    local file
    for file in "$given"/first/*; do
        again "$file" "$given/newer" raise || return
    done
}

# distribution VERSION RELEASE: an .rpm that has a translator of that name where GlusterFS VERSION has it.
distribution()
{
    cat >"$tmp/glusterfs.spec" <<END
Name: glusterfs
Version: $1
Release: $2
Summary: stands for the distribution's
License: none
%description
Stands for the distribution's.
%install
mkdir -p %{buildroot}$libdir/glusterfs/$1/xlator/features
echo 'the translator of $1-$2' >%{buildroot}$libdir/glusterfs/$1/xlator/features/cloudsync.so
%files
%dir $libdir/glusterfs/$1
%dir $libdir/glusterfs/$1/xlator
$libdir/glusterfs/$1/xlator/features
END
    rpmbuild -bb --define "_topdir $tmp/rpm" --define "_dbpath $tmp/rpm/db" --define "_rpmdir $tmp/rpm/made" \
        "$tmp/glusterfs.spec" && mv "$tmp"/rpm/made/*/*.rpm "$given/rpm"
}

# A GlusterFS of another version, as far as scripts/package.sh asks.
cat >"$tmp/glusterfs-99" <<END
#!/bin/sh
case \$1 in
--version) echo 'glusterfs 99.1' ;;
*) echo '$libdir/glusterfs/99.1/xlator' ;;
esac
END
chmod +x "$tmp/glusterfs-99"

check 'packages of a higher version' run newer
check 'a package that cannot be unpacked' run again "$(deb glusterfs-cloudsync)" "$given/broken" spoil
check 'packages for another GlusterFS' run env GLUSTERFS="$tmp/glusterfs-99" scripts/package.sh --into "$tmp/99" rpm
check 'packages that stand for a distribution' eval \
    'run distribution "$gluster" 1 && run distribution "$gluster" 2 && run distribution 99.1 1'
cp "$packages"/glusterfs-cloudsync-[0-9]*.rpm "$tmp/99"/glusterfs-cloudsync-[0-9]*.rpm "$given/rpm"

# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
timeout --foreground -k 30 400 scripts/in-debian.sh --clean "$release" \
    tests/packages/machine.sh "/target${given#"$target"}" "$gluster" "$xlatordir" 2>&1 </dev/null |
    tee "$tmp/machine" | grep --line-buffered -E '^(ok |FAIL |   )'
# Its sum is part of this one's.
if read -r good _ bad _ < <(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$tmp/machine"); then
    passed=$((passed + good))
    failed=$((failed + bad))
else
    tail -n 30 "$tmp/machine" | sed 's/^/      /'
    failed=$((failed + 1))
    echo 'FAIL  the tests on a fresh machine reached their end'
fi
finish

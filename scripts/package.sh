#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Makes packages for the GlusterFS that is installed here:
#
#   scripts/package.sh [--into DIR] [deb] [rpm]      without a kind: both
#
# They are in target/packages, or DIR, afterwards. The same commit and compiler give the same bytes.
# DEBFULLNAME and DEBEMAIL name their maintainer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:$HOME/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL=C TZ=UTC
umask 022

here=$PWD
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
into=$target/packages
if [ "${1:-}" = --into ] && [ $# -ge 2 ]; then
    into=$(realpath -m "$2")
    shift 2
fi
# The Rust packages whose results are packed.
shipped=(cloudsync cloudsync-archiver cloudsync-{amazons3,azureblob,googlecloud,directory-plugin})
kinds=("$@")
[ $# -gt 0 ] || kinds=(deb rpm)
for kind in "${kinds[@]}"; do
    if [ "$kind" != deb ] && [ "$kind" != rpm ]; then
        sed -n '3,8s/^# \{0,1\}//p' "$0" >&2
        exit 2
    fi
done
if command -v apt-get >/dev/null; then
    scripts/deps.sh build package
fi

mkdir -p "$into"
work=$(mktemp -d "$into/.making-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
stage=$work/stage
mkdir "$stage" "$work/made"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
glusterfs=${GLUSTERFS:-glusterfs}
xlatordir=$("$glusterfs" --print-xlatordir)
gluster_version=$("$glusterfs" --version | sed -n '1s/^glusterfs \([^ ]*\).*/\1/p')
pluginsdir=${xlatordir%/*}/cloudsync-plugins
glusterlib=${xlatordir%/glusterfs/*}
if [ -z "$gluster_version" ] || [ "$glusterlib" = "$xlatordir" ]; then
    echo "package: $glusterfs says that it is of version '$gluster_version' and has its translators in $xlatordir" >&2
    exit 1
fi

# ---------------------------------------------------------------------------------------------------------------
# The build, and one tree with everything where Debian has it.

cargo=${CARGO:-cargo}
read -ra cargo_flags <<<"${CARGOFLAGS:-}"
"$cargo" build --release --workspace --exclude cloudsync-lab --locked ${cargo_flags[@]+"${cargo_flags[@]}"}
artifacts=$target/release

# Not before the build, which would be a new one because of that variable.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=
    [ ! -e .git ] || SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || :
    [ -n "$SOURCE_DATE_EPOCH" ] || SOURCE_DATE_EPOCH=$(stat -c %Y CHANGELOG.md)
fi
export SOURCE_DATE_EPOCH

# of_makefile NAME: the words of that list in Makefile.am.
of_makefile()
{
    sed -n "s/^$1 = *//p" Makefile.am
}

# put MODE SOURCE TARGET
put()
{
    install -D -p -m "$1" "$2" "$stage/$3"
}

# binary MODE NAME TARGET: a program or library, without its symbols.
binary()
{
    put "$1" "$artifacts/$2" "$3"
    strip --strip-unneeded --remove-section=.comment --remove-section=.note "$stage/$3"
}

# configured SOURCE MODE TARGET: with what configure would fill in.
configured()
{
    local macros
    macros=$(sed -n '/^const HOST_MACROS/,/^\]/s/^ *"\(.*\)",$/-D\1/p' crates/gluster-build/src/lib.rs | tr '\n' ' ')
    # shellcheck disable=SC2016 # the file's own variables
    sed -e 's|@prefix@|/usr|; s|@exec_prefix@|${prefix}|; s|@includedir@|${prefix}/include|' \
        -e 's|@sbindir@|${exec_prefix}/sbin|' -e "s|@pluginsdir@|$pluginsdir|; s|@PACKAGE_VERSION@|$version|" \
        -e "s|@gf_flags@|${macros% }|" "$1" >"$work/configured"
    if grep -n '@[a-zA-Z_]*@' "$work/configured"; then
        echo "package: $1 has something that only configure knows" >&2
        return 1
    fi
    put "$2" "$work/configured" "$3"
}

# third_party: the Rust libraries in the binaries: their names, licences and origins, and then every licence's text with
# the names of those that have it.
third_party()
{
    local crates name licence folder file sum
    local -A texts=() users=()
    local order=()
    crates=$("$cargo" tree "${shipped[@]/#/--package=}" --locked --edges normal --prefix none \
        --format '{p} | {l} | {r}' | grep -v -F -e "($here" | sed '/^$/d; s/ (proc-macro)//; s/ (\*)$//' | sort -u)
    echo 'The programs and libraries of cloudsync contain parts of these Rust packages:'
    echo
    echo "$crates"
    while IFS='|' read -r name licence _; do
        read -r name licence <<<"$name"
        for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$name-${licence#v}"; do
            for file in "$folder"/{LICEN[CS]E,COPYING,NOTICE,COPYRIGHT}*; do
                [ -f "$file" ] || continue
                sum=$(sha256sum <"$file")
                [ -n "${texts[$sum]:-}" ] || order+=("$sum")
                texts[$sum]=$file
                users[$sum]+=" $name"
            done
        done
    done <<<"$crates"
    for sum in "${order[@]}"; do
        printf '\n%s\n' "${users[$sum]# }" | fold -s -w 100
        printf -- '----------------------------------------------------------------\n\n'
        tr -d '\r' <"${texts[$sum]}"
    done
}

binary 644 libcloudsync.so "$xlatordir/features/cloudsync.so"
for file in $(of_makefile plugins); do
    binary 644 "$file" "$pluginsdir/$file"
done
for file in $(of_makefile programs); do
    binary 755 "$file" "usr/sbin/$file"
done
"$artifacts/cloudsync" manual "$stage/usr/share/man/man1"
mkdir -p "$stage/usr/share/bash-completion/completions" "$stage/usr/share/zsh/vendor-completions" \
    "$stage/usr/share/fish/vendor_completions.d"
"$artifacts/cloudsync" completions bash >"$stage/usr/share/bash-completion/completions/cloudsync"
"$artifacts/cloudsync" completions zsh >"$stage/usr/share/zsh/vendor-completions/_cloudsync"
"$artifacts/cloudsync" completions fish >"$stage/usr/share/fish/vendor_completions.d/cloudsync.fish"
for file in packaging/systemd/cloudsync*; do
    put 644 "$file" "usr/lib/systemd/system/${file##*/}"
done
put 644 packaging/systemd/glusterd-cloudsync.conf usr/lib/systemd/system/glusterd.service.d/cloudsync.conf
put 644 packaging/systemd/policy.toml usr/share/doc/cloudsync/examples/policy.toml
for event in $(of_makefile hooked); do
    configured packaging/hooks/S30cloudsync.sh.in 755 "var/lib/glusterd/hooks/1/$event/post/$(of_makefile hook)"
done
for file in $(of_makefile headers); do
    put 644 "$file" "usr/include/cloudsync/${file##*/}"
done
configured cloudsync.pc.in 644 "$glusterlib/pkgconfig/cloudsync.pc"
for file in tests/plugin-c/{Makefile,*.c,*.sym}; do
    put 644 "$file" "usr/share/doc/glusterfs-cloudsync-dev/examples/plugin-c/${file##*/}"
done
third_party >"$work/third-party-licences"
for package in cloudsync glusterfs-cloudsync; do
    put 644 "$work/third-party-licences" "usr/share/doc/$package/third-party-licences"
done
find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# ---------------------------------------------------------------------------------------------------------------

# gluster_depends: any revision of the upstream version that is installed. Another one has its translators in another
# folder.
gluster_depends()
{
    local upstream
    upstream=$(dpkg-query -W -f '${Version}' glusterfs-common)
    upstream=${upstream%-*}
    echo "glusterfs-common (>= $upstream), glusterfs-common (<< $upstream.0~)"
}

deb()
{
    local tree=$work/deb/cloudsync maintainer package
    maintainer="${DEBFULLNAME:-The authors of cloudsync} <${DEBEMAIL:-cloudsync@localhost.localdomain}>"
    mkdir -p "$tree"
    cp -R packaging/debian "$tree"
    cp CHANGELOG.md "$tree"
    cp -a "$stage" "$tree/debian/tmp"
    # debhelper has a place of its own for them.
    mv "$tree"/debian/tmp/usr/lib/systemd/system/cloudsync.* "$tree/debian"
    if [ -z "${DEBEMAIL:-}" ]; then
        sed -n 's/^Package: //p' packaging/debian/control | while read -r package; do
            printf '# %s\n' 'A local build has no maintainer with an address: set DEBEMAIL to hand packages out.' \
                >"$tree/debian/$package.lintian-overrides"
            printf '%s\n' bogus-mail-host bogus-mail-host-in-debian-changelog >>"$tree/debian/$package.lintian-overrides"
        done
    fi
    sed -i "s|@MAINTAINER@|$maintainer|" "$tree/debian/control"
    mkdir -p "$tree/debian/source"
    echo '3.0 (quilt)' >"$tree/debian/source/format"
    printf 'cloudsync (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' \
        "$version+gluster$gluster_version-1" "$maintainer" "$(date -R -d "@$SOURCE_DATE_EPOCH")" >"$tree/debian/changelog"
    GLUSTER_DEPENDS=$(gluster_depends)
    # Not cleaned before the build, which would remove the tree that is to be packed, and build dependencies are not
    # checked: Rust comes from rustup.
    (
        cd "$tree"
        export XLATORDIR=$xlatordir PLUGINSDIR=$pluginsdir LIBDIR=$glusterlib GLUSTER_DEPENDS
        env -u MAKEFLAGS -u MFLAGS DEB_BUILD_OPTIONS=noautodbgsym \
            dpkg-buildpackage --build=binary --no-check-builddeps --no-pre-clean --no-sign
    )
    mv "$work"/deb/*.deb "$work/made"
}

rpm()
{
    rpmbuild -bb \
        --define "_topdir $work/rpm" --define "_dbpath $work/rpm/db" --define "_buildhost localhost" \
        --define 'source_date_epoch_from_changelog 0' --define 'use_source_date_epoch_as_buildtime 1' \
        --define 'clamp_mtime_to_source_date_epoch 1' \
        --define "cloudsync_version $version" --define "gluster_version $gluster_version" \
        --define "xlatordir $xlatordir" --define "pluginsdir $pluginsdir" --define "glusterlib $glusterlib" \
        --define "stage $stage" --define "sources $here" packaging/rpm/cloudsync.spec
    mv "$work"/rpm/RPMS/*/*.rpm "$work/made"
}

for kind in "${kinds[@]}"; do
    # The tools print hundreds of lines, which matter only after a failure.
    # In the background, because `set -e` has no effect in a command before `||`.
    "$kind" >"$work/log" 2>&1 &
    wait $! || {
        cat "$work/log" >&2
        echo "package: no $kind" >&2
        exit 1
    }
    grep -i warning "$work/log" >&2 || :
done

echo 'packages:'
for kind in "${kinds[@]}"; do
    # Older ones go now, when there are new ones.
    rm -f "$into"/{cloudsync,glusterfs-cloudsync}[-_]*."$kind"
    mv "$work"/made/*."$kind" "$into"
    printf '%s\n' "$into"/{cloudsync,glusterfs-cloudsync}[-_]*."$kind"
done

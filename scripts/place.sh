#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Installs a file for `make install`. A process may have the old file mapped and would crash if its bytes changed, so
# the new one is written next to it and renamed.
#
#   place.sh put MODE SOURCE TARGET
#   place.sh over SOURCE TARGET      replaces the distribution's file, which is kept as TARGET.distrib
#   place.sh anew SOURCE TARGET      the same, after a package manager may have put a new original at TARGET
#   place.sh back TARGET             reverses `over` and `anew`
set -eu

put()
{
    folder=$(dirname "$3")
    [ -d "$folder" ] || install -d "$folder"
    rm -f "$3.new"
    install -m "$1" "$2" "$3.new"
    mv -f "$3.new" "$3"
    echo "installed $3"
}

sum()
{
    cksum <"$1"
}

# TARGET.ours has the checksum of the file last installed here: a file that differs is not ours.
ours()
{
    [ -f "$1" ] && [ -f "$1.ours" ] && [ "$(sum "$1")" = "$(cat "$1.ours")" ]
}

# Whether dpkg must be informed about TARGET: not for a staged install.
dpkg_is_here()
{
    [ -z "${DESTDIR:-}" ] && [ "$(id -u)" -eq 0 ] && command -v dpkg-divert >/dev/null
}

# The packages of scripts/package.sh divert the file themselves, and both at once would lose the original.
not_a_package()
{
    dpkg_is_here || return 0
    owner=$(dpkg-divert --listpackage "$1")
    [ -n "$owner" ] && [ "$owner" != LOCAL ] || return 0
    echo "$1 belongs to the package $owner. Remove that first: apt-get remove $owner" >&2
    exit 1
}

over()
{
    source=$1
    target=$2
    not_a_package "$target"
    if [ -e "$target" ] && ! ours "$target"; then
        if [ -e "$target.distrib" ]; then
            echo "note: $target came from elsewhere since the last install; it is replaced," \
                "and $target.distrib stays the original"
        else
            # A copy instead of a rename: the translator must never be missing.
            rm -f "$target.distrib.new"
            cp -p "$target" "$target.distrib.new"
            mv "$target.distrib.new" "$target.distrib"
            echo "kept the distribution's as $target.distrib"
        fi
    fi
    # From now on, upgrades of the package replace the original and leave ours in place.
    if dpkg_is_here && dpkg-query -S "$target" >/dev/null 2>&1; then
        dpkg-divert --quiet --local --no-rename --divert "$target.distrib" --add "$target" ||
            echo "note: an upgrade of the package that owns $target will replace it"
    fi
    put 644 "$source" "$target"
    sum "$target" >"$target.ours"
}

anew()
{
    if [ -e "$2.ours" ] && [ -e "$2" ] && ! ours "$2"; then
        rm -f "$2.distrib"
    fi
    over "$@"
}

back()
{
    target=$1
    not_a_package "$target"
    if [ -e "$target.distrib" ]; then
        mv -f "$target.distrib" "$target"
        echo "put the distribution's $target back"
    elif ours "$target"; then
        rm -f "$target"
    fi
    if [ -e "$target.ours" ] && dpkg_is_here && [ "$(dpkg-divert --truename "$target")" = "$target.distrib" ]; then
        dpkg-divert --quiet --local --no-rename --remove "$target"
    fi
    rm -f "$target.ours"
}

action=$1
shift
case $action in
put) put "$@" ;;
over) over "$@" ;;
anew) anew "$@" ;;
back) back "$@" ;;
*)
    echo "place.sh: put, over, anew or back, not $action" >&2
    exit 2
    ;;
esac

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Tests configure, make, make install and make uninstall: in a copy of the tree and into a staging folder, so nothing
# of the machine changes. The build itself happens here and in CARGO_TARGET_DIR (default: target), where what is
# built already is not built again. The last line says "N passed, N failed".
# shellcheck disable=SC2016,SC2317 # functions and quoted commands are run by `check`
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
real_cargo=$(PATH=$PATH:$HOME/.cargo/bin command -v "${CARGO:-cargo}") || real_cargo=/nonexistent/cargo
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
unset CARGO CARGO_TARGET_DIR CARGOFLAGS DESTDIR MAKEFLAGS MFLAGS MAKELEVEL

# shellcheck source=tests/check.sh
. "$root/tests/check.sh"

# is FILE MODE EXPECTED: the same bytes, and the mode.
is()
{
    stat -c '%n has mode %a' "$1"
    [ "$(stat -c %a "$1")" = "$2" ] && cmp "$1" "$3"
}

# ---------------------------------------------------------------------------------------------------------------
# A copy of the tree, and a cargo that builds the original: cargo takes the same sources in another folder for new
# ones. It keeps a list of its calls.

mkdir "$tmp/src"
tar -C "$root" -cf - --exclude=./.git --exclude=./target --exclude=./build-aux --exclude=./autom4te.cache \
    --exclude=./aclocal.m4 --exclude=./configure --exclude=./config.log --exclude=./config.status \
    --exclude=./Makefile --exclude=./Makefile.in . | tar -C "$tmp/src" -xf -
cat >"$tmp/cargo" <<END
#!/bin/sh
[ "\$1" = --version ] || echo "\$*" >>'$tmp/calls'
[ "\$1" = clean ] || cd '$root'
exec '$real_cargo' "\$@"
END
chmod +x "$tmp/cargo"
: >"$tmp/calls"
calls()
{
    [ "$(grep -c '^build' "$tmp/calls")" -eq "$1" ]
}

cd "$tmp/src" || exit 2
check 'autoreconf makes configure' autoreconf -i || finish

# ---------------------------------------------------------------------------------------------------------------
# configure stops where something is missing, and says what.

# refused WORD... -- ARGUMENT...: configure, run with the arguments (after env), fails and says the words.
refused()
{
    local words=()
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    rm -rf "$tmp/refused"
    mkdir "$tmp/refused"
    if (cd "$tmp/refused" && env "$@") >"$tmp/said" 2>&1; then
        echo 'configure went through'
        return 1
    fi
    says "${words[@]}" && absent "$tmp/refused/Makefile"
}
configure=$tmp/src/configure
rust_version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)

# All commands of PATH but cargo.
mkdir "$tmp/bin"
IFS=: read -ra folders <<<"$PATH"
for folder in "${folders[@]}"; do
    find -L "$folder" -maxdepth 1 -type f ! -name 'cargo*' ! -name 'rust*' -exec ln -s -t "$tmp/bin" {} + 2>/dev/null
done
cat >"$tmp/old-cargo" <<'END'
#!/bin/sh
echo 'cargo 1.65.0 (4bc8f24d3 2022-10-20)'
END
cat >"$tmp/cc" <<'END'
#!/bin/sh
case " $* " in *' -lglusterfs '*) exit 1 ;; esac
exec cc "$@"
END
cat >"$tmp/cc-of-9" <<'END'
#!/bin/sh
case " $* " in *' -E -P '*) echo 'cloudsync_probe 90000' && exit ;; esac
exec cc "$@"
END
cat >"$tmp/cc-without-a-function" <<'END'
#!/bin/sh
case " $* " in *' -fno-builtin '*) echo "undefined reference to \`dict_get_uint64'" >&2 && exit 1 ;; esac
exec cc "$@"
END
chmod +x "$tmp/old-cargo" "$tmp"/cc*

check 'configure without cargo names it and rustup' \
    refused 'cargo, the build tool of Rust' "$rust_version or newer" https://rustup.rs \
    -- HOME="$tmp" PATH="$tmp/bin" "$configure"
check 'configure with an old cargo says how old it is' \
    refused 'is of 1.65.0' "Rust $rust_version or newer" https://rustup.rs -- CARGO="$tmp/old-cargo" "$configure"
check 'configure without a C compiler names gcc' \
    refused 'a C compiler' 'apt-get install gcc' -- CARGO="$tmp/cargo" CC=/nonexistent/cc "$configure"
check "configure without GlusterFS's headers names libglusterfs-dev" \
    refused 'the headers of GlusterFS' libglusterfs-dev -- CARGO="$tmp/cargo" \
    CLOUDSYNC_GF_CPPFLAGS=-nostdinc "$configure"
check "configure with headers that do not compile says so" \
    refused 'headers of GlusterFS that compile' 'config.log' -- CARGO="$tmp/cargo" \
    CLOUDSYNC_GF_CPPFLAGS=-UGF_LINUX_HOST_OS "$configure"
check 'configure without libglusterfs names it' \
    refused 'the library libglusterfs.so' libglusterfs-dev -- CARGO="$tmp/cargo" CC="$tmp/cc" "$configure"
check 'configure with the headers of an unknown version names it' \
    refused 'the unknown version 9' 'CLOUDSYNC_UNTESTED_GLUSTERFS=1' -- CARGO="$tmp/cargo" CC="$tmp/cc-of-9" "$configure"
check 'configure names a function that libglusterfs lacks' \
    refused 'a libglusterfs with these functions: dict_get_uint64' -- CARGO="$tmp/cargo" \
    CC="$tmp/cc-without-a-function" "$configure"
check 'configure without libclang names it and LIBCLANG_PATH' \
    refused 'a libclang that can read C headers in LIBCLANG_PATH=/nonexistent' libclang-dev -- \
    CARGO="$tmp/cargo" LIBCLANG_PATH=/nonexistent "$configure"
check 'configure without glusterfs names it and --with-xlatordir' \
    refused 'the program glusterfs' glusterfs-client --with-xlatordir -- CARGO="$tmp/cargo" \
    GLUSTERFS=/nonexistent/glusterfs "$configure"
check 'configure with --with-xlatordir that does not exist says so' \
    refused 'the folder /nonexistent/features' -- CARGO="$tmp/cargo" "$configure" --with-xlatordir=/nonexistent
check 'configure with a relative --with-xlatordir says so' \
    refused 'an absolute path' -- CARGO="$tmp/cargo" "$configure" --with-xlatordir=lib/xlator
check 'configure names all that is missing at once' \
    refused 'cargo, the build tool' libclang-dev glusterfs-client -- HOME="$tmp" PATH="$tmp/bin" \
    LIBCLANG_PATH=/nonexistent GLUSTERFS=/nonexistent/glusterfs "$configure"

# ---------------------------------------------------------------------------------------------------------------
# The usual way: configure, make, make install in the tree, over the distribution's translator.

check 'configure' run ./configure --prefix=/usr CARGO="$tmp/cargo" CARGO_TARGET_DIR="$target" || finish
check 'make' run make || finish
check 'a second make does not call cargo' eval 'run make && calls 1'
touch src/lib.rs
check 'make calls cargo after a source changed' eval 'run make && calls 2'

xlatordir=$(sed -n 's/^xlatordir = //p' Makefile)
pluginsdir=$(sed -n 's/^pluginsdir = //p' Makefile)
read -ra plugins < <(sed -n 's/^plugins = *//p' Makefile)
read -ra programs < <(sed -n 's/^programs = *//p' Makefile)
artifacts=$target/release
export DESTDIR=$tmp/stage
so=$DESTDIR$xlatordir/features/cloudsync.so
plugin_dir=$DESTDIR$pluginsdir
header=$DESTDIR/usr/include/cloudsync/cloudsync-common.h
pc=$DESTDIR/usr/lib/pkgconfig/cloudsync.pc
hooks=("$DESTDIR"/var/lib/glusterd/hooks/1/{set,reset}/post/S30cloudsync.sh)
check 'the plugin folder is next to the translators' [ "$pluginsdir" = "${xlatordir%/*}/cloudsync-plugins" ]

# A fake distribution: its translator, and a plugin of its own.
distribution()
{
    rm -rf "$DESTDIR"
    mkdir -p "${so%/*}" "$plugin_dir"
    echo "the distribution's plugin" >"$plugin_dir/cloudsynccvlt.so"
    cp "$tmp/original" "$so"
    chmod 640 "$so"
    touch -d '2023-05-24 12:00' "$so"
}
head -c 100000 /dev/urandom >"$tmp/original"

# The distribution's translator is in its place, as it was, with nothing of ours around it.
untouched()
{
    is "$so" 640 "$tmp/original" && [ "$(stat -c %y "$so" | cut -c 1-16)" = '2023-05-24 12:00' ] &&
        [ "$(ls -A "${so%/*}")" = cloudsync.so ] && [ "$(ls -A "$plugin_dir")" = cloudsynccvlt.so ]
}

# All that make install installs is in its place, and nothing else but what is named.
complete()
{
    local file expected
    is "$so" 644 "$artifacts/libcloudsync.so" || return
    is "$header" 644 "$root/include/cloudsync-common.h" || return
    is "$pc" 644 cloudsync.pc || return
    for file in "${plugins[@]}"; do
        is "$plugin_dir/$file" 644 "$artifacts/$file" || return
    done
    for file in ${programs[@]+"${programs[@]}"}; do
        is "$DESTDIR/usr/sbin/$file" 755 "$artifacts/$file" || return
    done
    for file in "${hooks[@]}"; do
        is "$file" 755 packaging/hooks/S30cloudsync.sh || return
    done
    expected=$(printf '%s\n' "$@" cloudsync.so cloudsync.so.ours | sort)
    [ "$(ls -A "${so%/*}")" = "$expected" ] || {
        ls -A "${so%/*}"
        return 1
    }
}

distribution
check 'make uninstall without an install changes nothing' eval 'run make uninstall && untouched'
exec 8<"$so"
check 'make install' run make install
check 'make install says what to restart' says 'systemctl restart glusterd' 'unmount'
check 'every file is in its place with its mode' complete cloudsync.so.distrib

# A hook that calls what does not exist there ends well, and glusterd goes on.
check 'the hook names the program that is installed' eval \
    'sh -n "${hooks[0]}" && (. <(sed "/^volume=/,\$d" "${hooks[0]}") && [ "$program" = /usr/sbin/cloudsync ])'
check 'the hook succeeds without the program' eval \
    'sed "s,^program=.*,program=/nonexistent," "${hooks[0]}" >"$tmp/hook" && sh "$tmp/hook" --volname=v -o features.cloudsync=off'

# What a plugin's author has: the installed header, found by pkg-config, and a Makefile. PKG_CONFIG_SYSROOT_DIR is for
# the staging folder only; it moves the folders of headers and not our variable.
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$DESTDIR
cp -R "$root/tests/plugin-c" "$tmp/plugin-c"
check 'cloudsync.pc names the plugin folder and the version' eval \
    '[ "$(pkg-config --variable=pluginsdir cloudsync)" = "$pluginsdir" ] && grep -qFx "Version: $(sed -n "s/^PACKAGE_VERSION = //p" Makefile)" "$pc"'
check 'plugins in C build against the installed header' run make -C "$tmp/plugin-c"
check 'and are installed where the translator looks' eval \
    'run make -C "$tmp/plugin-c" install && cmp "$tmp/plugin-c/libshelf.so" "$plugin_dir/libshelf.so" &&
        rm "$plugin_dir/libshelf.so" "$plugin_dir/libstock.so"'
echo '#include <cloudsync-common.h>' >"$tmp/alone.c"
cp "$tmp/alone.c" "$tmp/alone.cc"
check 'the header compiles by itself, in C11' \
    cc -std=c11 -Wall -Wextra -Werror -fsyntax-only -I "${header%/*}" "$tmp/alone.c"
check 'and in C++' c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I "${header%/*}" "$tmp/alone.cc"
unset PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR

check "the distribution's translator is kept" is "$so.distrib" 640 "$tmp/original"
check 'a process that has it mapped keeps its bytes' cmp /dev/fd/8 "$tmp/original"
exec 8<&-

exec 8<"$so"
check 'a second make install' run make install
check 'every file is in its place with its mode, again' complete cloudsync.so.distrib
check 'the kept file is still the original' is "$so.distrib" 640 "$tmp/original"
check 'a process that has ours mapped keeps its bytes' cmp /dev/fd/8 "$artifacts/libcloudsync.so"
exec 8<&-

echo 'an older build of ours' >"$tmp/older"
check 'make install over an older build of ours' eval \
    './scripts/place.sh over "$tmp/older" "$so" && run make install && complete cloudsync.so.distrib'
check 'the kept file is the original after that, too' is "$so.distrib" 640 "$tmp/original"

echo 'from who knows where' >"$so.new"
mv "$so.new" "$so"
check 'make install over a file from elsewhere says so' eval 'run make install && says "came from elsewhere"'
check 'the kept file is the original even then' is "$so.distrib" 640 "$tmp/original"

umask 077
check 'make uninstall' run make uninstall
umask 022
check 'the original is back, byte for byte, and nothing of ours is left' untouched
check 'our header and its folder are gone' absent "$header" "${header%/*}" "$pc"
check 'the hooks of glusterd are gone' absent "${hooks[@]}"
check 'a second make uninstall changes nothing' eval 'run make uninstall && untouched'
check 'a file under our name that is not ours survives make uninstall' eval \
    'rm "$so" && echo x >"$so" && run make uninstall && [ -e "$so" ]'

check 'make clean leaves a given target folder alone' eval \
    'run make clean && says "is left alone" && [ -e "$artifacts/libcloudsync.so" ]'
version=$(sed -n 's/^PACKAGE_VERSION = //p' Makefile)
check 'the version is that of Cargo.toml' grep -qFx "version = \"$version\"" Cargo.toml
check 'make dist' run make dist
check 'its archive has what a build needs' eval \
    'tar -tf cloudsync-$version.tar.gz >"$tmp/said" && says /configure /Cargo.lock /src/lib.rs /build.rs \
        /include/cloudsync-common.h /scripts/place.sh /scripts/package.sh /packaging/debian/rules \
        /packaging/rpm/cloudsync.spec /CHANGELOG.md /crates/gluster-build/src/lib.rs /COPYING /LICENSES/ /tests/install.sh'
check 'make distclean' eval 'run make distclean && absent Makefile config.status'

# ---------------------------------------------------------------------------------------------------------------
# In a build folder of its own, where the distribution has no translator, and with a narrow umask.

mkdir "$tmp/build"
cd "$tmp/build" || exit 2
check 'configure in a build folder' run ../src/configure --prefix=/usr CARGO="$tmp/cargo" CARGO_TARGET_DIR="$target"
check 'make there' run make
rm -rf "$DESTDIR"
umask 077
check 'make install without a translator of the distribution' run make install
umask 022
check 'every file is in its place, and nothing is kept' complete
check 'all users can read the folders' [ "$(stat -c %a "${so%/*}" "$plugin_dir" "${header%/*}" | sort -u)" = 755 ]
check 'a second install keeps nothing either' eval 'run make install && complete'
check 'make uninstall leaves no file' eval 'run make uninstall && [ -z "$(find "$DESTDIR" -type f)" ]'
check 'a file that cannot be copied leaves nothing in its place' eval \
    '! ../src/scripts/place.sh put 644 "$tmp/nothing" "$DESTDIR/a/b" && absent "$DESTDIR/a/b" "$DESTDIR/a/b.new"'

check 'configure with --with-xlatordir' eval \
    'mkdir -p "$tmp/gluster/xlator/features" && run ../src/configure CARGO="$tmp/cargo" --with-xlatordir="$tmp/gluster/xlator/" &&
        grep -qFx "xlatordir = $tmp/gluster/xlator" Makefile && grep -qFx "pluginsdir = $tmp/gluster/cloudsync-plugins" Makefile'
mkdir target
echo 'Signature: 8a477f597d28d172789f06886806bc55' >target/CACHEDIR.TAG
check 'make clean empties a target folder of our own' eval 'run make clean && absent target'
finish

# SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
# Runs outside the lab: starts it, ends it when its owner ends, and removes its directory.
# Arguments: DIR OWNER-PID INSIDE-SCRIPT GLUSTER-TREE RAM KEEP-LOGS-IN. Standard input is a pipe
# whose other end only the owner holds: end of file means that the owner has ended.
dir=$1 owner=$2 inside=$3 tree=$4 ram=$5 keep=$6
exec 9>"$dir/lock" && flock -w 10 9 || exit 1

# Each process dies with its parent: supervisor, unshare, the lab's pid 1, everything in the lab.
setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --propagation private \
    bash -c "$inside" lab "$dir" "$tree" "$ram" </dev/null 9>&- &
space=$!

# True if the owner has a SIGKILL pending or is a zombie. End of file alone does not suffice: a
# thread of the owner that hangs in a FUSE call keeps the pipe open.
owner_is_dying() {
    local key value
    while read -r key value _; do
        case $key in
        State:) [[ $value == [ZX] ]] && return 0 ;;
        SigPnd: | ShdPnd:) ((16#$value & 16#100)) && return 0 ;;
        esac
    done 2>/dev/null <"/proc/$owner/status"
    return 1
}

while :; do
    read -r -t 1
    (($? <= 128)) && break
    kill -0 "$space" 2>/dev/null || break
    owner_is_dying && break
done

# An owner that exits immediately may be faster than the lab's pid 1.
for ((tries = 0; tries < 300; tries++)); do
    { read -r holder <"$dir/holder"; } 2>/dev/null && break
    kill -0 "$space" 2>/dev/null || break
    sleep 0.1
done
if [[ -n $keep && -n $holder ]]; then
    mkdir -p "$keep/${dir##*/}" && ram=/proc/$holder/root$dir/ram &&
        timeout 20 cp -a "$ram/log" "$ram"/store/*.log "$keep/${dir##*/}/" 2>/dev/null
fi
# unshare returns when its child, the lab's pid 1, has been reaped. Every process in the lab has
# ended by then, and the holder's pid may have been reused.
kill -0 "$space" 2>/dev/null && kill -KILL "${holder:-$space}" 2>/dev/null
wait "$space"
rm -rf --one-file-system "$dir"

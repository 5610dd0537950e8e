#!/bin/bash
# `make install` and `make uninstall`: what is put where, whether systemd takes
# it, and that nothing is left of it.
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"
top=$(cd "$(dirname "$0")/../.." && pwd)
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"; exit "$(tap_status $?)"' EXIT

install_make() { # TARGET VARIABLE...
    make --no-print-directory -s -C "$top" PROFILE="$(basename "$BUILD")" "$@" 2>&1
}
tree() { find "$1" -printf '%y %m %P\n' | sort; }

# What every system has, and somebody else's drop-in.
units=$prefix/lib/systemd/system
mkdir -p "$prefix"/{bin,lib/tmpfiles.d,share/man/man8,share/doc} "$units/containerd.service.d"
echo '[Service]' >"$units/containerd.service.d/20-other.conf"
tree "$prefix" >"$prefix.before"

ok "it installs" install_make install PREFIX="$prefix"
is "the program runs" "$("$prefix/bin/containerd-recover" --version)" "$(containerd-recover --version)"
is "nobody but root may write to any of it" "$(find "$prefix" -mindepth 1 ! -type l -perm /022)" ""
is "no placeholder is left" "$(grep -rlE '@[a-z]+@' "$prefix/lib")" ""
is "every command named is the installed one" \
    "$(grep -rhoE '[^ =+-]*/containerd-recover (preflight|record|probe|finish|purge|sweep|guard)' "$prefix/lib" |
        cut -d' ' -f1 | sort -u)" "$prefix/bin/containerd-recover"
mapfile -t ours < <(find "$units" -maxdepth 1 -name 'containerd-recover*' | sort)
ok "there are units" test "${#ours[@]}" -ge 4
is "systemd-analyze verify has nothing against them" \
    "$(SYSTEMD_UNIT_PATH=$units: systemd-analyze verify --man=no "${ours[@]}" 2>&1 | grep containerd-recover)" ""
is "nor against containerd.service with the drop-in" \
    "$(SYSTEMD_UNIT_PATH=$units: systemd-analyze verify --man=no containerd.service 2>&1 | grep containerd-recover)" ""
printf '[Service]\nExecStart=/nonexistent/containerd-recover\n' >"$prefix/zz.service"
fails "it would find a mistake" systemd-analyze verify --man=no "$prefix/zz.service"
rm -f "$prefix/zz.service"

ok "it uninstalls" install_make uninstall PREFIX="$prefix"
is "nothing is left of it, and all else is there" "$(tree "$prefix")" "$(cat "$prefix.before")"
rm "$prefix.before"

dest=$prefix/dest
ok "it installs below DESTDIR" install_make install DESTDIR="$dest"
is "with paths that are right once it is in place" \
    "$(grep -rh '^ExecStartPre=' "$dest/usr/lib" | grep -o '/[^ ]*containerd-recover preflight')" "/usr/bin/containerd-recover preflight"
ok "and the runbook" test -s "$dest/usr/share/doc/containerd-recover/RUNBOOK.md"
ok "it uninstalls there" install_make uninstall DESTDIR="$dest"
is "no file is left" "$(find "$dest" ! -type d)" ""
tap_done

#!/bin/bash
# matrix.sh BUILD: the story of the incident on the containerd of other Debians,
# on roots made by debootstrap and kept in tests/node/cache.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$PWD/${1:?}
export BUILD
suites=(trixie sid) # containerd 1.7 and 2.1
tests=(crash-loop degraded bloat restore now bolt-agreement)
cache=tests/node/cache
packages=(
    systemd systemd-sysv dbus containerd runc containernetworking-plugins iproute2 iptables nftables
    libjansson4 libmnl0 libbsd0 libinih1 libmount1 libarchive13t64 libcurl4t64 procps
)
failed=0

# Where this machine's own packages come from.
# shellcheck disable=SC2016
mirror() { apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1; }

make_root() { # SUITE
    local root=$cache/$1 include
    [ -e "$root/.complete" ] && return
    echo "$1: debootstrap"
    rm -rf "$root"
    mkdir -p "$root"
    include=$(IFS=,; echo "${packages[*]}")
    debootstrap --variant=minbase --include="$include" "$1" "$root" "$(mirror)" >"$root.log" 2>&1 ||
        { tail -n 20 "$root.log"; return 1; }
    rm -rf "$root"/var/cache/apt/archives/*.deb
    touch "$root/.complete"
}

[ "$(id -u)" = 0 ] || { echo "the matrix needs root" >&2; exit 1; }
tests/install-packages
for suite in "${suites[@]}"; do
    make_root "$suite" || { failed=1 && continue; }
    chroot "$cache/$suite" containerd --version | awk -v suite="$suite" '{ print suite ": containerd " $3 }'
    for name in "${tests[@]}"; do
        log=$BUILD/test-logs/$suite-$name.log
        mkdir -p "${log%/*}"
        if NODE_LOWER=$PWD/$cache/$suite timeout 600 "tests/node/$name.t" >"$log" 2>&1; then
            printf '%-40s %3d ok\n' "$suite/$name" "$(grep -c ^ok "$log")"
        else
            failed=1
            printf '%-40s failed; %s:\n' "$suite/$name" "$log"
            grep -A 8 '^not ok' "$log" || tail -n 20 "$log"
        fi
    done
done
exit $failed

#!/bin/bash
# What the bolt reader says of damaged databases, and what a real containerd does
# with them: it may not call sound what containerd exits, hangs or is degraded
# on, nor damaged what containerd lives with. AGREEMENT_EVERY=1 takes every page
# of both databases instead of every third.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

node_prepare agree
node_boot
pods=$(node_pods a 4)
node_cri start "$(awk 'NR == 1 { print $1 }' <<<"$pods")" test.local/volume:1 /pause >/dev/null
node_run systemctl stop containerd
cp -a "$NODE/varlib/containerd" "$NODE/base"
mkdir "$NODE/copies"

# containerd is the node's, in namespaces of its own.
# shellcheck disable=SC2016
unshare --mount --net --pid --fork --kill-child --mount-proc \
    bash -c 'set -e
        ip link set lo up
        mkdir -p "$1/root/$1/copies"
        mount --bind "$1/copies" "$1/root/$1/copies"
        mount -t tmpfs tmpfs "$1/root/run"
        mount -t proc proc "$1/root/proc"
        mount --rbind /sys "$1/root/sys"
        mount --rbind /dev "$1/root/dev"
        shift
        exec "$@"' sh "$NODE" \
    env TMPDIR="$NODE/copies" /usr/bin/python3 -B "$node_helpers/bolt_agreement.py" \
    --every "${AGREEMENT_EVERY:-3}" --chroot "$NODE/root" ${AGREEMENT_LOGS:+--keep "$AGREEMENT_LOGS"} \
    "$NODE/base" "$BUILD/tests/helpers/bolt-verdict" \
    >"$NODE/agreement" 2>"$NODE/errors"
is "the comparison ran" "$?$(cat "$NODE/errors")" 0

diag "verdict	containerd	cases"
diag "$(awk -F'\t' '$1 == "table" { printf "%s\t%s\t%s\n", $2, $3, $4 }' "$NODE/agreement")"

# pick OUTCOMES VERDICT: the cases of both. Without the newer meta page the last
# transaction is gone, which no reader can see, and containerd may stumble over
# a directory that it made.
pick() {
    awk -F'\t' -v outcome="^($1)$" -v verdict="$2" \
        '$1 ~ outcome && $2 == verdict && $5 != "meta-newest" { print $4 " " $5 ": " $1 " " $6 }' \
        "$NODE/agreement"
}

is "nothing that stops containerd is sound" "$(pick 'exit|hang|degraded' sound)" ""
is "nothing is lost from what is sound" "$(pick lost sound)" ""
# Shorter than the high-water mark by what nobody reads.
is "nothing is damaged that containerd lives with" "$(pick fine damaged | grep -v ' cut-1-byte:')" ""
ok "there were cases of each" test "$(pick fine sound | wc -l)" -ge 5 -a "$(pick exit damaged | wc -l)" -ge 20 \
    -a "$(pick 'hang|degraded' damaged | wc -l)" -ge 10
tap_done

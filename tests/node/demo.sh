#!/bin/bash
# demo.sh BUILD: on a throw-away node, forty pods, a containerd that crashes for
# ever, its recovery, and forty new pods. Leaves nothing behind.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$PWD/${1:?}
started=$EPOCHREALTIME

tell() { printf '\033[1m%6.1f s\033[0m  %s\n' "$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')" "$*"; }
show() { sed 's/^/            /'; }
give_up() { tell "FAILED: $*"; exit 1; }

[ "$(id -u)" = 0 ] || { echo "the demo needs root: sudo make demo" >&2; exit 1; }
[ -t 1 ] || tell() { printf '%6.1f s  %s\n' "$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')" "$*"; }

tell "Debian packages and the build"
tests/install-packages || give_up "packages"
make --no-print-directory -s PROFILE="$(basename "$BUILD")" all helpers >/dev/null || give_up "build"

# shellcheck source=tests/node/lib.sh
. tests/node/lib.sh

pods() { # PREFIX
    node_pods "$1" 40 >"$NODE/pods-$1" || give_up "pods"
    sort -t . -k 4n "$NODE/pods-$1" | awk 'NR == 1 { first = $3 } END { print NR " pods, " first " to " $3 }'
}

table() { # what is left of the old pods, beside what there is now
    join <(node_census --left-of "$NODE/before") <(node_census) | join "$NODE/counts" - |
        awk 'BEGIN { printf "%-14s %7s %9s %8s\n", "", "before", "of these", "now" }
             $1 ~ /^(shims|containers|overlays|shms|netns|veths|reservations|cache|rules|sockets|bundles)$/ {
                 printf "%-14s %7d %9d %8d\n", $1, $2, $3, $4 }'
}

tell "a node: systemd, containerd and CNI in a container, a /26 for its pods"
node_prepare demo
node_install
node_boot
node_ready || give_up "containerd does not answer"
node_run sh -c 'systemctl --version | head -n 1; containerd --version; runc --version | head -n 1' | show

tell "forty pods"
pods old | show
node_census --save "$NODE/before" >"$NODE/counts"

tell "a page of containerd's database is lost, and containerd with it"
tell "(our tool is on hold, so that there is something to see)"
node_run touch /var/lib/containerd-recover/hold
node_damage root-zero
node_crash
loops() { [ "$(node_log -u containerd | grep -c '^panic:')" -ge 3 ]; }
node_until 60 loops || give_up "no crash loop"
tell "a crash loop: the unit restarts it every five seconds, for ever"
node_run journalctl -u containerd --no-pager -o short-iso --no-hostname |
    grep -E 'panic:|Main process exited|restart counter' | tail -n 6 | cut -c 1-110 | show

tell "what the tool thinks of it: containerd-recover plan"
node_run containerd-recover plan | show

tell "the hold is taken away; the next start is in at most five seconds"
node_run rm /var/lib/containerd-recover/hold
released=$EPOCHREALTIME
node_ready 60 || give_up "no recovery"
tell "containerd answers CRI again, $(node_since "$released") s later"
node_log -t containerd-recover | tail -n 2 | fold -s -w 100 | show

tell "forty new pods"
pods new | show
node_until 30 node_nothing_left_of "$NODE/before" || give_up "something of the old pods is left"
tell "what the old pods had, what is left of it, and what there is now"
table | show

tell "containerd-recover status"
node_run containerd-recover status | show
tap_finished=yes
node_end "$NODE"
node_all=()
tell "done; nothing is left of the node"

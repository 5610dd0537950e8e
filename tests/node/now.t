#!/bin/bash
# `now`: a fresh root by hand, on a healthy, a hung and a crash-looping
# containerd.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

now() { # STATE
    local said
    said=$(node_run containerd-recover now --yes 2>&1)
    is "$1: it succeeds" $? 0
    like "$1: it tells each stage's time" "$said" "[0-9] m?s"
    diag "$said"
    ok "$1: containerd answers CRI" node_ready 20
    ok "$1: two new pods" node_pods new 2
    ok "$1: nothing of the old pods is left" node_until 30 node_nothing_left_of "$NODE/before"
    is "$1: the node has what two pods have" "$(node_census)" "$(cat "$NODE/counts")"
    node_remove_pods
    node_forget
}

is_starting() { [ "$(node_property MainPID)" -gt 0 ]; }

pods() {
    node_ready
    ok "$1: two pods" node_pods old 2
    node_census --save "$NODE/before" >"$NODE/counts"
}

node_prepare now
node_install
node_fast_restarts
node_boot

pods healthy
now healthy

pods hung
node_run kill -STOP "$(node_property MainPID)"
now hung

pods "hung before READY"
node_unit timeout 'TimeoutStartSec=60'
node_run systemctl stop containerd
node_hold holder "$node_data/io.containerd.metadata.v1.bolt/meta.db"
node_run systemctl start --no-block containerd
node_until 20 is_starting
fails "locked out: now refuses while somebody else holds meta.db" node_run containerd-recover now --yes
is "locked out: no quarantine" "$(node_quarantines)" ""
node_run systemctl stop holder
now "hung before READY"

pods crash-looping
node_policy '[quarantine]' 'automatic = no'
node_damage data-zero
node_crash
loops() { [ "$(node_property NRestarts)" -gt 3 ]; }
node_until 60 loops
now crash-looping
tap_done

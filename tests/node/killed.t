#!/bin/bash
# preflight and restore killed by SIGKILL right after each step they record:
# containerd starts all the same, and the next run brings the node to the state
# that an undisturbed one would have. Nothing of the old root is lost.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

# killed_at N COMMAND...: true if step N was reached.
killed_at() {
    node_run CONTAINERD_RECOVER_FAULT="$1" containerd-recover "${@:2}" >"$NODE/said" 2>&1
    [ $? -eq 137 ]
}

pods_then_damage() {
    node_ready && node_pods old 2 || return
    node_census --save "$NODE/before" >"$NODE/counts"
    node_run systemctl stop containerd
    node_damage root-zero
    node_tree "$node_data" >"$NODE/tree"
}

# containerd itself, once started, removes the work directories of tasks that
# are gone.
own() { grep -v 'runtime.v2.task/k8s.io/'; }

# What each case must end in.
recovered() {
    node_ready 20 || return
    node_pods new 2 || return
    node_until 20 node_nothing_left_of "$NODE/before" ||
        { node_census --names --left-of "$NODE/before"; return 1; }
    diff <(node_census) "$NODE/counts" || return
    diff <(node_tree "$(node_quarantine)/root") "$NODE/tree"
}

next_case() {
    node_remove_pods
    node_forget
}

every_step_of_preflight() { # KIND OF ROOT
    local n
    for ((n = 1; n < 100; n++)); do
        ok "$1: two pods and a damaged meta.db" pods_then_damage
        if ! killed_at "$n" preflight; then
            diag "$1: preflight records $((n - 1)) steps"
            break
        fi
        node_run systemctl start --no-block containerd
        ok "$1: killed after step $n, the next start makes good" recovered
        next_case
    done
    ok "$1: more than one step was tried" test "$n" -gt 3
    node_run systemctl start containerd
    ok "$1: and undisturbed it ends the same" recovered
}

# Between the records, too.
any_instant() {
    local msec
    for msec in 5 15 25 40 60 80 110; do
        next_case
        ok "two pods and a damaged meta.db" pods_then_damage
        node_run timeout --signal=KILL "0.$(printf %03d "$msec")" containerd-recover preflight >/dev/null 2>&1
        node_run systemctl start --no-block containerd
        ok "killed after $msec ms, the next start makes good" recovered
    done
}

every_step_of_restore() {
    local n id
    for ((n = 1; n < 100; n++)); do
        next_case
        ok "two pods and a damaged meta.db" pods_then_damage
        node_run systemctl start containerd
        ok "a quarantine to put back" recovered
        node_run systemctl stop containerd
        id=$(basename "$(node_quarantine)")
        killed_at "$n" restore --yes "$id" || break
        ok "killed after step $n, restore succeeds when run again" node_run containerd-recover restore --yes "$id"
        is "and the tree is the same, inode for inode" "$(node_tree "$node_data" | own)" "$(own <"$NODE/tree")"
        node_run systemctl stop containerd
        node_run rm -rf "$node_data"
    done
    ok "more than one step of restore was tried" test "$n" -gt 2
}

node_prepare killed
node_install
node_fast_restarts
node_boot
every_step_of_preflight "root as a directory"
any_instant
every_step_of_restore
node_run systemctl stop containerd
node_run mkdir -p "$node_data"
device=$(node_disk root ext4 200)
node_run mount "$device" "$node_data"
node_forget
node_run systemctl start containerd
every_step_of_preflight "root as a mount point"
tap_done

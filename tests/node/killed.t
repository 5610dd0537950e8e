#!/bin/bash
# preflight and restore killed by SIGKILL right after each step they record, and
# preflight at any other instant: containerd starts all the same, and the next
# run brings the node to the state that an undisturbed one would have. Nothing
# of the old root is lost.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

# killed_at N COMMAND...: true if step N was reached.
killed_at() {
    node_run CONTAINERD_RECOVER_FAULT="$1" containerd-recover "${@:2}" >"$NODE/said" 2>&1
    [ $? -eq 137 ]
}

pods_then_damage() {
    node_ready && node_pods old 2 >/dev/null || return
    node_census --save "$NODE/before" >"$NODE/counts"
    node_run systemctl stop containerd
    node_damage root-zero
    node_tree "$node_data" >"$NODE/tree"
}

# containerd itself, once started, removes the work directories of tasks that
# are gone.
own() { grep -vE 'containers/[0-9a-f]*/status$|runtime.v2.task/k8s.io/'; }

# What each case must end in.
recovered() {
    node_ready 20 || return
    node_pods new 2 >/dev/null || return
    node_until 20 node_nothing_left_of "$NODE/before" ||
        { node_census --names --left-of "$NODE/before"; return 1; }
    diff <(node_census) "$NODE/counts" || return
    diff <(node_tree "$(node_quarantine)/root") "$NODE/tree"
}

fresh_node() { # with the root on a disk of its own, if that is said
    if [ -n "${NODE:-}" ]; then
        node_end "$NODE"
        node_all=()
    fi
    node_prepare killed
    node_install
    # With it containerd runs before the next run; now.t has that.
    rm "$NODE/root/usr/lib/systemd/system/containerd-recover-guard@.service"
    node_fast_restarts
    node_boot
    if [ "$kind" = "a mount point" ]; then
        node_run systemctl stop containerd
        node_run mount "$(node_disk root ext4 200)" "$node_data"
        node_run systemctl start containerd
    fi
}

# What a failed case left must not fail the next one.
next_case() { # FAILURES BEFORE
    if [ "$tap_failed" -gt "$1" ]; then
        node_show_logs
        fresh_node
    else
        node_remove_pods
        node_forget
    fi
}

every_step_of_preflight() {
    local n before
    for ((n = 1; n < 100; n++)); do
        before=$tap_failed
        pods_then_damage || ok "$kind: two pods, then a damaged meta.db" false
        if ! killed_at "$n" preflight; then
            diag "preflight recorded $((n - 1)) steps"
            break
        fi
        node_run systemctl start --no-block containerd
        ok "$kind: killed after step $n, the next start makes good" recovered
        next_case "$before"
    done
    ok "$kind: there were steps to be killed at" test "$n" -gt 8
    node_run systemctl start containerd
    ok "$kind: undisturbed it ends the same" recovered
    next_case "$before"
}

any_instant() {
    local msec before
    for msec in 005 010 015 020 025 030 040 050; do
        before=$tap_failed
        pods_then_damage || ok "$kind: two pods, then a damaged meta.db" false
        node_run timeout --signal=KILL "0.$msec" containerd-recover preflight >/dev/null 2>&1
        node_run systemctl start --no-block containerd
        ok "$kind: killed after 0.$msec s, the next start makes good" recovered
        next_case "$before"
    done
}

# The restored root, and with it CRI, knows the old pods, as stopped ones.
restored_pods_are_swept() { ! node_census --names --left-of "$NODE/before" | grep -vE '^(root|state)-pods '; }

every_step_of_restore() {
    local n id
    for ((n = 1; n < 100; n++)); do
        if ! node_ready || ! node_pods old 2 >/dev/null || ! node_collect_garbage; then
            ok "$kind: two pods, before a restore" false
        fi
        node_census --save "$NODE/before" >"$NODE/counts"
        node_run systemctl stop containerd
        node_tree "$node_data" >"$NODE/tree"
        node_run containerd-recover now --yes >"$NODE/said" 2>&1
        id=$(basename "$(node_quarantine)")
        killed_at "$n" restore --yes "$id" || break
        # Behind the last step all is done, and it says so.
        node_run containerd-recover restore --yes "$id" >"$NODE/said" 2>&1 ||
            like "$kind: restore killed after step $n, run again" "$(cat "$NODE/said")" "is restored already"
        node_run systemctl start containerd
        ok "$kind: restore killed after step $n and run again: containerd answers" node_ready
        is "$kind: and the old tree is back" "$(node_tree "$node_data" | own)" "$(own <"$NODE/tree")"
        ok "$kind: and nothing runs of its pods" node_until 20 restored_pods_are_swept
        fresh_node
    done
    ok "$kind: restore had steps to be killed at" test "$n" -gt 8
}

kind="a directory"
fresh_node
if ! grep -q CONTAINERD_RECOVER_FAULT "$BUILD/containerd-recover"; then
    skip "killed at every step" "this build has no fault points"
    tap_done
fi
every_step_of_preflight
any_instant
every_step_of_restore
kind="a mount point"
fresh_node
every_step_of_preflight
tap_done

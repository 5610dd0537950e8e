#!/bin/bash
# A bloat crash loop: 300,000 files in a work directory that no task owns, which
# containerd deletes before it says READY, and a start timeout they exceed. The
# policy believes deleting to cost next to nothing, so that the lower rung (see
# deletions.t) is out of the way.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

files=300000 sample=2000

# Milliseconds that COMMAND takes.
msec() {
    local start=${EPOCHREALTIME/./}
    "$@" >/dev/null
    echo $(((${EPOCHREALTIME/./} - start) / 1000))
}

restart() { node_run systemctl restart containerd; }

node_prepare bloat
node_own_disk 2500 -O has_journal -N 1200000
node_install
node_policy '[bloat]' 'entries = 20000' '[leftovers]' 'usec_per_entry = 1' 'start_percent = 100'
node_fast_restarts
node_boot
node_ready
node_pods old 3 >"$NODE/pods"
node_census --save "$NODE/before" >"$NODE/counts"

# Time enough for a healthy start, however slow the machine is, and not enough for
# three starts to delete half of the files, however fast: containerd gets on with
# its deleting in each of them.
timeout=$((1000 + 5 * $(msec restart)))
node_ready
node_slow_files "$(node_path "$node_data")/sample" "$sample"
per_sample=$(($(msec rm -r "$(node_path "$node_data")/sample") + 1))
least=$((2 * 3 * timeout * sample / per_sample))
[ "$files" -ge "$least" ] || files=$least
diag "a start may take $timeout ms; $files files take $((files * per_sample / sample)) ms"
node_unit timeout "TimeoutStartSec=${timeout}ms"
work=$(node_path "$node_data/io.containerd.runtime.v2.task/k8s.io/orphan")
node_slow_files "$work" "$files"

node_crash
ok "containerd answers CRI again" node_ready $((60 + timeout / 200))
is "after the third failed start" "$(node_log -u containerd | grep -c 'start operation timed out')" 3
ok "three new pods" node_pods new 3
ok "nothing of the old pods is left" node_until 30 node_nothing_left_of "$NODE/before"
is "the node has what three pods have, and no more" "$(node_census)" "$(cat "$NODE/counts")"
left=$(node_path "$(node_quarantine)/root/io.containerd.runtime.v2.task/k8s.io/orphan")
ok "the files are in quarantine" test "$(find "$left" -type f | wc -l)" -gt $((files / 4))
tap_done

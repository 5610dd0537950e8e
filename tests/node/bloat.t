#!/bin/bash
# A bloat crash loop: 300,000 files in a work directory that no task owns, which
# containerd deletes before it says READY, and a start timeout they exceed. The
# policy believes deleting to cost next to nothing, so that the lower rung (see
# deletions.t) is out of the way.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

node_prepare bloat
node_install
# containerd gets on with its deleting in each of the failed starts.
node_policy '[bloat]' 'entries = 20000' '[leftovers]' 'usec_per_entry = 1' 'start_percent = 100'
node_fast_restarts
node_unit timeout 'TimeoutStartSec=800ms'
node_boot
node_ready
node_pods old 3 >"$NODE/pods"
node_census --save "$NODE/before" >"$NODE/counts"
work=$(node_path "$node_data/io.containerd.runtime.v2.task/k8s.io/orphan")
"$BUILD/tests/helpers/filltree" "$work" 300000 100

node_crash
ok "containerd answers CRI again" node_ready 60
is "after the third failed start" "$(node_log -u containerd | grep -c 'start operation timed out')" 3
ok "three new pods" node_pods new 3
ok "nothing of the old pods is left" node_until 30 node_nothing_left_of "$NODE/before"
is "the node has what three pods have, and no more" "$(node_census)" "$(cat "$NODE/counts")"
ok "the files are in quarantine" test -d "$(node_path "$(node_quarantine)/root/io.containerd.runtime.v2.task/k8s.io/orphan")"
tap_done

#!/bin/bash
# Forty dead shims and one that hangs: a start longer than TimeoutStartSec=. Just
# their pods are ended; images, containers and the pods that live stay.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

shim_of() { node_run pgrep -f "containerd-shim-runc-v2 -namespace k8s.io -id $1"; }
ids_of() { node_cri list | awk -v prefix="$1" 'index($2, prefix) == 1 { print $1 }'; }
records() { node_run ctr -n k8s.io containers list -q | sort; }
images() { node_run ctr -n k8s.io images list -q | sort; }
living() { # PREFIX: shim and first process of each of its pods
    local id
    for id in $(ids_of "$1"); do
        echo "$id $(shim_of "$id") $(cat "$(node_path "/run/containerd/io.containerd.runtime.v2.task/k8s.io/$id/init.pid")")"
    done | sort
}
freed_manifests() { node_run sh -c 'grep -l free-state /var/lib/containerd-recover/*.json' 2>/dev/null; }
bundles_aside() { node_run find /run/containerd -maxdepth 1 -name '.containerd-recover-*'; }
timeouts() { node_log -u containerd | grep -c 'start operation timed out'; }

# break_shims: "dead" pods lose their shims, the one "hung" pod's is stopped.
break_shims() {
    local id pids=()
    node_crash
    node_run systemctl stop containerd
    for id in $dead; do mapfile -t -O "${#pids[@]}" pids < <(shim_of "$id"); done
    node_run kill -KILL "${pids[@]}"
    node_run kill -STOP "$(shim_of "$hung")"
}

node_prepare shims
node_install
node_fast_restarts
node_unit timeout 'TimeoutStartSec=3s'
node_boot
node_ready
ok "forty pods, one more, and three that will live" \
    eval 'node_pods dead 40 && node_pods hung 1 && node_pods live 3'
dead=$(ids_of dead)
hung=$(ids_of hung)
node_census >"$NODE/counts"
records >"$NODE/records"
images >"$NODE/images"
living live >"$NODE/living"
old_root=$(stat -c %i "$(node_path "$node_data")")

# First what the policy may forbid.
node_policy '[clear]' 'kill_hung = no'
break_shims
node_run systemctl start --no-block containerd
ok "without leave the hung shim is named" node_until 30 eval 'node_log -u containerd | grep -q "rule hung-shims-kept"'
node_run systemctl stop containerd
ok "and left alone" test -n "$(shim_of "$hung")"
is "nothing was set aside" "$(node_quarantines)" ""

node_policy '[clear]' 'kill_hung = yes'
node_run rm -rf /var/lib/containerd-recover
node_run systemctl reset-failed containerd
before=$(timeouts)
node_run systemctl start --no-block containerd
ok "with leave containerd answers CRI again" node_ready 60
is "after one failed start" "$(($(timeouts) - before))" 1
like "by rule hung-shims" "$(node_log -u containerd)" "rule hung-shims)"

is "the root is the one it was" "$(stat -c %i "$(node_path "$node_data")")" "$old_root"
is "no quarantine" "$(node_quarantines)" ""
is "every container is still recorded" "$(records)" "$(cat "$NODE/records")"
is "every image is there" "$(images)" "$(cat "$NODE/images")"
is "the pods that lived were not touched" "$(living live)" "$(cat "$NODE/living")"
is "the hung shim is gone" "$(shim_of "$hung")" ""
ok "what was moved aside is removed" node_until 20 eval '[ -z "$(bundles_aside)" ]'
ok "its record is kept" node_until 5 eval '[ -n "$(freed_manifests)" ]'

# kubelet's part: it stops and removes what is not ready and makes it anew.
mapfile -t gone < <(printf '%s\n' "$hung" $dead)
ok "CRI stops and removes those pods" eval 'node_cri stop "${gone[@]}" && node_cri remove "${gone[@]}"'
ok "and makes new ones" node_pods new 41
# containerd had cleaned up behind some dead shims itself; it never removes their sockets.
without_sockets() { grep -v '^sockets '; }
is "the node has what forty-four pods have, and no more" "$(node_census | without_sockets)" \
    "$(without_sockets <"$NODE/counts")"
node_run systemctl restart containerd
ok "restarted, it answers CRI" node_ready 30
is "and nothing more was done" "$(freed_manifests | wc -l)" 1
tap_done

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
freed_manifests() { node_run sh -c 'grep -l "\"kind\": \"free-state\"" /var/lib/containerd-recover/*.json' 2>/dev/null; }
bundles_aside() { node_run find /run/containerd -maxdepth 1 -name '.containerd-recover-*'; }
nothing_aside() { [ -z "$(bundles_aside)" ]; }
all_pods() { node_pods dead 40 && node_pods hung 1 && node_pods live 3; }
is_named() { node_log -u containerd | grep -q 'rule hung-shims-kept'; }
one_manifest() { [ "$(freed_manifests | wc -l)" -eq 1 ]; }
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
node_unit timeout 'TimeoutStartSec=4s'
node_boot
node_ready
ok "forty pods, one more, and three that will live" \
    all_pods
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
is "a start that times out is ended by SIGKILL" "$(node_property TimeoutStartFailureMode)" kill
node_run systemctl start --no-block containerd
ok "without leave the hung shim is named" node_until 30 is_named
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
ok "what was moved aside is removed" node_until 20 nothing_aside
ok "its record is kept" node_until 5 one_manifest
evidence=$(node_path "$(node_run sh -c 'ls /var/lib/containerd-recover/evidence/*.tar.zst')")
like "and evidence, with the databases that stay" "$(tar --zstd -tf "$evidence")" 'databases/io.containerd.metadata.v1.bolt-meta.db'
# How many of the dead the failed start had cleaned up itself is a matter of its speed.
like "and the report tells what was done, and to whom" "$(node_run containerd-recover status --last)" \
    "free-state.*bundles moved aside.*Lost: [0-9]+ pods.*default/hung-0.*ready "

# kubelet's part: it stops and removes what is not ready and makes it anew.
mapfile -t gone < <(ids_of dead && ids_of hung)
ok "CRI stops those pods" node_cri stop "${gone[@]}"
ok "and removes them" node_cri remove "${gone[@]}"
ok "and makes new ones" node_pods new 41
# containerd had cleaned up behind some dead shims itself; it never removes their sockets.
without_sockets() { grep -v '^sockets '; }
is "the node has what forty-four pods have, and no more" "$(node_census | without_sockets)" \
    "$(without_sockets <"$NODE/counts")"
node_run systemctl restart containerd
ok "restarted, it answers CRI" node_ready 30
is "and nothing more was done" "$(freed_manifests | wc -l)" 1

# ---- killed at every step ----------------------------------------------------

# Two pods are lost to a dead and a hung shim, after a start that timed out.
# `ok` runs what it is given in a subshell: who they are is in a file.
two_lost() {
    local gone
    mapfile -t gone < <(node_cri list | awk '$2 !~ /^live/ { print $1 }')
    node_cri stop "${gone[@]}" && node_cri remove "${gone[@]}" || return
    node_forget
    node_pods lost 2 || return
    ids_of lost >"$NODE/lost"
    [ "$(wc -l <"$NODE/lost")" -eq 2 ] || return
    node_crash
    node_run systemctl stop containerd
    node_run kill -KILL "$(shim_of "$(lost 1)")"
    node_run kill -STOP "$(shim_of "$(lost 2)")"
    node_run SERVICE_RESULT=timeout EXIT_CODE=exited EXIT_STATUS=1 containerd-recover record stopped
}
lost() { sed -n "$1p" "$NODE/lost"; }
pids_of() { echo "$(shim_of "$1") $(cat "$(node_path "/run/containerd/io.containerd.runtime.v2.task/k8s.io/$1/init.pid")")"; }

# killed_at N COMMAND: true if step N was reached.
killed_at() {
    node_run CONTAINERD_RECOVER_FAULT="$1" containerd-recover "$2" >"$NODE/said" 2>&1
    [ $? -eq 137 ]
}

nothing_left_to_do() { nothing_aside && [ -z "$(node_run ls /var/lib/containerd-recover/freed 2>/dev/null)" ]; }

made_good() {
    node_ready 20 || return
    node_until 20 nothing_left_to_do || return
    [ -z "$(shim_of "$(lost 1)")$(shim_of "$(lost 2)")" ] || return
    [ -z "$(node_quarantines)" ] || return
    diff <(living live) "$NODE/living"
}

for ((n = 1; n < 20; n++)); do
    ok "two pods are lost" two_lost
    killed_at "$n" preflight || break
    node_run systemctl start --no-block containerd
    ok "killed after step $n of preflight, the next start makes good" made_good
done
is "preflight records its steps" "$n" 5
like "undisturbed it says what it did" "$(cat "$NODE/said")" "1 pods of dead shims and 1 of hung ones"

# What was judged and not yet acted on when the run was killed may have changed.
node_run systemctl start containerd
ok "made good as well" made_good
ok "two pods are lost" two_lost
hung=$(lost 2)
pids_of "$hung" >"$NODE/back"
ok "preflight is killed before the first signal" killed_at 1 preflight
node_run kill -CONT "$(shim_of "$hung")"
node_run systemctl start containerd
ok "a shim that answers again is adopted" node_ready 20
ok "what the killed run had noted is finished" node_until 20 nothing_left_to_do
ok "finish has nothing more" node_run containerd-recover finish
is "the pod lives" "$(pids_of "$hung")" "$(cat "$NODE/back")"
ok "runc knows it" node_run test -e "/run/containerd/runc/k8s.io/$hung/state.json"
node_run systemctl restart containerd
ok "and so does a restarted containerd" node_ready 20
is "the pod lives on" "$(pids_of "$hung")" "$(cat "$NODE/back")"
like "it is ready" "$(node_cri list | grep "$hung")" " ready$"

ok "two pods are lost" two_lost
node_run containerd-recover preflight 2>/dev/null
for ((n = 1; n < 20; n++)); do
    node_run rm /var/lib/containerd-recover/pending
    node_run systemctl start containerd
    killed_at "$n" finish || break
    ok "killed after step $n of finish, it is gone on with" node_run containerd-recover finish
    ok "and made good" made_good
    ok "two more pods are lost" two_lost
    node_run containerd-recover preflight 2>/dev/null
done
is "finish records its steps" "$n" 3
ok "undisturbed it ends the same" made_good
tap_done

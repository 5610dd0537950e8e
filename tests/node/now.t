#!/bin/bash
# `now`: a fresh root by hand, on a healthy, a hung and a crash-looping
# containerd; and what may happen to a node while a person thinks, or to a person
# while the node is between two containerds.
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

# ---- the node does not wait for a person's answer -----------------------------

# For the commands that terminal.py runs.
export -f node_run node_leader node_pods node_import node_cri node_path node_until
export NODE node_helpers
terminal() { timeout -k 5 120 /usr/bin/python3 "$node_helpers/terminal.py" "$@"; }
now_asks() { terminal "Go on?" "$1" "$2" "node_run containerd-recover now"; }

pods "asked"
said=$(now_asks true no)
is "asked: no is an answer" $? 5
is "asked: the node is as it was" "$(node_census)" "$(cat "$NODE/counts")"
is "asked: nothing is set aside" "$(node_quarantines)" ""

# Neither containerd, for meta.db's lock, nor its preflight, for the tool's own.
node_run systemctl stop containerd
said=$(now_asks 'node_run timeout 30 systemctl start containerd' no)
is "started meanwhile: containerd did not wait" $? 5
ok "started meanwhile: it answers" node_ready 20
is "started meanwhile: the node is as it was" "$(node_census)" "$(cat "$NODE/counts")"

said=$(now_asks 'node_run touch /var/lib/containerd-recover/hold' y)
is "held meanwhile: hands off" $? 3
like "held meanwhile: it says that the node looks different" "$said" "looks different"
like "held meanwhile: and why" "$said" "rule hold"
ok "held meanwhile: containerd is back" node_ready 20
is "held meanwhile: the node is as it was" "$(node_census)" "$(cat "$NODE/counts")"
is "held meanwhile: nothing is set aside" "$(node_quarantines)" ""
node_run rm /var/lib/containerd-recover/hold

said=$(now_asks 'node_run timeout 30 systemctl restart containerd && node_until 20 node_cri wait 1 && node_pods later 2' y)
is "restarted meanwhile, with two pods more: it succeeds" $? 0
ok "restarted meanwhile: two new pods" node_pods new 2
ok "restarted meanwhile: nothing of the old pods is left" node_until 30 node_nothing_left_of "$NODE/before"
is "restarted meanwhile: nor of the later ones" "$(node_census)" "$(cat "$NODE/counts")"
node_remove_pods
node_forget

# ---- the session is lost with containerd down ---------------------------------

pods "hung up"
terminal "stop containerd" true hangup "node_run containerd-recover now --yes" >/dev/null
recovered() { node_is_active && node_ready 5 && [ -n "$(node_quarantines)" ]; }
# Neither its file, nor a guard.
no_outage() {
    ! compgen -G "$(node_path /run/containerd-recover)/*.stopped" >/dev/null &&
        [ "$(node_property ActiveState containerd-recover-guard@containerd.service.service)" = inactive ]
}
ok "hung up: containerd is started all the same" node_until 60 recovered
ok "hung up: two new pods" node_pods new 2
ok "hung up: nothing of the old pods is left" node_until 30 node_nothing_left_of "$NODE/before"
is "hung up: the node has what two pods have" "$(node_census)" "$(cat "$NODE/counts")"
node_remove_pods
node_forget

pods "signalled"
node_unit slow 'ExecStop=/bin/sleep 2'
node_run containerd-recover now --yes >"$NODE/said" 2>&1 &
by_hand=$!
is_deactivating() { [ "$(node_property ActiveState)" = deactivating ]; }
ok "signalled: containerd is being stopped" node_until 20 is_deactivating
like "signalled: status says by whom" "$(node_run containerd-recover status)" "stopped by .containerd-recover now.*at work"
for signal in HUP INT TERM QUIT TSTP; do node_run pkill "-$signal" -x containerd-reco; done
is "signalled: containerd is still not up" "$(node_property ActiveState)" deactivating
rm "$NODE/root/etc/systemd/system/containerd.service.d/slow.conf"
ok "signalled: and started all the same" node_until 60 recovered
wait "$by_hand"
is "signalled: the run went through" $? 0
like "signalled: to its end" "$(cat "$NODE/said")" "in all"
ok "signalled: nothing is left of who stopped it" node_until 5 no_outage
ok "signalled: two new pods" node_pods new 2
is "signalled: the node has what two pods have" "$(node_census)" "$(cat "$NODE/counts")"
node_remove_pods
node_forget

# ---- a shell in a pod: it would end, and the run with it ------------------------

# As a privileged pod's processes that entered the node's namespaces: all but the
# control group is the node's.
cat >"$(node_path /run/in-pod)" <<'END'
#!/bin/bash
# in-pod PID COMMAND...: run COMMAND in PID's control groups.
while IFS=: read -r _ controllers path; do
    for base in "/sys/fs/cgroup/${controllers#name=}" /sys/fs/cgroup/unified; do
        [ -w "$base$path/cgroup.procs" ] && echo $$ >"$base$path/cgroup.procs"
    done
done <"/proc/$1/cgroup" 2>/dev/null
shift
exec "$@"
END
in_pod() { node_run bash /run/in-pod "$(node_run pgrep -o -x pause)" "$@" 2>&1; }

pods "in a pod"
said=$(in_pod containerd-recover now --yes)
is "in a pod: hands off" $? 3
like "in a pod: it says why, and how else" "$said" "this shell is in a pod.*systemd-run"
ok "in a pod: containerd was not stopped" node_is_active
is "in a pod: the node is as it was" "$(node_census)" "$(cat "$NODE/counts")"
is "in a pod: nothing is set aside" "$(node_quarantines)" ""
in_pod systemd-run --quiet containerd-recover now --yes
ok "in a pod: by systemd-run it is done" node_until 20 recovered
ok "in a pod: containerd answers" node_ready 20
ok "in a pod: two new pods" node_pods new 2
node_census --save "$NODE/before" >"$NODE/counts"
said=$(in_pod containerd-recover restore --yes "$(basename "$(node_quarantine)")")
is "in a pod: restore keeps its hands off" $? 3
ok "in a pod: containerd was not stopped for it" node_is_active
is "in a pod: the new pods are there" "$(node_census)" "$(cat "$NODE/counts")"
node_remove_pods
node_forget

# ---- a state directory that the pods are not in ---------------------------------

pods "elsewhere"
for state in /run/not-there /run/systemd; do
    said=$(node_run containerd-recover now --yes --state="$state" 2>&1)
    is "elsewhere, $state: hands off" $? 3
    like "elsewhere, $state: it says where they are" "$said" "2 of .* shims run in .* than $state .*give --state=/run/containerd to"
done
is "elsewhere: a dry run says so too" "$(node_run containerd-recover now --dry-run --state=/run/not-there >/dev/null 2>&1; echo $?)" 3
ok "elsewhere: containerd was not stopped" node_is_active
is "elsewhere: the node is as it was" "$(node_census)" "$(cat "$NODE/counts")"
is "elsewhere: nothing is set aside" "$(node_quarantines)" ""
node_run ln -s /run/containerd /run/linked
# One that was lost before, when another directory was configured.
lost=/run/once/io.containerd.runtime.v2.task/k8s.io/$(printf '%064d' 7)
mkdir -p "$(node_path "$lost")" "$(node_path /opt/once)"
cp "$BUILD/tests/node/pause" "$(node_path /opt/once/containerd-shim-runc-v2)"
node_run systemd-run --quiet --collect --unit=once --working-directory="$lost" /opt/once/containerd-shim-runc-v2 \
    -namespace k8s.io -id "${lost##*/}" -address /run/containerd/containerd.sock
ok "elsewhere: beside pods that are here it is no hindrance" node_run containerd-recover now --dry-run
like "elsewhere: without them it is" "$(node_run containerd-recover now --dry-run --state=/run/systemd 2>&1)" "3 of .* shims run"
node_run systemctl stop once
ok "elsewhere: a link to the right one is as good" node_run containerd-recover now --dry-run --state=/run/linked
node_remove_pods
said=$(node_run containerd-recover now --yes --state=/run/not-there 2>&1)
is "elsewhere, without pods: hands off" $? 3
like "elsewhere, without pods: it says which is configured" "$said" "no state directory /run/not-there, .*has /run/containerd; leave"
node_run systemctl stop containerd
node_run rm -rf /run/containerd
ok "as after a reboot: a state directory that is not there is right" node_run containerd-recover now --yes
ok "as after a reboot: containerd answers" node_ready
id=$(basename "$(node_quarantine)")
said=$(node_run containerd-recover restore --yes --state=/run/not-there "$id" 2>&1)
is "elsewhere: restore keeps its hands off" $? 3
node_forget

# ---- pods between a run that was killed and the one that goes on ---------------

guarded() {
    local mark=/run/containerd-recover/containerd.service.stopped guard=containerd-recover-guard@containerd.service.service
    pods "killed, guarded"
    # The guard of an earlier run, about to end: it would not see to this one.
    node_run touch "$mark"
    node_hold earlier "$mark"
    node_run systemctl start "$guard"
    node_run systemctl kill --signal=STOP "$guard"
    node_run CONTAINERD_RECOVER_FAULT=4 containerd-recover now --yes >"$NODE/said" 2>&1
    is "killed, guarded: it was" $? 137
    node_run systemctl stop earlier
    unlike "killed, guarded: with containerd down" "$(cat "$NODE/said")" "start containerd"
    ok "killed, guarded: containerd is started all the same" node_ready 20
    like "killed, guarded: the journal says why" "$(node_log -t containerd-recover)" "containerd.service was killed before it started it again"
    ok "killed, guarded: nothing is left of who stopped it" node_until 5 no_outage
    is "killed, guarded: what was begun is taken back" "$(node_quarantines)" ""
    unlike "killed, guarded: status has nothing to say of it" "$(node_run containerd-recover status)" "stopped"
    node_remove_pods
    node_forget
    # containerd leaves the sockets of shims that were killed under it.
    node_run find /run/containerd/s -type s -delete
    # It has no part in the cases below.
    rm "$(node_path /usr/lib/systemd/system/containerd-recover-guard@.service)"
    node_run systemctl daemon-reload
}

# Behind step 4 the bundles are aside, behind step 8 the addresses are released
# too and the pods in between may have got them. preflight leaves all to another
# run, so that containerd comes up on the old root.
between() { # STEP
    pods "killed behind step $1"
    node_run CONTAINERD_RECOVER_FAULT="$1" containerd-recover now --yes >"$NODE/said" 2>&1
    is "killed behind step $1: it was" $? 137
    like "killed behind step $1: it had warned" "$(cat "$NODE/said")" "guard@.service installed"
    for command in status plan 'now --dry-run'; do
        # shellcheck disable=SC2086 # words
        like "killed behind step $1: $command says who stopped containerd" \
            "$(node_run containerd-recover $command)" "stopped [0-9]+ s ago by .containerd-recover now., which was killed.*systemctl start"
    done
    node_hold other /run/containerd-recover/lock
    node_run systemctl start containerd
    node_ready
    unlike "killed behind step $1: once it is up that is over" "$(node_run containerd-recover status)" "stopped"
    ok "killed behind step $1: two pods in between" node_pods between 2
    node_census --save "$NODE/between" >/dev/null
    node_run systemctl stop other
    ok "killed behind step $1: run again" node_run containerd-recover now --yes
    is "killed behind step $1: there is one quarantine" "$(node_quarantines | wc -l)" 1
    ok "killed behind step $1: two new pods" node_pods new 2
    ok "killed behind step $1: nothing of the old pods is left" node_until 30 node_nothing_left_of "$NODE/before"
    ok "killed behind step $1: nor of those in between" node_until 30 node_nothing_left_of "$NODE/between"
    is "killed behind step $1: the node has what two pods have" "$(node_census)" "$(cat "$NODE/counts")"
    node_remove_pods
    node_forget
}
if grep -q CONTAINERD_RECOVER_FAULT "$BUILD/containerd-recover"; then
    guarded
    between 4
    between 8
else
    skip "pods between a killed run and the next" "this build has no fault points"
fi

# ---- a crash loop, which automation was told to leave -------------------------

pods crash-looping
node_policy '[quarantine]' 'automatic = no'
node_damage data-zero
node_crash
loops() { [ "$(node_property NRestarts)" -gt 3 ]; }
node_until 60 loops
now crash-looping

# ---- containerd does not come up behind it ------------------------------------

# Whoever waits for it holds nothing that its next starts need, and may go away.
node_unit fails 'ExecStartPre=/bin/false'
node_service person containerd-recover now --yes
waits() { [ -n "$(node_quarantines)" ] && ! node_is_locked /run/containerd-recover/lock; }
ok "no READY: the lock is free" node_until 20 waits
waits_aloud() { [[ $(node_log -u person) == *"waiting for containerd.service to be READY, 5 s by now, up to 120 s: it is activating, "* ]]; }
ok "no READY: it waits, and says so" node_until 20 waits_aloud
node_run systemctl kill --signal=INT person
is_gone() { [ "$(node_property ActiveState person)" = inactive ] || [ "$(node_property ActiveState person)" = failed ]; }
ok "no READY: Ctrl-C ends that" node_until 5 is_gone
id=$(basename "$(node_newest_quarantine)")
node_unit zz-limit '[Unit]' StartLimitIntervalSec=60 StartLimitBurst=2
said=$(node_run containerd-recover restore --yes "$id" 2>&1)
is "given up: restore fails" $? 1
like "given up: it says so" "$said" "does not start: it failed, and systemd has given it up; see containerd-recover plan"
is "given up: nothing starts it behind that" "$(node_property ActiveState)" failed
rm "$NODE"/root/etc/systemd/system/containerd.service.d/{fails,zz-limit}.conf
node_run systemctl daemon-reload
node_run systemctl start containerd
ok "no READY: containerd is back" node_ready 20
tap_done

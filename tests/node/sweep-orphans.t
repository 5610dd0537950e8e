#!/bin/bash
# What no runtime cleans up: half-deleted bundles, snapshot directories that the
# snapshotter's database does not know, shims that hang and whose bundles are gone.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

snapshots=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots
tasks=/run/containerd/io.containerd.runtime.v2.task/k8s.io
aside=/var/lib/containerd/.containerd-recover-orphans
half=.$(printf 'ab%.0s' {1..32})

node_prepare orphans
node_install
node_policy '[sweep]' 'min_age = 0'
node_boot
node_ready
pod=$(node_pods a 2 | cut -d' ' -f1 | head -n 1)
known=$(node_run ls "$snapshots" | sort)
node_run sh -c "mkdir -p $snapshots/9001/fs/d $snapshots/9001/work $snapshots/9002/fs $snapshots/new-123 $snapshots/notes
    echo data >$snapshots/9001/fs/d/file; mkdir -p $tasks/$half/rootfs $tasks/.other && mount -t tmpfs none $tasks/$half/rootfs && touch $tasks/$half/rootfs/x
    mkdir /var/tmp/up /var/tmp/wk /var/tmp/mnt; mount -t overlay overlay -o lowerdir=$snapshots/9002/fs:/var/tmp/up /var/tmp/mnt"

out=$(node_run containerd-recover sweep)
like "with containerd up the half-deleted bundle alone is seen" "$out" "1 bundles are half deleted"
unlike "and no snapshot" "$out" "snapshot directories"
ok "it is removed" node_run containerd-recover sweep --yes
is "with its mount, and nothing beside it" "$(node_run sh -c "ls -A $tasks | grep '^\.'; grep -c $half /proc/self/mountinfo")" ".other
0"

node_run systemctl stop containerd
like "with containerd down the unknown snapshot is seen" "$(node_run containerd-recover sweep)" "1 snapshot directories are unknown"
ok "sweep" node_run containerd-recover sweep --yes
is "it is moved aside whole, what is mounted or nobody's to judge stays" \
    "$(node_run sh -c "ls $snapshots; cat $aside/9001/fs/d/file" | sort)" "$(printf '%s\n' "$known" 9002 data new-123 notes | sort)"
node_hold holder /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/metadata.db
node_run mkdir "$snapshots/9003"
node_run containerd-recover sweep --yes >/dev/null
ok "nothing moves while somebody has the database" node_run test -d "$snapshots/9003"
node_run systemctl stop holder

node_run systemctl start containerd
ok "containerd is back" node_ready
ok "the pods are there" [ "$(node_cri list | wc -l)" = 2 ]
like "what was moved aside waits" "$(node_run containerd-recover sweep)" "1 such directories wait"
ok "sweep deletes it" node_run containerd-recover sweep --yes
fails "it is gone" node_run test -e "$aside"
ok "a container starts in the old pod" node_cri start "$pod" test.local/pause:1

# containerd gives a silent shim up after 5 s, deletes its bundle, and lets it be.
node_policy '[sweep]' 'min_age = 1s'
shims() { node_run pgrep -fc containerd-shim-runc-v2; }
node_run kill -STOP "$(node_run pgrep -f "containerd-shim-runc-v2 .*-id $pod")"
node_crash
ok "containerd answers" node_ready
remove() { node_cri stop "$pod" && node_cri remove "$pod"; }
ok "kubelet removes the pod that ended" remove
is "its shim is still there" "$(shims)" 2
ok "sweep" node_run containerd-recover sweep --yes
is "it is gone, the other pod's is not" "$(shims) $(node_cri list | cut -d' ' -f2,3)" "1 a-1 ready"

# A killed sweep goes on with the next start of containerd, also if the data of the
# quarantine is deleted by then; a killed purge by itself.
killed_in_the_background() { # OPTION...
    node_census --save "$NODE/before" >/dev/null
    node_run timeout 30 sh -c 'until pkill -KILL -f "containerd-recover [f]inish"; do :; done' &
    ok "a fresh root" node_run containerd-recover now --yes "$@"
    wait $!
    is "its background work was killed" "$(node_property Result containerd-recover-finish)" signal
}
started_again() {
    ok "containerd is started again" node_run systemctl restart containerd
    ok "nothing is left of the pods all the same" node_until 30 node_nothing_left_of "$NODE/before"
}
node_run rmdir "$tasks/.other"
killed_in_the_background
old=$(node_quarantine)
like "purged by hand, it is known by its manifest" "$(node_run containerd-recover purge --yes "${old##*/}" 2>&1)" "its manifest is kept"
is "alone" "$(node_run ls "$old/root" "$old/manifest.json")" "$old/manifest.json

$old/root:"
like "and says so again" "$(node_run containerd-recover purge --yes "${old##*/}" 2>&1)" "its manifest is kept"
started_again
is_gone() { node_run test ! -e "$old"; }
ok "then the quarantine is gone" node_until 20 is_gone
ok "a pod again" node_pods b 1
killed_in_the_background --force
started_again
purge_runs() { [ "$(node_property ActiveState containerd-recover-purge) $(node_property NRestarts containerd-recover-purge)" = "active $1" ]; }
ok "the purge waits" node_until 20 purge_runs 0
node_run systemctl kill --signal=KILL containerd-recover-purge
ok "killed, it comes back" node_until 30 purge_runs 1
tap_done

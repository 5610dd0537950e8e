#!/bin/bash
# 300,000 files in a work directory that no task owns, and as many in a container
# directory of CRI's without a record, a volume among it: moved out of containerd's
# way before the first start fails. All that containerd keeps stays as it is. Then
# a temporary mount whose server does not answer, over which containerd's start hangs.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

node_prepare deletions
node_install
node_policy '[quarantine]' 'grace = 1h'
node_fast_restarts
node_unit timeout 'TimeoutStartSec=6s' 'TimeoutStopSec=2s'
cp "$BUILD/tests/helpers/silentfs" "$NODE/root/usr/local/bin/"
node_boot
node_ready
node_pods old 5 >"$NODE/pods"
node_census --save "$NODE/before" >"$NODE/counts"
images=$(node_run ctr -n k8s.io images ls -q)
containers=$(node_run ctr -n k8s.io containers ls -q)
root=$(node_path "$node_data")
"$BUILD/tests/helpers/filltree" "$root/io.containerd.runtime.v2.task/k8s.io/orphan" 300000 100
mkdir -p "$root/io.containerd.grpc.v1.cri/containers/lost/volumes"
"$BUILD/tests/helpers/filltree" "$root/io.containerd.grpc.v1.cri/containers/lost/volumes/data" 300000 100
echo precious >"$root/io.containerd.grpc.v1.cri/containers/lost/volumes/precious"
inode=$(stat -c %i "$root")

# The unit may have it in hand, and takes its time.
purge_now() { node_run systemctl stop containerd-recover-purge && node_run containerd-recover purge --urgent; }

like "plan says so beforehand" "$(node_run containerd-recover plan)" "containerd runs|nothing is wrong"
node_crash
ok "containerd answers CRI again" node_ready 30
is "no start has failed" "$(node_log -u containerd | grep -c 'start operation timed out')" 0
like "the journal says why" "$(node_log -u containerd)" "rule slow-deletions"
is "the same data root" "$(stat -c %i "$(node_path "$node_data")")" "$inode"
is "the same images" "$(node_run ctr -n k8s.io images ls -q)" "$images"
is "the same containers" "$(node_run ctr -n k8s.io containers ls -q)" "$containers"
is "the pods still run" "$(node_census)" "$(cat "$NODE/counts")"
ok "three new pods" node_pods new 3
aside=$(node_path "$(node_quarantine)")/root
ok "the work directory is aside" test -d "$aside/io.containerd.runtime.v2.task/k8s.io/orphan"
is "the volume is kept" "$(cat "$aside/io.containerd.grpc.v1.cri/containers/lost/volumes/precious")" precious
like "status shows it" "$(node_run containerd-recover status)" "deferred"
id=$(basename "$(node_quarantine)")
reported() { [[ $(node_run containerd-recover status --last) == *"container lost: volumes, "* ]]; }
ok "the report lists the volume" node_until 60 reported
like "and says what was done" "$(node_run containerd-recover status --last)" "defer.*2 directories, 6[0-9]* entries.*ready "
fails "it is not a root to be restored" node_run containerd-recover restore --yes "$id"
node_policy '[quarantine]' 'grace = 0s'
ok "and purged when its time has come, and \`finish\` is through" node_until 60 purge_now
fails "nothing of it is left" test -e "$aside"
is "the pods run on" "$(node_cri list | grep -c old-)" 5

# ---- in the state directory ---------------------------------------------------

# That is deleted by `finish`, which finds it by the ticket: a purge before leaves that.
in_state() { node_run find /run/containerd -maxdepth 1 -name '.containerd-recover-deferred-*'; }
is_clean() { [ -z "$(in_state)$(node_quarantines)" ]; }
node_policy '[quarantine]' 'grace = 1h' '[leftovers]' 'usec_per_entry = 100000'
node_run systemctl mask --runtime containerd-recover-finish 2>/dev/null
cri=$(node_path /run/containerd/io.containerd.grpc.v1.cri)
mkdir -p "$cri/containers"
"$BUILD/tests/helpers/filltree" "$cri/containers/lost" 2000 100
node_crash
ok "containerd answers CRI again" node_ready 30
id=$(basename "$(node_quarantine)")
is "a directory of CRI's is aside in the state directory" "$(in_state)" "/run/containerd/.containerd-recover-deferred-$id"
like "purged before \`finish\` was there" "$(node_run containerd-recover purge --yes "$id" 2>&1)" "its manifest is kept"
node_run systemctl unmask --runtime containerd-recover-finish 2>/dev/null
ok "containerd is started again" node_run systemctl restart containerd
ok "nothing is left" node_until 30 is_clean
node_ready

# ---- what cannot be moved ----------------------------------------------------

# Once in an incident, whatever it is that keeps containerd from starting; what is
# new is moved all the same.
tries() { node_log -u containerd | grep -c 'rule slow-deletions)'; }
failed_four_times() { [ "$(node_log -u containerd | grep -c 'Control process exited')" -ge $((exits + 4)) ]; }
tasks=$root/io.containerd.runtime.v2.task/k8s.io
node_policy '[quarantine]' 'grace = 1h' '[leftovers]' 'usec_per_entry = 100000'
"$BUILD/tests/helpers/filltree" "$tasks/stuck" 2000 100
chattr +i "$tasks/stuck"
exits=$(node_log -u containerd | grep -c 'Control process exited')
before=$(tries)
node_unit fails 'ExecStartPre=/bin/false'
node_crash
ok "containerd fails, again and again" node_until 30 failed_four_times
is "its leftover is tried once" "$(($(tries) - before))" 1
like "and the journal says why it stays" "$(node_log -u containerd)" "k8s.io/stuck stays where it is: Operation not permitted"
like "plan says what was tried" "$(node_run containerd-recover plan)" "did not help: deletions out of the way"
"$BUILD/tests/helpers/filltree" "$tasks/new" 2000 100
is_aside() { [ ! -e "$tasks/new" ]; }
ok "a new one is moved" node_until 20 is_aside
ok "the first is as it was" test -d "$tasks/stuck/__pycache__0"
chattr -i "$tasks/stuck"
rm -r "$tasks/stuck" "$NODE/root/etc/systemd/system/containerd.service.d/fails.conf"
node_run systemctl daemon-reload
ok "containerd answers CRI again" node_ready 30
node_policy '[quarantine]' 'grace = 0s'
ok "what was moved is purged" node_until 60 purge_now
is "the pods run on" "$(node_cri list | grep -c old-)" 5

# ---- stuck tmpmounts ---------------------------------------------------------

timeouts() { node_log -u containerd | grep -c 'start operation timed out'; }
# From the mount table alone: this test must not wait for that server either.
temporary_mounts() { node_run grep -c "containerd-mount4711" /proc/self/mountinfo; }
no_temporary_mount() { [ "$(temporary_mounts)" = 0 ]; }
is_mounted() { [ "$(temporary_mounts)" = 1 ]; }

node_policy '[quarantine]' 'grace = 1h'
node_run mknod -m 600 /dev/fuse c 10 229
node_run mkdir -p "$node_data/tmpmounts/containerd-mount4711"
node_service silent /usr/local/bin/silentfs "$node_data/tmpmounts/containerd-mount4711"
ok "a temporary mount whose server is silent" node_until 10 is_mounted
node_census >"$NODE/counts"
before=$(timeouts)
node_crash
ok "containerd answers CRI again" node_ready 60
is "after one failed start" "$(($(timeouts) - before))" 1
like "by rule stuck-tmpmounts" "$(node_log -u containerd)" "rule stuck-tmpmounts\)"
like "plan sees that it is over" "$(node_run containerd-recover plan)" "containerd is READY by now"
report=$(node_run containerd-recover status --last)
like "the report says what was done" "$report" "Done: the temporary mounts .* were set aside"
like "and what was kept" "$report" "Kept: the data root, its images and all pods"
unlike "status has no lost sandboxes where none was" "$(node_run containerd-recover status)" "lost sandboxes"
ok "it is unmounted in the background" node_until 30 no_temporary_mount
is "the same data root" "$(stat -c %i "$(node_path "$node_data")")" "$inode"
is "the same images" "$(node_run ctr -n k8s.io images ls -q)" "$images"
is "the pods still run" "$(node_census)" "$(cat "$NODE/counts")"
ok "containerd made a new tmpmounts" test -d "$(node_path "$node_data")/tmpmounts"
ok "the old one is aside" test -d "$(node_path "$(node_quarantine)")/root/tmpmounts/containerd-mount4711"
# As if the clock on the wall had been set ahead by years since.
sed -i 's/ [0-9]*$/ 1000/' "$(node_path "$(node_quarantine)")/stages"
like "for its grace period, whatever the clock on the wall" "$(node_run containerd-recover purge --dry-run)" \
    "would be purged in [1-9]"
node_policy '[quarantine]' 'grace = 0s'
ok "and is purged when its time has come" node_until 60 purge_now
is "nothing of it is left" "$(node_quarantines)" ""
tap_done

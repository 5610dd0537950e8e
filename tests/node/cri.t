#!/bin/bash
# Our own CRI client against a real containerd, in each state that it tells apart.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

ask() { "$BUILD/tests/helpers/criask" "$(node_path /run/containerd/containerd.sock)" "$@"; }
says() { # ANSWER MSEC WHAT...
    local answer=$1
    shift
    [ "$(ask "$@")" = "$answer" ]
}

node_prepare cri
node_own_disk 500 -O has_journal
cp "$BUILD/containerd-recover" "$NODE/root/usr/sbin/" # and no drop-in: nothing is mended here
node_boot
node_ready
pods=$(node_pods a 2)
node_cri start "$(awk 'NR == 1 { print $1 }' <<<"$pods")" test.local/volume:1 /pause >/dev/null

is "ready" "$(ask 5000 status)" "containerd runtime ready network ready"
is "by its address as a URL" \
    "$("$BUILD/tests/helpers/criask" "unix://$(node_path /run/containerd/containerd.sock)" 5000 status)" \
    "containerd runtime ready network ready"
is "waiting for what is there" "$(ask 5000 wait)" "containerd runtime ready network ready"
is "sandboxes" "$(ask 5000 sandboxes | awk '{ print $1, $3, $5 }' | sort)" \
    "$(awk '{ print $1, $2, "ready" }' <<<"$pods" | sort)"
like "a container" "$(ask 5000 containers)" \
    "^[0-9a-f]{64} $(awk 'NR == 1 { print $1 }' <<<"$pods") main test.local/volume:1 1$"
like "images" "$(ask 5000 images)" 'test.local/pause:1 sha256:[0-9a-f]{64}'
is "an image that is there" "$(ask 5000 has test.local/pause:1)" "there"
is "an image that is not" "$(ask 5000 has test.local/none:1)" "not there"
is "plan has nothing to add" "$(node_notices)" ""

# The runtime's program: nobody misses it before a pod is made.
mv "$NODE/root/usr/sbin/runc" "$NODE/runc"
fails "without runc no pod can be made" node_cri run none 1
like "CRI calls itself ready all the same" "$(ask 5000 status)" "runtime ready network ready"
like "plan says what is missing" "$(node_run containerd-recover plan)" \
    "runc, which the default runtime runs, is nowhere in containerd's PATH \\(/[^)]*/usr/sbin[^)]*\\): no pod can be started"
mv "$NODE/runc" "$NODE/root/usr/sbin/runc"
is "with it there plan says nothing" "$(node_notices)" ""

pid=$(node_property MainPID)
node_run kill -STOP "$pid"
start=${EPOCHREALTIME/./}
is "a containerd that does not answer" "$(ask 300 status)" "no answer in time"
at_most "and no longer asked than wanted, in ms" $(((${EPOCHREALTIME/./} - start) / 1000)) 5000
node_run kill -CONT "$pid"

mv "$NODE/root/etc/cni/net.d" "$NODE/root/etc/cni/net.d.away"
mkdir "$NODE/root/etc/cni/net.d"
node_run systemctl restart containerd
like "without a network" "$(ask 5000 wait)" \
    'runtime ready network not-ready NetworkReady: .*cni'
like "plan says so beside its verdict" "$(node_run containerd-recover plan)" \
    $'\nkubelet calls this node NotReady, for CRI says: NetworkReady: [^\n]*cni.*rule healthy'
like "and for a program" "$(node_notices)" '^cri kubelet calls this node NotReady, for CRI says: NetworkReady: .*cni'
is "of a saved file it says nothing: no node is looked at" "$(node_run sh -c \
    'containerd-recover plan --format=json | containerd-recover plan --facts=- --format=json' | grep -c notices)" 0
rm -r "$NODE/root/etc/cni/net.d"
mv "$NODE/root/etc/cni/net.d.away" "$NODE/root/etc/cni/net.d"

node_unit once Restart=no '[Unit]' StartLimitIntervalSec=0
node_crash
is "killed: its socket is left" "$(ask 1000 status)" "connection refused"
node_run systemctl start containerd
node_ready
node_run systemctl stop containerd
is "no socket" "$(ask 1000 status)" "no socket"
start=${EPOCHREALTIME/./}
is "waiting in vain" "$(ask 300 wait)" "no socket"
at_most "and not longer than told, in ms" $(((${EPOCHREALTIME/./} - start) / 1000)) 5000

# A directory of a container without a record is deleted before CRI answers.
orphan=$(node_path $node_data/io.containerd.grpc.v1.cri/containers/orphan)
node_slow_files "$orphan" 4000
node_run systemctl start containerd
is "recovering" "$(ask 1000 status)" "still recovering"
is "waiting until it has recovered" "$(ask 30000 wait)" "containerd runtime ready network ready"

# The snapshotter begins anew: CRI is content, and no container can be made.
snapshots=$(node_path $node_data/io.containerd.snapshotter.v1.overlayfs/metadata.db)
is "plan misses nothing" "$(node_notices)" ""
node_run systemctl stop containerd
mv "$snapshots" "$NODE/metadata.db"
node_run systemctl start containerd
node_ready
is "plan misses what meta.db names" "$(node_notices | sed 's/ [0-9]* snapshots/ N snapshots/')" "snapshots meta.db names N \
snapshots, and the metadata.db of overlayfs has none: no container can be made; put that file back, or \`containerd-recover now\`"
fails "and that is so" node_cri run again 1
node_run systemctl stop containerd
like "with containerd down too" "$(node_notices)" "^snapshots "
cp "$NODE/metadata.db" "$snapshots"
node_run systemctl start containerd
node_ready
is "with the file put back it misses nothing" "$(node_notices)" ""

node_run systemctl stop containerd
node_damage meta-zero
node_run systemctl start containerd
is "containerd without CRI" "$(node_until 20 says 'running without CRI' 1000 status; ask 1000 status)" "running without CRI"
start=${EPOCHREALTIME/./}
is "not waited for in vain" "$(ask 20000 wait)" "running without CRI"
at_most "but for a second, in ms" $(((${EPOCHREALTIME/./} - start) / 1000)) 10000
tap_done

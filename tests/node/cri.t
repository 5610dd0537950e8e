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

node_run systemctl stop containerd
node_damage meta-zero
node_run systemctl start containerd
is "containerd without CRI" "$(node_until 20 says 'running without CRI' 1000 status; ask 1000 status)" "running without CRI"
start=${EPOCHREALTIME/./}
is "not waited for in vain" "$(ask 20000 wait)" "running without CRI"
at_most "but for a second, in ms" $(((${EPOCHREALTIME/./} - start) / 1000)) 10000
tap_done

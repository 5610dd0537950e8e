#!/bin/bash
# 250 lost sandboxes: how long containerd's start waits for the way to be
# cleared, how fast links go beside a loop of `ip link delete`, how long RTNL is
# held, and what several DELs at once gain.
export NODE_SUBNET=10.244.96.0/22
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

pods=${SWEEP_PODS:-250} processes=40

field() { sed -n "s/^$1 \([0-9.]*\) ms.*/\1/p"; }
ratio() { awk "BEGIN { printf \"%.1f\", $1 / $2 }"; }
way() { nsenter --target "$(node_leader)" --mount --uts --ipc --net --pid --cgroup --wd=/ \
    env PARALLEL="${PARALLEL:-4}" /var/lib/clear_way /run/containerd "$@"; }

# The longest that anybody waited for RTNL while COMMAND ran, in ms.
rtnl_during() {
    node_run rm -f /run/stop
    node_run /var/lib/rtnl_probe /run/stop >"$NODE/rtnl" &
    local probe=$!
    sleep 0.2
    "$@"
    node_run touch /run/stop
    wait "$probe"
}

node_prepare many
cp "$BUILD/tests/helpers/clear_way" "$BUILD/tests/helpers/rtnl_probe" "$NODE/varlib/"
node_boot
node_ready
node_pods a "$pods" >"$NODE/pods"
is "pods" "$(wc -l <"$NODE/pods")" "$pods"
node_run systemctl stop containerd

# All but some lost their processes and bundles before: a reboot of half a node.
cut -d' ' -f1 "$NODE/pods" | tail -n +$((processes + 1)) >"$NODE/varlib/gone"
# shellcheck disable=SC2016
node_run sh -c 'pkill -KILL -f "$(paste -sd"|" /var/lib/gone)"; pids=
    while read -r id; do pids="$pids $(cat /run/containerd/io.containerd.runtime.v2.task/k8s.io/$id/init.pid)"; done </var/lib/gone
    kill -KILL $pids; sleep 0.5
    while read -r id; do umount /run/containerd/io.containerd.runtime.v2.task/k8s.io/$id/rootfs; rm -r /run/containerd/io.containerd.runtime.v2.task/k8s.io/$id /run/containerd/runc/k8s.io/$id; done </var/lib/gone'

rtnl_during way clear t1 /var/lib/lost.json 2>"$NODE/cleared"
diag "$(cat "$NODE/cleared")"
like "all is cleared" "$(cat "$NODE/cleared")" "shims $processes containers $processes bundles $processes links $pods released $pods kept 0 failed 0"
figure "inventory and clearing, ms" "$(awk '/ ms, / { sum += $2 } END { print sum }' "$NODE/cleared")" 300
figure "RTNL held while links go down, ms" "$(cat "$NODE/rtnl")" 100

# The manual procedure, on as many links of the same kind.
# shellcheck disable=SC2016
node_run sh -c 'ip link add cmp0 type bridge && ip link set cmp0 up
    for i in $(seq '"$pods"'); do echo "netns add cmp-$i"; done | ip -batch -
    for i in $(seq '"$pods"'); do echo "link add cmp$i master cmp0 type veth peer name eth0 netns cmp-$i"; echo "link set cmp$i up"; done | ip -batch -'
start=${EPOCHREALTIME/./}
# shellcheck disable=SC2016
nsenter --target "$(node_leader)" --net sh -c 'for i in $(seq '"$pods"'); do ip link delete cmp$i; done'
by_hand=$(((${EPOCHREALTIME/./} - start) / 1000))

# Half of the sandboxes are swept one by one, a quarter's links are deleted alone.
/usr/bin/python3 - "$NODE/varlib" <<'PYTHON'
import json, sys
lost = json.load(open(sys.argv[1] + "/lost.json"))
all = sorted(lost["sandboxes"], key=lambda s: s["from_bundle"])
json.dump(lost, open(sys.argv[1] + "/links.json", "w"))
for n in range(8):
    json.dump(dict(lost, sandboxes=all[10 * n : 10 * n + 10]), open(f"{sys.argv[1]}/ten{n}.json", "w"))
PYTHON
# Turn and turn about: whatever else the machine does meets both.
for n in 0 2 4 6; do
    PARALLEL=1 way sweep t1 "/var/lib/ten$n.json" 2>>"$NODE/single"
    way sweep t1 "/var/lib/ten$((n + 1)).json" 2>>"$NODE/several"
done
is "80 are swept" "$(cat "$NODE/single" "$NODE/several" | grep -c 'released 10 failed 0')" 8
one=$(field sweep <"$NODE/single" | awk '{ sum += $1 } END { print sum }')
several=$(field sweep <"$NODE/several" | awk '{ sum += $1 } END { print sum }')
diag "40 sandboxes one by one $one ms, several at once $several ms"
figure "several at once, of the time of one by one" "$(ratio "$several" "$one")" 0.625

rtnl_during way links t1 /var/lib/links.json 2>"$NODE/deleted"
diag "$(cat "$NODE/deleted")" "$pods by hand: $by_hand ms"
like "links deleted" "$(cat "$NODE/deleted")" "deleted $((pods - 80)) failed 0"
figure "times as fast as by hand, inverted" "$(awk "BEGIN { print $(field links <"$NODE/deleted") / ($by_hand * ($pods - 80) / $pods) }")" 0.083
figure "RTNL held while links are deleted, ms" "$(cat "$NODE/rtnl")" 100

way sweep t1 /var/lib/links.json 2>"$NODE/rest"
like "the rest is swept" "$(cat "$NODE/rest")" "sandboxes $pods released $pods failed 0"
is "no link is left" "$(node_run sh -c 'ip -br link | grep -c ^veth')" 0
tap_done

#!/bin/bash
# The node itself: what the other tests take for granted.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

# What there is on this machine of the nodes of this name.
traces() {
    findmnt -rno TARGET | grep -F "$node_base/recover-$1."
    find /sys/fs/cgroup -maxdepth 2 -name "recover-$1*"
    pgrep -af "recover-$1\\."
}

node_prepare boot
node_boot
first=$NODE
ok "containerd answers" node_ready
pods=$(node_pods a 3)
is "three pods, an address each" "$(cut -d' ' -f3 <<<"$pods" | sort)" $'10.244.99.2\n10.244.99.3\n10.244.99.4'
ok "a pod with a host port" node_cri run-hostport web 8080
ok "a container in a pod" node_cri start "$(awk 'NR == 1 { print $1 }' <<<"$pods")" test.local/volume:1 /pause stubborn

node_census --save "$NODE/census" >"$NODE/counts"
is "what four pods and one container have" "$(cat "$NODE/counts")" "\
aside 0
bundles 5
cache 8
cgroups 5
containers 5
netns 4
overlays 5
reservations 4
root-pods 4
rules 21
runc 5
shims 4
shms 4
sockets 4
state-pods 4
veths 4"
ok "it comes to rest" node_at_rest
node_snapshot >"$NODE/one"
node_snapshot >"$NODE/two"
is "two snapshots of a node at rest are equal" "$(cat "$NODE/two")" "$(cat "$NODE/one")"
touch "$(node_path /var/lib/cni/results)"
node_snapshot >"$NODE/two"
fails "a snapshot sees a time stamp" cmp -s "$NODE/one" "$NODE/two"

node_prepare boot2
node_boot
ok "two nodes at once" node_ready
is "the second knows nothing of the first" "$(node_cri list)" ""

NODE=$first
mapfile -t three < <(cut -d' ' -f1 <<<"$pods")
ok "pods are stopped" node_cri stop "${three[@]}"
ok "pods are removed" node_cri remove "${three[@]}"
is "one pod is left" "$(node_cri list | cut -d' ' -f2)" web
is "the census tells lost from living" "$(node_census --left-of "$NODE/census" | grep -E 'veths|bundles')" $'bundles 1\nveths 1'

for dir in "${node_all[@]}"; do node_end "$dir"; done
node_all=()
is "nothing of them is left on this machine" "$(traces boot; traces boot2)" ""
tap_done

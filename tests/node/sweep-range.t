#!/bin/bash
# Addresses that run out: after a reboot, after a quarantine, after host-local
# died while it wrote. As many pods start as the range holds.
export NODE_SUBNET=10.244.98.0/28
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

range=13 # of a /28: less the network, the broadcast address and the gateway

power_cycle() {
    kill -KILL "$(node_leader)"
    wait "$(cat "$NODE/nspawn")" 2>/dev/null
    node_remove_cgroup "$(cat "$NODE/cgroup")"
    rm -f "$NODE/leader" "$NODE/nspawn" "$NODE/booted"
    node_boot
}

reserved() { find "$NODE/varlib/cni/networks/cbr0" -name '10.*' | wc -l; }

node_prepare range
node_boot
node_ready
ok "the range is used up" node_pods a "$range"
is "every address" "$(reserved)" "$range"
power_cycle
node_ready
is "without the tool the addresses stay reserved over a reboot" "$(reserved)" "$range"
fails "and no pod starts" node_cri run b 1

node_install
power_cycle
is "with it none does" "$(reserved)" 0
like "released before containerd" "$(node_run journalctl -o cat --no-pager -b -u containerd-recover-boot -u containerd |
    grep -nE 'Finished.*before the reboot|containerd successfully booted' | head -n 1)" "Finished"
node_ready
pods=$(node_cri run c "$range")
is "as many pods start as the range holds" "$(wc -l <<<"$pods")" "$range"
fails "and not one more" node_cri run d 1
node_run systemctl restart containerd
node_ready
is "a restart of containerd releases nothing" "$(reserved)" "$range"

# Leaks of all kinds on a node that runs: reservations without a cache entry, and
# files that host-local never finished.
node_policy '[sweep]' 'min_age = 0'
read -r id _ address <<<"$pods"
node_cri stop "$id" >/dev/null
node_cri remove "$id" >/dev/null
is "a pod less" "$(reserved)" $((range - 1))
: >"$NODE/varlib/cni/networks/cbr0/$address"
fails "an unfinished reservation keeps its address for ever" node_cri run e 1
ok "sweep" node_run containerd-recover sweep --yes
is "it is gone" "$(reserved)" $((range - 1))
ok "a pod starts" node_cri run e 1
is "and nothing is lost" "$(node_run containerd-recover sweep | grep -c ' lost ')" 0

# The incident: metadata damaged, a fresh root, all pods anew.
node_damage root-zero
node_crash
ok "containerd is back" node_until 60 node_cri wait 5
node_import
ok "the background is done" node_until 30 [ "$(reserved)" = 0 ]
ok "as many pods start as the range holds, after a quarantine" node_cri run f "$range"
tap_done

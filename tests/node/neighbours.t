#!/bin/bash
# What stands beside containerd's own and looks much like it: podman's and
# docker's networks, reservations of others in the same directory, foreign
# network namespaces, calico's links, bind mounts and symlinks out of the tree.
# A recovery and the purge after it leave all of it as it was.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

root=$node_data
other_id=$(printf '%064d' 7)

networks() {
    local bridge
    for bridge in docker0 cni-podman0; do
        node_run ip link add "$bridge" type bridge
        node_run ip link set "$bridge" up
        node_run ip netns add "of-$bridge"
        node_run ip link add "veth-${bridge:0:6}" type veth peer name eth0 netns "of-$bridge"
        node_run ip link set "veth-${bridge:0:6}" master "$bridge" up
    done
    # On containerd's own bridge, and of a netns that looks like CNI's.
    node_run ip netns add cni-12345678-1234-1234-1234-123456789abc
    node_run ip link add vethdeadbeef type veth peer name eth0 netns cni-12345678-1234-1234-1234-123456789abc
    node_run ip link set vethdeadbeef master cni0 up
    node_run ip link add cali0123456789a type veth peer name cali0123456789b
    node_run iptables -t nat -A POSTROUTING -s 10.244.99.60/32 -m comment --comment "name: \"podman\" id: \"$other_id\"" -j ACCEPT
    node_run iptables -t nat -N CNI-0123456789abcdef01234567
}

reservations() {
    local cni
    cni=$(node_path /var/lib/cni)
    printf '%s\r\neth0' "$other_id" >"$cni/networks/cbr0/10.244.99.61"
    mkdir -p "$cni/networks/podman"
    cp "$cni/networks/cbr0/10.244.99.61" "$cni/networks/podman/10.88.0.5"
    echo '{"kind": "cniCacheV1", "containerId": "'"$other_id"'", "networkName": "podman", "ifName": "eth0"}' \
        >"$cni/results/podman-$other_id-eth0"
}

# Below the tree that will be quarantined and purged.
ways_out() {
    local base
    base=$(node_path /var/lib)
    mkdir -p "$base/outside/bind" "$base/outside/link" "$base/${root#/var/lib/}/io.containerd.way/bind"
    echo precious | tee "$base/outside/bind/file" "$base/outside/link/file" >/dev/null
    node_run mount --bind /var/lib/outside/bind "$root/io.containerd.way/bind"
    ln -s ../../outside/link "$base/${root#/var/lib/}/io.containerd.way/relative"
    ln -s /var/lib/outside/link "$base/${root#/var/lib/}/io.containerd.way/absolute"
    ln "$base/outside/link/file" "$base/${root#/var/lib/}/io.containerd.way/hardlink"
}

# Processes that only look like ours: another containerd's shim, and a pause.
processes() {
    mkdir "$(node_path /opt/other)"
    cp "$BUILD/tests/node/pause" "$(node_path /opt/other/containerd-shim-runc-v2)"
    node_service othershim /opt/other/containerd-shim-runc-v2 \
        -namespace k8s.io -id "$other_id" -address /run/other/containerd.sock
}

purge_is_over() { [ "$(node_property ActiveState containerd-recover-purge)" = inactive ]; }

neighbours() {
    node_snapshot --without processes --without mounts --without links --without rules \
        /var/lib/outside /var/lib/cni/networks/podman /var/lib/cni/networks/cbr0/10.244.99.61 \
        "/var/lib/cni/results/podman-$other_id-eth0" /run/netns/of-docker0 /run/netns/of-cni-podman0 \
        /run/netns/cni-12345678-1234-1234-1234-123456789abc |
        sed '/outside.link.file/s/ctime=[0-9]*//' # a hard link of it goes
    node_run ip -json link show | /usr/bin/python3 -c '
import json, sys
for link in json.load(sys.stdin):
    if link["ifname"].startswith(("veth-", "vethdead", "docker", "cni-podman", "cali")):
        print(link["ifname"], link["ifindex"], link.get("master"), link["flags"])'
    node_run ip -n of-docker0 -brief link show eth0
    node_rules | grep -E 'podman|CNI-0123456789abcdef'
    node_property MainPID othershim
}

node_prepare neighbours
node_policy '[quarantine]' 'grace = 0' '[purge]' 'max_rate = 0'
node_install
node_boot
node_ready
node_pods old 3 >/dev/null
node_census --save "$NODE/old" >/dev/null
networks
reservations
processes
ways_out
settled() { # bridge ports come up a moment later
    neighbours >"$NODE/before"
    sleep 1
    neighbours | cmp -s "$NODE/before"
}
ok "the neighbours are at rest" node_until 20 settled
like "they are there" "$(cat "$NODE/before")" "cali0123456789a"

node_damage root-zero
node_crash
ok "containerd answers CRI again" node_ready 40
ok "three new pods" node_pods new 3
ok "nothing of containerd's old pods is left" node_until 30 node_nothing_left_of "$NODE/old"
is "the neighbours are as they were" "$(neighbours)" "$(cat "$NODE/before")"

ok "the purge comes to its end" node_until 30 purge_is_over
is "all is gone but the mount and what is seen through it" "$(node_tree "$(node_quarantine)/root" | cut -d' ' -f 2-)" $'d io.containerd.way\nd io.containerd.way/bind\nf io.containerd.way/bind/file'
is "and still the neighbours are as they were" "$(neighbours)" "$(cat "$NODE/before")"
like "what is left is named" "$(node_log -u containerd-recover-purge)" "io.containerd.way/bind cannot be deleted"
node_run umount "$(node_quarantine)/root/io.containerd.way/bind"
tap_done

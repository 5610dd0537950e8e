#!/bin/bash
# Exactness: of live, lost and foreign attachments on one node the lost ones go,
# with all that was theirs, while live pods serve on.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

live=${SWEEP_LIVE:-40} lost=${SWEEP_LOST:-40}

# Two networks: dual stack with host ports and a bandwidth limit, and a second one.
node_configure_networks() {
    local dir=$NODE/root/etc/cni/net.d
    cat >"$dir/10-cbr0.conflist" <<'JSON'
{
  "cniVersion": "0.4.0",
  "name": "cbr0",
  "plugins": [
    { "type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.244.96.0/22" }], [{ "subnet": "fd00:99::/64" }]] } },
    { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true },
    { "type": "bandwidth", "ingressRate": 1000000000, "ingressBurst": 1000000000,
      "egressRate": 1000000000, "egressBurst": 1000000000 }
  ]
}
JSON
    cat >"$dir/20-second.conflist" <<'JSON'
{
  "cniVersion": "0.4.0",
  "name": "second",
  "plugins": [
    { "type": "ptp", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.250.0.0/22" }]], "dataDir": "/var/lib/second-ipam" } }
  ]
}
JSON
    cat >>"$NODE/root/etc/containerd/config.toml" <<'TOML'
  max_conf_num = 2
TOML
}

# What other runtimes and an administrator have, ten in all: podman's, with cache
# entry, reservation and rule, docker-style veths, cali* ones, hand-made namespaces
# with names like CNI's.
make_foreign() {
    local id n
    for n in 1 2 3; do
        id=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
        node_run sh -c "
            set -e
            mkdir -p /var/lib/cni/networks/podman
            printf '$id\r\neth0' >/var/lib/cni/networks/podman/10.88.0.$n
            printf '%s' '{\"kind\":\"cniCacheV1\",\"containerId\":\"$id\",\"networkName\":\"podman\",\"ifName\":\"eth0\",\"config\":\"e30=\",\"result\":{}}' >/var/lib/cni/results/podman-$id-eth0
            iptables -t nat -N CNI-DN-foreign$n; iptables -t nat -A CNI-HOSTPORT-DNAT -m comment --comment 'dnat name: \"podman\" id: \"$id\"' -j CNI-DN-foreign$n"
        foreign_link "podman-$n" "veth0badcaf$n"
        foreign_link "docker-$n" "vethabcdef$n"
    done
    for n in 4 5; do
        foreign_link "workload-$n" "cali0123456789$n"
        foreign_link "cni-12345678-foreign$n" "veth0badcaf$n"
    done
}

foreign_link() { # NETNS LINK
    node_run sh -c "ip netns add $1 && ip link add $2 type veth peer name eth0 netns $1 && ip link set $2 up"
}

foreign() {
    node_run sh -c 'grep -r . /var/lib/cni/networks/podman | sort; ls /var/lib/cni/results | grep podman
        ls /run/netns | grep -E "^(podman|docker|workload)-.$|foreign"; ip -br link | grep -oE "^(vethabcdef|cali0123456789|veth0badcaf).@\S+ +\S+"
        iptables -t nat -S | grep -E "podman|foreign"'
}

# Everything that bears one of the ids in a file, wherever it may be.
traces() { # FILE
    node_run sh -c 'iptables -t nat -S; ip6tables -t nat -S; ls /run/containerd/* /run/containerd/*/* /run/containerd/*/*/* /var/lib/cni/results
        grep -r . /var/lib/cni/networks /var/lib/second-ipam; cat /proc/self/mountinfo; ps axww -o args; find /sys/fs/cgroup -type d' 2>/dev/null |
        grep -aFf "$1"
}

ids_with_fate() { # FATE
    /usr/bin/python3 -c 'import json, sys; [print(s["id"]) for s in json.load(sys.stdin)["sandboxes"] if s["fate"] == sys.argv[1]]' "$1"
}

node_prepare sweep
node_install
node_configure_networks
node_policy '[sweep]' 'min_age = 0'
node_boot
ok "containerd answers" node_ready
node_pods old "$lost" >"$NODE/lost"
node_cri run-hostport oldweb 8080 >>"$NODE/lost"
ok "lost pods run" [ "$(wc -l <"$NODE/lost")" = $((lost + 1)) ]
# The root goes: containerd knows none of them any more, and they run on.
node_run systemctl stop containerd
node_run mv /var/lib/containerd /var/lib/containerd.away
node_run systemctl start containerd
ok "containerd is back" node_ready
node_pods new "$live" >"$NODE/live"
node_cri run-hostport newweb 8081 >>"$NODE/live"
ok "live pods run" [ "$(wc -l <"$NODE/live")" = $((live + 1)) ]
make_foreign
foreign >"$NODE/foreign"
is "ten attachments of others are there" "$(grep -cE "^(vethabcdef|cali0123456789|veth0badcaf)" "$NODE/foreign")" 10
cut -d' ' -f1 "$NODE/lost" >"$NODE/lost.ids"
cut -d' ' -f1 "$NODE/live" >"$NODE/live.ids"
traces "$NODE/live.ids" | sort >"$NODE/live.before"

# A container of a living pod whose bundle is torn: its id is all that is known.
torn=$(node_cri start "$(head -n 1 "$NODE/live.ids")" test.local/pause:1)
: >"$(node_path "/run/containerd/io.containerd.runtime.v2.task/k8s.io/$torn/config.json")"

ok "the node is at rest" node_at_rest
node_snapshot >"$NODE/before"
dry=$(node_run containerd-recover sweep --format=json)
node_snapshot >"$NODE/after"
is "a dry run changes nothing" "$(cat "$NODE/after")" "$(cat "$NODE/before")"
is "the lost are found" "$(ids_with_fate lost <<<"$dry" | sort)" "$(sort "$NODE/lost.ids")"
is "the live are found" "$(ids_with_fate live <<<"$dry" | sort)" "$({ cat "$NODE/live.ids"; echo "$torn"; } | sort)"
like "plan says that there are some" "$(node_run containerd-recover plan)" "[0-9]+ sandboxes are lost to it and hold"
like "and for a program" "$(node_notices)" "(^|"$'\n'")lost-sandboxes [0-9]+ sandboxes are lost"
like "the table names the pod" "$(node_run containerd-recover sweep)" "default/oldweb .*lost"

# Something to connect to in the live pod with a host port.
web=$(tail -n 1 "$NODE/live" | cut -d' ' -f3)
# shellcheck disable=SC2016
netns=$(node_run sh -c 'for n in /run/netns/cni-*; do ip netns exec "${n##*/}" ip -o addr | grep -qw "$1" && echo "${n##*/}"; done' sh "$web")
cp "$node_helpers/reach.py" "$NODE/varlib/"
node_run ip netns exec "$netns" /usr/bin/python3 /var/lib/reach.py serve 80 >/dev/null 2>&1 </dev/null &
ok "the host port is served" node_until 5 node_run sh -c "timeout 1 bash -c '</dev/tcp/10.244.96.1/8081'"
mapfile -t addresses < <(cut -d' ' -f3 "$NODE/live"; cd "$NODE/varlib/cni/networks/cbr0" && grep -lFf "$NODE/live.ids" fd00*)
is "an address of each family" "${#addresses[@]}" $((2 * (live + 1)))
node_run /usr/bin/python3 /var/lib/reach.py /run/stop "${addresses[@]}" 10.244.96.1:8081 >"$NODE/reached" 2>&1 &
reach=$!
sleep 0.5

start=${EPOCHREALTIME/./}
node_run containerd-recover sweep --yes --format=json >"$NODE/swept"
is "sweep --yes" "$?" 0
diag "$lost and one swept in $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
echo "$dry" >"$NODE/dry"
is "its JSON has the fields of the man page" \
    "$(/usr/bin/python3 "$node_helpers/jsondoc.py" "$node_top/docs/containerd-recover.8" sweep "$NODE"/{dry,swept})" ""
is "it says what it released" "$(/usr/bin/python3 -c 'import json, sys; s = json.load(sys.stdin); print(s["released"], s["failed"])' <"$NODE/swept")" "$((lost + 1)) 0"
node_run touch /run/stop
wait "$reach"
diag "$(cat "$NODE/reached")"
like "live pods and the host port answer all the while" "$(cat "$NODE/reached")" "^asked [0-9]{2,} failed 0$"
unlike "plan says so no more" "$(node_run containerd-recover plan)" "are lost to it"
is "nothing of the lost is left" "$(traces "$NODE/lost.ids")" ""
is "all of the live is there" "$(traces "$NODE/live.ids" | sort)" "$(cat "$NODE/live.before")"
is "all of the foreign is there" "$(foreign)" "$(cat "$NODE/foreign")"
is "no link and no namespace but theirs" "$(node_run sh -c 'ls /run/netns | grep -c "^cni-........-....-"; ip -br link | grep -cE "^(veth|bwp)"')" \
    "$((live + 1))"$'\n'"$((3 * (live + 1) + 8))"
like "metrics" "$(node_run containerd-recover sweep --format=prometheus)" "containerd_recover_sweep_lost 0.*network_free_addresses\{network=\"cbr0\",subnet=\"10.244.96.0/22\"\} $((1021 - live - 1))"
is "containerd still has its pods" "$(node_cri list | cut -d' ' -f1 | sort)" "$(sort "$NODE/live.ids")"
tap_done

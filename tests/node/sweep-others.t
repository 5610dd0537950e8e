#!/bin/bash
# What a sweep leaves alone though it looks lost: what nerdctl runs beside the
# pods, the pods of another containerd on the same network, networks of which a
# torn configuration does not tell whose they are.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

other=/run/other/containerd.sock
nerdctl=$(printf 'cd%.0s' {1..32}) unborn=$(printf 'ef%.0s' {1..32})

# A second containerd: its own root and state, the same CNI directories.
start_other() {
    sed -e '1a root = "/var/lib/other"\nstate = "/run/other"' "$(node_path /etc/containerd/config.toml)" >"$(node_path /etc/containerd/other.toml)"
    printf '[grpc]\n  address = "%s"\n' "$other" >>"$(node_path /etc/containerd/other.toml)"
    node_service other /usr/bin/containerd --config /etc/containerd/other.toml
    NODE_SOCKET=$other node_ready
    node_run ctr --address "$other" -n k8s.io images import /var/lib/images.tar >/dev/null
}

fates() {
    node_run containerd-recover sweep --format=json |
        /usr/bin/python3 -c 'import json, sys; [print(s["id"], s["fate"]) for s in json.load(sys.stdin)["sandboxes"]]' | sort
}

# All that bears the id.
traces_of() {
    node_run sh -c 'iptables -t nat -S; ls /run/containerd/runc/k8s.io /run/*/io.containerd.runtime.v2.task/k8s.io /var/lib/cni/results
        grep -r . /var/lib/cni/networks; cat /proc/self/mountinfo; ps axww -o args; ip -br link; ls /run/netns' 2>/dev/null | grep -aF "$1" | sort
}

node_prepare others
node_install
node_policy '[sweep]' 'min_age = 0'
node_boot
node_ready
live=$(node_pods live 1 | cut -d' ' -f1)
node_run ctr -n k8s.io run -d --runc-binary /usr/local/sbin/runc-without-cpu --label who=nerdctl test.local/pause:1 "$nerdctl"
ok "another client's container runs" [ -n "$(traces_of "$nerdctl")" ]
is "it is not a pod, with containerd up" "$(fates)" "$(printf '%s\n' "$live live" "$nerdctl other" | sort)"
: >"$(node_path "/run/containerd/io.containerd.runtime.v2.task/k8s.io/$nerdctl/config.json")"
is "nor lost if its bundle is torn" "$(fates)" "$(printf '%s\n' "$live live" "$nerdctl live" | sort)"
traces_of "$nerdctl" >"$NODE/nerdctl"
ok "sweep" node_run containerd-recover sweep --yes
is "it runs on" "$(traces_of "$nerdctl")" "$(cat "$NODE/nerdctl")"
ok "and its task is there" node_run sh -c "ctr -n k8s.io task ls | grep -q '$nerdctl .*RUNNING'"

ok "a second containerd" start_other
read -r alive _ < <(NODE_SOCKET=$other node_cri run alive 1)
read -r dead _ < <(NODE_SOCKET=$other node_cri run dead 1)
# A pod whose processes died, as its containerd still knows it.
init=$(node_run cat "/run/other/io.containerd.runtime.v2.task/k8s.io/$dead/init.pid")
node_run pkill -KILL -f "containerd-shim.* -id $dead"
node_run kill -KILL "$init"
gone() { ! node_run pgrep -f "$dead" && ! node_run test -e "/run/other/io.containerd.runtime.v2.task/k8s.io/$dead"; }
ok "a pod of its is dead" node_until 10 gone
# And one that has an address, and no process yet.
printf '%s\r\neth0' "$unborn" >"$NODE/varlib/cni/networks/cbr0/10.244.99.60"
ok "their traces are there" [ -n "$(traces_of "$alive")" -a -n "$(traces_of "$dead")" ]
others() { traces_of "$alive"; traces_of "$dead"; traces_of "$unborn"; }
others >"$NODE/others"
is "they are not ours, with containerd up" "$(fates | grep -v -e "$live" -e "$nerdctl")" "$(printf '%s\n' "$dead other" "$unborn other" | sort)"
like "it is said why" "$(node_run containerd-recover sweep)" "another runtime uses CNI's directories: containerd, pid"
ok "sweep" node_run containerd-recover sweep --yes
is "all is there" "$(others)" "$(cat "$NODE/others")"
node_run systemctl stop containerd
is "nor with containerd down" "$(fates | grep -v -e "$live" -e "$nerdctl")" "$(printf '%s\n' "$dead other" "$unborn other" | sort)"
ok "sweep" node_run containerd-recover sweep --yes
is "all is there still" "$(others)" "$(cat "$NODE/others")"
is "the other has its pods" "$(NODE_SOCKET=$other node_cri list | wc -l)" 2

# With its containerd gone for good they are known by their network alone, and lost.
NODE_SOCKET=$other node_cri stop "$alive"
node_run systemctl stop other
is "alone on the node the network is proof" "$(fates | grep -c lost)" 2

# Ownership of a network goes by its configuration: behind a torn one nothing is CRI's.
node_run sh -c 'echo "{" >/etc/cni/net.d/05-torn.conflist'
is "a torn configuration" "$(fates | grep -c "$unborn")" 0
like "it is named" "$(node_run containerd-recover sweep)" "configuration 05-torn.conflist: no network can be read"
ok "sweep" node_run containerd-recover sweep --yes
ok "the reservation stays" test -e "$NODE/varlib/cni/networks/cbr0/10.244.99.60"
node_run rm /etc/cni/net.d/05-torn.conflist
ok "sweep" node_run containerd-recover sweep --yes
fails "and goes when it is known whose it was" test -e "$NODE/varlib/cni/networks/cbr0/10.244.99.60"

# As a user: not as anybody, and on a node with no containerd and no network.
out=$(node_run setpriv --reuid 65534 --clear-groups containerd-recover sweep 2>&1)
is "not as anybody: status" "$?" 1
like "and it says so" "$out" "sweep needs root"
out=$(node_run containerd-recover sweep --root=/nowhere --state=/run/nowhere --format=json)
is "no containerd at all: status" "$?" 0
like "nobody has records there" "$out" '"known_by": "no meta.db"'

node_run systemctl start containerd
ok "containerd is back" node_ready
is "with its pod" "$(fates)" "$(printf '%s\n' "$live live" "$nerdctl live" | sort)"
tap_done

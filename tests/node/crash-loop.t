#!/bin/bash
# The incident itself, with the unit as it is shipped: forty pods on a /26, the
# root page of meta.db zeroed, containerd killed. What comes back is a node with
# room for forty new pods and nothing of the old ones.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

node_prepare crash-loop
node_install
node_boot
node_ready
ok "forty pods, one with a host port" eval 'node_pods old 39 && node_cri run-hostport old-web 8080'
node_census --save "$NODE/before" >"$NODE/counts"
like "they fill the node" "$(cat "$NODE/counts")" "shims 40"
old_root=$(stat -c %i "$(node_path "$node_data")")

node_damage root-zero
killed=$EPOCHREALTIME
node_crash
ok "containerd answers CRI again" node_ready 40
took=$(node_since "$killed")
figure "seconds from the crash, of which systemd waits 5" "$took" 8
is "after the first failed start, or none" "$(node_log -u containerd | grep -c '^panic:')" 0

is "no pod is known" "$(node_cri list)" ""
ok "forty new pods, the host port again" eval 'node_pods new 39 && node_cri run-hostport new-web 8080'
ok "nothing of the old pods is left" node_until 30 node_nothing_left_of "$NODE/before"
is "what is left of them" "$(node_census --left-of "$NODE/before" --names)" ""
is "the node has what forty pods have, and no more" "$(node_census)" "$(cat "$NODE/counts")"
is "the host port leads to the new pod alone" "$(node_rules | grep -o 'to-destination .*')" \
    "to-destination $(node_address_of new-web):80"

is "one quarantine" "$(node_quarantines | wc -l)" 1
is "it has the old root itself" "$(stat -c %i "$(node_path "$(node_quarantine)/root")")" "$old_root"
ok "with all that was in it" test -s "$(node_path "$(node_quarantine)/root/io.containerd.metadata.v1.bolt/meta.db")"
is "and nobody but root may enter" "$(stat -c '%a %U' "$(node_path "$(node_quarantine)")")" "700 root"
ok "with a manifest" /usr/bin/python3 -m json.tool "$(node_path "$(node_quarantine)/manifest.json")"
tap_done

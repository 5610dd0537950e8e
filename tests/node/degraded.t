#!/bin/bash
# Both meta pages damaged: containerd would say READY and have no CRI, so no
# crash loop ever shows it.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

node_prepare degraded
node_install
node_boot
node_ready
ok "forty pods" node_pods old 40
node_census --save "$NODE/before" >"$NODE/counts"

# First what it is like without us.
node_run touch /var/lib/containerd-recover/hold
node_damage meta-checksum
node_crash
ok "held back, containerd says READY" node_until 15 node_is_active
fails "and has no CRI" node_ready 2
is "its pods still run" "$(node_census)" "$(cat "$NODE/counts")"
like "status says what is held back, though the unit is up" "$(node_run containerd-recover status)" \
    "is active.*before its last start.*rule hold, which holds meta-damaged back.*nothing was changed"

node_run rm /var/lib/containerd-recover/hold
node_crash
ok "let go, containerd answers CRI" node_ready 40
ok "forty new pods" node_pods new 40
ok "nothing of the old pods is left" node_until 30 node_nothing_left_of "$NODE/before"
is "what is left of them" "$(node_census --left-of "$NODE/before" --names)" ""
is "the node has what forty pods have, and no more" "$(node_census)" "$(cat "$NODE/counts")"
tap_done

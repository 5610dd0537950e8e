#!/bin/bash
# READY, and of no use: CRI hangs or is missing. Where meta.db is damaged that is
# cured without anybody's doing; where it is not, it is only said.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

probe_is_done() { [ "$(node_property ActiveState containerd-recover-probe)" != active ]; }
ledger() { node_run cat /var/lib/containerd-recover/containerd.service.ledger; }
probe_log() { node_log -u containerd-recover-probe; }
is_degraded() { ledger | grep -q "unready .* degraded"; }
# containerd's processes so far: a restart by us would be one more.
starts() { ledger | grep -c ' attempt '; }
configure() { # SED EXPRESSION
    sed -i "$1" "$NODE/root/etc/containerd/config.toml"
    node_run systemctl stop containerd
    node_forget
    node_run systemctl start containerd
}

node_prepare unready
node_install
node_fast_restarts
node_policy '[crash-loop]' 'cri_timeout = 5s'
node_boot
node_ready
ok "a healthy start is seen to be one" node_until 10 probe_is_done
is "and nothing is said" "$(ledger | grep -c unready)" 0
ok "three pods" node_pods old 3
node_census --save "$NODE/before" >"$NODE/counts"

# A page that is read behind READY alone, and only by a look at every page.
node_run systemctl stop containerd
ok "a nested bucket's page is zeroed" node_damage bucket-zero:v1/k8s.io/containers
node_run systemctl start containerd
ok "containerd is READY" node_is_active
fails "and CRI does not answer" node_ready 2
ok "it is cured by itself" node_ready 60
like "the probe noticed" "$(probe_log)" "its CRI does not answer"
like "and had a reason" "$(probe_log)" "rule unready-damage"
like "the ledger has it" "$(ledger)" "unready .* hung"
ok "the damaged root is in quarantine" test -s "$(node_path "$(node_quarantine)/root/io.containerd.metadata.v1.bolt/meta.db")"
ok "three new pods" node_pods new 3
ok "nothing of the old pods is left" node_until 30 node_nothing_left_of "$NODE/before"
is "the node has what three pods have, and no more" "$(node_census)" "$(cat "$NODE/counts")"
ok "the probe is done" node_until 10 probe_is_done

# Both meta pages, at a moment at which preflight has to leave all to another run.
node_remove_pods
node_run systemctl stop containerd
node_forget
node_damage meta-checksum
node_hold other /run/containerd-recover/lock \
    sh -c 'until systemctl is-active --quiet containerd; do sleep 0.02; done'
node_run systemctl start containerd
like "preflight left it" "$(node_quarantines)" "^$"
ok "containerd without CRI is cured by itself" node_ready 60
like "the probe noticed" "$(probe_log)" "runs without CRI"
unlike "nothing of that is said of the start that has CRI" \
    "$(node_run containerd-recover status; node_run containerd-recover plan)" "but without CRI|runs without CRI|rule degraded"
ok "one quarantine" node_quarantine
ok "three pods again" node_pods newer 3
node_remove_pods

# The same, with an operator who wants nothing done.
node_run systemctl stop containerd
node_forget
node_run touch /var/lib/containerd-recover/hold
node_damage meta-checksum
node_run systemctl start containerd
ok "under a hold it is noticed" node_until 20 is_degraded
like "status says that up is not enough" "$(node_run containerd-recover status)" "is READY, but without CRI"
like "so does scan" "$(node_run containerd-recover scan)" "^containerd.service runs without CRI, "
like "and plan" "$(node_run containerd-recover plan)" "^containerd.service runs without CRI, "
ok "and the probe ends" node_until 10 probe_is_done
like "saying what held it" "$(probe_log)" "rule hold, which held unready-damage back"
is "containerd was not restarted" "$(starts)" 1
is "nothing was set aside" "$(node_quarantines)" ""
node_run rm /var/lib/containerd-recover/hold
node_run systemctl restart containerd
ok "without the hold a restart cures it" node_ready 30
ok "one quarantine again" node_quarantine

# Causes that are nobody's data.
configure 's/^version = 2/&\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]/'
ok "with CRI disabled the probe ends" node_until 10 probe_is_done
is "and says nothing" "$(ledger | grep -c unready)" 0
configure 's/^disabled_plugins.*//; s/sandbox_image = .*/&\n  max_container_log_line_size = -1\n  stream_idle_timeout = "never"/'
ok "a CRI that fails by its configuration is noticed" node_until 20 is_degraded
ok "the probe ends" node_until 10 probe_is_done
is "containerd was not restarted" "$(starts)" 1
is "and nothing was set aside" "$(node_quarantines)" ""
tap_done

#!/bin/bash
# Whatever is wrong with our own tool, containerd starts with the root it had.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

# starts NAME: containerd does, long before systemd gives it up, with its pods.
starts() {
    local from
    node_run systemctl stop containerd
    node_run systemctl reset-failed
    from=$EPOCHREALTIME
    ok "$1: containerd starts" node_run systemctl start containerd
    at_most "$1: seconds" "$(node_since "$from")" 20
    ok "$1: it answers" node_ready
    is "$1: it has its pods" "$(node_cri list | wc -l)" 2
    is "$1: no quarantine" "$(node_quarantines)" ""
}

node_prepare fail-open
node_install
node_boot
node_ready
node_pods old 2 >/dev/null
binary=$(node_path /usr/bin/containerd-recover)

starts "nothing is wrong"

# What only root may see must not look as if it were not there.
as_nobody() { node_run setpriv --reuid 65534 --regid 65534 --clear-groups containerd-recover "$@"; }
for command in status plan scan evidence purge finish "sweep --yes" "now --yes" "restore some"; do
    # shellcheck disable=SC2086
    said=$(as_nobody $command 2>&1)
    is "$command without root: status and words" "$? $said" "1 containerd-recover: ${command%% *} needs root"
done
ok "preflight without root succeeds" as_nobody preflight
node_run containerd-recover plan --format=json >"$NODE/varlib/facts.json"
like "what could not be looked at is named, and why" \
    "$(node_run containerd-recover now --dry-run --state=/etc/passwd)" \
    "rule scan-incomplete.*not all of them could be looked at; bundles in the state directory: Not a directory"
node_run sh -c 'mkdir -p /var/lib/cni/results && mv /var/lib/cni/results /var/lib/cni/aside && touch /var/lib/cni/results'
like "by sweep as well" "$(node_run containerd-recover sweep --yes 2>&1)" \
    "cannot look at .*: Not a directory"
node_run sh -c 'rm /var/lib/cni/results && mv /var/lib/cni/aside /var/lib/cni/results'
like "saved facts may be judged by anybody" "$(as_nobody plan --facts=/var/lib/facts.json)" "rule healthy"

cp "$binary" "$NODE/binary"
rm "$binary"
starts "the binary is gone"
printf '#!/bin/sh\nkill -SEGV $$\n' >"$binary"
chmod 755 "$binary"
starts "it crashes"
printf '#!/bin/sh\nexit 1\n' >"$binary"
starts "it fails"
cp "$NODE/binary" "$binary"

node_policy 'this is not = [a policy'
starts "the policy file is not understood"
like "the policy file is not understood: plan says so on a healthy node" \
    "$(node_run containerd-recover plan)" "policy not understood, nothing is acted on: /etc/containerd-recover.conf:1: .* stands before the first .section"
rm "$(node_path /etc/containerd-recover.conf)"

node_run mount -t tmpfs -o ro none /var/lib/containerd-recover
starts "its directory is read-only"
node_run umount /var/lib/containerd-recover
node_run mount -t tmpfs -o size=4k,nr_inodes=2 none /var/lib/containerd-recover
node_run sh -c 'head -c 4096 /dev/zero >/var/lib/containerd-recover/ledger'
starts "its directory is full, its ledger is noise"
node_run umount /var/lib/containerd-recover
node_run rm -rf /var/lib/containerd-recover /run/containerd-recover
starts "its directories are gone"

node_run mkdir -p /run/containerd-recover
node_run touch /run/containerd-recover/lock
node_hold holder /run/containerd-recover/lock
starts "another run of it holds the lock"
node_run systemctl stop holder
tap_done

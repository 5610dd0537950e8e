#!/bin/bash
# `now --dry-run` leaves a node byte for byte as it was; `restore` puts the root
# back that `now` moved aside, inode for inode.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

root=$node_data

node_prepare restore
node_install
node_boot
node_ready
pods=$(node_pods old 3)
container=$(node_cri start "${pods%% *}" test.local/volume:1)
volumes=$(node_path "$root/io.containerd.grpc.v1.cri/containers/$container/volumes")
volume=$volumes/$(ls "$volumes")
echo "the user's" >"$volume/file"

ok "the node is at rest" node_at_rest
node_snapshot >"$NODE/before"
plan=$(node_run containerd-recover now --dry-run 2>&1)
is "a dry run succeeds" $? 0
node_snapshot >"$NODE/after"
is "and changes nothing at all" "$(cat "$NODE/after")" "$(cat "$NODE/before")"
like "it shows what would be done" "$plan" "fresh data root"
for command in "sweep --dry-run" plan status; do
    # shellcheck disable=SC2086
    node_run containerd-recover $command >/dev/null 2>&1
    node_snapshot >"$NODE/after"
    is "nor does $command" "$(cat "$NODE/after")" "$(cat "$NODE/before")"
done

fails "without a terminal or --yes, now does nothing" node_run containerd-recover now
node_snapshot >"$NODE/after"
is "and changes nothing" "$(cat "$NODE/after")" "$(cat "$NODE/before")"

node_run systemctl stop containerd
node_tree "$root" >"$NODE/tree"
ok "a fresh root, by hand" node_run containerd-recover now --yes
ok "containerd answers" node_ready
is "with no pod" "$(node_cri list)" ""
id=$(basename "$(node_quarantine)")
is "the quarantine has the old tree" "$(node_tree "$(node_quarantine)/root")" "$(cat "$NODE/tree")"
ok "status names it" grep -q "$id" <(node_run containerd-recover status)

node_run systemctl stop containerd
ok "restore" node_run containerd-recover restore --yes "$id"
node_run systemctl stop containerd
# containerd itself, once started, writes new status files, and removes the
# work directories of tasks that are gone.
own() { grep -vE 'containers/[0-9a-f]*/status$|runtime.v2.task/k8s.io/'; }
is "the old tree is back, inode for inode" "$(node_tree "$root" | own)" "$(own <"$NODE/tree")"
is "the user's file too" "$(cat "$volume/file")" "the user's"
node_run systemctl start containerd
ok "containerd answers" node_ready
like "with the images it had" "$(node_cri images)" "test.local/volume:1"
is "and the pods, which were killed" "$(node_cri list | cut -d' ' -f2,3 | sort)" $'old-0 notready\nold-1 notready\nold-2 notready'
fails "a second time there is nothing to restore" node_run containerd-recover restore --yes "$id"
tap_done

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

report() { node_run containerd-recover status --last "$@" 2>&1; }
field() { # PYTHON EXPRESSION over the report r
    report --format=json | /usr/bin/python3 -c "import json, sys
r = json.load(sys.stdin); print($1)"
}
# The background work goes on meanwhile: the report is there all the same.
like "the report says what was done, while work goes on" "$(report)" "Done: the data root was set aside"
listed() { [[ $(field "r['kept'].get('user_data')") == *"$container"* ]]; }
ok "the user data is listed when it is through" node_until 60 listed
text=$(report)
like "why" "$text" "rule asked"
like "the pods that were lost" "$text" "Lost: 3 pods.*/old-0"
like "the volume, with pod and size" "$text" "old-0, container [a-z0-9-]*: volumes, 2 entries"
like "how to undo it" "$text" "undo it, until .*: containerd-recover restore $id"
like "how to keep the data" "$text" "containerd-recover keep $id --to"
at_most "one page" "$(wc -l <<<"$text")" 60
diag "$text"
is "JSON has the stages, in their order" "$(field "[s for s in r['stages'] if s in ('detect', 'kill', 'bundles', 'links', 'release', 'move', 'ready')]")" \
    "['detect', 'kill', 'bundles', 'links', 'release', 'move', 'ready']"
is "every one with its time" "$(field "all(isinstance(r['stages'][s], int) for s in ('detect', 'kill', 'move', 'ready', 'sweep'))")" True
is "the processes that were ended" "$(field "r['lost']['processes'] >= 4")" True

like "keep lists the volume" "$(node_run containerd-recover keep "$id" --dry-run)" "$container/volumes"
ok "keep, to a directory" node_run containerd-recover keep "$id" --to /var/lib/kept
ok "keep, to an archive, with the pod's writable layers" \
    node_run containerd-recover keep "$id" --pod '*/old-0' --to /var/lib/kept.tar.zst
kept=$(find "$(node_path /var/lib/kept)" -path '*/volumes/*' -name file)
is "the user's file is in the copy" "$(cat "$kept")" "the user's"
like "under its pod's name" "$kept" "/kept/[a-z0-9-]*/old-0/[a-z0-9-]*$container/volumes/"
is "and in the archive" "$(tar --wildcards -xOf "$(node_path /var/lib/kept.tar.zst)" "*$container/volumes/*/file" 2>/dev/null)" "the user's"
like "the report tells of the copies" "$(report)" "copied to /var/lib/kept, .*copied to /var/lib/kept.tar.zst"
like "with the layer" "$(tar -tf "$(node_path /var/lib/kept.tar.zst)" 2>/dev/null)" "$container/layer/"

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
is "the report is of the restore" "$(field "r['event'], r['state']")" "restore restored"
like "which says so" "$(report)" "Done: the old data root was put back"
fails "a second time there is nothing to restore" node_run containerd-recover restore --yes "$id"
ok "the rest is purged" node_until 30 node_run containerd-recover purge --yes "$id"
is "the report outlives it" "$(field "r['event'], r['state'], r['next']['purge_at']")" "restore purged 0"
tap_done

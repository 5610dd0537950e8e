#!/bin/bash
# `now --dry-run` leaves a node byte for byte as it was; `restore` puts the root
# back that `now` moved aside, inode for inode.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

root=$node_data

starts() { [ "$(node_property SubState)" = start ]; }

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
like "and what becomes of the images" "$plan" "images are brought over in the background"
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
like "restore says why it was set aside" "$(node_run containerd-recover restore --dry-run "$id")" \
    "it was set aside because: an operator asks"
like "under its pod's name" "$kept" "/kept/[a-z0-9-]*/old-0/[a-z0-9-]*$container/volumes/"
is "and in the archive" "$(tar --wildcards -xOf "$(node_path /var/lib/kept.tar.zst)" "*$container/volumes/*/file" 2>/dev/null)" "the user's"
like "the report tells of the copies" "$(report)" "copied to /var/lib/kept, .*copied to /var/lib/kept.tar.zst"
report --format=json >"$NODE/quarantine.json"
like "with the layer" "$(tar -tf "$(node_path /var/lib/kept.tar.zst)" 2>/dev/null)" "$container/layer/"

# What purge may delete, and when.
jail=$(node_path "$root.quarantine")
purge() { node_run containerd-recover purge "$@" 2>&1; }
mkdir -p "$jail/20260101T000000-foreign/root/dir" "$(node_path /var/lib/precious)"
echo precious | tee "$jail/20260101T000000-foreign/root/dir/file" "$(node_path /var/lib/precious/file)" >/dev/null
whole() { node_tree "$root.quarantine"; node_tree /var/lib/precious; }
whole >"$NODE/whole"
like "a dry run says when" "$(purge --dry-run)" "$id .*would be purged in [0-9]* s"
for not_ours in /var/lib/precious "$root" "${root%/*}" / "$root.quarantine" "$root.quarantine/$id/root" \
    "$root.quarantine/../precious" 20260101T000000-foreign "$root.quarantine/20260101T000000-foreign" "../$id" none; do
    purge --yes --urgent "$not_ours" >"$NODE/said"
    is "$not_ours is refused" $? 1
done
purge "$id" >"$NODE/said"
is "within its grace period nor is the quarantine purged without --yes" "$? $(grep -c 'is kept for another' "$NODE/said")" "3 1"
node_run flock "$root.quarantine/$id" containerd-recover purge --yes "$id" >"$NODE/said" 2>&1
is "one that another run has in hand is left to it, and it says so" "$? $(grep -c 'another run.* has it in hand' "$NODE/said")" "3 1"
is "nothing of all that is gone" "$(whole)" "$(cat "$NODE/whole")"
like "status says what is not ours, why, and where" "$(node_run containerd-recover status)" \
    "20260101T000000-foreign: not a quarantine of ours, left alone: its manifest.json .*where: $root.quarantine/20260101T000000-foreign; delete it by hand"
said=$(node_run containerd-recover restore --yes 20260101T000000-foreign 2>&1)
is "nor can that be restored" $? 1
like "and it says why" "$said" "'20260101T000000-foreign' cannot be opened: its manifest.json"
rm -r "$jail/20260101T000000-foreign" "$(node_path /var/lib/precious)"

node_run sh -c "systemctl stop containerd; mv $root $root-away"
said=$(node_run containerd-recover restore --yes "$id" 2>&1)
is "with no root in whose place it goes it is not restored" $? 1
like "and it says what to do" "$said" "data root $root, in whose place it would be put, cannot be opened: No such .*make that directory"
node_run sh -c "mv $root-away $root; systemctl start containerd"

node_run systemctl stop containerd
# A containerd that somebody started by hand, say: nothing is moved under it, nor stopped for nothing.
node_hold other "$root/io.containerd.metadata.v1.bolt/meta.db"
node_run systemctl start --no-block containerd
node_until 20 starts
pid=$(node_property MainPID)
said=$(node_run containerd-recover restore --yes "$id" 2>&1)
is "somebody has the root that stands: hands off" $? 3
like "somebody has the root that stands: it says who" "$said" "process [0-9]+ \\(.*\\) has meta.db locked, so nothing is put back"
unlike "somebody has the root that stands: nothing is stopped" "$said" "stop containerd"
is "somebody has the root that stands: it is the same containerd" "$(node_property MainPID)" "$pid"
is "a dry run says so too" "$(node_run containerd-recover restore --dry-run "$id" >/dev/null 2>&1; echo $?)" 3
node_run systemctl stop other
node_ready
# One that has it as soon as containerd is down.
node_service other flock --exclusive "$root/io.containerd.metadata.v1.bolt/meta.db" sleep 8
said=$(node_run containerd-recover restore --yes "$id" 2>&1)
is "somebody takes the root that stands: it is not put back" $? 1
like "somebody takes the root that stands: it says so" "$said" "with containerd stopped, process [0-9]+ \\(.*\\) has meta.db locked"
like "somebody takes the root that stands: and what is waited for" "$said" \
    "waiting for containerd.service to be READY, 5 s by now, up to 120 s: it is activating, start; Ctrl-C"
is "somebody takes the root that stands: containerd is back" "$(node_property ActiveState)" active
is "somebody takes the root that stands: the old tree is where it was" "$(node_tree "$root.quarantine/$id/root")" "$(cat "$NODE/tree")"
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
report --format=json >"$NODE/restore.json"
is "the reports' JSON has the fields of the man page" \
    "$(/usr/bin/python3 "$node_helpers/jsondoc.py" "$node_top/docs/containerd-recover.8" 'status --last' "$NODE"/{quarantine,restore}.json)" ""
fails "a second time there is nothing to restore" node_run containerd-recover restore --yes "$id"

# What stood between is a quarantine as any other, and comes back in turn.
state_of() { node_run containerd-recover status | sed -n "s/^  $1: \([a-z]*\),.*/\1/p"; }
newest() { basename "$(node_newest_quarantine)"; }
between=$(newest)
is "the root that stood until then is a quarantine of its own" "$(state_of "$id") $(state_of "$between")" "restored quarantined"
like "status says how it is put back" "$(node_run containerd-recover status)" "containerd-recover restore $between"
like "so does the report" "$(report)" "undo it, until .*: containerd-recover restore $between"
like "and which of the two has data to keep" "$(report)" "containerd-recover keep $between --to"
is "nothing is left in the first one" "$(node_tree "$root.quarantine/$id/root")" ""

# One quarantine after another, and the first one put back: all three are kept.
purge --yes "$id" >/dev/null
node_run touch "$root/io.containerd.first" "$root.quarantine/$between/root/io.containerd.none"
ok "another fresh root" node_run containerd-recover now --yes --force
first=$(newest)
node_run touch "$root/io.containerd.second"
ok "and another" node_run containerd-recover now --yes --force
second=$(newest)
node_run touch "$root/io.containerd.third"
node_run systemctl stop containerd
inode_of() { stat -c %i "$(node_path "$1")"; }
roots=("$(inode_of "$root.quarantine/$first/root")" "$(inode_of "$root.quarantine/$second/root")" "$(inode_of "$root")")
# One that cannot be moved: what stood comes back instead.
chattr +i "$jail/$first"
fails "one that is stuck is not put back" node_run containerd-recover restore --yes "$first"
chattr -i "$jail/$first"
is "what stood stands, the others are where they were" \
    "$(inode_of "$root.quarantine/$first/root") $(inode_of "$root.quarantine/$second/root") $(inode_of "$root")" "${roots[*]}"
ok "containerd answers all the same" node_ready
node_run systemctl stop containerd
ok "the first one is put back" node_run containerd-recover restore --yes "$first"
third=$(newest)
is "it stands, and so do the others, aside" \
    "$(inode_of "$root") $(inode_of "$root.quarantine/$second/root") $(inode_of "$root.quarantine/$third/root")" "${roots[*]}"
is "each can be put back" "$(state_of "$second") $(state_of "$third")" "quarantined quarantined"
ok "the second" node_run containerd-recover restore --yes "$second"
is "stands" "$(inode_of "$root") $(node_run ls "$root" | grep -c '^io.containerd.second')" "${roots[1]} 1"
fourth=$(newest)
ok "the third" node_run containerd-recover restore --yes "$third"
is "stands, with what it had" "$(inode_of "$root") $(node_run ls "$root" | grep -c '^io.containerd.third')" "${roots[2]} 1"
is "the first one, too, was kept again" "$(inode_of "$root.quarantine/$fourth/root") $(state_of "$fourth")" "${roots[0]} quarantined"
ok "containerd answers" node_ready
for id in $(node_quarantines | grep -v "$between"); do purge --yes --urgent "${id##*/}" >/dev/null; done
is "when they are purged, what stood first is left" "$(node_quarantine)" "$root.quarantine/$between"
id=$between

# Somebody looks into it, with a containerd of his own.
look_into() { node_run ctr --address /run/second/containerd.sock -n k8s.io "$@"; }
quarantined=$root.quarantine/$id/root
printf 'version = 2\noom_score = 0\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >"$(node_path /etc/containerd/second.toml)"
node_service second containerd --config /etc/containerd/second.toml --root "$quarantined" --state /run/second \
    --address /run/second/containerd.sock
ok "a second containerd, on the quarantined root" node_until 20 look_into images ls -q
used="process $(node_property MainPID second) \(containerd\) has its io.containerd.[a-z0-9./]*.db open"
like "status says so" "$(node_run containerd-recover status)" "in use, .*: $used"
like "a dry run too" "$(purge --dry-run --yes "$id")" "$id .*not purged while it is in use: $used"
purge --yes --urgent "$id" >"$NODE/said"
is "what is in use is not purged" $? 3
like "and it says by whom" "$(cat "$NODE/said")" "$id is in use and is not purged: $used"
said=$(node_run containerd-recover restore --yes "$id" 2>&1)
is "nor is it put back" $? 1
like "for the same reason" "$said" "$id is in use and cannot be restored: $used"
ok "with containerd left alone" node_is_active
node_policy '[quarantine]' 'grace = 0'
node_run systemctl restart containerd-recover-purge
purge_is_over() { [ "$(node_property ActiveState containerd-recover-purge)" = inactive ]; }
ok "the unit ends" node_until 20 purge_is_over
is "having tried once" "$(node_property Result containerd-recover-purge) $(node_log -u containerd-recover-purge | grep -c 'is in use and is not purged')" "success 1"
ok "it comes again" test -e "$(node_path /var/lib/containerd-recover/pending)"
ok "nothing is gone" look_into images ls -q
is "the purge has not begun" "$(grep -c purge "$jail/$id/stages")" 0
node_run systemctl stop second
rm "$NODE/root/etc/containerd-recover.conf"

# A purge by hand, stopped by Ctrl-C and gone on with; what is held open, and what cannot go.
aside=$(node_path "$(node_quarantine)")/root
mkdir "$aside/many" "$aside/mounted"
"$BUILD/tests/bench/maketree" "$aside/many" 4000 1 1000 10 >/dev/null
head -c 1048576 /dev/zero >"$aside/held"
hold_open() { # FILE
    node_service holder sh -c "exec <$1 && touch /run/holds && exec sleep 1000"
    node_until 20 node_run test -e /run/holds
    node_run rm /run/holds
}
hold_open "$root.quarantine/$id/root/held"
node_run mount --bind /usr "$root.quarantine/$id/root/mounted"
node_run sh -c "echo \$\$ >/run/purge.pid; exec containerd-recover purge --yes --max-rate 300 $id" >"$NODE/said" 2>&1 &
by_hand=$!
sleep 3
like "status tells how far it is" "$(node_run containerd-recover status)" "[0-9]+ entries.* [0-9,]+/s, gentle"
node_run containerd-recover status --format=json >"$NODE/status.json"
is "its JSON has the fields of the man page" \
    "$(/usr/bin/python3 "$node_helpers/jsondoc.py" "$node_top/docs/containerd-recover.8" status "$NODE/status.json")" ""
# Of the quarantine, of its data, and of the databases of containerd and of its snapshotters.
locks=$(node_run grep -c "FLOCK .* $(cat "$(node_path /run/purge.pid)") " /proc/locks)
ok "what is being deleted is nobody's to open meanwhile ($locks locks)" test "$locks" -ge 4
is "a second purge leaves it to the first" "$(purge --yes "$id" >/dev/null; test -d "$aside/mounted" && echo there)" there
fails "and it cannot be restored any more" node_run containerd-recover restore --yes "$id"
node_run sh -c "kill -INT $(cat "$(node_path /run/purge.pid)")"
wait $by_hand
is "stopped cleanly" $? 0
like "and says so" "$(cat "$NODE/said")" "entries deleted in .* stopped"
left=$(find "$aside/many" | wc -l)
ok "some of it is deleted, not all ($left left)" test "$left" -gt 10 -a "$left" -lt 4000
purge --yes --urgent "$id" >"$NODE/said"
is "the next one does the rest, but for the mount" "$? $(cd "$aside" && echo *)" "1 mounted"
is "which is named once" "$(grep -c 'mounted cannot be deleted' "$NODE/said")" 1
like "and who holds what is deleted" "$(cat "$NODE/said")" "1 deleted files with 1048576 bytes are still open"
node_run umount "$root.quarantine/$id/root/mounted"
node_run systemctl stop holder
ok "without the mount all of it goes" purge --yes --urgent "$id"
fails "the quarantine too" test -e "$(dirname "$aside")"
is "the report outlives it" "$(field "r['event'], r['state'], r['next']['purge_at']")" "restore purged 0"

# Two quarantines: of the first, a part cannot go; the second is still kept.
query() { /usr/bin/python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"; }
finish_is_over() { [ "$(node_property ActiveState containerd-recover-finish)" = inactive ]; }
node_policy '[salvage]' 'enabled = no'
mkdir -p "$(node_path "$root/opt")"
"$BUILD/tests/helpers/filltree" "$(node_path "$root/opt")/many" 4000
node_run containerd-recover now --yes --force >"$NODE/said"
is "a fresh root for the one that has so many" $? 0
node_until 30 finish_is_over
node_run systemctl stop containerd-recover-purge
first=$(basename "$(node_quarantine)")
aside=$(node_path "$(node_quarantine)")/root
is "its entries were counted" "$(query "$aside/../manifest.json" 'd["facts"]["count"]["complete"]')" True
mkdir "$aside/mounted"
head -c 1048576 /dev/zero >"$aside/held"
hold_open "$root.quarantine/$first/root/held"
node_run mount --bind /usr "$root.quarantine/$first/root/mounted"

export -f node_run node_leader
export NODE
/usr/bin/python3 "$node_helpers/terminal.py" 's left' \
    "node_run containerd-recover status --format=json >$NODE/bar.json" $'\x03' \
    "trap : INT; node_run containerd-recover purge --yes --max-rate 300 $first
    while node_run pgrep -x containerd-reco; do sleep 0.1; done" >"$NODE/said" # nsenter dies of it at once
like "on a terminal Ctrl-C stops it" "$(cat "$NODE/said")" 'entries deleted in .* left, stopped'
ok "with the rest still there" test -e "$aside/opt/many"
like "it shows a bar" "$(cat "$NODE/said")" '\[#* *\] +[0-9]+ %  [0-9]+ entries, .*, gentle .* left'
is "what was counted is what it reckons with" \
    "$(query "$NODE/bar.json" '[0 < p["eta_low_sec"] == p["eta_high_sec"] < 60 for p in [d["quarantines"][0]["purge"]]]')" "[True]"

node_policy '[salvage]' 'enabled = no' '[quarantine]' 'grace = 8s'
node_run containerd-recover now --yes --force >"$NODE/said"
is "a second quarantine" "$? $(node_run ls "$root.quarantine" | wc -l)" "0 2"
log_of_purge() { node_log -u containerd-recover-purge; }
first_failed() { log_of_purge | grep -q "quarantine $first is not purged in full"; }
ok "the first is gone on with, as far as it goes" node_until 30 first_failed
like "the unit, sandboxed as it is, sees who holds what is deleted" "$(log_of_purge)" \
    "quarantine $first: 1 deleted files with 1048576 bytes are still open or mapped, most of it by process $(node_property MainPID holder);"
cgroup=$(node_run sed -n 's/^0:://p' "/proc/$(node_property MainPID containerd-recover-purge)/cgroup")
like "it runs in its slice" "$cgroup" '/containerd-recover\.slice/containerd-recover-purge\.service$'
is "which has its ceiling" "$(node_property MemoryHigh containerd-recover.slice) $(node_property MemoryMax containerd-recover.slice)" "268435456 536870912"
limits=$(node_path "/sys/fs/cgroup$(dirname "$cgroup")")
if [ -e "$limits/memory.max" ]; then
    is "as the kernel knows too" "$(cat "$limits/memory.high" "$limits/memory.max")" $'268435456\n536870912'
else
    skip "as the kernel knows too" "no memory controller in this machine's cgroup2"
fi
only_first() { [ "$(node_run ls "$root.quarantine")" = "$first" ]; }
ok "the second waits for its time, and goes" node_until 40 only_first
ok "the unit ends" node_until 20 purge_is_over
is "and did not try the first again" "$(log_of_purge | grep -c 'mounted cannot be deleted')" 1
node_run umount "$root.quarantine/$first/root/mounted"
node_run systemctl stop holder
node_run systemctl start containerd-recover-purge
gone() { ! node_run test -e "$root.quarantine/$first"; }
ok "its next start does" node_until 30 gone

# Background work that gets to it when containerd is down already gives way.
node_policy '[salvage]' 'enabled = no'
node_run containerd-recover now --yes --force >"$NODE/said"
node_until 30 finish_is_over
id=$(basename "$(node_quarantine)")
mv "$(node_path /usr/lib/systemd/system/containerd-recover-finish.service)" "$NODE/finish.service"
node_unit late "ExecStop=/bin/sh -c 'systemd-run -q --unit=containerd-recover-finish flock $root.quarantine/$id sleep 1000; \
    until systemctl -q is-active containerd-recover-finish; do :; done; sleep 0.3'"
ok "background work comes late: it is put back" node_run containerd-recover restore --yes "$id"
started=$(node_log | grep -c 'Started containerd-recover-finish.service - .*/usr/bin/flock')
ok "background work comes late: it had been there" test "$started" -ge 1

# Each file that all this left is in the man page.
named() { sed -n '/^\.Sh FILES/,/^\.Sh EXIT/s/^\.It Pa //p' "$node_top/docs/containerd-recover.8" | sed 's/ , /\n/g; s|/$||'; }
files() { # as the man page has them
    node_run find "$@" -mindepth 1 -maxdepth 1 |
        sed -E 's/[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}/<id>/; s/containerd\.service/<unit>/' | sort -u
}
is "what is in the records and in /run is in the man page" \
    "$(files /var/lib/containerd-recover /run/containerd-recover | grep -vxFf <(named))" ""
ok "which names more than one of them" test "$(files /var/lib/containerd-recover | wc -l)" -gt 4
tap_done

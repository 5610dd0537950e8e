#!/bin/bash
# What makes a root big, with containerd up, down and its records damaged; and
# the archive of evidence.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

tool() { node_run "$tool_path" "$@"; }
# query JSON-FILE EXPRESSION: in Python, over the document d.
query() { /usr/bin/python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"; }
# documented SUBSECTION,... FILE...: how they differ from the man page's section JSON.
documented() { /usr/bin/python3 "$node_helpers/jsondoc.py" "$node_top/docs/containerd-recover.8" "$@"; }

node_prepare scan
node_install
tool_path=$(cd "$NODE/root" && find usr -name containerd-recover -type f | head -n 1)
tool_path=/$tool_path
node_boot
node_ready
pods=$(node_pods build 2)
node_cri start "$(awk 'NR == 1 { print $1 }' <<<"$pods")" test.local/volume:1 /pause >/dev/null
root=$(node_path $node_data)

# The writable layer of the container, by its mount.
# shellcheck disable=SC2016 # awk expands it
upper=$(node_run awk '/upperdir/ && /overlay/ { n = split($0, o, /[ ,]/); for (i = 1; i <= n; i++) if (o[i] ~ /^upperdir=/) print substr(o[i], 10) }' /proc/self/mountinfo | tail -n 1)
upper=$(node_path "$upper")
mkdir -p "$upper/repo/.git/objects" "$upper/repo/node_modules"
(cd "$upper/repo/.git/objects" && seq 3000 | xargs touch)
(cd "$upper/repo/node_modules" && seq 500 | xargs touch)
mkdir -p "$root/io.containerd.snapshotter.v1.overlayfs/snapshots/77777/fs"
(cd "$root/io.containerd.snapshotter.v1.overlayfs/snapshots/77777/fs" && seq 200 | xargs touch)
mkdir -p "$root/io.containerd.runtime.v2.task/k8s.io/$(printf 'f%.0s' {1..64})"
head -c 100000 /dev/zero >"$root/io.containerd.content.v1.content/blobs/sha256/$(printf 'e%.0s' {1..64})"

look() { # NAME: the same findings in every state of containerd
    tool scan --format=json --full --top=100 >"$NODE/$1.json"
    is "$1: all entries" "$(query "$NODE/$1.json" 'd["scan"]["entries"] == sum(c["entries"] for c in d["scan"]["components"].values()) and d["scan"]["complete"]')" True
    is "$1: as many as find sees" "$(query "$NODE/$1.json" 'd["scan"]["entries"]')" "$(find "$root" -xdev -mindepth 1 | wc -l)"
}

look up
is "the biggest is the pod's" "$(query "$NODE/up.json" 'd["scan"]["items"][0]["label"]')" "pod default/build-0, main"
is "its litter" "$(query "$NODE/up.json" 'd["scan"]["items"][0]["litter"]')" "{'.git': 3001, 'node_modules': 500}"
is "the orphan comes next" "$(query "$NODE/up.json" 'd["scan"]["items"][1]["label"]')" "snapshot without a record"
is "left over" "$(query "$NODE/up.json" '[d["scan"]["left"][k] for k in ("snapshots", "snapshot_entries", "blobs", "bundles", "mounts")]')" "[1, 201, 1, 0, 0]"
is "image layers have their owner" "$(query "$NODE/up.json" 'any(i["owner"] == "image" for i in d["scan"]["items"])')" True
is "nobody is orphaned who lives" "$(query "$NODE/up.json" '[i["path"].split("/")[-1] for i in d["scan"]["items"] if i["owner"] == "orphan"]')" "['77777', '$(printf 'f%.0s' {1..64})']"
bytes=$(du -s --block-size=1 "$(dirname "$upper")" | cut -f1)
at_most "its bytes are du's, but for the directory itself" \
    $((bytes - $(query "$NODE/up.json" 'd["scan"]["items"][0]["bytes"]'))) 4096

text=$(tool scan)
like "for a person: does it run" "$text" '^containerd.service runs, data root /var/lib/containerd \(ext4, [^)]* free, '
like "the diagnosis" "$text" $'\nDiagnosis: nothing is wrong that was looked for \\(rule healthy, verdict none\\)\n'
like "then what is in it, in words" "$text" $'\n/var/lib/containerd holds [0-9,]+ entries .*\nThe biggest part, [0-9]+ % of them: pod default/build-0, main; 85 % of it \\.git\\.\n'
is "rows stand in their columns" "$(grep -E '^ *[0-9,]+ .*[0-9] %' <<<"$text" | grep -vE '^[ 0-9,]{13} [ <0-9]{4} %( [ .0-9]{5} [KMG ]i?B| {9}-)?  [^ ]')" ""
like "what is left over" "$text" $'Left over:\n  1 snapshot without a record, 201 entries\n  1 blob without a record, 100 KiB'
like "for a person: whose" "$text" 'pod default/build-0, main; 85 % of it \.git'
unlike "no progress bar without a terminal" "$(tool scan 2>&1)" $'\r'

tool scan --ncdu=/var/lib/tree.json
ok "ncdu opens the export" ncdu -f "$NODE/varlib/tree.json" -o "$NODE/tree.out"
is "with everything in it" "$(grep -o '"name":' "$NODE/varlib/tree.json" | wc -l)" "$(find "$root" -xdev | wc -l)"
fails "and never writes over a file" tool scan --ncdu=/var/lib/tree.json

archive=$(tool evidence)
like "evidence by hand" "$archive" '^/var/lib/containerd-recover/evidence/evidence-.*-by-hand\.tar\.zst$'
is "for root alone" "$(stat -c '%a %U' "$(node_path "$archive")")" "600 root"
list=$(tar --zstd -tf "$(node_path "$archive")")
for member in facts.json decision.json inventory.json scan.json system/mountinfo config/etc/containerd/config.toml \
    databases/io.containerd.metadata.v1.bolt-meta.db databases/io.containerd.snapshotter.v1.overlayfs-metadata.db; do
    like "it has $member" "$list" "$member"
done

nowhere=$(tool scan --root=/var/lib/nowhere 2>&1)
is "no root: status" $? 1
like "no root: the diagnosis all the same" "$nowhere" 'rule root-empty.*data root /var/lib/nowhere, which is not there.*nothing is counted: .*No such file'
is "no root: as JSON" "$(tool scan --root=/var/lib/nowhere --format=json 2>/dev/null | query /dev/stdin '(d["scan"], d["decision"]["rule"])')" "(None, 'root-empty')"
like "no root: status says so" "$(tool status --root=/var/lib/nowhere)" 'the data root cannot be looked at: No such file'

node_unit once Restart=no
node_crash
look down
like "it says that containerd is down" "$(tool scan)" '^containerd.service does not run, '
is "the same items" "$(query "$NODE/down.json" '[i["label"] for i in d["scan"]["items"]][:2]')" "['pod default/build-0, main', 'snapshot without a record']"
# Both are killed: bundles and mounts stay.
node_run pkill -KILL containerd-shim
node_run pkill -KILL pause
look dead
is "bundles and mounts of the dead" "$(query "$NODE/dead.json" '[d["scan"]["left"][k] for k in ("bundles", "mounts")]')" "[3, 5]"

node_damage meta-zero
look damaged
is "without records nothing is called an orphan" "$(query "$NODE/damaged.json" '(d["scan"]["records_read"], [i for i in d["scan"]["items"] if i["owner"] == "orphan"])')" "(False, [])"
like "and it says so" "$(tool scan)" 'cannot be told: meta.db could not be read \(invalid database\)'
like "with the damage as the diagnosis" "$(tool scan)" 'Diagnosis: meta.db is damaged.*rule meta-damaged'
tool plan --format=json >"$NODE/plan.json"
is "scan --format=json has the fields of the man page" "$(documented scan,plan "$NODE"/{up,damaged}.json)" ""
is "so has plan" "$(documented plan "$NODE/plan.json")" ""
mkdir "$root/my-backup"
like "what stops the cure comes behind it" "$(tool scan)" \
    $'Diagnosis: meta.db is damaged, [^\n]* \\(rule meta-damaged\\)\nHeld back: [^\n]* \\(rule strangers, verdict hands-off:strangers\\)'
tap_done

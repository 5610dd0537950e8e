#!/bin/bash
# 40 pods of three images, one of them of 500 MB in many small files, on a node
# without a registry: after each of five ways to break meta.db they run again, no
# more disk is needed meanwhile than the big image takes, and new pods do not
# wait longer for it.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

files=50000 file_bytes=10000 pods=40
records=/var/lib/containerd-recover

if [ "${FIGURES:-0}" != 1 ]; then
    skip "forty pods of a big image" "takes minutes: make figures"
    tap_done
fi

salvages() { find "$(node_path $records)" -name 'salvage-*.json' | wc -l; }
images() { node_run ctr -n k8s.io images ls | awk 'NR > 1 && $1 !~ /^sha256:/ { print $1, $3 }' | sort; }
used() { df --output=used -k "$NODE/varlib" | tail -n 1; }
more() { [ "$(salvages)" -gt "$count" ]; }
pause_there() { "$BUILD/tests/helpers/criask" "$(node_path /run/containerd/containerd.sock)" 1000 has test.local/pause:1 | grep -qx there; }
# run PREFIX: all pods, a third of them with a container of each image.
run() {
    local names=(pause volume big) i=0 id
    node_cri run "$1" "$pods" >"$NODE/pods" || return
    while read -r id _; do
        node_cri start "$id" "test.local/${names[i++ % 3]}:1" /pause >/dev/null || return
    done <"$NODE/pods"
}
# watch_disk FILE: its highest use in KB, until the file is removed.
watch_disk() {
    local peak=0 now
    echo 0 >"$1"
    while [ -e "$1" ]; do
        now=$(used)
        [ "$now" -le "$peak" ] || { peak=$now && [ -e "$1" ] && echo "$peak" >"$1"; }
        sleep 0.1
    done
}

node_prepare salvage-pods
node_install
node_policy '[quarantine]' 'cooldown = 60s' 'grace = 1h'
node_fast_restarts
node_boot
node_ready
node_import
/usr/bin/python3 "$node_helpers/bigimage.py" "$NODE/varlib/big.tar" test.local/big:1 $files $file_bytes "$BUILD/tests/node/pause"
node_run ctr -n k8s.io images import /var/lib/big.tar >/dev/null
rm "$NODE/varlib/big.tar"
ok "forty pods run" run first
want=$(images)

# KINDS= goes straight to the new pods.
for kind in ${KINDS-meta-zero root-zero bucket-zero:v1/k8s.io/containers freelist-zero truncated}; do
    count=$(salvages)
    node_run systemctl stop containerd
    node_damage "$kind"
    before=$(used)
    watch_disk "$NODE/peak" &
    node_run containerd-recover now --yes --force >"$NODE/said" 2>&1
    ready=$EPOCHREALTIME
    ok "$kind: the pause image is there" node_until 5 pause_there
    figure "$kind: seconds from READY to it" "$(node_since "$ready")" 1
    ok "$kind: the salvage ends" node_until 120 more
    peak=$(cat "$NODE/peak")
    rm "$NODE/peak"
    wait $!
    is "$kind: all images are there, with their digests" "$(images)" "$want"
    # What an image takes: its blobs, and each file three blocks and an inode.
    figure "$kind: MB of disk at its peak" "$(((peak - before) / 1024))" $((files * (10752 + 12544) / 1000000))
    ok "$kind: forty pods run without a pull" run "${kind%%:*}"
done

# New pods while the big image is brought over, and while nothing is; in turn.
latencies() { # COUNT PREFIX: msec of each
    local i start
    for ((i = 0; i < $1; i++)); do
        start=$EPOCHREALTIME
        node_cri run "$2-$i" 1 >/dev/null || echo "$2-$i" >>"$NODE/late"
        awk -v from="$start" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.0f\n", (to - from) * 1000 }'
    done
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
node_remove_pods
for round in 1 2; do
    for enabled in no yes; do
        node_policy '[quarantine]' 'cooldown = 60s' 'grace = 1h' '[salvage]' "enabled = $enabled"
        count=$(salvages)
        node_run containerd-recover now --yes --force >"$NODE/said" 2>&1
        [ $enabled = yes ] || node_import
        node_until 5 pause_there
        latencies 12 "late-$round-$enabled" >>"$NODE/latency-$enabled"
        diag "round $round, salvage $enabled: $(more && echo ended || echo still on) behind 12 pods"
        node_until 120 more
        [ $enabled = yes ] || {
            id=$(basename "$(find "$(node_path $records)" -name 'salvage-*.json' | sort | tail -n 1)" .json)
            node_run containerd-recover restore --yes "${id#salvage-}" >/dev/null
            node_ready
        }
    done
done
is "each of them starts" "$(cat "$NODE/late" 2>/dev/null)" ""
figure "times as long for a pod to start while images are brought over" \
    "$(awk -v a="$(median <"$NODE/latency-yes")" -v b="$(median <"$NODE/latency-no")" 'BEGIN { printf "%.2f", a / b }')" 1.5
diag "msec of each with: $(tr '\n' ' ' <"$NODE/latency-yes")"
diag "and without: $(tr '\n' ' ' <"$NODE/latency-no")"
tap_done

#!/bin/bash
# A big image survives the quarantine about as fast as it could be imported from
# a file, with its content on the disk once; a salvage that is killed is finished.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

files=50000 file_bytes=10000 # 500 MB

image_there() { node_run ctr -n k8s.io images ls -q | grep -qx "$1"; }
salvages() { find "$(node_path /var/lib/containerd-recover)" -name 'salvage-*.json' | wc -l; }
msec_of() { # the newest record's, of the image with this name
    /usr/bin/python3 -c 'import json, sys
print([i["msec"] for i in json.load(open(sys.argv[1]))["images"] if sys.argv[2] in i["names"]][0])' \
        "$(find "$(node_path /var/lib/containerd-recover)" -name 'salvage-*.json' | sort | tail -n 1)" "$1"
}
finish_pid() { node_property MainPID containerd-recover-finish; }
importing_big() { importing && ! image_there test.local/big:1 && [ "$(node_run ctr -n k8s.io images ls -q | wc -l)" -gt 2 ]; }
not_importing() { ! importing; }
importing() { node_run pgrep -x ctr >/dev/null; }
used() { df --output=used -k "$NODE/varlib" | tail -n 1; }

if [ "${FIGURES:-0}" != 1 ]; then
    skip "a big image brought over" "takes minutes: make figures"
    tap_done
fi

node_prepare salvage-big
node_install
node_policy '[quarantine]' 'cooldown = 60s' 'grace = 1h' '[salvage]' 'max_rate = 0'
node_fast_restarts
node_boot
node_ready
node_import
/usr/bin/python3 "$node_helpers/bigimage.py" "$NODE/varlib/big.tar" test.local/big:1 $files $file_bytes
# The same work three times, in turn, on a fresh root each: the disk is other people's too.
fresh_root() { # by hand, without a salvage
    node_run systemctl stop containerd
    rm -rf "$(node_path $node_data)"
    node_run systemctl start containerd
    node_ready
    node_import
}
by_hand() {
    local start
    fresh_root
    cat "$NODE/varlib/big.tar" >/dev/null
    sync -f "$NODE/varlib" # what an earlier round wrote
    start=$EPOCHREALTIME
    node_run ctr -n k8s.io images import /var/lib/big.tar >/dev/null
    node_since "$start"
}
salvaged_after() { [ "$(salvages)" -gt "$1" ]; }
by_salvage() {
    local count
    count=$(salvages)
    sync -f "$NODE/varlib"
    node_run containerd-recover now --yes --force >/dev/null
    node_until 300 salvaged_after "$count"
    msec_of test.local/big:1
}
hand=() salvage=()
for ((round = 0; round < 3; round++)); do
    hand+=("$(by_hand)")
    before=$(used)
    salvage+=("$(by_salvage)")
done
median() { printf '%s\n' "$@" | sort -n | sed -n 2p; }
ok "it is brought over" image_there test.local/big:1
diag "by hand: ${hand[*]} s; salvage, which verifies first: ${salvage[*]} ms"
figure "times as long as by hand, from the page cache" "$(awk -v salvage="$(median "${salvage[@]}")" \
    -v hand="$(median "${hand[@]}")" 'BEGIN { printf "%.2f", salvage / 1000 / hand }')" 1.25
# Unpacked once more, but not stored once more: each file takes three blocks.
figure "MB more on the disk than unpacked files take" \
    $((($(used) - before) / 1024 - files * 12 / 1024)) 100

node_policy '[quarantine]' 'cooldown = 60s' 'grace = 1h' '[salvage]' 'max_rate = 40M'
count=$(salvages)
node_run containerd-recover now --yes --force >/dev/null &
now=$!
ok "another salvage, slower, has begun" node_until 60 importing_big
sleep 4
node_run kill -KILL "$(finish_pid)"
wait "$now"
fails "killed before the image was there" image_there test.local/big:1
ok "and what it ran is gone" node_until 10 not_importing
node_run systemctl start containerd-recover-finish
ok "the next run brings it over" image_there test.local/big:1
is "and records it" "$(salvages)" $((count + 1))
ok "the pause image is there too" image_there test.local/pause:1
tap_done

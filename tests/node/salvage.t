#!/bin/bash
# Images survive the quarantine: a node that can reach no registry has its pods
# again without a pull, however meta.db was broken.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

blobs() { node_path "$node_data/io.containerd.content.v1.content/blobs/sha256"; }
images() { node_run ctr -n "$1" images ls -q | sort; }
query() { /usr/bin/python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"; }
record() { # EXPRESSION over the newest record of a salvage
    query "$(find "$(node_path /var/lib/containerd-recover)" -name 'salvage-*.json' | sort | tail -n 1)" "$1"
}
outcome() { record "[i['outcome'] for i in d['images'] if '$1' in i['names']]"; }
background_is_done() { [ "$(node_property ActiveState containerd-recover-finish)" = inactive ]; }
salvaged() { [ -n "$(find "$(node_path /var/lib/containerd-recover)" -name 'salvage-*.json')" ]; }

# big_image FILE NAME FILES: an image with many small files, as an OCI layout.
big_image() { /usr/bin/python3 "$node_helpers/bigimage.py" "$@"; }

node_prepare salvage
node_install
node_policy '[quarantine]' 'cooldown = 60s' 'grace = 1h'
node_boot
node_ready
node_pods a 3 >/dev/null
big_image "$NODE/varlib/big.tar" test.local/big:1 2000
big_image "$NODE/varlib/bad.tar" test.local/bad:1 50
big_image "$NODE/varlib/thin.tar" test.local/thin:1 60
big_image "$NODE/varlib/other.tar" test.local/other:1 70
for name in big bad thin; do node_run ctr -n k8s.io images import "/var/lib/$name.tar" >/dev/null; done
node_run ctr -n other images import /var/lib/other.tar >/dev/null
node_run ctr -n other images tag test.local/other:1 test.local/other:latest >/dev/null
before=$(node_run ctr -n k8s.io images ls | awk 'NR > 1 && $1 !~ /^sha256:/ { print $1, $3 }' | grep -v 'bad\|thin' | sort)

layer_of() { # NAME: the digest of the first layer of an image made by big_image
    tar -xOf "$NODE/varlib/$1.tar" layer-digest
}
# One flipped byte, and a layer that was discarded after unpacking.
bad=$(blobs)/$(layer_of bad)
chattr -i "$bad" 2>/dev/null
printf 'X' | dd of="$bad" bs=1 seek=700 conv=notrunc status=none
rm "$(blobs)/$(layer_of thin)"

node_fast_restarts
# Stopped: the next transaction would write a sound root page.
node_run kill -STOP "$(node_property MainPID)"
node_damage root-zero
node_crash
started=$EPOCHREALTIME
ok "containerd is back" node_ready 40
ready=$(node_log -u containerd -o short-unix | awk '/successfully booted/ { t = $1 } END { print t }')
pause_there() { "$BUILD/tests/helpers/criask" "$(node_path /run/containerd/containerd.sock)" 1000 has test.local/pause:1 | grep -qx there; }
ok "the pause image is there" node_until 30 pause_there
figure "seconds from READY to the pause image" "$(awk -v a="$ready" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }')" 1.5
ok "pods start without a pull" node_cri run b 3
ok "the salvage is recorded" node_until 60 salvaged
diag "from the crash: $(node_since "$started") s"

is "what was sound is there with the same digests" \
    "$(node_run ctr -n k8s.io images ls | awk 'NR > 1 && $1 !~ /^sha256:/ { print $1, $3 }' | sort)" "$before"
is "another namespace's, too" "$(images other)" "$(printf '%s\n' test.local/other:1 test.local/other:latest)"
is "the flipped byte was refused" "$(outcome test.local/bad:1)" "['missing']"
like "and named" "$(record "[i['why'] for i in d['images'] if 'test.local/bad:1' in i['names']]")" 'not what its name says'
is "discarded layers are told" "$(outcome test.local/thin:1)" "['missing']"
like "and why" "$(record "[i['why'] for i in d['images'] if 'test.local/thin:1' in i['names']]")" 'discarded'
is "what is to be pulled" "$(sort "$(node_path /var/lib/containerd-recover)"/repull-*.txt)" \
    "$(printf '%s\n' 'k8s.io test.local/bad:1' 'k8s.io test.local/thin:1')"
ok "a container of a salvaged image runs" node_cri start "$(node_cri list | awk 'NR == 1 { print $1 }')" test.local/volume:1 /pause
big=$(layer_of big)
is "content is on the disk once" \
    "$(stat -c %i "$(blobs)/$big")" "$(stat -c %i "$(node_path "$(node_quarantine)")/root/io.containerd.content.v1.content/blobs/sha256/$big")"
is "and one archive of evidence" "$(find "$(node_path /var/lib/containerd-recover/evidence)" -name "*-$(basename "$(node_quarantine)").tar.zst" | wc -l)" 1

# With its records whole, and with them broken in other ways: by hand, for the
# cool-down is on.
node_run ctr -n k8s.io images rm test.local/bad:1 test.local/thin:1 2>/dev/null
round() { # KIND OF DAMAGE
    local count
    was=$(all_images)
    count=$(find "$(node_path /var/lib/containerd-recover)" -name 'salvage-*' | wc -l)
    if [ "$1" != sound ]; then
        node_run systemctl stop containerd
        if ! node_damage "$1" 2>/dev/null; then # this version of containerd keeps no freelist
            skip "$1: a fresh root by hand" "there is no such page"
            node_run systemctl start containerd
            node_ready
            return 1
        fi
    fi
    ok "$1: a fresh root by hand" node_run containerd-recover now --yes --force
    more() { [ "$(find "$(node_path /var/lib/containerd-recover)" -name 'salvage-*' | wc -l)" -gt "$count" ]; }
    ok "$1: the salvage ends" node_until 60 more
    now=$(all_images)
    newest_list=$(find "$(node_path /var/lib/containerd-recover)" -name "repull-*.txt" | sort | tail -n 1)
}
all_images() {
    local ns
    for ns in k8s.io other; do
        node_run ctr -n "$ns" images ls | awk -v ns="$ns" 'NR > 1 && $1 !~ /^sha256:/ { print ns, $1, $3 }'
    done | sort
}
for kind in sound meta-zero meta-checksum root-random root-zero freelist-zero \
    bucket-zero:v1 bucket-zero:v1/k8s.io bucket-zero:v1/k8s.io/content/blob; do
    round "$kind" || continue
    is "$kind: all are there, of both namespaces" "$now" "$was"
    ok "$kind: a pod starts" node_cri run "pod-$kind" 1
done
# Half of it, or the page that names the images: what can be had, and the rest is named.
for kind in bucket-zero:v1/k8s.io/images truncated; do
    round "$kind"
    is "$kind: nothing is there that was not" "$(comm -13 <(echo "$was") <(echo "$now"))" ""
    diag "$kind: $(comm -12 <(echo "$was") <(echo "$now") | wc -l) of $(wc -l <<<"$was") names are there"
    [ "$kind" = truncated ] || is "$kind: what pods used is to be pulled" "$(cat "$newest_list")" "k8s.io test.local/pause:1"
    node_import
done

# Not even a name is left, nor a blob: what was kept in better days still starts pods.
node_policy '[quarantine]' 'cooldown = 60s' 'grace = 1h' '[salvage]' 'keep_archive = yes'
node_run systemctl restart containerd
kept() { [ -n "$(find "$(node_path /var/lib/containerd-recover)/images" -name 'pause-*.tar' 2>/dev/null)" ]; }
ok "an archive of the pause image is kept" node_until 30 kept
inode=$(find "$(node_path /var/lib/containerd-recover)/images" -name 'pause-*.tar' -printf '%i %T@')
node_run systemctl restart containerd
node_ready
node_until 30 background_is_done
is "and not written again" "$(find "$(node_path /var/lib/containerd-recover)/images" -name 'pause-*.tar' -printf '%i %T@')" "$inode"
node_run systemctl stop containerd
# One that an operator has put there is as good.
node_run sh -c 'mv /var/lib/containerd-recover/images/pause-*.tar /var/lib/containerd-recover/images/pause-1.tar'
node_damage data-zero
find "$(blobs)" -type f -delete
node_run containerd-recover now --yes --force >/dev/null
ok "the pause image comes from it" node_until 30 pause_there
ok "a pod starts" node_cri run kept 1
tap_done

#!/bin/bash
# Images of every kind survive the quarantine, so that neither a garbage
# collection nor an export finds anything amiss; what was tampered with does not.
# A salvage that is killed is finished, and a restore is whole after it.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

records=/var/lib/containerd-recover
salvages() { find "$(node_path "$records")" -name 'salvage-*.json' | wc -l; }
newest() { find "$(node_path "$records")" -name "$1" | sort | tail -n 1; }
record() { /usr/bin/python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$(newest 'salvage-*.json')" "$1"; }
outcome() { record "[(i['outcome'], i['why']) for i in d['images'] if '$1' in i['names'] and i['namespace'] == 'k8s.io']"; }
images() { # "NAME DIGEST" of each, but for CRI's own names
    node_run ctr -n "$1" images ls | awk 'NR > 1 && $1 !~ /^sha256:/ { print $1, $3 }' | sort
}
image_there() { images k8s.io | grep -q "^$1 "; }
blobs() { echo "$(node_path "${1:-$node_data}")/io.containerd.content.v1.content/blobs/sha256"; }
old_blobs() { blobs "$(node_run sh -c "ls -d $node_data.quarantine/*" | sort | tail -n 1)/root"; }
collect() { # make containerd's garbage collector run
    node_run ctr -n "$1" images tag test.local/plain:1 test.local/gone:1 >/dev/null
    node_run ctr -n "$1" images rm --sync test.local/gone:1 >/dev/null
}
incomplete() { node_run ctr -n "$1" images check | awk 'NR > 1 && $4 != "complete"'; }
policy() { node_policy '[quarantine]' 'cooldown = 60s' 'grace = 1h' '[salvage]' "$@"; }
# recover [COMMAND...]: a fresh root by hand, and the end of the salvage; beside it the command.
recover() {
    local count
    node_until 60 finished || return
    count=$(salvages)
    more() { [ "$(salvages)" -gt "$count" ]; }
    if [ $# -gt 0 ]; then "$@" & fi
    node_run containerd-recover now --yes --force >"$NODE/said" 2>&1 || return
    [ $# -eq 0 ] || wait $! || return
    node_until 60 more && node_until 60 finished
}
finished() { [[ $(node_property ActiveState containerd-recover-finish) = @(inactive|failed) ]]; }

node_prepare salvage-kinds
node_install
policy 'max_rate = 0'
node_boot
node_ready
node_import
mkdir "$NODE/varlib/zoo"
/usr/bin/python3 "$node_helpers/imagezoo.py" "$NODE/varlib/zoo" >"$NODE/zoo" || exit 1
mapfile -t zoo < <(cut -d' ' -f1 "$NODE/zoo")
layer_of() { awk -v name="$1" '$1 == name { print $3 }' "$NODE/zoo"; }
for ns in k8s.io other; do
    for name in "${zoo[@]}"; do
        options=--all-platforms
        [ "$name" = partial ] && options=
        # shellcheck disable=SC2086 # none, or one
        node_run ctr -n "$ns" images import $options "/var/lib/zoo/$name.tar" >/dev/null 2>&1 || [ "$name" = artifact ] ||
            ok "imported: $name" false
    done
done
node_run ctr -n k8s.io images label test.local/gzip:1 io.cri-containerd.pinned=pinned >/dev/null
# An image that lost its tag to a newer one has nothing but the name that CRI made.
collect k8s.io
node_run sh -c 'ctr -n other images tag test.local/zstd:1 sha256:0123 && ctr -n other images rm test.local/zstd:1' >/dev/null
before=$(images k8s.io) other=$(images other)

ok "a fresh root by hand" recover
is "every image is there, with its digest" "$(images k8s.io)" "$before"
is "those of another namespace, too" "$(images other)" "$other"
ok "by no other name than CRI's own, too" node_run ctr -n other images check 'name==sha256:0123'
collect k8s.io
collect other
is "nothing is missing after a garbage collection" "$(incomplete k8s.io; incomplete other)" ""
ok "an image of all platforms is so still" node_run ctr -n k8s.io images export --all-platforms /var/lib/x.tar test.local/platforms:1
ok "one of which there was a part is complete for this machine" node_run ctr -n k8s.io images export /var/lib/x.tar test.local/partial:1
like "a layer that is none: there, not unpacked" "$(outcome test.local/artifact:1)" "'done', 'but not unpacked"
like "what was pinned is pinned" "$(node_run ctr -n k8s.io images ls name==test.local/gzip:1)" 'io.cri-containerd.pinned=pinned'
unlike "and nothing else" "$(node_run ctr -n k8s.io images ls name==test.local/plain:1)" 'io.cri-containerd.pinned'
ok "a container of one of them runs" node_pods kinds 1

# A restore after a salvage: blobs are shared by both, and whole.
contents() { (cd "$(node_path "$1")" && find . -xdev -type f -not -path './io.containerd.grpc*' -not -path './*/meta.db' -exec sha256sum {} + | sort); }
node_collect_garbage
node_run systemctl stop containerd
node_tree $node_data >"$NODE/tree"
contents $node_data >"$NODE/contents"
ok "another fresh root" recover
id=$(basename "$(newest 'salvage-*.json')" .json)
ok "restored after its salvage" node_run containerd-recover restore --yes "${id#salvage-}" >/dev/null
node_run systemctl stop containerd
own() { grep -vE 'containers/[0-9a-f]*/|sandboxes/[0-9a-f]*/|runtime.v2.task/k8s.io/'; }
is "inode for inode" "$(node_tree $node_data | own)" "$(own <"$NODE/tree")"
is "and byte for byte" "$(contents $node_data)" "$(cat "$NODE/contents")"
node_run systemctl start containerd
ok "containerd has its images" node_ready
is "all of them" "$(images k8s.io)" "$before"

# What somebody planted in the store: the names are right, the files are not.
echo secret >"$NODE/varlib/secret"
node_run systemctl stop containerd # which would open a fifo and hang
plant() { # NAME COMMAND...: in place of its layer
    local blob
    blob=$(blobs)/$(layer_of "$1")
    rm "$blob"
    "${@:2}" "$blob"
}
var_lib=$(node_path /var/lib)
plant plain ln -s /var/lib/secret
plant gzip ln "$var_lib/secret"
plant zstd mkfifo
plant docker mkdir
cp -p "$(blobs)/$(layer_of tags)" "$var_lib/theirs"
plant tags ln "$var_lib/theirs"
chown 1:1 "$var_lib/theirs"
ok "with what was planted" recover
for name in plain gzip zstd docker; do
    like "refused and named: $name" "$(outcome test.local/$name:1)" "'missing', .*$(layer_of $name)"
done
is "none of them is in the new store" "$(for name in plain gzip zstd docker; do ls "$(blobs)/$(layer_of $name)" 2>/dev/null; done)" ""
is "what others may write to is copied" "$(stat -c '%u %h' "$(blobs)/$(layer_of tags)")" "0 1"
is "what a link led to is as it was" "$(cat "$NODE/varlib/secret")" secret
rm "$NODE/varlib/theirs"
for name in plain gzip zstd docker; do node_run ctr -n k8s.io images import "/var/lib/zoo/$name.tar" >/dev/null; done

# Slowly, to be in time for what happens meanwhile.
policy 'max_rate = 2M'
forget() { # NAMESPACE PATTERN: images of such names
    local names
    mapfile -t names < <(node_run ctr -n "$1" images ls -q | grep -E "$2")
    [ ${#names[@]} -eq 0 ] || node_run ctr -n "$1" images rm --sync "${names[@]}" >/dev/null
}
forget k8s.io 'test.local/[^p]'
slow() { # NAME
    /usr/bin/python3 "$node_helpers/bigimage.py" "$NODE/varlib/$1.tar" "test.local/$1:1" 800 10000
    node_run ctr -n k8s.io images import "/var/lib/$1.tar" >/dev/null
    layer=$(tar -xOf "$NODE/varlib/$1.tar" layer-digest)
}
# The layer's blob is linked into the new store; or containerd, which collected that
# link as garbage behind the image before, is writing it anew.
on_its_way() {
    [ "$(stat -c %h "$(old_blobs)/$layer" 2>/dev/null)" = 2 ] ||
        grep -qsr "$layer" --include=ref "$(blobs)/../../ingest"
}
slow changing
change() {
    node_until 40 on_its_way || return
    printf X | dd of="$(old_blobs)/$layer" bs=1 seek=8000000 conv=notrunc status=none
}
ok "a blob changes behind its verification" recover change
like "the image is refused and the blob named" "$(outcome test.local/changing:1)" "'missing', .*$layer"
fails "the image is not there" image_there test.local/changing:1
fails "nor the blob" test -e "$(blobs)/$layer"

slow pulled
pull() {
    node_until 40 on_its_way || return
    node_run ctr -n k8s.io images tag test.local/pause:1 test.local/pulled:1 >/dev/null
}
ok "the kubelet pulls another version while one is brought over" recover pull
like "what the kubelet pulled stands" "$(outcome test.local/pulled:1)" "'present'"
is "with its digest" "$(images k8s.io | awk '$1 == "test.local/pulled:1" { print $2 }')" \
    "$(images k8s.io | awk '$1 == "test.local/pause:1" { print $2 }')"

# The unit of the first one still runs when the second one starts containerd.
policy 'max_rate = 1M'
slow twice
node_run containerd-recover now --yes --force >"$NODE/said" 2>&1
ok "an image is on its way" node_until 20 on_its_way
fails "but not there" image_there test.local/twice:1
policy 'max_rate = 4M'
ok "another fresh root meanwhile" node_run containerd-recover now --yes --force
ok "it is brought into that" node_until 30 image_there test.local/twice:1
ok "the pause image too" image_there test.local/pause:1

policy 'max_rate = 1M' 'budget = 2s'
slow late
ok "no time for all of it" recover
like "said so" "$(outcome test.local/late:1)" "'no time'"
like "and to be pulled" "$(cat "$(newest 'repull-*')")" 'k8s.io test.local/late:1'

# Killed at every step.
policy 'max_rate = 0'
forget k8s.io 'pulled|changing|twice|^sha256'
forget other .
for name in gzip tags nested; do node_run ctr -n k8s.io images import "/var/lib/zoo/$name.tar" >/dev/null; done
ok "without what takes long" recover
want=$(images k8s.io)
node_run systemctl mask --runtime -q containerd-recover-finish
stages=$(old_blobs)
stages=${stages%/root/io.containerd.*}/stages
# As if the salvage had not ended, and nothing been brought over.
again() {
    forget k8s.io .
    echo "begin salvage 1 1" >>"$stages"
    find "$(node_path "$records")" -name 'repull-*' -delete
}
for ((n = 1; n < 60; n++)); do
    again
    node_run env CONTAINERD_RECOVER_FAULT=$n containerd-recover finish >"$NODE/said" 2>&1
    [ $? -eq 137 ] || break
    [ "$n" -lt 3 ] || [ -n "$(newest 'repull-*')" ] || ok "killed at step $n: what to pull is written" false
    node_run containerd-recover finish >"$NODE/said" 2>&1
    is "killed at step $n, the next run brings all over" "$(images k8s.io)" "$want"
done
ok "there were steps to be killed at" test "$n" -gt 12
is "nothing is left to be pulled" "$(cat "$(newest 'repull-*')")" ""

# By policy; and without the means.
policy 'pause_only = yes'
again
node_run containerd-recover finish >"$NODE/said" 2>&1
is "the pause image alone, by policy" "$(images k8s.io | cut -d' ' -f1)" test.local/pause:1
is "the others are to be pulled" "$(sort "$(newest 'repull-*')")" \
    "$(awk '$1 != "test.local/pause:1" { print "k8s.io", $1 }' <<<"$want")"
policy 'enabled = no'
again
node_run containerd-recover finish >"$NODE/said" 2>&1
is "none, by policy" "$(images k8s.io)" ""
is "all are to be pulled" "$(sort "$(newest 'repull-*')")" "$(awk '{ print "k8s.io", $1 }' <<<"$want")"
policy 'max_rate = 0'
again
node_run mv /usr/bin/ctr /usr/bin/not-ctr
node_run containerd-recover finish >"$NODE/said" 2>&1
node_run mv /usr/bin/not-ctr /usr/bin/ctr
like "without ctr: said where it was looked for" "$(cat "$NODE/said")" 'there is no ctr: neither beside .*containerd nor as /usr/bin/ctr'
again
sed -i 's|^oom_score = 0|&\n[grpc]\n  address = "/run/elsewhere/c.sock"|' "$NODE/root/etc/containerd/config.toml"
node_run systemctl restart containerd
NODE_SOCKET=/run/elsewhere/c.sock node_ready
node_run containerd-recover finish >"$NODE/said" 2>&1
is "over an address of its own" \
    "$(node_run ctr --address /run/elsewhere/c.sock -n k8s.io images ls | awk 'NR > 1 && $1 !~ /^sha256:/ { print $1, $3 }' | sort)" "$want"
tap_done

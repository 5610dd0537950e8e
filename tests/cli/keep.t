#!/bin/bash
# `keep`: what it finds in a quarantine, that a copy has all that the original
# has, on every file system, that it is whole or not there, and what it refuses.
top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }

base=$(mktemp -d /var/tmp/recover-keep.XXXXXX)
# shellcheck disable=SC2317 # called by the trap
end() {
    local status=$?
    for dir in "$base"/*; do mountpoint -q "$dir" && umount -l "$dir"; done
    rm -rf "$base"
    exit "$(tap_status "$status")"
}
trap end EXIT

id=20260102T030405Z-abcd
cri=io.containerd.grpc.v1.cri/containers
overlay=io.containerd.snapshotter.v1.overlayfs
# Of tests/fixtures/bolt: container, number of its snapshot.
app=84c4304cd80341e41dfde25f85aa8415935fc0d2b2ea2cf63f32b3fe3847237c
lost=1111111111111111111111111111111111111111111111111111111111111111

keep() { containerd-recover keep --root="$root" "$@"; }
tree() { /usr/bin/python3 "$top/tests/helpers/treeprint.py" "$@"; }

# ticket ROOT MANIFEST-MEMBER...: a quarantine as the tool makes it.
ticket() {
    root=$1
    quarantine=$root.quarantine/$id
    mkdir -p "$root" "$quarantine/root"
    chmod 700 "$root.quarantine" "$quarantine"
    cat >"$quarantine/manifest.json" <<JSON
{ "version": 1, "id": "$id", "created": 1767322000, "fresh_ino": $(stat -c %i "$root"), "inside": false,
  "root": { "path": "$root", "dev": 1, "ino": $(stat -c %i "$quarantine/root"), "is_link": false } }
JSON
    printf 'begin move 1 1767322001\ndone move 2 1767322001\n' >"$quarantine/stages"
}

records() { # meta.db and metadata.db, those of five pods
    mkdir -p "$quarantine/root"/{io.containerd.metadata.v1.bolt,$overlay/snapshots}
    cp "$top/tests/fixtures/bolt/meta.db" "$quarantine/root/io.containerd.metadata.v1.bolt/"
    cp "$top/tests/fixtures/bolt/metadata.db" "$quarantine/root/$overlay/"
}

# Everything that a file can have.
fill() { # DIR
    local dir=$1 i
    mkdir -p "$dir/deep/with space" "$dir/acl" "$dir/sticky"
    echo content >"$dir/plain"
    chmod 4751 "$dir/plain"
    chown 1234:4321 "$dir/plain"
    touch -d '2001-02-03 04:05:06.123456789' "$dir/plain"
    ln "$dir/plain" "$dir/deep/other name"
    ln -s /etc/passwd "$dir/link"
    ln -s "$(printf '%0300d' 7)" "$dir/long link"
    touch -h -d '2002-03-04 05:06:07.000000009' "$dir/link"
    chown -h 77:88 "$dir/link"
    truncate -s 20M "$dir/sparse"
    echo middle | dd of="$dir/sparse" bs=1M seek=9 conv=notrunc status=none
    truncate -s 3M "$dir/hole"
    head -c 3000000 /dev/urandom >"$dir/random"
    printf 'x%.0s' {1..20} >"$dir/$(printf 'umlaut-\303\244')"
    echo y >"$dir/$(printf 'bytes-\377-\n-new')"
    setfattr -n user.one -v two "$dir/plain"
    setfattr -n trusted.three -v four "$dir/deep"
    setfattr -h -n trusted.five -v six "$dir/link"
    setcap cap_net_raw+ep "$dir/random" 2>/dev/null || setfattr -n security.capability \
        -v 0x0100000200200000000000000000000000000000 "$dir/random"
    setfacl -m u:99:rwx,g:98:r "$dir/acl"
    setfacl -d -m u:99:rwx "$dir/acl"
    install -m 640 /dev/null "$dir/acl/below"
    setfacl -m u:97:r "$dir/acl/below"
    chmod 1777 "$dir/sticky"
    mkfifo "$dir/fifo"
    mknod "$dir/device" b 7 99
    mknod "$dir/null" c 1 3
    mknod "$dir/nought" c 0 0 # in a layer it would be a whiteout
    (cd "$dir" && /usr/bin/python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")")
    for ((i = 0; i < 30; i++)); do mkdir "$dir/deep/$i" && dir=$dir/deep/$i && mkdir "$dir/deep"; done
    echo bottom >"$dir/bottom"
    chmod 500 "$dir"
}

fidelity() { # TYPE MEGABYTES
    local source copy out
    truncate -s "$2M" "$base/$1.img"
    "mkfs.$1" -q "$base/$1.img" >/dev/null
    mkdir "$base/$1"
    mount -o loop "$base/$1.img" "$base/$1"
    ticket "$base/$1/containerd"
    records
    source=$quarantine/root/$cri/$app/volumes
    mkdir -p "$source"
    fill "$source/one"
    mkdir -p "$quarantine/root/$cri/$lost/volumes/two"
    echo second >"$quarantine/root/$cri/$lost/volumes/two/file"
    tree "$quarantine" >"$base/before"

    ok "$1: to a directory" keep "$id" --to "$base/$1/out"
    copy=$(find "$base/$1/out" -type d -path "*$app/volumes" -prune)
    like "$1: its place tells pod and container" "$copy" "out/default/[a-z0-9-]*/[a-z0-9-]*$app/volumes"
    is "$1: the copy has all that the volume has" "$(tree "$copy")" "$(tree "$source")"
    is "$1: and that of a container nobody knows" "$(cat "$base/$1/out/_unknown/$lost/volumes/two/file")" second
    is "$1: only root may look" "$(stat -c %a "$base/$1/out")" 700
    for suffix in tar tar.gz tar.zst; do
        out=$base/$1/un$suffix
        mkdir "$out"
        keep "$id" --to "$base/$1/archive.$suffix" >"$base/said" 2>&1
        is "$1: to a .$suffix, without the socket" "$?" 4
        like "$1: which is said" "$(cat "$base/said")" 'one/socket: a socket, .* left out'
        ok "$1: tar unpacks it" tar --acls --xattrs --xattrs-include='*' --no-selinux --warning=no-unknown-keyword \
            -C "$out" -xpf "$base/$1/archive.$suffix"
        is "$1: all is in it" "$(tree --without=sockets "$out/${copy#"$base/$1/out/"}" | extents_aside)" \
            "$(tree --without=sockets "$source" | extents_aside)"
        is "$1: mode of the archive" "$(stat -c %a "$base/$1/archive.$suffix")" 600
        rm -rf "$out"
    done
    is "$1: holes are not in it" "$([ "$(stat -c %s "$base/$1/archive.tar")" -lt 5000000 ] && echo small)" small
    is "$1: the quarantine is as it was" "$(tree "$quarantine")" "$(cat "$base/before")"
    is "$1: nothing else is left" "$(cd "$base/$1" && echo .*keep* ./*keep*)" ".*keep* ./*keep*"
    umount "$base/$1"
    rm "$base/$1.img"
}
# How a file system lays out what tar writes is its own business.
extents_aside() { sed -E 's/ ([0-9]+-[0-9]+(,[0-9]+-[0-9]+)*|-) ([0-9a-f]{64})$/ \3/'; }

fidelity ext4 64
fidelity xfs 320
fidelity btrfs 128

mkfifo "$base/never"

# ---- whose it is ------------------------------------------------------------

field() { /usr/bin/python3 -c 'import json, sys
for item in json.load(sys.stdin)["items"]:
    print(*(item[key] for key in sys.argv[1:]))' "$@"; }

mkdir "$base/a"
ticket "$base/a/containerd"
records
for n in 2 3 4 5 6 7 8; do mkdir -p "$quarantine/root/$overlay/snapshots/$n/fs"; done
layer=$quarantine/root/$overlay/snapshots/$(keep "$id" --dry-run --pod '*/*' --format=json | field path | grep -o '[0-9]*/fs$')
mkdir -p "$layer/opaque/dir" "$quarantine/root/$cri/$app/volumes/v"
echo written >"$layer/opaque/dir/file"
echo data >"$quarantine/root/$cri/$app/volumes/v/file"
mknod "$layer/gone" c 0 0
mknod "$layer/null" c 1 3
setfattr -n trusted.overlay.opaque -v y "$layer/opaque"

pod=$(keep "$id" --dry-run --format=json | field namespace pod | tr ' ' /)
like "a volume's pod" "$pod" '^default/[a-z0-9-]+$'
is "without --pod, volumes alone" "$(keep "$id" --dry-run --format=json | field kind path)" \
    "volumes root/$cri/$app/volumes"
is "with --pod, the writable layer too" "$(keep "$id" --dry-run --pod "$pod" --format=json | field kind namespace pod path)" \
    "volumes ${pod/\// } root/$cri/$app/volumes
writable layer ${pod/\// } ${layer#"$quarantine/"}"
mkdir -p "$quarantine/root/$cri/$lost/volumes/other"
echo other >"$quarantine/root/$cri/$lost/volumes/other/file"
unlike "with --pod, nobody else's" "$(keep "$id" --dry-run --pod "$pod" --format=json | field path)" "$lost"
like "without, theirs too" "$(keep "$id" --dry-run --format=json | field path)" "$lost"
rm -r "$quarantine/root/$cri/$lost"
is "sizes are exact" "$(keep "$id" --dry-run --pod "${pod%-*}*" --format=json | field entries complete)" \
    "2 True
5 True"
text=$(keep "$id" --dry-run)
like "text names pod, kind and size" "$text" "$pod, container [a-z0-9-]*: volumes, 2 entries"
like "a pod that is not there: those that are" "$(keep "$id" --dry-run --pod default/nobody 2>&1)" "no pod .*'default/nobody'; there are: .*$pod"
fails "and it fails" keep "$id" --dry-run --pod default/nobody

ok "a dry run looks at the place, too" keep "$id" --dry-run --to "$base/a/dry"
is "and makes nothing there" "$(cd "$base/a" && ls -Ad dry .dry* 2>/dev/null)" ""
flock "$quarantine/stages" sleep 0.5 &
while flock -n "$quarantine/stages" true; do read -rt 0.001 <>"$base/never"; done
ok "a layer to a directory, once nobody looks any more" keep "$id" --pod "$pod" --to "$base/a/layer"
wait
ok "with a list of what is in it" grep -q "$(basename "$quarantine")" "$base/a/layer/containerd-recover-keep.json"
copy=$(find "$base/a/layer" -mindepth 2 -type d -name layer)
is "overlayfs's own marks stay" "$(tree "$copy")" "$(tree "$layer")"
keep "$id" --pod "$pod" --dry-run --format=json >"$base/dry.json"
keep "$id" --pod "$pod" --to "$base/a/layer.tar" --format=json >"$base/done.json"
is "a layer to an archive" "$?" 0
is "its JSON has the fields of the man page" \
    "$(/usr/bin/python3 "$top/tests/helpers/jsondoc.py" "$top/docs/containerd-recover.8" keep "$base"/{dry,done}.json)" ""
listed=$(tar -tf "$base/a/layer.tar")
like "a whiteout is OCI's" "$listed" '/layer/\.wh\.gone'
like "an opaque directory too" "$listed" '/layer/opaque/\.wh\.\.wh\.\.opq'
unlike "and not overlayfs's" "$listed" $'/layer/gone(\n|$)'
like "but a device is one" "$listed" $'/layer/null(\n|$)'
is "nor is its mark in it" "$(grep -ac 'overlay\.opaque' "$base/a/layer.tar")" 0

# meta.db loses its metas, metadata.db its root page: the pod is still known.
dd if=/dev/zero of="$quarantine/root/io.containerd.metadata.v1.bolt/meta.db" bs=4096 count=2 conv=notrunc status=none
dd if=/dev/zero of="$quarantine/root/$overlay/metadata.db" bs=4096 count=2 conv=notrunc status=none
carved=$(keep "$id" --dry-run --pod "$pod" --format=json 2>"$base/said")
is "damaged records are carved" "$(field kind <<<"$carved")" $'volumes\nwritable layer'
like "which is said" "$(cat "$base/said")" "damaged"
mv "$quarantine/root/$overlay/metadata.db" "$base/metadata.db"
ln -s "$base/metadata.db" "$quarantine/root/$overlay/metadata.db"
like "records that cannot be read are named" "$(keep "$id" --dry-run 2>&1)" "writable layers are missing"
mv "$base/metadata.db" "$quarantine/root/$overlay/metadata.db"

# ---- refused ----------------------------------------------------------------

refused() { # NAME PATTERN ARGUMENT...
    local name=$1 pattern=$2
    shift 2
    tree "$base/a" >"$base/before"
    said=$(keep "$@" 2>&1)
    is "$name: status" "$?" 1
    like "$name: why" "$said" "$pattern"
    is "$name: nothing is changed" "$(tree "$base/a")" "$(cat "$base/before")"
}
echo mine >"$base/a/file"
mkdir "$base/a/dir"
refused "an unknown quarantine" "no quarantine 'nonsense'; there are: $id" nonsense --to "$base/a/x"
refused "a file that exists" "exists" "$id" --to "$base/a/file"
refused "a directory that exists" "exists" "$id" --to "$base/a/dir/"
refused "an archive that exists" "exists" "$id" --to "$base/a/layer.tar"
refused "a parent that does not" "No such file" "$id" --to "$base/a/no/x"
refused "into the quarantine" "inside containerd's" "$id" --to "$quarantine/x"
refused "beside the quarantine" "inside containerd's" "$id" --to "${quarantine%/*}/x"
refused "into the data root" "inside containerd's" "$id" --to "$root/x"
refused "no such pod" "there are: " "$id" --pod 'kube-system/*' --to "$base/a/x"
mkdir "$base/a/.x.containerd-recover-keep"
echo theirs >"$base/a/.x.containerd-recover-keep/data"
refused "a stranger's directory under the temporary name" "somebody else" "$id" --to "$base/a/x"
ln -s "$base/a/file" "$base/a/.y.tar.containerd-recover-keep"
refused "a link under the temporary name" "somebody else" "$id" --to "$base/a/y.tar"
# Ours are files of root's alone with one name, and directories with a mark.
temporary=$base/a/.z.tar.containerd-recover-keep
echo theirs >"$temporary"
chmod 644 "$temporary"
refused "a stranger's file under the temporary name" "somebody else" "$id" --to "$base/a/z.tar"
chmod 600 "$temporary"
ln "$temporary" "$base/a/z"
refused "one that has another name, too" "somebody else" "$id" --to "$base/a/z.tar"
rm "$temporary"
mkdir "$temporary"
refused "a directory where there was to be an archive" "somebody else" "$id" --to "$base/a/z.tar"
mkdir "$base/a/.z.containerd-recover-keep"
touch "$base/a/.z.containerd-recover-keep/mark"
chown 1234 "$base/a/.z.containerd-recover-keep"
rm "$base/a/z"
refused "a marked directory of another user's" "somebody else" "$id" --to "$base/a/z"
rm -r "$base/a"/.z*
keep "$id" >/dev/null 2>&1
is "without --to it is wrong usage" "$?" 2
keep "$id" --pod nonsense --to "$base/a/x" >/dev/null 2>&1
is "a pod without a namespace, too" "$?" 2

mkdir "$base/small"
mount -t tmpfs -o size=1M,nr_inodes=100 tmpfs "$base/small"
head -c 3000000 /dev/urandom >"$quarantine/root/$cri/$app/volumes/v/big"
refused "a disk that is too small" "no room" "$id" --to "$base/small/x"
unlike "it is not even begun" "$said" "is not made"
umount "$base/small"
# Room for the content, but not for so many files.
mount -t tmpfs -o size=100M,nr_inodes=300 tmpfs "$base/small"
mkdir "$quarantine/root/$cri/$app/volumes/v/many"
touch "$quarantine/root/$cri/$app/volumes/v/many"/{1..400}
refused "a disk with too few inodes" "no room" "$id" --to "$base/small/x"
unlike "nor is that begun" "$said" "is not made"
rm -r "$quarantine/root/$cri/$app/volumes/v/many"
# The room is there when it is asked for, and gone later: compression is a guess.
umount "$base/small"
mount -t tmpfs -o size=34M tmpfs "$base/small"
head -c 40000000 /dev/urandom >"$quarantine/root/$cri/$app/volumes/v/big"
refused "a disk that fills up" "No space left.*nothing is left of it" "$id" --to "$base/small/x.tar.zst"
is "nothing is on it" "$(ls -A "$base/small")" ""
umount "$base/small"
echo small >"$quarantine/root/$cri/$app/volumes/v/big"

echo 'begin purge 3 1767322002' >>"$quarantine/stages"
refused "a purge that has begun" "purge has begun" "$id" --to "$base/a/x"
sed -i /purge/d "$quarantine/stages"
echo 'begin restore 3 1767322002' >>"$quarantine/stages"
refused "a restore that has begun" "being put back" "$id" --to "$base/a/x"
sed -i /restore/d "$quarantine/stages"
cp "$quarantine/stages" "$base/stages"
for stages in "begin move 1 1767322001" "done undo 1 1767322001"; do
    echo "$stages" >"$quarantine/stages"
    refused "one with '$stages'" "never moved" "$id" --to "$base/a/x"
done
cp "$base/stages" "$quarantine/stages"
mv "$quarantine/root" "$quarantine/gone"
cp -a "$quarantine/gone" "$quarantine/root"
refused "another root in its place" "not the one that was put there" "$id" --to "$base/a/x"
rm -r "$quarantine/root"
mv "$quarantine/gone" "$quarantine/root"

# ---- a mount in it, and one who comes while it is copied ----------------------

mkdir "$quarantine/root/$cri/$app/volumes/v/mounted"
touch "$quarantine/root/$cri/$app/volumes/v/bound"
mount --bind "$base/a/dir" "$quarantine/root/$cri/$app/volumes/v/mounted"
mount --bind "$base/a/file" "$quarantine/root/$cri/$app/volumes/v/bound"
said=$(keep "$id" --to "$base/a/mounts" 2>&1)
is "mounts are left out: status" "$?" 4
like "a directory's is named" "$said" 'v/mounted: a mount point'
like "a file's is named" "$said" 'v/bound: a mount point'
is "the rest is there" "$(cd "$base/a/mounts/default" && find . -type f -name 'b*' -printf '%f\n')" big
umount "$quarantine/root/$cri/$app/volumes/v/mounted" "$quarantine/root/$cri/$app/volumes/v/bound"

mv "$quarantine/root/$cri" "$base/cri"
refused "a quarantine without user data" "nothing to keep" "$id" --to "$base/a/x"
mv "$base/cri" "$quarantine/root/$cri"

# So many that a copy can be caught at work.
/usr/bin/python3 -c 'import sys
for i in range(20000):
    open(f"{sys.argv[1]}/{i}", "w").close()' "$quarantine/root/$cri/$app/volumes/v"
begun() { [ -e "$base/a/.slow.containerd-recover-keep/links" ]; }
slow() { # a copy that is under way, stopped
    local i
    containerd-recover keep --root="$root" "$id" --to "$base/a/slow" >"$base/slow" 2>&1 &
    pid=$!
    for ((i = 0; i < 10000; i++)); do begun && kill -STOP "$pid" && return; read -rt 0.001 <>"$base/never"; done
}
slow
ok "a copy is under way" begun
said=$(containerd-recover purge --root="$root" --yes "$id" 2>&1)
is "the purge does not begin: status" "$?" 3
like "it says why" "$said" "keep. copies from it"
unlike "nor is it written down" "$(cat "$quarantine/stages")" purge
like "nor is it put back" "$(containerd-recover restore --root="$root" --yes "$id" 2>&1)" "keep. copies from it"
like "a second copy to the same place is refused" "$(keep "$id" --to "$base/a/slow" 2>&1)" "another run"
kill -INT "$pid"
kill -CONT "$pid"
wait "$pid"
is "interrupted: status" "$?" 1
like "interrupted: it says so" "$(cat "$base/slow")" "stopped; nothing is left of it"
fails "interrupted: and nothing is left" begun
fails "nor is the copy there" test -e "$base/a/slow"
slow
mkdir "$base/a/slow"
made=$(stat -c %i "$base/a/slow")
kill -CONT "$pid"
wait "$pid"
is "a directory of that name made meanwhile: status" "$?" 1
is "a directory of that name made meanwhile: it stays" "$(stat -c %i "$base/a/slow")" "$made"
rmdir "$base/a/slow"
slow
kill -KILL "$pid"
wait "$pid" 2>/dev/null
ok "killed: something is left" begun
ok "the next run takes it away, and copies" keep "$id" --to "$base/a/slow"
is "all of it" "$(find "$base/a/slow" -type f -path '*/v/*' | wc -l)" 20003
fails "with nothing left" begun
tap_done

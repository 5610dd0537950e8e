#!/bin/bash
# tests/bench/bench-scan.sh BUILD: counting a million entries, cold and warm, by
# turns with `du --inodes` and fd, on ext4 in a file with direct I/O, so that the
# disk sees what the tools ask for: a Markdown section. The whole `scan`, with the
# bytes of the ten biggest, beside it. SCAN_ENTRIES and SCAN_ROUNDS make it
# smaller or longer.
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/${1:-build/release}
bench=$build/tests/bench
entries=${SCAN_ENTRIES:-1000000} rounds=${SCAN_ROUNDS:-3}
dir=$(mktemp -d "${BENCH_BASE:-/var/tmp}/bench-scan.XXXXXX")
root=$dir/mnt/containerd
loop=
attach() {
    loop=$(losetup --find --show --direct-io=on "$dir/image")
    mount "$loop" "$dir/mnt"
}
detach() {
    umount "$dir/mnt"
    losetup --detach "$loop"
    loop=
}
clean() {
    umount "$dir/mnt" 2>/dev/null
    [ -z "$loop" ] || losetup --detach "$loop"
    rm -rf "$dir"
}
trap clean EXIT

truncate -s 16G "$dir/image"
mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 -N $((entries * 5 / 4 + 10000)) "$dir/image"
mkdir "$dir/mnt"
attach
# Twenty snapshots of as many files each, as after twenty job pods.
for ((n = 1; n <= 20; n++)); do
    snapshot=$root/io.containerd.snapshotter.v1.overlayfs/snapshots/$n/fs
    mkdir -p "$snapshot"
    "$bench/maketree" "$snapshot" $((entries / 20)) "$n" >/dev/null
done

tool_ours() { "$bench/counttree" "$root" >"$dir/ours"; }
tool_scan() { "$build/containerd-recover" scan --root "$root" --state "$dir/state" --budget 600 >"$dir/scan"; }
tool_du() { du --inodes -s "$root" >"$dir/du"; }
# By a short path: fd misses what is deeper than PATH_MAX.
tool_fd() { (cd "$root" && fdfind --unrestricted | wc -l) >"$dir/fd"; }

cool() {
    detach
    sync
    echo 3 >/proc/sys/vm/drop_caches
    attach
}

seconds() { # TOOL
    local start=${EPOCHREALTIME/./}
    "tool_$1"
    awk -v us=$((${EPOCHREALTIME/./} - start)) 'BEGIN { printf "%.3f\n", us / 1000000 }'
}

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

for ((round = 0; round < rounds; round++)); do
    for tool in ours fd du scan; do
        cool
        seconds $tool >>"$dir/cold-$tool"
    done
    for tool in ours fd du scan; do
        "tool_$tool" # what it needs is in the caches
        seconds $tool >>"$dir/warm-$tool"
    done
done

# du counts inodes: the start itself too, and a file with two names once.
read -r counted memory <"$dir/ours"
if [ "$counted" -ne "$(cat "$dir/fd")" ]; then
    echo "counted $counted, but fd $(cat "$dir/fd")" >&2
    exit 1
fi

cat <<MD
## Counting $counted entries, ext4

Seconds, medians of $rounds runs by turns; how many times as fast. $(nproc) CPUs, Linux $(uname -r | cut -d- -f1), an image with direct I/O. Peers:
\`du --inodes -s ROOT\` ($(du --version | head -n 1 | grep -o '[0-9.]*$')), \`fdfind --unrestricted | wc -l\` ($(fdfind --version | cut -d' ' -f2)). "The whole scan" also names the owners
and takes the bytes of the ten biggest by one statx a file.

| | ours | fd | du --inodes | than fd | than du | the whole scan |
|---|---|---|---|---|---|---|
MD
for state in cold warm; do
    awk -v state=$state -v ours="$(median "$dir/$state-ours")" -v fd="$(median "$dir/$state-fd")" \
        -v du="$(median "$dir/$state-du")" -v scan="$(median "$dir/$state-scan")" \
        'BEGIN { printf "| %s | %.2f | %.2f | %.2f | %.1f | %.1f | %.2f |\n", state, ours, fd, du, fd / ours, du / ours, scan }'
done
printf '\nPeak memory of ours: %d KiB.\n' "$memory"

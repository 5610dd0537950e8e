#!/bin/bash
# tests/bench/bench-scan.sh BUILD: counting a million entries, cold and warm, by
# turns with `du --inodes` and fd, on ext4 in a file: a Markdown section.
# SCAN_ENTRIES and SCAN_ROUNDS make it smaller or longer.
set -eu
cd "$(dirname "$0")/../.."
bench=$PWD/${1:-build/release}/tests/bench
entries=${SCAN_ENTRIES:-1000000} rounds=${SCAN_ROUNDS:-3}
dir=$(mktemp -d "${BENCH_BASE:-/var/tmp}/bench-scan.XXXXXX")
clean() {
    umount "$dir/mnt" 2>/dev/null
    rm -rf "$dir"
}
trap clean EXIT

truncate -s 16G "$dir/image"
mkfs.ext4 -q -F -N $((entries * 5 / 4 + 10000)) "$dir/image"
mkdir "$dir/mnt"
mount -o loop "$dir/image" "$dir/mnt"
"$bench/maketree" "$dir/mnt" "$entries" 1 >/dev/null

tool_ours() { "$bench/counttree" "$dir/mnt" >"$dir/ours"; }
tool_du() { du --inodes -s "$dir/mnt" >"$dir/du"; }
tool_fd() { fdfind --unrestricted . "$dir/mnt" | wc -l >"$dir/fd"; }

cool() {
    umount "$dir/mnt"
    sync
    echo 3 >/proc/sys/vm/drop_caches
    mount -o loop "$dir/image" "$dir/mnt"
}

seconds() { # TOOL
    local start=${EPOCHREALTIME/./}
    "tool_$1"
    awk -v us=$((${EPOCHREALTIME/./} - start)) 'BEGIN { printf "%.3f\n", us / 1000000 }'
}

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

for ((round = 0; round < rounds; round++)); do
    for tool in ours fd du; do
        cool
        seconds $tool >>"$dir/cold-$tool"
    done
    for tool in ours fd du; do
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

printf '## Counting %s entries, ext4\n\nSeconds, medians of %s runs by turns; how many times as fast.\n\n' "$counted" "$rounds"
printf '| | ours | fd | du --inodes | than fd | than du |\n|---|---|---|---|---|---|\n'
for state in cold warm; do
    awk -v state=$state -v ours="$(median "$dir/$state-ours")" -v fd="$(median "$dir/$state-fd")" \
        -v du="$(median "$dir/$state-du")" \
        'BEGIN { printf "| %s | %.2f | %.2f | %.2f | %.1f | %.1f |\n", state, ours, fd, du, fd / ours, du / ours }'
done
printf '\nPeak memory of ours: %d KiB.\n' "$memory"

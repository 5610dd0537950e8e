#!/bin/bash
# tests/bench/bench-bolt.sh BUILD: the check of a 256 MiB meta.db against reading
# it from the page cache, by turns. At least a third of the speed, in memory that
# does not grow with the file beyond two bits a page.
set -eu
cd "$(dirname "$0")/../.."
bolt=${1:-build/release}/tests/bench/bolt
dir=$(mktemp -d "${BENCH_BASE:-/var/tmp}/bench-bolt.XXXXXX")
trap 'rm -rf "$dir"' EXIT
status=0

for kind in records dense; do
    for mib in 16 256; do
        "$bolt" make "$dir/meta.db" "$mib" "$kind"
        read -r read check ratio kib <<<"$("$bolt" check "$dir/meta.db")"
        printf 'bolt %-8s %4d MiB: read %7.1f ms, checked %7.1f ms: %.2f of the speed, %d KiB of memory\n' \
            "$kind" "$mib" "$(awk "BEGIN { print $read * 1000 }")" "$(awk "BEGIN { print $check * 1000 }")" "$ratio" "$kib"
        [ "$mib" = 256 ] || continue
        awk "BEGIN { exit !($ratio >= 1 / 3 && $kib <= 4096) }" || status=1
    done
done
[ "$status" = 0 ] || echo "bolt: below a third of the speed of reading, or above 4 MiB of memory"
exit $status

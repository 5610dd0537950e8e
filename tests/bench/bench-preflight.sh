#!/bin/bash
# bench-preflight.sh BUILD: what every start of containerd on a healthy node pays,
# beside an empty C program: on a real node with 40 pods, in turns.
BUILD=$(cd "$1" && pwd) || exit
export BUILD
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/../node/lib.sh" >&2
runs=${RUNS:-400}
{
    node_prepare preflight
    node_install
    node_boot
    node_ready
    node_pods live 40
    printf 'int main(void) { return 0; }\n' | gcc -O2 -x c - -o "$NODE/varlib/empty"
    cp "$BUILD/tests/bench/spawntimes" "$NODE/varlib/"
    node_run /usr/bin/containerd-recover record started
} >&2
mapfile -t rows < <(node_run /var/lib/spawntimes "$runs" /var/lib/empty -- \
    /usr/bin/containerd-recover preflight -- /usr/bin/containerd-recover --version | grep -v '^containerd')
if [ "${#rows[@]}" -ne 3 ]; then
    echo "preflight cannot be measured here; what was said is above" >&2
    exit 1
fi
tap_finished=yes # no test: nothing was counted

cat <<MD
## The fast path: \`preflight\` on a healthy node

A real node with 40 pods; $runs runs of each, in turns; medians. The peer is \`int main(void) { return 0; }\`, gcc -O2.

| command | elapsed (quartiles), µs | processor, µs | ratio of elapsed |
|---|---|---|---|
MD
printf '%s\n' "${rows[@]}" | awk '
    BEGIN { split("an empty C program;`containerd-recover preflight`;`containerd-recover --version` (loading alone)", name, ";") }
    NR == 1 { empty = $1; cpu = $2 }
    { printf "| %s | %d (%d to %d) | %d | %.2f |\n", name[NR], $1, $3, $4, $2, $1 / empty }
    NR == 2 { own = $2 - cpu }
    END { printf "\nWork of its own, the empty program'\''s taken off: %.1f ms of processor time.\n", own / 1000 }'

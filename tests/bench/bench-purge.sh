#!/bin/bash
# bench-purge.sh BUILD: purge against rm -rf, find -delete, bfs -delete and rmz
# (where installed), interleaved, on loop-mounted file systems with direct I/O;
# what the node feels meanwhile; memory and system calls. As root, 30 minutes.
# BENCH_ENTRIES, BENCH_ROUNDS, BENCH_FS, BENCH_STATES, BENCH_MILLION and
# BENCH_FLAT change the sizes; BENCH_PARTS (races million felt busy gentle written
# memory calls) takes only some figures anew and keeps the others; BENCH_GOLD is a
# directory that keeps the trees' images, best in memory; BENCH_NICE (-20) puts
# what is raced before whatever else runs there.
set -eu
# A mount that leaks into another mount namespace would keep its image in use.
[ "${BENCH_PRIVATE:-}" ] || BENCH_PRIVATE=1 exec unshare -m --propagation private "$0" "$@"
tools=$PWD/$1/tests/bench
svg=$PWD/docs/bench-purge.svg
entries=${BENCH_ENTRIES:-200000} rounds=${BENCH_ROUNDS:-3} million=${BENCH_MILLION:-1000000}
flat=${BENCH_FLAT:-5000000}
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-purge.XXXXXX")
gold=${BENCH_GOLD:-$work}
parts=${BENCH_PARTS:-races million felt busy gentle written memory calls}
kept=$PWD/$1/bench-purge-kept raw=$PWD/$1/bench-purge-kept/races.tsv
loop=''

# shellcheck disable=SC2317
cleanup() {
    umount -l "$work/mnt" 2>/dev/null || true
    [ -z "$loop" ] || losetup -d "$loop" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/mnt" "$kept" "$gold"
touch "$raw"

say() { echo "bench-purge: $*" >&2; }

gold() { # FS ENTRIES SIZE [FLAT [CHAIN]]: makes $gold/FS-ENTRIES.img
    local img=$gold/$1-$2.img
    [ -e "$img" ] && return
    say "$1: a tree of $2 entries"
    truncate -s "$3" "$img"
    case $1 in
    ext4) mkfs.ext4 -q -F -N $(($2 + $2 / 4)) "$img" ;;
    *) "mkfs.$1" -q -f "$img" >/dev/null 2>&1 ;;
    esac
    mount -o loop "$img" "$work/mnt"
    "$tools/maketree" "$work/mnt/tree" "$2" 1 "${@:4}" >/dev/null
    umount "$work/mnt"
}

attach() { # IMAGE STATE
    rm -f "$work/run.img"
    cp --sparse=always "$1" "$work/run.img"
    sync "$work/run.img"
    loop=$(losetup -f --show --direct-io=on "$work/run.img")
    mount "$loop" "$work/mnt"
    if [ "$2" = warm ]; then
        find "$work/mnt/tree" -size +1000G >/dev/null
    else
        echo 3 >/proc/sys/vm/drop_caches
    fi
}

detach() {
    umount "$work/mnt"
    losetup -d "$loop"
    loop=''
}

delete() { # TOOL DIR
    local run=(nice -n "${BENCH_NICE:-0}")
    case $1 in
    purge) "${run[@]}" "$tools/purgetree" -u "$2" >/dev/null ;;
    'rm -rf') "${run[@]}" rm -rf "$2" ;;
    'find -delete') "${run[@]}" find "$2" -delete ;;
    'bfs -delete') "${run[@]}" bfs "$2" -delete ;;
    rmz) "${run[@]}" rmz "$2" ;;
    esac
}

ticks() { awk '/^cpu / { t = 0; for (i = 2; i <= 9; i++) t += $i; print $9, t }' /proc/stat; }

race() { # CASE FS ENTRIES STATE ROUNDS TOOL...: lines of case, tool, seconds, % stolen by the hypervisor
    local case=$1 img=$gold/$2-$3.img state=$4 rounds=$5 round tool start before
    shift 5
    awk -F'\t' -v case="$case" '$1 != case' "$raw" >"$work/others"
    cp "$work/others" "$raw"
    for ((round = 0; round < rounds; round++)); do
        for tool in "$@"; do
            attach "$img" "$state"
            before=$(ticks)
            start=$EPOCHREALTIME
            delete "$tool" "$work/mnt/tree"
            printf '%s\t%s\t%s\t%s\n' "$case" "$tool" "$(bc <<<"$EPOCHREALTIME - $start")" \
                "$(echo "$before $(ticks)" | awk '{ printf "%.1f", 100 * ($3 - $1) / ($4 - $2) }')" >>"$raw"
            detach
            say "$(tail -n 1 "$raw")"
        done
    done
}

spread() { # CASE TOOL...: a row: median seconds (spread), times rm -rf
    sort -t$'\t' -k1,2 -k3n "$raw" | awk -F'\t' -v want="$1" -v tools="$(printf '%s\t' "${@:2}")" '
        $1 == want { v[$2, n[$2]++] = $3 }
        function median(t) { return n[t] % 2 ? v[t, (n[t] - 1) / 2] : (v[t, n[t] / 2] + v[t, n[t] / 2 - 1]) / 2 }
        END {
            k = split(tools, t, "\t")
            printf "| %s (%d) |", want, n[t[1]]
            for (i = 1; i < k; i++) {
                if (!n[t[i]]) { printf " – |"; continue }
                m = median(t[i])
                printf " %.2f (%.2f–%.2f), %.2fx |", m, v[t[i], 0], v[t[i], n[t[i]] - 1], median("rm -rf") / m
            }
            print ""
        }'
}

table() { # TOOL...
    printf '| seconds (spread), times rm -rf |'
    printf ' %s |' "$@"
    printf '\n|---|'
    printf -- '---|%.0s' "$@"
    echo
    cut -f1 "$raw" | sort -u | while read -r case; do spread "$case" "$@"; done
}

plot() { # bars of the medians' ratio to rm -rf, one group a case
    sort -t$'\t' -k1,2 -k3n "$raw" | awk -F'\t' '
        { if (!($1 in seen)) { seen[$1] = 1; cases[nc++] = $1 }
          if (!($2 in tool)) { tool[$2] = 1; tools[nt++] = $2 }
          v[$1, $2, n[$1, $2]++] = $3 }
        function median(c, t,   k) { k = n[c, t]; return k % 2 ? v[c, t, (k - 1) / 2] : (v[c, t, k / 2] + v[c, t, k / 2 - 1]) / 2 }
        END {
            height = 30
            for (i = 0; i < nc; i++) { height += 24; for (j = 0; j < nt; j++) if (n[cases[i], tools[j]]) height += 16 }
            printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n", height
            printf "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"8\" y=\"18\">Speed, rm -rf = 1 (longer is faster)</text>\n"
            y = 30
            for (i = 0; i < nc; i++) {
                c = cases[i]; y += 18
                printf "<text x=\"8\" y=\"%d\" font-weight=\"bold\">%s</text>\n", y, c
                y += 6
                for (j = 0; j < nt; j++) {
                    t = tools[j]; if (!n[c, t]) continue
                    r = median(c, "rm -rf") / median(c, t)
                    printf "<text x=\"16\" y=\"%d\">%s</text><rect x=\"110\" y=\"%d\" width=\"%.0f\" height=\"12\" fill=\"%s\"/><text x=\"%.0f\" y=\"%d\">%.2f</text>\n", \
                        y + 10, t, y, r * 140, t == "purge" ? "#2a6f97" : "#b0b7bd", 116 + r * 140, y + 10, r
                    k = n[c, t]; printf "<path d=\"M%.0f %dH%.0f\" stroke=\"#000\"/>\n", \
                        110 + 140 * median(c, "rm -rf") / v[c, t, k - 1], y + 6, 110 + 140 * median(c, "rm -rf") / v[c, t, 0]
                    y += 16
                }
            }
            print "</svg>"
        }'
}

beside() { # NAME SPINNERS COMMAND...: a line of the probe beside COMMAND on a cold ext4 tree
    local name=$1 spinners=$2 pids=() i main=''
    shift 2
    attach "$gold/ext4-$entries.img" cold
    for ((i = 0; i < spinners; i++)); do
        (while :; do :; done) &
        pids+=($!)
    done
    if [ $# -gt 0 ]; then
        "$@" "$work/mnt/tree" >"$work/out" 2>&1 &
        main=$!
    fi
    sleep 0.3
    "$tools/probe" "$work/mnt" "${BENCH_PROBE_SEC:-4}" |
        awk -v name="$name" -v OFS='\t' '{ print name, $1, $2, $3 }' >>"$work/felt"
    for i in $main "${pids[@]}"; do
        kill "$i" 2>/dev/null || true
        wait "$i" 2>/dev/null || true
    done
    detach
    say "$(tail -n 1 "$work/felt"), $spinners CPU-bound"
}

# Idle and all others in turns: what the disk does of its own accord changes within a minute.
felt() { # SPINNERS
    local gentle=("$tools/purgetree") urgent=("$tools/purgetree" -u) round
    : >"$work/felt"
    for ((round = 0; round < ${BENCH_FELT_ROUNDS:-3}; round++)); do
        beside idle "$1"
        beside '**purge, gentle**' "$1" "${gentle[@]}"
        beside 'rm -rf' "$1" rm -rf
        beside 'ionice -c3 rm -rf' "$1" ionice -c3 rm -rf
        beside 'nice 19 rm -rf' "$1" nice -n 19 rm -rf
        beside 'SCHED_IDLE rm -rf' "$1" chrt -i 0 rm -rf
        beside 'SCHED_IDLE, purge at full speed' "$1" chrt -i 0 "${urgent[@]}"
        beside 'purge, urgent' "$1" "${urgent[@]}"
    done
    printf '| ms | p50 (spread) | times idle | p99 | worst |\n|---|---|---|---|---|\n'
    sort -t$'\t' -k2n "$work/felt" | awk -F'\t' '
        { k = n[$1]++; p50[$1, k] = $2; p99[$1, k] = $3; if ($4 > worst[$1]) worst[$1] = $4 }
        function middle(v, name,   k) { k = n[name]; return k % 2 ? v[name, (k - 1) / 2] : (v[name, k / 2] + v[name, k / 2 - 1]) / 2 }
        END { for (name in n) printf "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\n", name, middle(p50, name), p50[name, 0],
                  p50[name, n[name] - 1], middle(p50, name) / middle(p50, "idle"), middle(p99, name), worst[name] }' >"$work/rows"
    cut -f1 "$work/felt" | awk '!seen[$0]++' | while read -r name; do
        awk -F'\t' -v name="$name" '$1 == name { printf "| %s | %s (%s–%s) | %s | %s | %s |\n", $1, $2, $3, $4, $5, $6, $7 }' "$work/rows"
    done
}

gentle_rate() {
    attach "$gold/ext4-$entries.img" cold
    timeout -s INT 6 "$tools/purgetree" -v "$work/mnt/tree" 2>&1 | awk '/ ms / { ms = $1; n = $3 } END { printf "%d", n * 1000 / ms }'
    detach
}

sectors() { awk '{ print $7 }' "/sys/block/${loop#/dev/}/stat"; }

written() { # IMAGE COMMAND...: a cell: MB that reach the disk in all, and at most in one second
    local img=$1 first last now most=0 pid
    shift
    attach "$img" warm
    sync -f "$work/mnt"
    first=$(sectors) last=$first
    "$@" "$work/mnt/tree" >"$work/out" 2>&1 &
    pid=$!
    while sleep 1; do
        now=$(sectors)
        [ $((now - last)) -le "$most" ] || most=$((now - last))
        last=$now
        kill -0 "$pid" 2>/dev/null || break
    done
    wait "$pid"
    sync -f "$work/mnt"
    now=$(sectors)
    [ $((now - last)) -le "$most" ] || most=$((now - last))
    printf ' %d, %d |' $(((now - first) / 2048)) $((most / 2048))
    detach
}

writes() {
    local flat=$((entries / 2)) tree img
    gold ext4 "$entries" 4G
    gold ext4 "$flat" 4G "$flat" 0
    for tree in "$entries entries" "$flat in one directory"; do
        img=$gold/ext4-${tree%% *}.img
        printf '| %s |' "$tree"
        written "$img" rm -rf
        written "$img" "$tools/purgetree" -u
        written "$img" "$tools/purgetree"
        echo
    done
}

memory() { # NAME ENTRIES FLAT CHAIN
    mount -t tmpfs -o nr_inodes=0,size=90% none "$work/mnt"
    "$tools/maketree" "$work/mnt" "$2" 1 "$3" "$4" >/dev/null
    printf '| %s | %s |\n' "$1" "$("$tools/purgetree" -u "$work/mnt" | awk '{ printf "%.1f MiB", $(NF - 1) / 1024 }')"
    umount "$work/mnt"
}

calls() {
    command -v strace >/dev/null || return 0
    mkdir -p "$work/calls"
    "$tools/maketree" "$work/calls" 20000 1 >/dev/null
    strace -f -qq -c -o "$work/strace" "$tools/purgetree" -u "$work/calls" >/dev/null
    awk '/total$/ { printf "System calls per entry: %.2f.\n", $4 / 20000 }' "$work/strace"
}

peers=('rm -rf' 'find -delete')
for peer in bfs rmz; do
    ! command -v $peer >/dev/null || peers+=("$([ $peer = bfs ] && echo 'bfs -delete' || echo rmz)")
done
wants() { [[ " $parts " = *" $1 "* ]]; }

take() { # PART COMMAND...: what it prints is kept until it is taken anew
    wants "$1" || return 0
    "${@:2}" >"$work/part"
    mv "$work/part" "$kept/$1"
}

part() { cat "$kept/$1" 2>/dev/null || echo "(not taken)"; }

races() {
    local fs state
    for fs in ${BENCH_FS:-ext4 xfs btrfs}; do
        command -v "mkfs.$fs" >/dev/null || continue
        gold "$fs" "$entries" 4G
        for state in ${BENCH_STATES:-cold warm}; do
            race "$fs $state" "$fs" "$entries" "$state" "$rounds" "${peers[@]}" purge
        done
    done
}

million() {
    gold ext4 "$million" 12G $((million / 2))
    race "ext4 cold, $million entries, half of them in one directory" ext4 "$million" cold \
        "${BENCH_MILLION_ROUNDS:-1}" 'rm -rf' purge
}

peaks() {
    memory "$flat in one directory" "$flat" "$flat" 0
    memory "a chain 100,000 deep" 100000 0 100000
}

commands() { # what was run, word for word, and its version
    local name
    printf '| command | version |\n|---|---|\n'
    for name in "${peers[@]}"; do
        case $name in
        find*) set -- 'find tree -delete' find ;;
        bfs*) set -- 'bfs tree -delete' bfs ;;
        *) set -- "$name tree" "${name%% *}" ;;
        esac
        printf '| \x60%s\x60 | %s |\n' "$1" "$("$2" --version 2>&1 | head -n 1)"
    done
    printf '| \x60purgetree -u tree\x60: purge, urgent | this one |\n'
}

! wants races || races
! wants million || million
plot >"$svg"
! [[ $parts =~ felt|busy|gentle ]] || gold ext4 "$entries" 4G
take felt felt 0
take busy felt 2
take gentle gentle_rate
take written writes
take memory peaks
take calls calls

cat <<END
## Purge

$entries entries (seed 1: loose git objects, Python packages, Go build cache, a flat directory with a quarter of all, a chain
2,000 deep), $(nproc) CPUs, Linux $(uname -r | cut -d- -f1), loop-mounted images with direct I/O, interleaved rounds
(how many is in brackets), medians and spread.
Of the processor time the hypervisor took $(cut -f4 "$raw" | sort -n | awk '{ v[NR] = $1 } END { printf "%.0f %% (median; at most %.0f %%)", v[int((NR + 1) / 2)], v[NR] }') for others.

$(table "${peers[@]}" purge)

![Speed against rm -rf](bench-purge.svg)

$(commands)

### What the node feels

A file made, 4 KiB written, fsynced and unlinked every 5 ms on the same ext4.

$(part felt)

The same beside two CPU-bound processes:

$(part busy)

Gentle purge, no other load: $(part gentle) entries a second.

### What reaches the disk

MB in all and, behind the comma, in the second that had most; ext4 with a warm cache, until all is synced.

| tree | rm -rf | purge, urgent | purge, gentle |
|---|---|---|---|
$(part written)

### Memory and system calls

| tree | peak resident memory |
|---|---|
$(part memory)

$(part calls)
END

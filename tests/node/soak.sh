#!/bin/bash
# Chaos on a real node, round after round, until SOAK_SECONDS (600) are over: pods
# and user data are made, containerd is broken in some way, and while the tool is
# at work it is killed, called by hand, and hindered. After each round the node
# must be whole, or the tool must name a cause that is true. Not a part of
# `make check`; `make soak` runs it.
#
#   SEED=7 ROUND=12 ROUNDS=1 tests/node/soak.sh    round 12 of seed 7 again, on a new node
#   LOGS=DIR                                       where the journal of a bad round goes
#   BREAKS="wiped" HINDERS="power kubelet"         these alone
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

: "${SOAK_SECONDS:=600}" "${SEED:=$((EPOCHSECONDS % 100000))}" "${ROUND:=1}" "${ROUNDS:=0}"
until=$((EPOCHSECONDS + SOAK_SECONDS))
snapshots=$node_data/io.containerd.snapshotter.v1.overlayfs
tasks=/run/containerd/io.containerd.runtime.v2.task/k8s.io
cri_dir=$node_data/io.containerd.grpc.v1.cri
records=/var/lib/containerd-recover

say() { echo "# [$SEED/$round $((EPOCHSECONDS - began))s] $*"; }
violated() { echo "not ok - seed $SEED round $round: $*" && tap_failed=$((tap_failed + 1)) bad=yes; }

# pick NAME...: one of them, in $picked. Not in a subshell: RANDOM would not go on.
pick() { local all=("$@"); picked=${all[RANDOM % $#]}; }
chance() { ((RANDOM % 100 < $1)); } # PERCENT

# ---- the node ----------------------------------------------------------------

declare -A shim=() init=() address=() broken=() volume=()

fresh_node() {
    [ -z "${NODE:-}" ] || { node_end "$NODE" && node_all=(); }
    shim=() init=() address=() broken=() volume=()
    layout=$1 other_task=""
    node_prepare soak
    [ "$layout" = mount ] || node_own_disk 500 -N 60000
    node_install
    node_fast_restarts
    node_unit timeout TimeoutStartSec=8s TimeoutStopSec=4s
    policy 1h
    node_boot
    node_run mkdir -p /srv/canary
    [ "$layout" != mount ] || own_mount
    [ $((SEED / 2 % 2)) = 0 ] || other_containerd
    node_run sh -c 'echo precious | tee /srv/canary/file /var/lib/canary >/dev/null'
}

# The data root on a disk of its own, which every boot mounts before containerd.
own_mount() {
    local device number
    node_run systemctl stop containerd
    device=$(node_disk root ext4 300 -N 60000)
    number="$((0x$(stat -c %t "$device"))) $((0x$(stat -c %T "$device")))"
    printf '%s\n' '[Unit]' 'DefaultDependencies=no' 'Before=containerd.service' '[Service]' 'Type=oneshot' 'RemainAfterExit=yes' \
        "ExecStart=/bin/sh -c '[ -e $device ] || mknod -m 600 $device b $number; exec mount $device $node_data'" \
        >"$NODE/root/etc/systemd/system/disk.service"
    node_unit disk '[Unit]' 'Requires=disk.service' 'After=disk.service'
    node_run systemctl start disk
    node_run rmdir "$node_data/lost+found"
    node_run systemctl start containerd
}

# Another containerd beside it, with a task of its own, which is none of ours.
two() { node_run ctr -a /run/two/containerd.sock -n k8s.io "$@"; }
other_containerd() {
    printf '%s\n' 'version = 2' 'root = "/var/lib/two"' 'state = "/run/two"' 'disabled_plugins = ["io.containerd.grpc.v1.cri"]' \
        'oom_score = 0' '[grpc]' 'address = "/run/two/containerd.sock"' '[plugins."io.containerd.internal.v1.opt"]' \
        'path = "/var/lib/two/opt"' >"$NODE/root/etc/containerd/two.toml"
    printf '%s\n' '[Service]' 'Type=notify' 'ExecStart=/usr/bin/containerd -c /etc/containerd/two.toml' 'KillMode=process' 'Delegate=yes' \
        'TemporaryFileSystem=/var/lib/cni' >"$NODE/root/etc/systemd/system/two.service"
    start_other
}
start_other() {
    node_run systemctl daemon-reload
    node_run systemctl start two && two images import /var/lib/images.tar >/dev/null
    { two tasks rm -f other; two containers rm other; } >/dev/null 2>&1
    two run -d --runc-root /run/two-runc --runc-binary /usr/local/sbin/runc-without-cpu test.local/pause:1 other /pause
    other_task=$(two tasks ls | awk '$1 == "other" { print $2 }')
    [ -n "$other_task" ] || violated "the other containerd has no task"
}

policy() { # GRACE
    grace=$1
    node_policy '[quarantine]' "grace = $grace" '[crash-loop]' 'healthy = 3s' 'cri_timeout = 8s' \
        '[leftovers]' 'usec_per_entry = 1000' '[sweep]' 'min_age = 2s'
}

written() { node_run cat $records/history 2>/dev/null; }
# What the round before did is long ago now.
age_history() { node_run sed -i -E 's/^1?[0-9]{9} /1000000000 /' $records/history 2>/dev/null; }
events() { written | awk -v event="$1" '$1 > 1000000000 && $3 == event' | grep -cvE "${2:-^$}"; }
shim_of() { node_run pgrep -f "containerd-shim-runc-v2 -namespace k8s.io -id $1"; }
init_of() { cat "$(node_path "$tasks/$1/init.pid")" 2>/dev/null; }

# A damaged page may be met only now, by what makes pods.
make_pods() { # [again]
    local id name address_ container names newest_pod=
    while read -r id name address_; do
        shim[$id]=$(shim_of "$id") init[$id]=$(init_of "$id") address[$id]=$address_
        [ -n "${shim[$id]}" ] || violated "pod $name has no shim"
        newest_pod=$id
    done < <(node_pods "r$round" $((1 + RANDOM % 3)))
    [ -n "$newest_pod" ] || { [ "${1:-}" = again ] || { node_until 40 settled && make_pods again && return; }; violated "no pods can be made"; return; }
    container=$(node_cri start "$newest_pod" test.local/volume:1) || { violated "no container"; return; }
    names=$(node_run ls "$cri_dir/containers/$container/volumes")
    volume[$container]=io.containerd.grpc.v1.cri/containers/$container/volumes/$names/file
    echo "precious $round" >"$(node_path "$node_data/${volume[$container]}")"
}

any_pod() { pick "${!shim[@]}"; }

# ---- breaking containerd -----------------------------------------------------

# Each break says what causes the tool may name for it, in $causes; mend_NAME
# takes it back. $may_lose: pods may end without any doing of the tool's.

damage_kinds=(root-zero root-random meta-zero meta-checksum meta-version meta-newest data-zero truncated
    freelist-zero text page-zero:2 page-zero:3 page-zero:5 page-zero:7 page-zero:9)

break_meta() { pick "${damage_kinds[@]}" && say "meta.db: $picked" && node_damage "$picked" && any_loss=yes; }
break_snapshots() {
    pick root-zero meta-zero truncated text data-zero page-zero:4 && say "metadata.db: $picked"
    node_damage "$picked" "$(node_path "$snapshots/metadata.db")" && any_loss=yes
}
break_work() { "$BUILD/tests/helpers/filltree" "$(node_path "$node_data/io.containerd.runtime.v2.task/k8s.io/orphan$round")" 20000 100; }
break_container() {
    node_run mkdir -p "$cri_dir/containers/lost$round/volumes"
    "$BUILD/tests/helpers/filltree" "$(node_path "$cri_dir/containers/lost$round/volumes/data")" 20000 100
    volume[lost$round]=io.containerd.grpc.v1.cri/containers/lost$round/volumes/file
    echo "precious" >"$(node_path "$node_data/${volume[lost$round]}")"
}
break_shim() {
    local signal=KILL
    chance 50 && signal=STOP
    any_pod && broken[$picked]=shim
    say "SIG$signal to the shim of $picked"
    node_run kill "-$signal" "${shim[$picked]}"
}
break_bundle() {
    any_pod && broken[$picked]=bundle
    local of=$picked
    pick config.json init.pid address shim-binary-path "config.json address" "work rootfs log"
    say "bundle of $of without $picked"
    node_run sh -c "cd $tasks/$of && rm -rf $picked" 2>/dev/null
}
break_litter() {
    node_run sh -c "cd $tasks && mkdir empty$round .hidden$round half$round && : >half$round/address &&
        echo '{' >half$round/config.json && : >file$round; mkdir -p /run/containerd/.containerd-recover-litter$round/x \
        /run/containerd/runc/k8s.io/none$round; : >/var/lib/cni/networks/cbr0/10.244.99.60"
}
# A full disk ends the grace period of what is in quarantine.
break_full() { purged=yes; node_run dd if=/dev/zero of="$disk/junk" bs=64k 2>/dev/null || causes="no-space|logged-cause|strangers"; } # in the root, where that is the disk
mend_full() { node_run rm -f "$disk/junk"; }
break_inodes() {
    purged=yes
    node_run sh -c "mkdir -p $disk/many && cd $disk/many && seq 70000 | xargs touch" 2>/dev/null
    causes="no-inodes|logged-cause|no-space|strangers"
}
mend_inodes() { node_run rm -rf "$disk/many"; }
break_readonly() { node_run mount -o remount,bind,ro "$disk" && causes="read-only|logged-cause|root-unreadable"; }
mend_readonly() { node_run mount -o remount,bind,rw "$disk"; }
break_config() {
    cp "$(node_path /etc/containerd/config.toml)" "$NODE/config.toml"
    pick 'root = [' 'version = 9' '[plugins."io.containerd.grpc.v1.cri".x' 'required_plugins = ["none"]'
    say "config.toml: $picked"
    { echo "$picked" && cat "$NODE/config.toml"; } >"$(node_path /etc/containerd/config.toml)"
    causes="config-invalid|config-unknown|logged-cause|degraded"
}
mend_config() { cp "$NODE/config.toml" "$(node_path /etc/containerd/config.toml)"; }
break_mode() { pick 000 777 && node_run chmod "$picked" "$node_data"; }
break_mount() {
    pick "$node_data/io.containerd.content.v1.content" "$snapshots/snapshots" "$cri_dir/sandboxes"
    over=$picked
    say "tmpfs over $over" && node_run mount -t tmpfs tmpfs "$over"
    may_lose=yes causes="child-mount|logged-cause|degraded|hung-after-ready|unexplained-loop"
}
mend_mount() { unmount_all "${over##*/}"; } # it may have moved along
break_hold() { node_run touch "$records/hold" && break_meta && causes="hold"; }
mend_hold() { node_run rm -f "$records/hold"; }
# Nothing that the tool writes down stays: read-only, or full.
break_records() {
    break_meta
    pick ro full && say "records: $picked" && causes="meta-damaged|unexplained-loop|logged-cause|degraded|hung-after-ready"
    if [ "$picked" = ro ]; then
        node_run mount --bind "$records" "$records" && node_run mount -o remount,bind,ro "$records"
    else
        node_run sh -c "mkdir -p /run/full && mount -t tmpfs -o size=256k tmpfs /run/full && cp -a $records/. /run/full/ 2>/dev/null
            dd if=/dev/zero of=/run/full/junk bs=4k 2>/dev/null; mount --move /run/full $records"
    fi
}
# What broke beneath is noticed, and cured, only then.
mend_records() { until ! node_run mountpoint -q "$records" || ! node_run umount "$records"; do :; done; sleep 4; }
# What people do before they know of the tool.
break_wiped() {
    any_loss=yes may_lose=yes purged=yes causes="root-empty|logged-cause|degraded"
    pick all all aside meta snapshots cri && wiped=$picked && say "by hand: $picked"
    case $picked in
    all) node_run sh -c "rm -rf $node_data/*" ;;
    aside) node_run sh -c "mkdir -p $node_data/../by-hand/$round && mv $node_data/io.* $node_data/../by-hand/$round/" ;;
    meta) node_run rm -rf "$node_data/io.containerd.metadata.v1.bolt" ;;
    snapshots) node_run rm -rf "$snapshots" ;;
    cri) node_run rm -rf "$cri_dir" ;;
    esac
}
# containerd serves without them, and can make no pod.
mend_wiped() {
    [ "$wiped" = snapshots ] || return
    any_loss=yes may_lose=yes nows=$((nows + 1))
    node_run timeout 120 containerd-recover now --yes --force >>"$NODE/by-hand" 2>&1
    node_until 30 settled
}
break_nothing() { :; }

unmount_all() { # TARGET-PATTERN
    local target
    for target in $(node_run findmnt -rno TARGET | grep -E "containerd.*/$1$" | tac); do
        node_run umount "$target" || node_run umount -l "$target"
    done
}
bind_canary() { node_run mkdir -p "$node_data/opt/canary" && node_run mount --bind /srv/canary "$node_data/opt/canary"; }

# ---- hindering the tool --------------------------------------------------------

newest() { basename "$(node_newest_quarantine 2>/dev/null)"; }
by_hand() { # COMMAND...: at the same time as all else
    say "containerd-recover $*"
    node_run timeout -s INT -k 20 10 containerd-recover "$@" >>"$NODE/by-hand" 2>&1 &
    jobs_+=($!)
}
hinder_kill() { say "SIGKILL to containerd-recover" && killed=yes && node_run pkill -KILL -x containerd-reco; }
hinder_kill_often() {
    say "SIGKILL to containerd-recover, ten times" && killed=yes
    for _ in {1..10}; do
        node_run pkill -KILL -x containerd-reco
        sleep 0.0$((RANDOM % 10))
    done
}
hinder_restart() { say restart && may_lose=yes && node_run timeout 60 systemctl restart --no-block containerd; }
kill_containerd() { node_run systemctl kill --signal=KILL --kill-who=main containerd; } # there may be another
hinder_crash() { say crash && kill_containerd; }
hinder_now() { chance 50 && picked=--force || picked=--yes; any_loss=yes may_lose=yes nows=$((nows + 1)); by_hand now --yes "$picked"; }
hinder_restore() { [ -z "$(newest)" ] || { any_loss=yes may_lose=yes; by_hand restore --yes "$(newest)"; }; }
hinder_purge() { [ -z "$(newest)" ] || { purged=yes; by_hand purge --yes --urgent "$(newest)"; }; }
hinder_killpurge() { node_run systemctl kill -s KILL containerd-recover-purge 2>/dev/null; }
hinder_finish() { by_hand finish; }
hinder_sweep() { by_hand sweep --yes; }
hinder_keep() { [ -z "$(newest)" ] || by_hand keep "$(newest)" --to "/srv/kept-$round-$RANDOM"; }
hinder_damage() { break_meta && hinder_crash; }
hinder_now_in_purge() { hinder_purge && hinder_now; }
hinder_restore_in_finish() { node_run systemctl start --no-block containerd-recover-finish && hinder_restore; }
# An administrator who tidies up, or looks into it too closely.
hinder_tidy() {
    local dir
    dir=$(node_newest_quarantine 2>/dev/null)
    [ -n "$dir" ] || return
    tidied=yes purged=yes any_loss=yes
    pick "rm -rf $dir" "mv $dir ${dir}x" "mv $dir/root ${dir%/*}/$round" "truncate -s 100 $dir/manifest.json" \
        "sed -i s/root/r00t/ $dir/manifest.json" "rm $dir/stages" "chmod -R 777 $dir"
    say "$picked" && node_run sh -c "$picked"
}
# The clock is set: all that was written down seems to be of another day.
hinder_clock() {
    local day=86400
    chance 50 && day=-86400
    say "a clock $day s off"
    node_run sh -c "for file in $records/history:1 $records/containerd.service.ledger:3; do
        awk -v by=$day -v at=\${file#*:} 'NF > 3 && \$at > 1000000000 { \$at += by } { print }' \${file%:*} >/run/set && cat /run/set >\${file%:*}; done" 2>/dev/null
}
# The power goes, and comes back.
hinder_power() {
    say "the power goes"
    node_run journalctl -b -o short-precise --no-hostname --no-pager >>"$NODE/journal"
    any_loss=yes may_lose=yes killed=yes
    node_power_off "$NODE"
    node_boot
    shim=() init=() address=() broken=()
    [ -z "$other_task" ] || start_other
}
# A client that makes pods anew all the time, as kubelet does.
hinder_kubelet() {
    [ "$kubelet" = no ] || return
    say "a kubelet" && kubelet=yes && rm -f "$NODE/kubelet-rests"
    while [ ! -e "$NODE/kubelet-rests" ]; do
        [ "$(timeout 5 cat "$NODE/leader" 2>/dev/null)" ] || { sleep 0.2 && continue; }
        timeout 8 /usr/bin/python3 "$node_helpers/cri.py" "$(node_path /run/containerd/containerd.sock)" \
            run "k$round-$((made += 1))" 1 && sleep 1
        sleep 0.2
    done >>"$NODE/kubelet" 2>&1 &
    kubelet_job=$!
}
kubelet_rests() { [ "$kubelet" = no ] || { touch "$NODE/kubelet-rests" && wait "$kubelet_job"; }; }
hinder_fault() {
    local step=$((1 + RANDOM % 22))
    may_lose=yes && say "preflight killed after its step $step"
    node_run timeout 60 systemctl stop containerd
    node_run CONTAINERD_RECOVER_FAULT="$step" timeout 60 containerd-recover preflight >>"$NODE/by-hand" 2>&1
    node_run systemctl start --no-block containerd
}

# ---- what must hold ------------------------------------------------------------

plan_says() { node_run timeout 60 containerd-recover plan --format=json | /usr/bin/python3 -c 'import json, sys
d = json.load(sys.stdin)["decision"]; print(d["rule"], d["verdict"])' 2>&1; }
settled() { node_is_active && node_cri wait 3 >/dev/null 2>&1; }
background_rests() { ! node_run systemctl is-active containerd-recover-{finish,probe} | grep -q ^activ; }

# The tool names a cause, and it is true.
names_a_cause() {
    rule=$(plan_says)
    case $rule in
    # Between two failures there is nothing to see of what was held back.
    healthy* | up-again*) [ -n "$causes" ] && node_run containerd-recover status | grep -qE "rule ($causes), which holds .* back" ;;
    cool-down*) [ "$(events quarantine)$(events failed)" != 00 ] ;;
    *) [[ ${rule%% *} =~ ^(${causes:-none})$ ]] ;;
    esac
}

# Up again, or a cause that is true, which is then cured.
comes_back() {
    local rule
    node_until 15 settled && say "serves again" && return
    if ! names_a_cause; then
        node_until 45 settled && say "serves again, late" && return
        names_a_cause || violated "not up, and the cause is said to be '$rule' (break: $broke)"
    fi
    say "does not serve: plan says $rule"
    [ "$bad" = no ] || return
    "mend_$broke" 2>/dev/null
    if [ "${rule%% *}" != cool-down ]; then
        node_run systemctl restart --no-block containerd
        node_until 30 settled && say "cured by hand" && return
    fi
    any_loss=yes may_lose=yes nows=$((nows + 1))
    node_run timeout 120 containerd-recover now --yes --force >>"$NODE/by-hand" 2>&1
    node_until 30 settled && say "cured by now --force" && return
    violated "not up even with now --force: $(plan_says)"
}

# kubelet's part: pods that ended are stopped and removed.
remove_ended() {
    local ended id
    mapfile -t ended < <(node_cri list | awk '$3 != "ready" { print $1 }')
    node_cri containers | awk '{ print $1, $3 }' >"$NODE/containers"
    for id in "${!volume[@]}"; do
        # Whose it is cannot be told from here: its user data goes with any of them.
        grep -q "^$id exited" "$NODE/containers" && unset "volume[$id]"
    done
    [ "${#ended[@]}" -eq 0 ] || { node_cri stop "${ended[@]}" && node_cri remove "${ended[@]}"; }
}

check_pods() {
    local id ready lost alive=()
    ready=$(node_cri list | awk '$3 == "ready" { print $1 }')
    lost=$any_loss
    [ "$(events quarantine)$(events restore)$(events failed)$(events begin)" = 0000 ] || lost=yes
    for id in "${!shim[@]}"; do
        if ! grep -q "$id" <<<"$ready"; then
            [ "$lost$may_lose" != nono ] || [ -n "${broken[$id]:-}" ] || violated "pod $id ended for no reason"
            unset "shim[$id]" "init[$id]" "address[$id]" "broken[$id]"
            continue
        fi
        [ "$(shim_of "$id")" = "${shim[$id]}" ] || [ -n "${broken[$id]:-}" ] || violated "pod $id: shim ${shim[$id]}, now $(shim_of "$id")"
        node_run kill -0 "${init[$id]}" 2>/dev/null || [ -n "${broken[$id]:-}" ] || violated "pod $id is ready, and its process is gone"
        [ -n "${broken[$id]:-}" ] || alive+=("${address[$id]}")
    done
    rm -f "$NODE/pinged"
    { sleep 0.2 && touch "$NODE/pinged"; } &
    lost=$(nsenter --target "$(node_leader)" --net /usr/bin/python3 "$node_helpers/reach.py" "$NODE/pinged" "${alive[@]}" 2>&1 | sort -u)
    [[ $lost == *"failed 0" ]] || violated "pings: $lost"
}

check_other() {
    [ -z "$other_task" ] || node_run kill -0 "$other_task" || violated "the task of the other containerd is gone"
    [ -z "$other_task" ] || [ "$(node_property ActiveState two)" = active ] || violated "the other containerd is down"
}

# containerd that is killed while it makes a pod leaves a namespace that nothing names.
remove_nameless() {
    local name
    for name in $(node_run containerd-recover sweep --format=json 2>/dev/null | /usr/bin/python3 -c 'import json, sys
for stranger in json.load(sys.stdin)["strangers"]: print(stranger["name"] if stranger["kind"] == "namespace" else "")'); do
        node_run umount "/run/netns/${name##*/}" && node_run rm "/run/netns/${name##*/}"
    done
}

check_leaks() {
    local ready want got kind
    ready=$(node_cri list | awk '$3 == "ready" { print $1 }' | sort -u)
    got=$(awk 'FNR == 1 { sub("\r", ""); print $1 }' "$(node_path /var/lib/cni/networks/cbr0)"/10.* 2>/dev/null | sort -u)
    [ "$got" = "$ready" ] || violated "reservations: $(diff <(echo "$ready") <(echo "$got") | grep '^[<>]' | tr '\n' ' ')"
    node_census --names >"$NODE/census"
    for kind in shims netns veths cache bundles shms; do
        got=$(grep "^$kind " "$NODE/census" | grep -cvE 'loopback|\.hidden|k8s.io/file|^shims other$')
        want=$(grep -c . <<<"$ready")
        [ "$kind" != bundles ] || want=$(node_run ctr -n k8s.io tasks ls -q | grep -c .)
        [ "$got" -eq "$want" ] || violated "$kind: $got, wanted $want: $(grep "^$kind " "$NODE/census" | tr '\n' ' ')"
    done
    ! grep -v litter "$NODE/census" | grep '^aside ' || violated "something is aside in the state directory"
}

check_files() {
    local id dir found file
    [ "$(cat "$(node_path /srv/canary/file)" "$(node_path /var/lib/canary)")" = $'precious\nprecious' ] || violated "a canary is gone"
    for id in "${!volume[@]}"; do
        found=no
        for dir in "$node_data" $(node_quarantines | sed 's|$|/root|'); do
            [ ! -e "$(node_path "$dir/${volume[$id]}")" ] || found=yes
        done
        [ "$found" = yes ] && continue
        [ "$grace$purged" != 1hno ] || violated "user data is gone: ${volume[$id]}"
        unset "volume[$id]"
    done
    for file in $(node_run find $records -maxdepth 1 -name '*.json'); do
        /usr/bin/python3 -m json.tool "$(node_path "$file")" >/dev/null 2>&1 || violated "$file does not parse"
    done
    [ -z "$(node_run find $records -maxdepth 1 -name '*.tmp*' -o -maxdepth 1 -name '.?*')" ] || violated "left in records: $(node_run ls -A $records)"
}

check_status() {
    local dir
    node_run timeout 60 containerd-recover status --format=json >"$NODE/status.json" 2>"$NODE/said" || violated "status fails: $(cat "$NODE/said")"
    /usr/bin/python3 -c 'import json, sys
for q in json.load(open(sys.argv[1]))["quarantines"]: print(q["id"], q["state"], q["problem"])' "$NODE/status.json" >"$NODE/listed" || violated "status does not parse"
    for dir in $(node_quarantines); do
        [ "$tidied" = no ] || continue
        [ -s "$(node_path "$dir/manifest.json")" ] || violated "$dir has no manifest"
        grep -q "^${dir##*/} " "$NODE/listed" || violated "$dir is not listed"
    done
    [ "$tidied" = yes ] || ! grep -E ' (foreign|begun) ' "$NODE/listed" || violated "a quarantine is foreign or unfinished"
    node_run timeout 60 containerd-recover status --last --format=json 2>"$NODE/said" >"$NODE/last.json"
    [ ! -s "$NODE/last.json" ] || /usr/bin/python3 -m json.tool "$NODE/last.json" >/dev/null || violated "status --last does not parse"
}

check_restraint() {
    local event most count
    for event in quarantine:1 free-state:2 defer:3 tmpmounts:1 restart:1 failed:1; do
        most=${event#*:} event=${event%:*}
        count=$(events "$event" ' (asked|restore|resumed)$')
        [ "$count" -le $((most + nows)) ] || violated "$count times $event in one round: $(written | awk '$1 > 1000000000' | cut -d' ' -f3- | tr '\n' ';')"
    done
}

nothing_to_purge() { ! node_run containerd-recover status --format=json | grep -qE '"state": *"(quarantined|restored|deferred|purging|undone)"'; }

keep_logs() {
    local what
    [ -n "${LOGS:-}" ] || return 0
    mkdir -p "$LOGS"
    {
        cat "$NODE/journal" 2>/dev/null
        node_run journalctl -b -o short-precise --no-hostname --no-pager
        cat "$NODE/by-hand" && written && node_cri list && node_census --names
        for what in status plan "sweep --dry-run"; do node_run sh -c "containerd-recover $what"; done
        node_run ps axf -o pid,stat,args
    } >"$LOGS/$SEED-$round.log" 2>&1 || return 0
}

# ---- a round ---------------------------------------------------------------------

breaks=(meta meta meta meta snapshots work container shim shim bundle litter full inodes readonly config mode mount hold records wiped nothing)
hinders=(kill kill kill_often kill_often restart crash now restore restore purge killpurge finish sweep keep damage fault fault
    now_in_purge restore_in_finish tidy clock power power kubelet kubelet)
[ -z "${BREAKS:-}" ] || read -ra breaks <<<"$BREAKS"
[ -z "${HINDERS:-}" ] || read -ra hinders <<<"$HINDERS"

one_round() {
    local count i pid how dir
    RANDOM=$(((SEED * 31 + round * 7919) % 32768))
    began=$EPOCHSECONDS bad=no any_loss=no may_lose=no purged=no killed=no tidied=no kubelet=no nows=0 causes="" broke="" jobs_=() disk=$node_data
    [ "$layout" = mount ] || disk=/var/lib
    pick 1h 1h 1h 3s 0s && policy "$picked"
    age_history
    : >"$NODE/by-hand" && rm -f "$NODE/journal"
    make_pods
    [ "$bad" = no ] || return
    [ "$layout" = mount ] || { chance 30 && bind_canary; }
    pick "${breaks[@]}" && broke=$picked
    pick crash crash stop && how=$picked
    say "layout $layout, grace $grace, break $broke, $how"
    [ "$how" = crash ] || node_run systemctl stop containerd
    "break_$broke"
    case $broke in full | inodes | readonly) chance 50 && break_meta ;; esac
    if [ "$how" = crash ]; then kill_containerd; else node_run systemctl start --no-block containerd; fi
    count=$((RANDOM % 4))
    for ((i = 0; i < count; i++)); do
        sleep "$((RANDOM % 2)).$((RANDOM % 10))"
        pick "${hinders[@]}" && "hinder_$picked"
    done
    for pid in "${jobs_[@]}"; do wait "$pid"; done
    say "hindered"
    comes_back
    kubelet_rests
    "mend_$broke" 2>/dev/null
    unmount_all opt/canary
    [ "$bad" = no ] || return
    # What was killed waits for containerd's next start.
    [ "$killed" = no ] || node_run systemctl start containerd-recover-finish
    node_until 60 background_rests || violated "background work does not end"
    node_until 30 settled || comes_back
    [ "$bad" = no ] || return
    check_pods
    check_other
    remove_ended
    sleep 2
    node_run timeout 120 containerd-recover sweep --yes >"$NODE/said" 2>&1 || say "sweep: status $? $(tail -n 2 "$NODE/said")"
    [ "$kubelet" = no ] || remove_nameless
    check_leaks
    check_files
    check_status
    check_restraint
    if [ "$tidied" = yes ]; then
        for dir in $(node_quarantines); do node_run rm -rf "$dir"; done
        check_files
    fi
    if [ "$grace" != 1h ]; then
        # It goes by the policy that it was started with.
        node_run systemctl restart --no-block containerd-recover-purge
        node_until 60 nothing_to_purge || violated "the purge does not end: $(node_run containerd-recover status)"
        check_files
    fi
    while [ "$(node_quarantines | wc -l)" -gt 4 ]; do
        node_run containerd-recover purge --yes --urgent "$(basename "$(node_quarantines | sort | head -n 1)")" >/dev/null || break
    done
}

round=$ROUND began=$EPOCHSECONDS
echo "# seed $SEED"
fresh_node "$([ $((SEED % 2)) = 0 ] && echo directory || echo mount)"
while [ "$EPOCHSECONDS" -lt "$until" ] && { [ "$ROUNDS" -eq 0 ] || [ "$round" -lt $((ROUND + ROUNDS)) ]; }; do
    node_ready 30 || violated "the node is not ready"
    one_round
    tap_count=$((tap_count + 1))
    if [ "$bad" = no ]; then say "ok"; else keep_logs && fresh_node "$layout"; fi
    round=$((round + 1))
done
tap_done

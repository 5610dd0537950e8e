# shellcheck shell=bash
# Real nodes for tests: systemd as PID 1, containerd.service, runc and CNI in a
# systemd-nspawn container whose root is an overlay over this machine's own /
# (or over a tree made by debootstrap). A node boots in about a second, has its
# own network and its own cgroup, and leaves nothing behind: every node that a
# script prepared is torn down when the script ends, however it ends.
#
#   . "$(dirname "$0")/lib.sh"
#   node_prepare one          # may now be changed below $NODE/root
#   node_install              # our tool, by `make install`
#   node_boot
#   node_pods first 40
#   node_run systemctl status containerd
#   tap_done
#
# Functions act on the node in $NODE, the directory of the latest prepared one;
# `NODE=$other node_run ...` reaches another.

node_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/tap.sh
. "$node_top/tests/tap.sh"

: "${BUILD:=$node_top/build/debug}"
node_helpers=$node_top/tests/helpers
node_all=()
# Overlay snapshots live below it: it may not itself be on an overlay.
node_base=${NODE_BASE:-/var/tmp}
# The first address is the bridge's own.
node_subnet=${NODE_SUBNET:-10.244.99.0/26}
node_data=/var/lib/containerd

# ---- preparing, booting, ending ---------------------------------------------

# node_prepare NAME [ROOT]: mount and configure a node that is not running yet.
node_prepare() {
    local lower=${2:-${NODE_LOWER:-/}}
    [ "$(id -u)" = 0 ] || { echo "tests on a node need root" >&2; exit 1; }
    node_end_orphans
    NODE=$(mktemp -d "$node_base/recover-$1.XXXXXX")
    node_process "$$" >"$NODE/owner"
    node_all+=("$NODE")
    node_name=$(basename "$NODE" | tr -cd 'a-zA-Z0-9-')
    mkdir "$NODE"/{upper,work,root,varlib}
    chmod 755 "$NODE"
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$NODE/upper,workdir=$NODE/work" "$NODE/root"
    node_image
    cp "$node_image" "$NODE/varlib/images.tar"
    node_configure_system
    node_configure_network "$node_subnet"
    case $lower in
    /) node_configure_containerd ;;
    *) node_configure_containerd "$(chroot "$lower" containerd --version | awk '{ print $3 }')" ;;
    esac
}

# The images, made once for a build.
node_image() {
    node_image=$BUILD/tests/node/images.tar
    [ -e "$node_image" ] && return
    mkdir -p "$BUILD/tests/node"
    gcc -Os -static -s -o "$BUILD/tests/node/pause" "$node_top/tests/node/pause.c"
    /usr/bin/python3 "$node_helpers/image.py" "$node_image.$$" "$BUILD/tests/node/pause"
    mv "$node_image.$$" "$node_image"
}

# What a container needs of systemd, and no more: this machine's own services
# stay out of it.
node_configure_system() {
    local etc=$NODE/root/etc unit
    : >"$etc/fstab"
    : >"$etc/machine-id"
    echo "$node_name" >"$etc/hostname"
    echo "127.0.0.1 localhost $node_name" >"$etc/hosts"
    rm -rf "$etc"/systemd/system/*.wants "$etc"/containerd "$etc"/cni "$etc"/containerd-recover.conf*
    mkdir -p "$etc/systemd/journald.conf.d" "$etc/systemd/system/node.target.wants"
    printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >"$etc/systemd/journald.conf.d/node.conf"
    # A containerd on some damaged databases takes memory until the machine has none.
    mkdir -p "$etc/systemd/system.conf.d"
    printf '[Manager]\nDefaultLimitDATA=4G\n' >"$etc/systemd/system.conf.d/memory.conf"
    printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >"$etc/systemd/system/node.target"
    for unit in containerd.service dbus.socket; do
        ln -s "/lib/systemd/system/$unit" "$etc/systemd/system/node.target.wants/$unit"
    done
    for unit in systemd-udevd.service systemd-udev-trigger.service systemd-sysctl.service \
        systemd-modules-load.service systemd-binfmt.service systemd-random-seed.service \
        systemd-update-utmp.service systemd-firstboot.service systemd-hwdb-update.service \
        systemd-networkd.service systemd-resolved.service systemd-timesyncd.service \
        systemd-repart.service systemd-pcrphase.service systemd-pcrphase-sysinit.service \
        dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
        proc-sys-fs-binfmt_misc.automount; do
        ln -sf /dev/null "$etc/systemd/system/$unit"
    done
}

# node_configure_network SUBNET: one bridge, host-local addresses, masquerading
# and host ports.
node_configure_network() {
    mkdir -p "$NODE/root/etc/cni/net.d"
    cat >"$NODE/root/etc/cni/net.d/10-cbr0.conflist" <<JSON
{
  "cniVersion": "0.4.0",
  "name": "cbr0",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "isDefaultGateway": true,
      "ipMasq": true,
      "ipam": { "type": "host-local", "ranges": [[{ "subnet": "$1" }]] }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
JSON
}

# node_configure_containerd [VERSION]: config.toml as its major version wants it.
# Inside a container there is neither CAP_SYS_RESOURCE for negative OOM scores
# nor, on machines with a hybrid hierarchy, a controller in cgroup2.
node_configure_containerd() {
    local version=${1:-1}
    mkdir -p "$NODE/root/etc/containerd" "$NODE/root/usr/local/sbin"
    node_configure_runc
    case ${version%%.*} in
    1) cat >"$NODE/root/etc/containerd/config.toml" ;;
    *) node_configure_containerd2 && return ;;
    esac <<'TOML'
version = 2
oom_score = 0

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "test.local/pause:1"
  restrict_oom_score_adj = true
  disable_cgroup = true
  disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/etc/cni/net.d"
TOML
}

# containerd 2 has no disable_cgroup: the wrapper stands in for it.
node_configure_containerd2() {
    cat >"$NODE/root/etc/containerd/config.toml" <<'TOML'
version = 3
oom_score = 0

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'test.local/pause:1'

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/usr/lib/cni']
  conf_dir = '/etc/cni/net.d'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = '/usr/local/sbin/runc-without-cpu'
TOML
}

# A runc for specifications with CPU shares where cgroup2 has no CPU controller.
node_configure_runc() {
    cat >"$NODE/root/usr/local/sbin/runc-without-cpu" <<'SH'
#!/bin/sh
previous=
for argument; do
    [ "$previous" = --bundle ] && sed -i 's/,\{0,1\}"cpu":{[^}]*}//' "$argument/config.json"
    previous=$argument
done
exec /usr/sbin/runc "$@"
SH
    chmod 755 "$NODE/root/usr/local/sbin/runc-without-cpu"
}

# node_unit NAME LINE...: a drop-in of containerd.service; lines of [Service]
# unless one names another section.
node_unit() {
    local dir=$NODE/root/etc/systemd/system/containerd.service.d name=$1
    shift
    mkdir -p "$dir"
    printf '%s\n' '[Service]' "$@" >"$dir/$name.conf"
    [ ! -e "$NODE/leader" ] || node_run systemctl daemon-reload
}

# A crash loop that does not take the tests' time. The shipped unit waits 5 s
# between starts; the start limit would end a faster loop.
node_fast_restarts() {
    node_unit fast 'RestartSec=200ms' '[Unit]' 'StartLimitIntervalSec=0'
}

node_install() {
    make --no-print-directory -s -C "$node_top" PROFILE="$(basename "$BUILD")" DESTDIR="$NODE/root" install
}

# node_policy LINE...: the tool's policy file.
node_policy() { printf '%s\n' "$@" >"$NODE/root/etc/containerd-recover.conf"; }

node_boot() {
    local i
    # nspawn with --keep-unit puts its payload below our cgroup, which two
    # nodes may not share.
    NODE_CGROUP=$(findmnt -rnt cgroup2 -o TARGET | head -n 1)/$node_name
    mkdir "$NODE_CGROUP"
    echo "$NODE_CGROUP" >"$NODE/cgroup"
    (
        echo "$BASHPID" >"$NODE_CGROUP/cgroup.procs"
        # With nspawn's seccomp filter runc cannot join a session keyring.
        exec env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_SECCOMP=0 \
            setsid setpriv --pdeathsig KILL \
            systemd-nspawn --quiet --boot --register=no --keep-unit -D "$NODE/root" -M "$node_name" \
            --private-network --capability=all --console=pipe --link-journal=no --resolv-conf=off \
            --timezone=off --bind="$NODE/varlib:/var/lib" systemd.unit=node.target
    ) >"$NODE/console" 2>&1 </dev/null &
    echo $! >"$NODE/nspawn"
    for ((i = 0; i < 400; i++)); do
        if node_find_leader; then
            # "degraded" or "starting" is a matter of the test.
            node_run timeout 30 systemctl is-system-running --wait >"$NODE/booted"
            return 0
        fi
        sleep 0.05
    done
    echo "the node did not boot:" >&2
    cat "$NODE/console" >&2
    exit 1
}

# PID 1 of the node, once its systemd can be spoken to.
node_find_leader() {
    local pid
    for pid in $(pgrep -P "$(cat "$NODE/nspawn")"); do
        [ "$(awk '/^NSpid:/ { print $NF }' "/proc/$pid/status" 2>/dev/null)" = 1 ] || continue
        [ -S "/proc/$pid/root/run/systemd/private" ] || continue
        echo "$pid" >"$NODE/leader"
        return 0
    done
    return 1
}

# node_own_disk MEGABYTES [MKFS OPTION...], before booting: /var/lib on an ext4
# file system of its own, which ends with one umount whatever is in it. It has no
# journal unless "-O has_journal" is given.
node_own_disk() {
    truncate -s "$1M" "$NODE/varlib.img"
    mkfs.ext4 -q -O ^has_journal "${@:2}" "$NODE/varlib.img"
    mount -o loop "$NODE/varlib.img" "$NODE/varlib"
    cp "$node_image" "$NODE/varlib/images.tar"
}

# The power goes: all of the node dies with its PID 1; an orderly halt would take
# seconds. Its disks stay, and node_boot starts it again.
node_power_off() { # DIR
    local pid leader i dir cgroup
    pid=$(cat "$1/nspawn" 2>/dev/null)
    leader=$(cat "$1/leader" 2>/dev/null)
    if [ -n "$pid" ]; then
        kill -KILL "${leader:-$pid}" 2>/dev/null
        for ((i = 0; i < 100; i++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.05
        done
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    fi
    cgroup=$(cat "$1/cgroup" 2>/dev/null)
    for dir in /sys/fs/cgroup/*/"$(basename "$1" | tr -cd 'a-zA-Z0-9-')" "$cgroup"; do
        [ -d "$dir" ] && node_remove_cgroup "$dir"
    done
    rm -f "$1/nspawn" "$1/leader" "$1/cgroup"
}

node_end() { # DIR
    local dir
    node_power_off "$1"
    for dir in $(awk -v dir="$1/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | tac); do
        umount "$dir" 2>/dev/null || umount -l "$dir"
    done
    if [ -e "$1/loops" ]; then
        while read -r dir; do losetup -d "$dir"; done <"$1/loops"
    fi
    chattr -R -i "$1/varlib" 2>/dev/null
    rm -rf "$1"
}

# A process as "PID START", which no later process has.
node_process() { sed -n 's/^\([0-9]*\) .*) \(.*\)/\1 \2/p' "/proc/$1/stat" 2>/dev/null | awk '{ print $1, $21 }'; }

# Nodes of scripts that were killed too hard to end them.
node_end_orphans() {
    local file owner
    for file in "$node_base"/recover-*/owner; do
        owner=$(cat "$file" 2>/dev/null) || continue
        [ -n "$owner" ] || continue
        [ "$(node_process "${owner%% *}")" = "$owner" ] || node_end "${file%/owner}"
    done
}

# Dead processes leave their cgroups a moment later.
node_remove_cgroup() {
    local i
    for ((i = 0; i < 40; i++)); do
        find "$1" -depth -type d -exec rmdir {} \; 2>/dev/null
        [ -d "$1" ] || return
        sleep 0.05
    done
}

node_end_all() {
    local status=$? dir
    trap - EXIT
    trap '' INT TERM HUP
    for dir in "${node_all[@]}"; do
        if [ "$tap_failed" -gt 0 ] || [ "$status" -ne 0 ]; then
            NODE=$dir node_show_logs
        fi
        node_end "$dir"
    done
    exit "$(tap_status "$status")"
}
trap node_end_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# For whoever reads the log of a failed test.
node_show_logs() {
    [ -e "$NODE/leader" ] || return
    node_run timeout 5 journalctl -b -o short-monotonic --no-hostname --no-pager \
        -u containerd -u 'containerd-recover*' 2>&1 |
        grep -vE 'level=info|left-over process|unclean termination' | tail -n 80 | cut -c 1-400 | sed 's/^/# | /'
}

# ---- inside a node ----------------------------------------------------------

node_leader() { cat "$NODE/leader"; }

# node_run COMMAND...: as root in the node.
node_run() {
    nsenter --target "$(node_leader)" --mount --uts --ipc --net --pid --cgroup --wd \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb LANG=C.UTF-8 HOME=/root "$@"
}

# node_path PATH: as this machine sees it.
node_path() { echo "/proc/$(node_leader)/root/${1#/}"; }

node_property() { node_run systemctl show "${2:-containerd}" -p "$1" --value; }

node_log() { node_run journalctl -o cat --no-pager "$@"; }

# node_disk NAME FSTYPE MEGABYTES [MKFS OPTION...]: prints the device, inside the
# node, of a new file system in a file.
node_disk() {
    local image=$NODE/$1.img type=$2 device
    truncate -s "$3M" "$image"
    shift 3
    "mkfs.$type" -q "$@" "$image" >/dev/null
    device=$(losetup --find --show "$image")
    echo "$device" >>"$NODE/loops"
    node_run mknod -m 600 "$device" b $((0x$(stat -c %t "$device"))) $((0x$(stat -c %T "$device")))
    echo "$device"
}

# node_until SECONDS COMMAND...: try until it succeeds.
node_until() {
    local deadline=$((${EPOCHREALTIME/./} + ${1%.*} * 1000000))
    shift
    until "$@"; do
        [ "${EPOCHREALTIME/./}" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# node_service NAME COMMAND...: in the background, until `systemctl stop NAME`.
node_service() { node_run systemd-run --quiet --collect --unit="$1" "${@:2}"; }

# node_hold NAME FILE [COMMAND...]: somebody has FILE locked (flock), while
# COMMAND runs or until `systemctl stop NAME`.
node_hold() {
    node_service "$1" flock --exclusive "$2" "${@:3}" $([ $# -gt 2 ] || echo sleep 1000)
    node_until 20 node_is_locked "$2"
}
node_is_locked() { ! node_run flock --nonblock "$1" true; }

# node_at_rest [SECONDS]: until nothing changes any more.
node_at_rest() { node_collect_garbage && node_until "${1:-30}" node_is_still; }
node_is_still() {
    node_snapshot >"$NODE/still"
    sleep 0.5
    node_snapshot | cmp -s "$NODE/still"
}

# node_slow_files DIR COUNT: a tree of files whose deletion the disk writes down
# one by one, as slow disks have it. For nodes with a disk of their own.
node_slow_files() {
    "$BUILD/tests/helpers/filltree" "$1" "$2" 100
    find "$1" -type d -exec chattr +D {} +
}

# ---- containerd -------------------------------------------------------------

node_cri() { /usr/bin/python3 "$node_helpers/cri.py" "$(node_path "${NODE_SOCKET:-/run/containerd/containerd.sock}")" "$@"; }

# node_ready [SECONDS]: containerd answers CRI.
node_ready() { node_cri wait "${1:-30}"; }

# The tool may bring the same images over at that moment: the second try finds them.
node_import() {
    node_run ctr -n k8s.io images import /var/lib/images.tar >/dev/null ||
        node_run ctr -n k8s.io images import /var/lib/images.tar >/dev/null
}

# node_pods PREFIX COUNT: "ID NAME ADDRESS" of each.
node_pods() { node_import && node_cri run "$1" "$2"; }

node_remove_pods() {
    local ids
    mapfile -t ids < <(node_cri list | cut -d' ' -f1)
    [ "${#ids[@]}" -eq 0 ] || { node_cri stop "${ids[@]}" && node_cri remove "${ids[@]}"; }
}

# What an import leaves (an archive's index) goes when containerd next collects
# garbage: beside other load seconds later, or only at its next start.
node_collect_garbage() {
    node_run ctr -n k8s.io leases create --id garbage >/dev/null &&
        node_run ctr -n k8s.io leases delete --sync garbage >/dev/null
}

# kill -9 of containerd alone: `systemctl kill` would take its shims along. Until
# systemd knows, the unit is active and a start of it does nothing.
node_crash() {
    local pid
    pid=$(node_property MainPID)
    [ "$pid" -gt 0 ] && node_run kill -KILL "$pid" && node_until 20 node_is_known_dead "$pid"
}
node_is_known_dead() { [ "$(node_property MainPID)" != "$1" ]; }

# node_damage KIND [FILE]: see tests/helpers/damage.py.
node_damage() {
    /usr/bin/python3 "$node_helpers/damage.py" "$1" \
        "${2:-$(node_path "$node_data/io.containerd.metadata.v1.bolt/meta.db")}"
}

# node_notices [OPTION...]: "ID TEXT" of each thing that `plan` says and no rule acts on.
node_notices() {
    node_run containerd-recover plan --format=json "$@" | /usr/bin/python3 -c 'import json, sys
for notice in json.load(sys.stdin)["notices"]: print(notice["id"], notice["text"])'
}

# ---- looking at a node ------------------------------------------------------

# node_census [OPTION...]: see tests/helpers/census.py.
node_census() { /usr/bin/python3 "$node_helpers/census.py" "$@" "$(node_leader)"; }

# node_snapshot [OPTION...]: see tests/helpers/snapshot.py.
node_snapshot() { /usr/bin/python3 "$node_helpers/snapshot.py" --pid "$(node_leader)" "$@"; }

node_is_active() { [ "$(node_property ActiveState)" = active ]; }

# node_nothing_left_of FILE: the census in it has no survivor.
node_nothing_left_of() { [ -z "$(node_census --names --left-of "$1")" ]; }

node_rules() { node_run iptables-save; }

node_address_of() { # POD NAME
    local id
    id=$(node_cri list | awk -v name="$1" '$2 == name { print $1 }')
    node_cri address "$id"
}

# node_since EPOCHREALTIME: seconds since then.
node_since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.2f\n", to - from }'; }

# node_tree DIR: what is below, inode for inode, and neither what is mounted
# there nor quarantines.
node_tree() {
    (cd "$(node_path "$1")" && find . -xdev -mindepth 1 -not -path './.quarantine*' -not -name lost+found -printf '%i %y %P\n' | sort -k 3)
}

# The one quarantine there is.
node_quarantine() {
    local all
    mapfile -t all < <(node_quarantines)
    [ "${#all[@]}" -eq 1 ] || { echo "/one-quarantine-but-there-are-${#all[@]}"; return 1; }
    echo "${all[0]}"
}

# The directory of each quarantine, as the node sees it.
node_quarantines() {
    local root
    root=$(node_run readlink -f "$node_data")
    node_run find "$root.quarantine" "$root/.quarantine" -mindepth 1 -maxdepth 1 2>/dev/null
}

# Of two in the same second the names do not tell.
node_newest_quarantine() {
    node_quarantines | node_run xargs stat -c '%.9W %n' | sort -n | sed -n '$s/^[^ ]* //p'
}

# What keeps the tool from acting twice is forgotten, for the next case.
node_forget() {
    local dir
    node_run systemctl stop containerd-recover-purge containerd-recover-finish 2>/dev/null
    for dir in $(node_quarantines); do node_run rm -rf "$dir"; done
    node_run rm -rf /var/lib/containerd-recover
    node_run systemd-tmpfiles --create >/dev/null 2>&1
    node_run systemctl reset-failed
}

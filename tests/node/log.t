#!/bin/bash
# What the journal of a real systemd says of starts of a real containerd that
# failed for known causes, and whether our reader of units and configurations
# sees what systemd and containerd see.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

root=$node_data
meta_db=$root/io.containerd.metadata.v1.bolt/meta.db

config() { node_run /var/lib/show_config | sed -n "s/^$1 //p"; }

# What the journal says of the starts in $failed.
judge() {
    node_run /var/lib/judge_journal "${failed[@]}"
}

failed_starts() { [ "$(node_run sh -c 'cat /run/failed 2>/dev/null | wc -l')" -ge "$1" ]; }

# after_failures COUNT NAME WANT: COUNT starts fail, and all say the same.
after_failures() {
    node_run rm -f /run/failed
    node_run systemctl start --no-block containerd
    node_until 60 failed_starts "$1"
    node_run systemctl stop containerd
    mapfile -t failed < <(node_run cat /run/failed)
    like "$2" "$(judge)" "^$3 [1-9]"
    node_run systemctl reset-failed containerd
}

healthy() {
    node_run systemctl stop containerd
    node_run rm -rf "$root"
    node_run systemctl start containerd
    node_ready
}

node_prepare log
# Where the node sees them, wherever the build is.
cp "$BUILD/tests/helpers/show_config" "$BUILD/tests/helpers/judge_journal" "$NODE/varlib/"
node_fast_restarts
# shellcheck disable=SC2016 # systemd expands it
node_unit note 'ExecStopPost=/bin/sh -c "[ $$SERVICE_RESULT = success ] || echo $$INVOCATION_ID >>/run/failed"'
node_boot
node_ready

# ---- the unit and the configuration ----
is "the defaults of Debian's unit" "$(config verdict)" sound
is "fragment" "$(node_run readlink -f "$(config fragment)")" "$(node_run readlink -f "$(node_property FragmentPath)")"
# shellcheck disable=SC2016
node_unit 20-time 'TimeoutStartSec=2min 30s' 'Environment=WHERE=/run "ARGS=--root /var/lib/containerd"' \
    'ExecStart=' 'ExecStart=/usr/bin/containerd $ARGS --state=${WHERE}/containerd' '[Unit]' 'RequiresMountsFor=/var/lib "/run"'
node_run systemctl restart containerd
node_ready
is "time-out" "$(config timeout)s" "$(node_property TimeoutStartUSec | sed 's/2min 30s/150s/')"
is "mounts" "$(tr ' ' '\n' <<<"$(config mounts)" | sort)" "$(node_property RequiresMountsFor | tr ' ' '\n' | grep -xE '/var/lib|/run' | sort)"
argv=$(node_run sh -c "tr '\\0' ' ' </proc/$(node_property MainPID)/cmdline")
is "systemd expanded the same arguments" "$argv" "/usr/bin/containerd --root $(config root) --state=$(config state) "

# ---- causes ----
node_run systemctl stop containerd
node_damage root-zero
after_failures 3 "a zeroed root page" log-bolt-panic
is "shown by every start" "$(judge)" "log-bolt-panic ${#failed[@]}/${#failed[@]}"
healthy

node_run systemctl stop containerd
node_damage meta-checksum
node_run systemctl start containerd
failed=("$(node_property InvocationID)")
is "both meta pages, while it calls itself ready" "$(judge)" "log-bolt-invalid 1/1"
healthy

node_run systemctl stop containerd
node_run sh -c 'echo "x = = 1" >>/etc/containerd/config.toml'
is "a configuration that containerd refuses" "$(config verdict)" invalid
after_failures 2 "a syntax error" log-config
node_run sed -i '/^x = = 1/d' /etc/containerd/config.toml
is "and the same without it" "$(config verdict)" sound
healthy

node_run systemctl stop containerd
node_hold holder "$meta_db"
node_unit 30-time 'TimeoutStartSec=13s'
after_failures 1 "somebody holds meta.db" log-lock-held
node_run systemctl stop holder
healthy

node_run systemctl stop containerd
node_unit 40-exec 'ExecStart=' 'ExecStart=/etc/containerd/config.toml'
after_failures 2 "a binary that is none" log-not-executed
is "and nobody knows its configuration" "$(config verdict)" unknown
node_unit 40-exec ''
healthy

node_run mount -t tmpfs -o nr_inodes=1 none /mnt
node_run systemctl stop containerd
node_unit 50-full 'ExecStart=' 'ExecStart=/usr/bin/containerd --root /mnt/full'
after_failures 2 "a full disk" log-no-space
node_unit 50-full ''
node_run umount /mnt
healthy
tap_done

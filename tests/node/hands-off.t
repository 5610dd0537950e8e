#!/bin/bash
# Each reason to leave a node alone, on a node that would be acted on without it:
# its meta.db is damaged (which the middle of this file proves) or its root is
# called bloated. Nothing may change, byte for byte, but our own records.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

root=$node_data
meta_db=$root/io.containerd.metadata.v1.bolt/meta.db

look() { node_snapshot --skip /var/lib/containerd-recover --skip /run/containerd-recover; }

# What containerd began to clear away, its shims' processes end by themselves; so does the probe.
all_over() { ! look | grep -qE '^process .* (delete |/usr/bin/containerd-recover probe )'; }

# unchanged NAME WHY: preflight leaves all as it is, and says why.
unchanged() {
    local said status
    node_until 20 all_over
    look >"$NODE/before"
    said=$(node_run containerd-recover preflight 2>&1)
    status=$?
    look >"$NODE/after"
    is "$1: preflight succeeds" "$status" 0
    is "$1: nothing is changed" "$(cat "$NODE/after")" "$(cat "$NODE/before")"
    like "$1: it says why" "$said" "$2"
}

plan() { node_run containerd-recover plan 2>&1; }

times() { # COUNT COMMAND...
    local i
    for ((i = 0; i < $1; i++)); do "${@:2}"; done
}

stop_and_start() { node_run systemctl restart containerd && node_ready; }
crash_and_wait() { node_crash && node_ready; }

# The root on a disk of its own, with what was in it.
root_to_disk() { # NAME MKFS-OPTION...
    local device
    device=$(node_disk "$1" ext4 96 "${@:2}")
    node_run mount "$device" /mnt
    node_run cp -a "$root/." /mnt/
    node_run umount /mnt
    node_run mount "$device" "$root"
}

new_root() {
    node_run systemctl stop containerd
    node_run rm -rf "$root"
    node_run mkdir -m 700 "$root"
    node_forget
}

node_prepare hands-off
node_install
node_fast_restarts
node_boot
node_ready
node_pods old 3 >/dev/null
config=$(node_path /etc/containerd/config.toml)
cp "$config" "$NODE/config.toml"

# ---- a healthy containerd that somebody stops or kills ----
times 3 stop_and_start
times 3 crash_and_wait
pods=$(node_cri list | sort)
node_run systemctl stop containerd
unchanged "stopped and killed by the operator, three times each" ""
like "and that is no crash loop" "$(plan)" "healthy"

# ---- something else stands where a database should be: somebody may have the file ----
snapshots=$root/io.containerd.snapshotter.v1.overlayfs/metadata.db
node_run mv "$snapshots" /var/lib/metadata.db
node_run mkdir "$snapshots"
unchanged "a directory for metadata.db" "rule not-a-file"
node_run rmdir "$snapshots"
node_run mv /var/lib/metadata.db "$snapshots"
node_run mv "$meta_db" /var/lib/meta.db
node_run ln -s /var/lib/nowhere/meta.db "$meta_db"
unchanged "a link for meta.db" "rule meta-link"
is "a link for meta.db: nor by hand" "$(node_run containerd-recover now --yes >/dev/null 2>&1; echo $?)" 3
node_run rm "$meta_db"
node_run mkfifo "$meta_db"
unchanged "a pipe for meta.db" "rule not-a-file"
node_run rm "$meta_db"
node_run mkdir "$meta_db"
unchanged "a directory for meta.db" "rule not-a-file"
like "a directory for meta.db: plan says what to do" "$(plan)" "rule not-a-file.*that file put back in its place, or .containerd-recover now"
like "a directory for meta.db: whom it is lost to may ask" "$(node_run containerd-recover now --dry-run)" "fresh data root"
node_run systemctl start containerd
ok "a directory for meta.db: containerd starts" node_until 20 node_is_active
fails "a directory for meta.db: without CRI" node_ready 2
is "a directory for meta.db: and no fresh root" "$(node_quarantines)" ""
status_says_why() { [[ $(node_run containerd-recover status) == *"without CRI"*"stands something else"*"that file put back"* ]]; }
ok "a directory for meta.db: status says why" node_until 20 status_says_why
node_run systemctl stop containerd
node_run rmdir "$meta_db"
node_run mv /var/lib/meta.db "$meta_db"
node_run systemctl start containerd
ok "a directory for meta.db: with the file put back containerd answers" node_ready
is "a directory for meta.db: and has the very same pods" "$(node_cri list | sort)" "$pods"
node_run systemctl stop containerd

# ---- damaged from here on ----
node_damage root-zero

echo 'root = [' >>"$config"
unchanged "syntax error in config.toml" "config"
cp "$NODE/config.toml" "$config"

node_hold holder "$meta_db"
unchanged "meta.db locked by another process" "meta.db"
like "meta.db locked by another process: plan names it" "$(node_notices)" 'lock-holder meta.db is locked by process [0-9]+ \(.*\)'
node_run systemctl stop holder

node_run ln -s /var/tmp "$root.quarantine"
unchanged "a link where quarantines go" "$root.quarantine is not a directory of root's"
node_run rm "$root.quarantine"
node_run install -d -m 777 "$root.quarantine"
unchanged "a directory for everybody where quarantines go" "$root.quarantine is not a directory of root's"
like "a directory for everybody where quarantines go: status says so" \
    "$(node_run containerd-recover status 2>&1)" "$root.quarantine is not a directory of root's"
node_run rmdir "$root.quarantine"

node_run touch /var/lib/containerd-recover/hold
unchanged "hold file" "rule hold, .*would change it: the hold file's removal"
page=/usr/share/doc/containerd-recover/TRIAGE.md
like "hold file: plan names the page that says more" "$(plan)" "By hand: $page, section hold"
ok "that page is there" node_run grep -q '^### hold$' $page
node_run rm /var/lib/containerd-recover/hold

root_to_disk space
node_run dd if=/dev/zero of="$root/junk" bs=64k 2>/dev/null
unchanged "full file system" "full|space"
node_run rm "$root/junk"
node_run mount -o remount,ro "$root"
unchanged "read-only file system" "read-only"
node_run umount "$root"

root_to_disk inodes -N 256
node_run sh -c "cd $root && i=0; while : >junk\$i; do i=\$((i + 1)); done" 2>/dev/null
unchanged "no inodes" "inodes"
node_run umount "$root"

# Below the missing disk is a root that would be acted on.
root_to_disk missing
echo "$(tail -n 1 "$NODE/loops") $root ext4 noauto 0 0" >>"$(node_path /etc/fstab)"
node_run umount "$root"
unchanged "root not mounted" "mount"
: >"$(node_path /etc/fstab)"

node_run mv "$root" /var/lib/elsewhere
node_run mkdir -m 700 "$root"
unchanged "empty root" ""
like "empty root: plan says so" "$(plan)" "empty"
node_run rmdir "$root"
node_run mv /var/lib/elsewhere "$root"

# ---- the proof that all of this was needed ----
ok "without a reason to leave it, the node is acted on" node_run containerd-recover preflight
is "it has a quarantine" "$(node_quarantines | wc -l)" 1
node_run systemctl start containerd
ok "containerd answers" node_ready
ok "with room for new pods" node_pods new 3

node_run systemctl stop containerd
node_damage root-zero
unchanged "second quarantine inside the cool-down" "cool"

# ---- a crash loop whose cause is elsewhere, on a root that is called bloated ----
new_root
node_policy '[bloat]' 'entries = 1000'
node_run mkdir "$root/io.containerd.content.v1.content"
"$BUILD/tests/helpers/filltree" "$(node_path "$root")/io.containerd.content.v1.content/files" 3000
node_service listener /usr/bin/python3 -c 'import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 10999)); s.listen(); time.sleep(1000)'
sed -i 's/^\[plugins."io.containerd.grpc.v1.cri"\]/&\n  stream_server_port = "10999"/' "$config"
inode=$(stat -c %i "$(node_path "$root")")
node_run systemctl start --no-block containerd
loops() { [ "$(node_property NRestarts)" -gt 5 ]; }
ok "a used TCP port makes a crash loop" node_until 60 loops
like "used TCP port: plan names the page that says more" "$(plan)" "By hand: $page, section logged-cause and log-socket"
is "used TCP port: no quarantine" "$(node_quarantines)" ""
is "used TCP port: the root is the same" "$(stat -c %i "$(node_path "$root")")" "$inode"
node_run systemctl stop containerd
unchanged "used TCP port" ""
node_run systemctl stop listener
node_run systemctl start containerd
ok "used TCP port: once it is free containerd answers" node_ready
like "used TCP port: and what is over is not the diagnosis" "$(plan)" "rule up-again, verdict none"
node_run systemctl stop containerd
cp "$NODE/config.toml" "$config"

# ---- another client's containers: those that a reboot has stopped ----
new_root
node_run systemctl start containerd
node_ready
node_run ctr -n moby images import /var/lib/images.tar >/dev/null
node_run ctr -n moby snapshots prepare "extract-1-x sha256:0"
layers() { node_run containerd-recover plan --format=json | /usr/bin/python3 -c 'import json, sys
print(json.load(sys.stdin)["facts"]["pods"]["foreign_layers"])'; }
is "an image of docker's, and one half unpacked, are no container's" "$(layers)" 0
ok "a container of docker's that does not run" node_run ctr -n moby containers create test.local/pause:1 docker-two
is "has a layer" "$(layers)" 1
like "plan says so before it matters" "$(plan)" "were a fresh data root called for, .* held back: .*rule foreign-layers.*rule healthy"
like "and for a program" "$(node_notices)" "^fresh-root-held were a fresh data root"
node_run systemctl stop containerd
node_damage root-zero
unchanged "moby namespace with stopped containers" "rule foreign-layers.*namespace moby: 1"
like "now, by hand, says what goes" "$(node_run containerd-recover now --dry-run)" "another client.*1 layers in namespace moby"

# ---- and those that run ----
new_root
node_run systemctl start containerd
node_ready
node_run ctr -n moby images import /var/lib/images.tar >/dev/null
ok "a container of docker's" node_run ctr -n moby run --detach --null-io --runc-binary /usr/local/sbin/runc-without-cpu \
    test.local/pause:1 docker-one
node_run systemctl stop containerd
node_damage root-zero
unchanged "moby namespace with running tasks" "moby"
tap_done

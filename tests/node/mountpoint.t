#!/bin/bash
# A root that is a mount point (ext4, xfs, btrfs) or a symlink, and one with a
# mount below it.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

root=$node_data

story() { # KIND
    local inodes
    node_run systemctl start containerd
    node_ready
    ok "$1: two pods" node_pods old 2
    node_collect_garbage
    node_census --save "$NODE/before" >"$NODE/counts"
    # The work of containerd itself: what is below is compared, not the root.
    inodes=$(node_tree "$root")
    node_damage root-zero
    node_crash
    ok "$1: containerd answers CRI again" node_ready 40
    ok "$1: two new pods" node_pods new 2
    ok "$1: nothing of the old pods is left" node_until 30 node_nothing_left_of "$NODE/before"
    is "$1: the node has what two pods have" "$(node_census)" "$(cat "$NODE/counts")"
    is "$1: the quarantine has the old tree, inode for inode" "$(node_tree "$(node_quarantine)/root")" "$inodes"
}

holder() {
    node_run containerd-recover plan --format=json |
        /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["facts"]["meta"]["lock_pid"])'
}

there_and_back() { # KIND
    local id between
    node_collect_garbage
    node_run containerd-recover now --yes --force >"$NODE/said" 2>&1
    id=$(basename "$(node_newest_quarantine)")
    ok "$1: the new root is at rest" node_at_rest
    node_run systemctl stop containerd
    node_tree "$root" >"$NODE/between"
    node_tree "$root/.quarantine/$id/root" >"$NODE/old"
    ok "$1: a root is put back" node_run containerd-recover restore --yes "$id"
    node_run systemctl stop containerd
    is "$1: inode for inode" "$(node_tree "$root" | own)" "$(own <"$NODE/old")"
    between=$(node_newest_quarantine)
    is "$1: what stood between is a quarantine" "$(node_tree "$between/root")" "$(cat "$NODE/between")"
    ok "$1: and comes back" node_run containerd-recover restore --yes "$(basename "$between")"
    node_run systemctl stop containerd
    is "$1: in the same way" "$(node_tree "$root" | own)" "$(own <"$NODE/between")"
    node_run systemctl start containerd
    node_ready
}
# containerd itself removes the work directories of tasks that are gone.
own() { grep -vE 'containers/[0-9a-f]*/status$|runtime.v2.task/k8s.io/'; }

# leave COMMAND...: ends the case.
leave() {
    node_remove_pods
    node_run systemctl stop containerd
    node_forget
    "$@"
}

node_prepare mountpoint
node_install
node_boot
node_run systemctl stop containerd

for type in ext4 xfs btrfs; do
    node_run rm -rf "$root"
    node_run mkdir "$root"
    device=$(node_disk "$type" "$type" 320)
    node_run mount "$device" "$root"
    story "a mount of $type"
    is "a mount of $type: it is still one" "$(node_run findmnt -no SOURCE "$root")" "$device"
    is "a mount of $type: the quarantine is on it" "$(dirname "$(node_quarantine)")" "$root/.quarantine"
    [ "$type" != ext4 ] || there_and_back "a mount of $type"
    # The device in the kernel's table of locks is not always the file's.
    is "a mount of $type: the holder of meta.db is known" "$(holder)" "$(node_property MainPID)"
    leave node_run umount "$root"
done

node_run rm -rf "$root" /var/lib/elsewhere
node_run mkdir -m 700 /var/lib/elsewhere
node_run ln -s elsewhere "$root"
node_run systemctl start containerd && node_ready
story "a symlink"
is "a symlink: it is still one" "$(node_run readlink "$root")" "elsewhere"
is "a symlink: the quarantine is beside its target" "$(node_run ls -A /var/lib/elsewhere.quarantine | wc -l)" 1
leave node_run rm -rf "$root" /var/lib/elsewhere /var/lib/elsewhere.quarantine

node_run mkdir -p "$root/io.containerd.content.v1.content"
node_run mount "$(node_disk below ext4 64)" "$root/io.containerd.content.v1.content"
story "a mount below"
is "a mount below: it went along" "$(node_run findmnt -rno TARGET | grep -c "quarantine.*io.containerd.content")" 1
tap_done

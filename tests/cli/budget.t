#!/bin/bash
# What containerd's start waits for ends in time, whatever it hangs on: a file
# system that never answers (FUSE, as a dead NFS) holds it in a wait that only a
# fatal signal ends. In a mount namespace of its own.
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"

if [ "${1:-}" = inside ]; then
    mount -t tmpfs none /var/lib
    mount -t tmpfs none /run
    mount -t tmpfs none /etc
    mkdir -p /var/lib/containerd-recover /var/lib/dead /etc/systemd/system
    printf '[Service]\nExecStart=/usr/bin/containerd\nTimeoutStartSec=4s\n' >/etc/systemd/system/containerd.service
    exec 9<>/dev/fuse
    options=fd=9,rootmode=40000,user_id=0,group_id=0
    case $2 in
    preflight)
        mount -i -t fuse -o "$options" dead /var/lib/dead
        exec timeout --signal=KILL 20 containerd-recover preflight --root=/var/lib/dead/root
        ;;
    record)
        mount -i -t fuse -o "$options" dead /var/lib/containerd-recover
        exec timeout --signal=KILL 20 containerd-recover record "$3"
        ;;
    esac
fi
trap 'exit "$(tap_status $?)"' EXIT

if [ ! -c /dev/fuse ] || ! unshare --mount true; then
    skip "a file system that does not answer" "needs root and FUSE"
    tap_done
fi

# seconds_of COMMAND...: at most 20.
seconds_of() {
    local from=$SECONDS
    unshare --mount "$0" inside "$@" >/dev/null 2>&1
    echo $((SECONDS - from))
}

scratch=$(mktemp -d)
seconds_of record started >"$scratch/started" &
seconds_of record stopped >"$scratch/stopped" &
seconds_of preflight >"$scratch/preflight" &
wait
at_most "preflight, with TimeoutStartSec=4s: seconds" "$(cat "$scratch/preflight")" 7
at_most "record started: seconds" "$(cat "$scratch/started")" 15
at_most "record stopped: seconds" "$(cat "$scratch/stopped")" 15
rm -r "$scratch"
tap_done

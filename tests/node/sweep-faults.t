#!/bin/bash
# What can go wrong with a sweep, and what it does then: bounded, reported, the
# rest done; and killed at any point it is completed by the next run.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

# lose NAME COUNT: pods that containerd forgets; their ids in $NODE/lost.
lose() {
    node_pods "$1" "$2" >"$NODE/pods"
    node_cri run-hostport "$1-web" 8080 >>"$NODE/pods"
    cut -d' ' -f1 "$NODE/pods" >"$NODE/lost"
    node_run systemctl stop containerd
    node_run rm -rf /var/lib/containerd.away
    node_run mv /var/lib/containerd /var/lib/containerd.away
    node_run systemctl start containerd
    node_ready
}

# Everything that bears one of the lost ids.
traces() {
    node_run sh -c 'iptables -t nat -S; ls /run/containerd/* /run/containerd/*/* /run/containerd/*/*/* /var/lib/cni/results
        grep -r . /var/lib/cni/networks; cat /proc/self/mountinfo; ps axww -o args; find /sys/fs/cgroup -type d' 2>/dev/null |
        grep -aFf "$NODE/lost"
    node_run sh -c 'ls /run/netns; ip -br link | grep ^veth' 2>/dev/null
}

# swept NAME: nothing is left, and what hangs was not waited for.
swept() {
    local start=${EPOCHREALTIME/./}
    node_run containerd-recover sweep --yes -v >"$NODE/out" 2>"$NODE/err"
    is "$1: status" "$?" 0
    at_most "$1: ms" $(((${EPOCHREALTIME/./} - start) / 1000)) 40000
    is "$1: nothing is left" "$(traces | head -n 5)" ""
}

# A plugin of the given script, for the node alone.
plugin() { # NAME SCRIPT
    printf '#!/bin/sh\n%s\n' "$2" >"$NODE/plugin"
    chmod 755 "$NODE/plugin"
    cp "$NODE/plugin" "$NODE/root/usr/lib/cni/$1.new"
    node_run mv "/usr/lib/cni/$1.new" "/usr/lib/cni/$1"
}
save() { node_run cp -a /usr/lib/cni /usr/lib/cni.saved; }
restore() { node_run sh -c 'rm -rf /usr/lib/cni && cp -a /usr/lib/cni.saved /usr/lib/cni'; }

node_prepare faults
node_install
node_fast_restarts
node_policy '[sweep]' 'min_age = 0' 'plugin_timeout = 1s'
node_boot
node_ready
save

lose hang 5
plugin bridge 'sleep 1000'
swept "a plugin that hangs"
like "it is reported" "$(cat "$NODE/err")" "plugin bridge: killed, it took too long"
like "-v tells of each step" "$(cat "$NODE/err")" "/usr/lib/cni/bridge started as process .*[0-9] of network cbr0 (was )?released"
is "and ended" "$(node_run pgrep -f 'sleep 1000')" ""
restore

# Killed between two calls of iptables: the jump is gone, the chain stays, and
# no comment names it.
cat >"$NODE/root/usr/local/sbin/iptables" <<'SH'
#!/bin/sh
case "$*" in *"-X CNI-"*) sleep 1000 ;; esac
exec /usr/sbin/iptables "$@"
SH
chmod 755 "$NODE/root/usr/local/sbin/iptables"
lose between 3
chains() { node_run iptables -t nat -S | grep -cE -- '-N CNI-(DN-)?[0-9a-f]{21}'; }
is "a chain for each pod, and one for the host port" "$(chains)" 5
swept "plugins that hang in the middle of a DEL"
like "they were killed" "$(cat "$NODE/err")" "plugin (bridge|portmap): killed"
is "no chain is left" "$(chains)" 0
node_run rm /usr/local/sbin/iptables

lose missing 5
node_run rm /usr/lib/cni/bridge /usr/lib/cni/portmap /usr/lib/cni/host-local
swept "plugins that are missing"
like "it is reported" "$(cat "$NODE/err")" "plugin portmap: not installed"
restore

lose torn 5
truncate -s 100 "$NODE"/varlib/cni/results/cbr0-*
swept "torn cache files"

lose nocache 5
node_run sh -c 'rm /var/lib/cni/results/*'
swept "no cache files"

lose noconf 3
node_run mv /etc/cni/net.d/10-cbr0.conflist /root/
swept "a conflist that is gone"
# In place: containerd 1.6 does not see a file that is moved there.
node_run sh -c 'cat /root/10-cbr0.conflist >/etc/cni/net.d/10-cbr0.conflist'
node_ready

lose shim 3
node_run pkill -STOP -f containerd-shim
swept "shims that answer nothing"

# The lock of host-local held for ever: the rest is done, the next run completes.
lose lock 3
node_hold holder /var/lib/cni/networks/cbr0/lock
node_run containerd-recover sweep --yes >"$NODE/out" 2>"$NODE/err"
is "a lock that is held: status" "$?" 4
like "it is reported" "$(cat "$NODE/err")" "cannot release .* Connection timed out"
is "links are gone all the same" "$(node_run sh -c 'ip -br link | grep -c ^veth')" 0
node_run systemctl stop holder
swept "the lock is free again"

# Killed before the first call that changes something, the second, and so on:
# each run takes up what the one before it left.
lose killed 6
cp "$BUILD/tests/helpers/killat" "$NODE/varlib/"
runs=0
for ((n = 1; n < 200; n++)); do
    said=$(node_run /var/lib/killat "$n" containerd-recover sweep --yes 2>/dev/null | tail -n 1)
    runs=$((runs + 1))
    [ "$said" = killed ] || break
done
is "in the end one run is not killed" "$said" "ended 0"
ok "of many" [ "$runs" -gt 10 ]
diag "$runs runs"
swept "after runs that were killed at each step"
ok "containerd serves" node_pods fine 1
is "its pod is live" "$(node_run containerd-recover sweep | grep -c ' live ')" 1
tap_done

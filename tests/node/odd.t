#!/bin/bash
# Nodes on which something unusual holds: readers that go away, an empty
# environment, odd paths and files, no journal, a clock that is set. containerd
# starts, what is said is clear, and nothing is lost.
# shellcheck source=tests/node/lib.sh
. "$(dirname "$0")/lib.sh"

records=/var/lib/containerd-recover
meta_db=$node_data/io.containerd.metadata.v1.bolt/meta.db

recover() { node_run containerd-recover "$@" 2>&1; }
shell() { node_run bash -c "$1" 2>&1; }
# configure LINE...: config.toml with these at its top.
configure() {
    printf '%s\n' "$@" >"$(node_path /etc/containerd/config.toml)"
    cat "$NODE/config.toml" >>"$(node_path /etc/containerd/config.toml)"
}
# The data root of the real containerd, and ours: the line that names it.
real_root() { node_run containerd --config /etc/containerd/config.toml config dump | sed -n 's/^root = "\(.*\)"$/\1/p'; }
our_root() { recover status | sed -n '1s/.*, data root \(.*\), configuration sound$/\1/p'; }

node_prepare odd
node_install
node_fast_restarts
node_boot
node_ready
cp "$(node_path /etc/containerd/config.toml)" "$NODE/config.toml"

# ---- who reads what we say ------------------------------------------------------

# shellcheck disable=SC2016
said=$(shell '{ sleep 0.2; containerd-recover status; } | true; echo "${PIPESTATUS[0]}"')
is "a reader that goes away: ended by SIGPIPE as other tools, without a word" "$said" 141
said=$(shell 'containerd-recover status >&-; echo $?')
is "standard output closed" "$said" $'containerd-recover: cannot write to standard output: Bad file descriptor\n1'
said=$(shell 'containerd-recover plan >/dev/full; echo $?')
is "standard output full" "$said" $'containerd-recover: cannot write to standard output: No space left on device\n1'
is "preflight without any descriptor" "$(shell 'containerd-recover preflight <&- >&- 2>&-; echo $?')" 0
is "preflight with full ones" "$(shell 'containerd-recover preflight >/dev/full 2>/dev/full; echo $?')" 0
shell '{ sleep 0.2; containerd-recover now --yes 2>&1; } | true'
ok "the reader of now goes away: containerd is back" node_ready
is "with a fresh root" "$(node_quarantines | wc -l)" 1
node_forget

is "an empty environment" "$(node_run env -i /usr/bin/containerd-recover status)" "$(recover status)"
is "for preflight too" "$(node_run env -i /usr/bin/containerd-recover preflight 2>&1; echo $?)" 0
ok "and for now" node_run env -i /usr/bin/containerd-recover now --yes
node_forget

# ---- odd configurations -----------------------------------------------------------

node_run systemctl stop containerd
printf '\xef\xbb\xbfroot = "/var/lib/marked"\n' | cat - "$NODE/config.toml" >"$(node_path /etc/containerd/config.toml)"
is "a byte order mark: as containerd reads it" "$(real_root) $(our_root)" "/var/lib/marked /var/lib/marked"
configure 'root = "/var/lib/lines"'
sed -i 's/$/\r/' "$(node_path /etc/containerd/config.toml)"
is "lines that end in CRLF: as containerd reads them" "$(real_root) $(our_root)" "/var/lib/lines /var/lib/lines"

configure 'root = "var/lib/relative"'
ok "a relative root: containerd starts" node_run systemctl start containerd
ok "on a directory below its working directory" node_run test -d /var/lib/relative/io.containerd.metadata.v1.bolt
like "it is said, and nothing is done" "$(recover plan)" "relative .*is not absolute.*nothing is changed"
is "now leaves it alone" "$(recover now --yes >/dev/null; echo $?)" 3
is "a directory of that name below ours is not taken for it" \
    "$(node_run env -C / containerd-recover purge 2>&1; echo $?)" \
    $'containerd-recover: cannot open the data root var/lib/relative: Invalid argument\n1'
node_run systemctl stop containerd

# there_and_back NAME ROOT [JAIL]: a fresh root at ROOT, as TOML has it, and the old one back.
there_and_back() {
    local id old where
    configure "root = \"$2\""
    node_run systemctl start containerd
    ok "$1: containerd answers" node_ready
    like "$1: nothing is wrong" "$(recover plan)" "rule healthy"
    is "$1: its name stays on its line" "$(recover status | wc -l)" 3
    old=$(inode_at "$2")
    ok "$1: a fresh root" node_run containerd-recover now --yes
    ok "$1: containerd answers again" node_ready
    id=$(recover status | sed -n 's/^  \([^:]*\): quarantined.*/\1/p')
    where=$(recover status | sed -n 's/^    where: //p')
    like "$1: status says where the old one is" "$where" "${3:-quarantine/}$id\$"
    ok "$1: the old one back" node_run containerd-recover restore --yes "$id"
    ok "$1: containerd answers once more" node_ready
    is "$1: on the very same root" "$(inode_at "$2")" "$old"
    node_run systemctl stop containerd
    shell "rm -rf $records /var/lib/odd*; mkdir -m 700 $records; umount /mnt 2>/dev/null"
}
finish_is_over() { [ "$(node_property ActiveState containerd-recover-finish)" = inactive ]; }
# The database: a root that is a mount point stays the same directory.
inode_at() { shell "stat -Lc %i \$'$1'/io.containerd.metadata.v1.bolt/meta.db"; }

there_and_back "slashes, dots" '/var//lib/./odd/../odd/root/'
there_and_back "blanks and a line's end" '/var/lib/odd one\nand two/root' '/var/lib/odd one\\nand two/root.quarantine/'
device=$(node_disk odd ext4 64)
node_run mount "$device" /mnt
node_run ln -s /mnt /var/lib/odd
there_and_back "a link to a mount point" /var/lib/odd '/mnt/.quarantine/'

# purged_elsewhere NAME ROOT: by the unit, whose sandbox shows all of that disk read-only.
purged_elsewhere() {
    local id
    configure "root = \"$2\""
    node_policy '[quarantine]' 'grace = 1s' '[salvage]' 'enabled = no'
    node_run systemctl start containerd
    node_ready
    ok "$1: a fresh root" node_run containerd-recover now --yes
    node_run systemctl stop containerd containerd-recover-purge
    id=$(basename "$(recover status | sed -n 's/^    where: //p')")
    like "$1: another's sandbox is kept to" \
        "$(node_run systemd-run -q --wait --pipe -p ProtectSystem=strict -p ReadWritePaths="$records" \
            containerd-recover purge --yes "$id" 2>&1)" "$id is not purged: .* can only be read here.*ReadWritePaths="
    like "$1: nothing is deleted then" "$(recover status)" "$id: quarantined"
    node_run systemctl start containerd
    ok "$1: the unit purges it" node_until 30 none_quarantined
    unlike "$1: with nothing to complain of" "$(node_log -u containerd-recover-purge -o cat -b | tail -n 5)" "not purged"
    ok "$1: containerd runs on" node_ready
    node_run systemctl stop containerd
}
none_quarantined() { ! recover status | grep -q ': quarantined\|: purging'; }
purged_elsewhere "a root elsewhere" /var/lib/odd/root
fails "a root elsewhere: its jail is gone as well" node_run test -e /var/lib/odd/root.quarantine
shell "rm -rf $records /var/lib/odd*; mkdir -m 700 $records"
node_run mount "$device" /mnt
shell 'rm -rf /mnt/.quarantine; ln -s /mnt /var/lib/odd'
purged_elsewhere "a link to a mount point" /var/lib/odd
node_policy
shell "rm -rf $records /var/lib/odd; umount /mnt; mkdir -m 700 $records"

# ---- another root from then on ------------------------------------------------------

# Its quarantine's images: only where containerd has that root again.
configure
node_run systemctl mask --runtime containerd-recover-finish 2>/dev/null
node_run systemctl start containerd
node_ready
node_import
ok "images of another root: first a quarantine" node_run containerd-recover now --yes
node_run systemctl stop containerd
configure 'root = "/var/lib/odd/root"'
node_run systemctl start containerd
node_ready
said=$(recover finish --root="$node_data")
is "images of another root: all is done but for them" $? 4
like "images of another root: it says why" "$said" \
    "its images are not brought over: the containerd that answers at .* has another data root than $node_data; the rest is done"
unlike "images of another root: once, and nothing else failed" "$said" "not all|not brought over.*not brought over"
is "images of another root: none is in a store where it is nobody's" \
    "$(shell "find $node_data -path '*/blobs/*' -type f | wc -l; ctr -n k8s.io images ls -q | wc -l")" $'0\n0'
node_run systemctl stop containerd
configure
node_run systemctl unmask --runtime containerd-recover-finish 2>/dev/null
node_run systemctl start containerd
image_is_there() { node_run ctr -n k8s.io images ls -q | grep -q '^test.local/pause:1$'; }
ok "images of another root: with containerd on it again they come" node_until 60 image_is_there
node_forget
node_run systemctl stop containerd
shell "rm -rf /var/lib/odd*"

configure
node_policy '[salvage]' 'enabled = no'
node_run systemctl start containerd
node_ready
ok "another root: first a quarantine" node_run containerd-recover now --yes
aside=$(node_quarantine)
id=$(basename "$aside")
node_until 30 finish_is_over
node_run systemctl stop containerd containerd-recover-purge
node_tree "$aside/root" >"$NODE/tree"
node_policy '[quarantine]' 'grace = 1s' '[salvage]' 'enabled = no'
sleep 1
configure 'root = "/var/lib/odd/root"'
like "another root: status has the quarantine of the old one, and why it stays" "$(recover status)" \
    "$id: quarantined.*that the configuration does not name.*purge --root=$node_data --yes $id deletes it"
recover status --format=json >"$NODE/status.json"
is "another root: its JSON has the fields of the man page" \
    "$(/usr/bin/python3 "$node_helpers/jsondoc.py" "$node_top/docs/containerd-recover.8" status "$NODE/status.json" | grep -v purge)" ""
recover purge >/dev/null
recover purge --yes "$id" >/dev/null
recover purge --unit=other.service --root=/var/lib/odd >/dev/null
is "another root: no purge touches it by itself" "$(node_tree "$aside/root")" "$(cat "$NODE/tree")"
unlike "another root: nor is it shown for another unit" "$(recover status --unit=other.service --root=/var/lib/odd)" "$id"
# Somebody lets containerd use the old one where it is.
configure "root = \"$aside/root\""
like "another root, in the quarantine: status says so" "$(recover status)" "$id.*in use.*containerd's own data root is here"
said=$(recover purge --root="$node_data" --yes "$id")
is "another root, in the quarantine: it is not purged, though containerd is down" $? 3
like "another root, in the quarantine: it says why" "$said" "own data root $aside/root is in a quarantine of $node_data"
is "another root, in the quarantine: it is whole" "$(node_tree "$aside/root")" "$(cat "$NODE/tree")"
configure 'root = "/var/lib/odd/root"'
node_run mv "$node_data" /var/lib/odd-old
like "another root, the old one gone: status has it all the same" "$(recover status)" "$id: quarantined"
ok "another root, the old one gone: it is purged by hand" node_run containerd-recover purge --root="$node_data" --yes "$id"
fails "another root, the old one gone: with its jail" node_run test -e "$node_data.quarantine"
unlike "another root, the old one gone: status has it no more" "$(recover status)" "$id"
shell "rm -rf $records /var/lib/odd*; mkdir -m 700 $records"
node_policy

# Of cases above whose records were taken away under a sweep.
shell 'rm -rf /run/containerd/.containerd-recover-*'

# The mount table has the real path, and mounts that are not found are in the way.
configure 'state = "/var/run/containerd/"'
node_run systemctl start containerd
node_ready
ok "a state directory behind a link: two pods" node_pods linked 2
node_census --save "$NODE/before" >/dev/null
ok "a state directory behind a link: a fresh root" node_run containerd-recover now --yes
ok "a state directory behind a link: nothing of the pods is left" node_until 30 node_nothing_left_of "$NODE/before"
bare() { [ "$(shell 'ls -A /run/containerd | grep recover; grep -c /run/containerd/ /proc/self/mountinfo')" = 0 ]; }
ok "nor of their bundles" node_until 10 bare
node_forget
node_run systemctl stop containerd
configure

# ---- a damaged meta.db, and reasons to leave it ---------------------------------

node_run systemctl start containerd
node_ready
like "nothing to purge is said" "$(recover purge)" "nothing to purge"
dropin=/usr/lib/systemd/system/containerd.service.d/10-containerd-recover.conf
node_run touch $dropin
like "a drop-in that systemd has not read: status says so" "$(recover status)" "systemctl daemon-reload"
node_run mv $dropin /run/dropin.conf
like "no drop-in: status says so" "$(recover status)" "containerd.service does not run .containerd-recover preflight."
node_run mv /run/dropin.conf $dropin
node_run systemctl daemon-reload
is "with it nothing is said" "$(recover status | grep -cE 'does not run|daemon-reload|last start,')" 0
node_run systemctl stop containerd
node_run mount -t tmpfs -o ro none $records
like "records that are read-only: the node is looked at" "$(recover preflight)" "cannot write to $records.*rule healthy"
cp "$(node_path "$meta_db")" "$NODE/meta.db"
node_damage bucket-zero:v1
like "how the last start ended is not known then: every page is looked at" "$(recover preflight)" "rule meta-damaged"
cp "$NODE/meta.db" "$(node_path "$meta_db")"
node_run umount $records
node_damage root-zero
sum() { node_run sha256sum "$meta_db"; }
before=$(sum)
node_run mount -t tmpfs -o ro none $records
said=$(recover now --yes)
is "records that are read-only: now fails" $? 1
like "it says where" "$said" "$records cannot be written to: Read-only file system"
is "and does not begin" "$(grep -c Recovering <<<"$said")" 0
said=$(recover preflight)
is "records that are read-only: preflight succeeds" $? 0
like "it says why nothing is done" "$said" "cannot write to $records: Read-only file system"
like "so does plan" "$(recover plan)" "$records: Read-only file system: failed starts are not counted"
like "and for a program" "$(node_notices)" "^records $records: Read-only file system: failed starts"
like "so does status, with what was found and what is next" "$(recover status)" \
    "is inactive.*$records: Read-only file system.*before its last start.*rule meta-damaged.*systemctl start containerd.service"
is "nothing is" "$(node_quarantines) $(sum)" " $before"
node_run umount $records

shell "mount -t tmpfs -o size=16k none $records; dd if=/dev/zero of=$records/junk 2>/dev/null; true"
like "records that are full: preflight says so" "$(recover preflight)" "cannot write to $records: No space left.*cannot quarantine the data root: No space left"
is "and leaves all as it is" "$(node_quarantines) $(sum)" " $before"
like "so does status" "$(recover status)" "$records: No space left on device: failed starts"
like "and now" "$(recover now --yes)" "$records cannot be written to: No space left"
node_run umount $records

node_run mkdir $records/hold
like "a hold that is a directory holds" "$(recover preflight)" "rule hold"
is "nothing is done" "$(node_quarantines) $(sum)" " $before"
node_run rmdir $records/hold

# ---- no journal, and a clock that is set ------------------------------------------

for unit in systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald; do
    node_run systemctl stop $unit 2>/dev/null
done
like "no journal: the damage is seen all the same" "$(recover plan)" "rule meta-damaged"
node_run systemctl start containerd 2>/dev/null
ok "no journal: containerd is brought back" node_ready
id=$(basename "$(node_quarantine)")
kept() { shell "ls $records/evidence 2>/dev/null"; }
evidence_is_kept() { [[ $(kept) == *"$id"* ]]; }
ok "no journal: evidence is kept of the rest" node_until 30 evidence_is_kept
node_run systemctl start systemd-journald.socket systemd-journald

left() { recover purge --dry-run | sed -n 's/.* in \([0-9]*\) .*/\1/p'; }
# wall SECONDS FILE FIELD: the times in FILE as they would be if the clock had been set.
wall() { shell "awk -v by=$1 'NF > 3 { \$$3 += by } { print }' $2 >/run/set && cat /run/set >$2"; }
stages=$(node_quarantine)/stages
node_run systemctl stop containerd-recover-purge containerd-recover-finish
like "within the grace period" "$(recover purge --dry-run)" "would be purged in"
wall -86400 "$stages" 4
like "the clock set a day ahead does not end it" "$(recover purge --dry-run)" "would be purged in (14 min|15 min|[89][0-9][0-9] s)"
wall 172800 "$stages" 4
like "nor does one set a day back prolong it" "$(recover purge --dry-run)" "would be purged in (14 min|15 min|[89][0-9][0-9] s)"

wall 3600 $records/history 1
like "the clock set back an hour: the cool-down holds" "$(recover status)" "cool-down: no second quarantine for another"
node_run systemctl stop containerd
node_damage root-zero
like "and preflight goes by it" "$(recover preflight)" "rule cool-down"
is "there is one quarantine" "$(node_quarantines | wc -l)" 1

node_run systemctl start containerd 2>/dev/null
failures() { recover status | sed -n 's/.*failed in the last [^:]*: \([0-9]*\).*/\1/p'; }
three_failed() { [ "$(failures)" -ge 3 ]; }
ok "starts that fail are counted" node_until 20 three_failed
node_run systemctl stop containerd
counted=$(failures)
wall 3600 $records/containerd.service.ledger 3
is "whatever the clock on the wall said then" "$(failures)" "$counted"
wall -7200 $records/containerd.service.ledger 3
is "before or after" "$(failures)" "$counted"
tap_done

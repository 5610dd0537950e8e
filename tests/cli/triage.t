#!/bin/bash
# The triage command: its forms of input and output.
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"

fixtures=tests/fixtures/triage
panic=$fixtures/log-bolt-panic.root-zero.log
tool=$BUILD/containerd-recover

field() { # NAME: a member of the JSON on stdin
    sed -n "s/^ *\"$1\": \"\?\([^\",]*\)\"\?,\?\$/\1/p"
}

text=$("$tool" triage "$panic")
like "text names the verdict" "$text" 'verdict:  quarantine-root'
like "text names the rule" "$text" 'rule:     log-bolt-panic \(bolt-corrupt-meta\)'
like "text shows the evidence" "$text" 'evidence: .*panic: invalid page type: 0: 0'
like "text says what it would have to know" "$text" 'needs:    bolt-check'

json=$("$tool" triage --format=json - <"$panic")
is "JSON from standard input has the verdict" "$(field verdict <<<"$json")" quarantine-root
is "JSON has the class" "$(field class <<<"$json")" bolt-corrupt-meta
is "JSON has the starts" "$(field starts <<<"$json")" 1
# Whatever is decided, each member is there, and a decision has its lines.
incomplete=
for log in "$fixtures"/*.log; do
    json=$("$tool" triage --format=json "$log")
    for member in verdict rule class what evidence needs starts shown_in cut; do
        grep -q "^  \"$member\": ." <<<"$json" || incomplete+="$log: $member "
    done
    [[ $log == */log-undecided.* ]] || ! grep -q '"evidence": \[\]' <<<"$json" || incomplete+="$log: lines "
done
is "JSON is complete for every fixture" "$incomplete" ""
is "hands-off says why" \
    "$("$tool" triage --format=json "$fixtures/log-no-space.quota.log" | field verdict)" \
    "hands-off:no space left"
is "what systemd knew can be given" \
    "$("$tool" triage --format=json --exit-status=203/EXEC /dev/null | field rule)" log-not-executed
is "a result alone decides what it can" \
    "$("$tool" triage --format=json --result=timeout /dev/null | field verdict)" undecided
is "no control character gets through" \
    "$(printf 'Nov 23 10:15:01 n containerd[1]: \033[2Jpanic: invalid page type: 0: 0\n' |
        "$tool" triage - | tr -d '\n -~' | wc -c)" 0

fails "a missing file is an error" "$tool" triage /nonexistent
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gzip -c "$panic" >"$work/panic.gz"
fails "a compressed log is an error" "$tool" triage "$work/panic.gz"
like "which says what to do" "$("$tool" triage - <"$work/panic.gz" 2>&1)" 'compressed: zcat it'
like "UTF-16 is named" "$(printf '\377\376p\000' | "$tool" triage - 2>&1)" 'UTF-16'
is "an empty log decides nothing" "$("$tool" triage --format=json /dev/null | field verdict)" undecided
is "zeroes that a power cut left are passed over" \
    "$({ head -c 5000 /dev/zero; echo; cat "$panic"; } | "$tool" triage --format=json - | field verdict)" \
    quarantine-root
# Of 130 MiB before the panic only the end is read, and that is said.
large=$({ yes 'Nov 23 10:00:01 node etcd[7]: hello' | head -c 136314880; echo; cat "$panic"; } |
    "$tool" triage --format=json -)
is "the end of a large log is judged" "$(field verdict <<<"$large")" quarantine-root
is "and it is said to be the end" "$(field cut <<<"$large")" true

fails "an unknown format is an error" "$tool" triage --format=yaml "$panic"
fails "no file is an error" "$tool" triage
ok "help" "$tool" triage --help
tap_done

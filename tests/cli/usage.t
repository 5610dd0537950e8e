#!/bin/bash
# The conventions that every command keeps: help on stdout and within 80
# columns, mistakes on stderr with status 2, a full disk noticed.
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"
trap 'exit "$(tap_status $?)"' EXIT

run() { # COMMAND...: stdout to $out, stderr to $err, status to $status
    local errors
    errors=$(mktemp)
    out=$("$@" 2>"$errors")
    status=$?
    err=$(cat "$errors")
    rm "$errors"
}

widest() { awk '{ if (length > max) max = length } END { print max + 0 }'; }

run containerd-recover --help
is "--help succeeds" "$status" 0
is "--help says nothing on stderr" "$err" ""
at_most "--help fits 80 columns" "$(widest <<<"$out")" 80
mapfile -t commands < <(awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }' <<<"$out")
like "--help names the commands" "${commands[*]}" "preflight"

run containerd-recover --version
is "--version" "$status $out" "0 containerd-recover $(sed -n 's/^VERSION := //p' "$(dirname "$0")/../../Makefile")"

run containerd-recover
is "no command: status" "$status" 2
is "no command: nothing on stdout" "$out" ""
like "no command: what to try" "$err" "--help"

run containerd-recover nonsense
is "unknown command: status" "$status" 2
is "unknown command: nothing on stdout" "$out" ""
like "unknown command: is named" "$err" "'nonsense'"

for command in "${commands[@]}"; do
    run containerd-recover "$command" --help
    is "$command --help succeeds" "$status" 0
    is "$command --help says nothing on stderr" "$err" ""
    like "$command --help shows its usage" "$out" "^Usage: containerd-recover $command"
    at_most "$command --help fits 80 columns" "$(widest <<<"$out")" 80
    # preflight is called by the unit: nothing may keep containerd from starting.
    case $command in preflight) wanted=0 ;; *) wanted=2 ;; esac
    run containerd-recover "$command" --no-such-option
    is "$command with an unknown option: status" "$status" "$wanted"
    is "$command with an unknown option: nothing on stdout" "$out" ""
    like "$command with an unknown option: it is named" "$err" "no-such-option"
done

# refused WORDS COMMAND...: wrong usage, and the error names the thing and the cure.
refused() {
    run containerd-recover "${@:2}"
    is "${*:2}: status" "$status" 2
    is "${*:2}: nothing on stdout" "$out" ""
    like "${*:2}: the thing and the cure" "$err" "^containerd-recover: $1"
    like "${*:2}: what to try" "$err" "Try 'containerd-recover $2 --help'"
}
refused "unrecognized option '--bogus'" status --bogus
refused "option '--root' requires an argument" now --root
refused "--format=xml: give text or json" plan --format=xml
refused "--format=xml: give text, json or prometheus" status --format=xml
refused "--root=rel: give an absolute path" now --root=rel
refused "--unit=: give a unit's name" now --unit=
refused "--unit=../x: give a unit's name" now --unit=../x
refused "--budget=5s is invalid; give a number of seconds, 1 to" scan --budget=5s
refused "--top=0 is too small; give a number of rows, 1 to" scan --top=0
refused "--limit=-1 is too small; give a number of sandboxes, 1 to" sweep --limit=-1
refused "--max-rate=99999999999 is too large; give a number of entries a second, 1 to" purge --max-rate=99999999999
refused "--ncdu is empty; give a file" scan --ncdu=
refused "--facts is empty; give a file" plan --facts=
refused "--to is empty; give a path" keep ID --to=
refused "--result is empty" triage --result= -
refused "--pod=x: give NAMESPACE/NAME" keep --pod=x ID
refused "--full .* leave --budget out" scan --full --budget=3
refused "--ncdu .* leave --format out" scan --ncdu=- --format=json
refused "--last .* give text or json" status --last --format=prometheus
refused "--urgent .* leave --max-rate out" purge --urgent --max-rate=3
refused "--facts .* leave --root, .* out" plan --facts=- --root=/x
refused "--yes .* give its ID" purge --yes
refused "restore needs an argument: ID; .containerd-recover status. lists them" restore
refused "triage needs an argument: FILE" triage
refused "plan takes no argument 'x'" plan x
refused "restore takes no argument 'y'" restore x y

err=$(containerd-recover --help 2>&1 >/dev/full)
is "a full disk: status" $? 1
like "a full disk: it says so" "$err" "No space left"
tap_done

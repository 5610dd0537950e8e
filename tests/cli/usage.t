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

err=$(containerd-recover --help 2>&1 >/dev/full)
is "a full disk: status" $? 1
like "a full disk: it says so" "$err" "No space left"
tap_done

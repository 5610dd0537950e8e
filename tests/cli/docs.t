#!/bin/bash
# What the documents promise and what the program does are the same.
top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/tap.sh
. "$top/tests/tap.sh"
page=$top/docs/containerd-recover.8

rules() { sed -n '/^const struct rule triage_rules/,/^};/s/^\t{ "\([a-z-]*\)".*/\1/p' "$top/recover/triage.c"; }
sections() { sed -n '/^## Facts of the node/,$s/^### //p' "$top/docs/TRIAGE.md"; }
is "docs/TRIAGE.md has the rules of triage.c, in their order" "$(sections)" "$(rules)"

keys() { sed -n 's/^\tKEY("\([a-z-]*\)", "\([a-z_]*\)".*/\2/p' "$top/recover/policy.c"; }
for key in $(keys); do
    ok "the man page has policy key $key" grep -q "^\\.It Cm $key No = " "$page"
done
documented() { sed -n 's/^\.It Cm \([a-z_]*\) No = .*/\1/p' "$page"; }
is "and no other" "$(documented | sort)" "$(keys | sort)"

notices() { sed -n 's/.*add(list, "\([a-z-]*\)",.*/\1/p' "$top"/recover/notices*.c | sort -u; }
documented() { sed -n '/^\.It Va notices/,/^\.El/s/^\.It Cm //p' "$page"; }
is "the man page has the notices of plan" "$(documented | sort)" "$(notices)"
noted() { sed -n 's/^ \*\t\([a-z-]*\)\t.*/\1/p' "$top/recover/notices.h"; }
is "so has their header" "$(noted | sort)" "$(notices)"

commands() { sed -n 's/^COMMAND("\([a-z]*\)".*/\1/p' "$top/recover/commands.def"; }
for command in $(commands); do
    ok "the man page has command $command" grep -q "^\\.It Cm $command\\b" "$page"
    ok "and its synopsis" grep -qE "^\.Cm (.* \| )?$command( |\$)" <(sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p' "$page")
    ok "$command --help succeeds" containerd-recover "$command" --help
    containerd-recover "$command" --no-such-option >/dev/null 2>&1
    status=$?
    [ "$command" = preflight ] && want=0 || want=2 # preflight fails open
    is "$command refuses an unknown option" "$status" "$want"
    long=$(containerd-recover "$command" --help | awk 'length > 100')
    is "$command --help fits a terminal" "$long" ""
done

options() {
    local command
    {
        containerd-recover --help
        for command in $(commands); do containerd-recover "$command" --help; done
    } | sed -n 's/^  \(-., \)\?--\([a-z-]*\).*/\2/p' | sort -u
}
for option in $(options); do
    ok "the man page says what --$option does" grep -qE "^\\.(It )?(.* )?(Fl|Fl . ,) -$option( |\$)" <(sed '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/d' "$page")
done

is "the man page has its sections" "$(sed -n 's/^\.Sh //p' "$page" | tr '\n' ' ')" \
    "NAME SYNOPSIS DESCRIPTION COMMANDS POLICY JSON FILES EXIT STATUS EXAMPLES SEE ALSO "
is "and the exit statuses" "$(sed -n '/^\.Sh EXIT STATUS/,/^\.Sh EXAMPLES/s/^\.It //p' "$page")" \
    "$(sed -n 's/^\tEXIT_[A-Z_]* = \([0-9]*\),.*/\1/p' "$top/recover/command.h")"

# The other commands' JSON is looked at on a node: scan.t, restore.t.
dir=$(mktemp -d)
trap 'rm -rf "$dir"; exit "$(tap_status $?)"' EXIT
containerd-recover triage --format=json "$top/tests/fixtures/triage/log-bolt-panic.root-zero.log" >"$dir/triage.json"
is "triage --format=json has the fields of the man page" \
    "$(/usr/bin/python3 "$top/tests/helpers/jsondoc.py" "$page" triage "$dir/triage.json")" ""
echo '{"verdict": 5, "more": null}' >"$dir/wrong.json"
wrong=$(/usr/bin/python3 "$top/tests/helpers/jsondoc.py" "$page" triage "$dir/wrong.json")
like "a field that is not documented is found" "$wrong" "more is not documented"
like "so is one that is not printed" "$wrong" "rule is documented and was not printed"
like "and one of another type" "$wrong" "verdict is integer and not documented so"

is "help goes to stdout alone" "$(containerd-recover --help 2>&1 >/dev/null)" ""
is "errors go to stderr alone" "$(containerd-recover nonsense 2>/dev/null)" ""
like "an unknown command is named" "$(containerd-recover nonsense 2>&1)" "unknown command 'nonsense'"
like "the version is shown" "$(containerd-recover --version)" '^containerd-recover [0-9]'
containerd-recover --help >/dev/full 2>/dev/null
is "a full disk on stdout is an error" $? 1

# shellcheck disable=SC2016 # backquotes are Markdown's here
for path in $(grep -o '`[a-z]*/[a-z/_]*\.[ch]`' "$top/docs/ARCHITECTURE.md" | tr -d '`'); do
    ok "ARCHITECTURE names a file that is there: $path" test -e "$top/$path"
done
# A pattern without a directory is in that of the one before it.
# shellcheck disable=SC2016 # backquotes are Markdown's here
named() {
    sed -n 's/^| \(`[^|]*\) |.*/\1/p' "$top/docs/ARCHITECTURE.md" | grep -o '`[^`]*`' | tr -d '`' |
        awk '/\// { dir = $0; sub(/[^\/]*\/?$/, "", dir); print; next } { print dir $0 }' | sed 's|/$|/*|'
}
mapfile -t patterns < <(named)
unnamed() {
    local path pattern
    (cd "$top" && find recover scanners -name '*.c') | sort | while read -r path; do
        for pattern in "${patterns[@]}"; do
            # shellcheck disable=SC2053 # a pattern
            [[ $path == $pattern ]] && continue 2
        done
        echo "$path"
    done
}
is "and every source file is named there" "$(unnamed)" ""
tests_named() { grep -o 'tests/[a-z]*/[a-z_-]*\.[tc]\b' "$top/docs/SAFETY.md" | sort -u; }
for path in $(tests_named); do
    ok "SAFETY names a test that is there: $path" test -e "$top/$path"
done
tap_done

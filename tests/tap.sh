# shellcheck shell=bash
# TAP for tests written in bash (tests/cli, tests/node): source it, check, end
# with tap_done. A failed check is reported and the test goes on. A script that
# ends before tap_done fails.

tap_count=0 tap_failed=0 tap_finished=no

diag() { printf '%s\n' "$@" | sed 's/^/# /'; }

tap_result() { # STATUS NAME
    tap_count=$((tap_count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_count - $2"
    else
        echo "not ok $tap_count - $2"
        tap_failed=$((tap_failed + 1))
    fi
    return "$1"
}

# ok NAME COMMAND...: the command succeeds.
ok() {
    local name=$1 output status
    shift
    output=$("$@" 2>&1)
    status=$?
    tap_result "$status" "$name" || diag "status $status of: $*" "$output"
}

# fails NAME COMMAND...: the command does not succeed.
fails() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        tap_result 1 "$name"
        diag "succeeded: $*" "$output"
    else
        tap_result 0 "$name"
    fi
}

# is NAME GOT WANT: the same text.
is() {
    if [ "$2" = "$3" ]; then
        tap_result 0 "$1"
    else
        tap_result 1 "$1"
        diff <(printf '%s\n' "$3") <(printf '%s\n' "$2") | sed -n 's/^</#  wanted/p; s/^>/#     got/p' | head -n 40
    fi
}

# like NAME GOT PATTERN, unlike NAME GOT PATTERN: an extended regular expression.
like() {
    if [[ $2 =~ $3 ]]; then
        tap_result 0 "$1"
    else
        tap_result 1 "$1"
        diag "does not match '$3':" "$2"
    fi
}

unlike() {
    if [[ $2 =~ $3 ]]; then
        tap_result 1 "$1"
        diag "matches '$3':" "$2"
    else
        tap_result 0 "$1"
    fi
}

# figure NAME GOT LIMIT: a measured time or ratio. Always shown; a check only with
# FIGURES=1 (`make figures`), since a test must not fail for a busy machine.
figure() {
    if [ "${FIGURES:-0}" = 1 ]; then
        at_most "$@"
    else
        diag "figure: $1: $2, wanted at most $3"
    fi
}

# at_most NAME GOT LIMIT: both numbers, fractions allowed.
at_most() {
    tap_result "$(awk -v got="$2" -v limit="$3" 'BEGIN { print !(got != "" && got + 0 <= limit + 0) }')" \
        "$1 ($2, at most $3)"
}

skip() { # NAME REASON
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # SKIP $2"
}

tap_done() {
    tap_finished=yes
    echo "1..$tap_count"
    [ "$tap_failed" -eq 0 ] || diag "$tap_failed of $tap_count failed"
    exit $((tap_failed > 0))
}

# For an EXIT trap: the status with which the script should end.
tap_status() { # STATUS
    if [ "$tap_finished" = no ] && [ "$1" -eq 0 ]; then
        echo 1
    else
        echo "$1"
    fi
}

# For tests in bash, to be sourced: what they expect, and waiting for it. A test
# that goes on after a failure has a `fail` of its own.
# shellcheck shell=bash

fail() {
  echo "FAIL: $*" >&2
  exit 1
}

# Ends the test as skipped, which is a failure where nothing may be.
skip() {
  echo "SKIP: $*"
  [ "${MESSENGER_REQUIRE_ALL_TESTS:-}" != 1 ] ||
    fail "nothing may be skipped here"
  exit 77
}

# is WHAT ACTUAL EXPECTED
is() { [ "$2" = "$3" ] || fail "$1: got '$2', expected '$3'"; }

# has WHAT TEXT PATTERN
has() { grep -qE -- "$3" <<<"$2" || fail "$1: no /$3/ in: $2"; }

# await WHAT COMMAND...: until it succeeds, for at most 30 s.
await() {
  local what=$1 deadline=$((SECONDS + 30))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || { fail "$what: not within 30 s"; return 1; }
    sleep 0.05
  done
}

# terminal_lines FILE: what a terminal was sent, each state of its lines.
terminal_lines() { tr '\r' '\n' <"$1" | sed 's/\x1b\[K//g'; }

took_since=$EPOCHREALTIME
# took WHAT: says how long it is since the last time.
took() {
  awk -v from="$took_since" -v to="$EPOCHREALTIME" -v what="$1" \
    'BEGIN { printf "%6.1f s  %s\n", to - from, what }'
  took_since=$EPOCHREALTIME
}

# For tests in bash of the two programs, to be sourced with their paths in
# $server and $cli: a directory that goes with the test, a server in it, and
# failures that are counted. Sources tests/support/assert.sh.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/assert.sh"

work=$(mktemp -d)
failures=0
server_pid=

cleanup() {
  [ -z "$server_pid" ] || kill -9 "$server_pid" 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work" || exit 1
unset MESSENGER_SERVER_ADDR MESSENGER_SERVER_PORT MESSENGER_SERVER_LOG
export MESSENGER_AUTHOR=tester

fail() {
  echo "FAIL: $*" >&2
  failures=$((failures + 1))
}

# run_server ADDRESS [OPTION...]
run_server() {
  local address=$1
  shift
  : >server.out
  "${server:?}" --listen "$address" "$@" >server.out 2>server.err &
  server_pid=$!
  await "the server listens" grep -q listening server.out || exit 1
  MESSENGER_SERVER_ADDR=$(sed -n 's/.*listening on \([^ ]*\).*/\1/p' server.out)
  export MESSENGER_SERVER_ADDR
}

# start_server [OPTION...]: on a port of its own.
# shellcheck disable=SC2120 # not every test has options
start_server() { run_server 127.0.0.1:0 "$@"; }

# restart_server [OPTION...]: where the last one was.
# shellcheck disable=SC2120 # not every test has options
restart_server() { run_server "$MESSENGER_SERVER_ADDR" "$@"; }

# Without a chance for it to say good-bye.
kill_server() {
  kill -9 "$server_pid"
  wait "$server_pid" 2>/dev/null
  server_pid=
}

# has_lines FILE N: at least so many.
has_lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }

# Ends the test.
finish() {
  [ $failures = 0 ] && echo "all passed"
  exit $((failures > 0))
}

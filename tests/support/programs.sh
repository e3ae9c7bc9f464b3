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

# start_server [OPTION...]
# shellcheck disable=SC2120 # not every test has options
start_server() {
  : >server.out
  "${server:?}" --listen 127.0.0.1:0 "$@" >server.out 2>server.err &
  server_pid=$!
  await "the server listens" grep -q listening server.out || exit 1
  MESSENGER_SERVER_ADDR=$(sed -n 's/.*listening on \([^ ]*\).*/\1/p' server.out)
  export MESSENGER_SERVER_ADDR
}

# Ends the test.
finish() {
  [ $failures = 0 ] && echo "all passed"
  exit $((failures > 0))
}

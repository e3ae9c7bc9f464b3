#!/usr/bin/env bash
# script/demo as a user meets it: from another directory, in a pipe and in a
# terminal, with Ctrl-C, with port 8080 free and taken, and with a program that
# dies. It builds the preset programs.
set -euo pipefail

root=$(readlink -f "$(dirname "$0")/../..")
source "$root/tests/support/assert.sh"
source "$root/tests/support/http.sh"
work=$(mktemp -d)
# In the environment of all that a demo starts, and of nothing else.
mark=MESSENGER_DEMO_TEST=$$
# With another build of the same sources, elsewhere.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=locale
unset NO_COLOR "${!MESSENGER_SERVER_@}" "${!MESSENGER_HTTP_@}"
cd "$work"

# Prints the processes that a demo has started and that are still there.
left_behind() {
  grep -lxzs "$mark" /proc/[0-9]*/environ | cut -d/ -f3
}

taken_process=
clean_up() {
  left_behind | xargs -r kill -KILL || true
  [ -z "$taken_process" ] || kill "$taken_process" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

fail() {
  echo "FAIL: $*" >&2
  cat log >&2
  exit 1
}

# prints PATTERN: waits until the demo has printed it.
prints() { await "/$1/" grep -E -- "$1" log; }

# start [OPTION...]
start() {
  : >log
  env "$mark" "$root/script/demo" "$@" </dev/null >log 2>&1 &
  demo=$!
}

start_in_terminal() {
  : >log
  rm -f keys
  mkfifo keys
  exec {keys}<>keys
  # A job in the background ignores Ctrl-C unless it is told not to. The exec is
  # for a SHELL that would otherwise stay in between and die of Ctrl-C: dash.
  env --default-signal=INT "$mark" TERM=xterm SHELL=/bin/sh script --quiet \
    --flush --return --command "exec $root/script/demo" log <keys >/dev/null &
  demo=$!
}

press_ctrl_c() { printf '\003' >&"$keys"; }

# ends_with EXIT_CODE
ends_with() {
  local exit_code=0
  wait "$demo" || exit_code=$?
  is "exit code" "$exit_code" "$1"
  is "processes left behind" "$(left_behind || true)" ""
}

"$root/script/demo" --help | grep -q -- --once || fail "no --help"

start --once
ends_with 0
for pattern in 'listening on 127\.0\.0\.1:[0-9]+' \
  'ann sees │ [0-9:]{8} bob  ' 'bob sees │ [0-9:]{8} ann  ' \
  'read --after [0-9]+:2 ' 'the same; [0-9]+ lines' \
  'ann sees │ [0-9:]{8} eve  ' 'bob sees │ [0-9:]{8} eve  '; do
  prints "$pattern"
done
is "what has stopped" "$(grep -o '^messenger-.*: stopped$' log)" \
  $'messenger-gateway: stopped\nmessenger-server: stopped'
! grep -q $'\e' log || fail "escape sequences in a pipe"
took "in a pipe"

start_in_terminal
prints '^messenger-cli --help'
address=$(sed -n 's/.*MESSENGER_SERVER_ADDR=\([0-9.:]*\).*/\1/p' log)
"$root/build/programs/apps/messenger-cli" send --server "$address" \
  --author me 'hello from the test' >/dev/null || fail "send: exit code $?"
prints 'ann sees .* me  hello from the test'
prints 'bob sees .* me  hello from the test'
# Of its last address, colours and ends of lines aside.
page=$(grep -oE 'http://127\.0\.0\.1:[0-9]+/' log | tail -n 1)
page=${page#http://}
http "${page%/}" POST /v1/channels/general/messages \
  '{"author":"page","text":"hello by HTTP"}' >/dev/null || fail "not by HTTP"
prints 'ann sees .* page  hello by HTTP'
prints 'bob sees .* page  hello by HTTP'
press_ctrl_c
ends_with 0
prints '^messenger-gateway: stopped'
prints '^messenger-server: stopped'
took "in a terminal: the user takes part, then presses Ctrl-C"

start_in_terminal
prints 'ann sees'
press_ctrl_c
ends_with 130
took "in a terminal: Ctrl-C in the middle"

# kill_program NAME: of which Linux knows 15 characters.
kill_program() {
  local process
  for process in $(left_behind); do
    [ "$(cat "/proc/$process/comm" 2>&1)" != "${1:0:15}" ] ||
      kill -KILL "$process"
  done
}

# Unless somebody else has the port.
exec {taken}< <(exec python3 -c '
import socket, time
with socket.socket() as taken:
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(("127.0.0.1", 8080))
        taken.listen()
    except OSError:
        pass
    print(flush=True)
    time.sleep(600)')
taken_process=$!
read -r -u "$taken"
start
prints '^messenger-cli --help$'
prints 'messenger-gateway .* listening on 127\.0\.0\.1:'
! grep 'listening on 127\.0\.0\.1:8080 ' log || fail "it took a port that is taken"
kill_program messenger-server
ends_with 1
prints '^script/demo: the server has ended$'
took "port 8080 is taken; a server that dies"
kill "$taken_process"

start
prints '^messenger-cli --help$'
kill_program messenger-gateway
ends_with 1
prints '^script/demo: the gateway has ended$'
took "a gateway that dies"
echo "all passed"

#!/usr/bin/env bash
# The examples that go on where they were, while they and their server are
# killed.
#   examples_test.sh MESSENGER_SERVER MESSENGER_CLI WORKER BRIDGE
set -uo pipefail
# shellcheck disable=SC2034 # for programs.sh
server=$1
cli=$2
worker=$3
bridge=$4
source "$(dirname "$0")/../support/programs.sh"

start_server

# work BOOKMARK OUTPUT [COUNT]
work() {
  exec "$worker" "$MESSENGER_SERVER_ADDR" jobs "$1" "${@:3}" >>"$2" 2>>worker.err
}

# end_with SIGNAL PID: its exit code.
end_with() {
  kill "-$1" "$2"
  wait "$2" 2>/dev/null
}

# ---- The worker.

jobs=10000
seq 1 $jobs | sed 's/^/job /' >input
seq 1 $jobs | sed 's/.*/& job &/' >expected
"$cli" send --channel jobs - <input || fail "send: exit code $?"

# await_more FILE: the worker that was started last is at work.
await_more() {
  await "the worker goes on" has_lines "$1" $(($(wc -l <"$1") + 200))
}

# It ends in its own way: each message once.
(work clean handled 250)
is "a worker with a count: exit code" $? 0
is "a worker with a count" "$(wc -l <handled)" 250
work clean handled &
pid=$!
await_more handled
kill_server
sleep 0.3
restart_server
await_more handled
end_with TERM $pid
is "a worker and SIGTERM: exit code" $? 0
work clean handled &
pid=$!
await_more handled
end_with INT $pid
is "a worker and SIGINT: exit code" $? 0
(work clean handled $((jobs - $(wc -l <handled))))
is "the last worker: exit code" $? 0
cmp handled expected || fail "the worker did not handle each message once"
is "the bookmark" "$(sed 's/@[0-9]*:/@:/' clean)" jobs@:$jobs

# It is killed: the message that it was at may come twice.
: >again
for _ in 1 2 3 4 5; do
  work killed again &
  pid=$!
  await_more again
  end_with KILL $pid
done
(work killed again $((jobs - $(sed 's/.*://' killed))))
is "a worker after kills: exit code" $? 0
uniq again >once
cmp once expected || fail "a killed worker has missed a message"
repeated=$(($(wc -l <again) - jobs))
[ $repeated -le 5 ] || fail "5 killed workers have repeated $repeated messages"

echo nonsense >broken
(work broken handled)
is "a broken bookmark: exit code" $? 2
sed 's/jobs/other/' clean >other
(work other handled)
is "a bookmark of another channel: exit code" $? 2

# ---- The bridge.

lines=50000
copy() { exec "$bridge" "$MESSENGER_SERVER_ADDR" from to 2>>bridge.err; }
all_copied() {
  "$cli" channels --channel to --json | grep -q "\"head\":$lines\b"
}

# Slowly enough for the kills to come in between.
seq 1 $lines | sed 's/^/line /' >text
while mapfile -t -n 1000 part && [ ${#part[@]} -gt 0 ]; do
  printf '%s' "${part[@]/%/$'\n'}"
  sleep 0.02
done <text | "$cli" send --channel from --attribute colour=red - \
  2>sender.err &
sender=$!
for i in 1 2 3 4 5 6; do
  copy &
  pid=$!
  sleep 1.$((RANDOM % 5))
  if [ $i = 3 ]; then
    kill_server
    restart_server
    sleep 1
  fi
  end_with KILL $pid
done
wait $sender
is "the sender: exit code" $? 0
copy &
pid=$!
await "all is copied" all_copied
end_with TERM $pid
is "the bridge: exit code" $? 0
"$cli" read --channel to --from earliest --until-caught-up --text >copied
cmp copied text || fail "the copy is not the original"
has "a copy has the attributes" "$("$cli" read --channel to --last 1 \
  --until-caught-up)" "line $lines.*source=from@[0-9]*:$lines.*colour=red"
"$cli" send --channel to stranger >/dev/null
(copy)
is "a destination of others: exit code" $? 1
has "a destination of others: says so" "$(cat bridge.err)" 'no copy of from'

finish

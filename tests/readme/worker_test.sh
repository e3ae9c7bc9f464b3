#!/usr/bin/env bash
# The example that goes on where it was, while it and its server are killed.
#   worker_test.sh MESSENGER_SERVER MESSENGER_CLI WORKER
set -uo pipefail
# shellcheck disable=SC2034 # for programs.sh
server=$1
cli=$2
worker=$3
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

finish

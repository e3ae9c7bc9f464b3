#!/usr/bin/env bash
# The programs while their wall clock goes back by an hour again and again.
#   programs_test.sh MESSENGER_SERVER MESSENGER_CLI WALL_CLOCK_LIBRARY
set -uo pipefail
programs=("$1" "$2")
library=$3
source "$(dirname "$0")/../support/programs.sh"

# Only they have that clock, not this shell.
for program in "${programs[@]}"; do
  cat >"$(basename "$program")" <<END
#!/bin/sh
exec env LD_PRELOAD="$library" MESSENGER_WALL_CLOCK_GOES_BACK=1 "$program" "\$@"
END
done
server=$PWD/messenger-server
cli=$PWD/messenger-cli
chmod +x "$server" "$cli"

has_reader() {
  "$cli" channels --channel c --json | grep -q '"readers":1'
}

start_server --drain-timeout 1s
is "a message is sent" "$("$cli" send --channel c first)" "c 1"
"$cli" read --channel c --text >heard 2>read.err &
reader=$!
await "the reader joins" has_reader
took "a message is sent, and a reader joins"

# It hangs: its machine still answers.
kill -STOP "$server_pid"
"$cli" ping >/dev/null 2>ping.err && fail "ping: a server that hangs answers"
has "ping" "$(cat ping.err)" 'has not answered within 10000 ms'
took "ping gives up"
await "the reader notices" grep -q '^.*lost .*; trying again$' read.err
took "the reader notices"
kill -CONT "$server_pid"
await "the reader is back" grep -q 'connected to' read.err
is "and gets what is sent" "$("$cli" send --channel c second)" "c 2"
await "and gets what is sent" grep -qx second heard
# In a channel, times never go back.
is "a first message" "$("$cli" send --channel late x)" "late 1"
"$cli" read --channel late --from 1 --limit 1 --json >late.json
has "what was sent" "$(cat late.json)" '"text":"x"'
grep -q "\"send_time\":\"$(date -u +%F)" late.json &&
  fail "the clock of the server has not gone back"
took "both go on"

kill -TERM "$server_pid"
wait "$server_pid" || fail "the server: exit code $?"
server_pid=
kill -TERM $reader
wait $reader
took "both end"
finish

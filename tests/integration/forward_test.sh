#!/usr/bin/env bash
# messenger-cli forward, from one server to another.
#   forward_test.sh MESSENGER_SERVER MESSENGER_CLI
set -uo pipefail
server=$1
cli=$2
source "$(dirname "$0")/../support/programs.sh"

# The source is the server of programs.sh; the destination is this one.
to=
to_pid=
trap '[ -z "$to_pid" ] || kill -9 "$to_pid" 2>/dev/null; cleanup' EXIT

# start_destination ADDRESS [OPTION...]
start_destination() {
  : >to.out
  "$server" --listen "$@" >to.out 2>to.err &
  to_pid=$!
  await "the destination listens" grep -q listening to.out || exit 1
  to=$(sed -n 's/.*listening on \([^ ]*\).*/\1/p' to.out)
}

kill_destination() {
  kill -9 "$to_pid"
  wait "$to_pid" 2>/dev/null
  to_pid=
}

# forward OPTION...
forward() { "$cli" forward --from "$MESSENGER_SERVER_ADDR" --to "$to" "$@"; }

# live OPTION...: the same, to be run in the background.
live() { exec "$cli" forward --from "$MESSENGER_SERVER_ADDR" --to "$to" "$@"; }

# copies CHANNEL [OPTION...]: what the destination has.
copies() {
  "$cli" read "$1" --server "$to" --from earliest --until-caught-up "${@:2}"
}

# has_copies CHANNEL N: so many, or more.
has_copies() {
  local head
  head=$("$cli" channels "$1" --server "$to" --json |
    sed 's/.*"head":\([0-9]*\).*/\1/')
  [ "${head:-0}" -ge "$2" ]
}

# refused WHAT CODE PATTERN OPTION...: forward says what is wrong.
refused() {
  forward "${@:4}" --until-caught-up >out 2>err </dev/null
  is "$1: exit code" $? "$2"
  has "$1: says so" "$(cat err)" "$3"
}

start_server --log memory:
start_destination 127.0.0.1:0 --log memory:

# ---- What a copy is

printf '\0\xff' >bytes
"$cli" send --channel one --author ann --attribute colour=red --data-file bytes \
  --content-type image/png 'a text' >/dev/null
forward --channel one --until-caught-up >out 2>err ||
  fail "forward: exit code $?"
is "it is quiet" "$(cat err)" ""
has "the summary" "$(cat out)" \
  '^one: 1 forwarded in [0-9.]+ s, up to [0-9]+:1; 0 behind$'
original=$("$cli" read one --last 1 --limit 1 --json)
epoch=$(sed 's/.*"epoch":"\([0-9]*\)".*/\1/' <<<"$original")
time=$(sed 's/.*"send_time":"\([^"]*\)".*/\1/' <<<"$original")
is "a copy" "$(copies one --json | sed 's/.*"author"/"author"/')" \
  "\"author\":\"ann\",\"text\":\"a text\",\"attributes\":[{\"name\":\"colour\",\"value\":\"red\"},{\"name\":\"messenger.source\",\"value\":\"one@$epoch:1\"},{\"name\":\"messenger.source_time\",\"value\":\"$time\"}],\"data\":\"AP8=\",\"content_type\":\"image/png\"}"
has "once more is nothing" "$(forward --channel one --until-caught-up)" \
  '^one: 0 forwarded in .*:1; 0 behind$'
is "it is there once" "$(copies one --text)" 'a text'
has "another name begins anew" \
  "$(forward --channel one --until-caught-up --name other)" '^one: 1 forwarded'
is "it is there twice" "$(copies one --text)" $'a text\na text'
has "where it stands" "$("$cli" producers --server "$to" --channel one)" \
  "one  *forward/$epoch/0/one  *2  *2 "

seq 1 500 | "$cli" send - --channel many || fail "send: exit code $?"
forward --channel many=device.many --channel one --channel empty \
  --until-caught-up --json >out || fail "several channels: exit code $?"
is "several channels" "$(sed 's/"epoch":"[0-9]*"/"epoch":"E"/' out)" \
  '{"from":"many","to":"device.many","forwarded":500,"duplicates":0,"gaps":0,"epoch":"E","sequence":500,"head":500,"lag":0,"caught_up":true,"trouble":null,"lag_seconds":0.0}
{"from":"one","to":"one","forwarded":0,"duplicates":0,"gaps":0,"epoch":"E","sequence":1,"head":1,"lag":0,"caught_up":true,"trouble":null,"lag_seconds":0.0}
{"from":"empty","to":"empty","forwarded":0,"duplicates":0,"gaps":0,"epoch":"E","sequence":0,"head":0,"lag":0,"caught_up":true,"trouble":null,"lag_seconds":0.0}'
is "under another name" "$(copies device.many --text)" "$(seq 1 500)"
has "the summary names both" "$(forward --channel many=device.many \
  --until-caught-up)" '^many to device.many: 0 forwarded'

# ---- Live

for signal in INT TERM HUP; do
  before=$(copies live --json 2>/dev/null | wc -l)
  env --default-signal=INT,HUP "$cli" forward --from "$MESSENGER_SERVER_ADDR" \
    --to "$to" --channel live >out 2>err &
  forwarder=$!
  "$cli" send --channel live "before SIG$signal" >/dev/null
  await "a copy comes live" has_copies live $((before + 1))
  kill -$signal $forwarder
  wait $forwarder
  is "SIG$signal: exit code" $? $((128 + $(kill -l $signal)))
  has "SIG$signal: the summary" "$(cat out)" \
    '^live: [01] forwarded in .* s, up to [0-9]+:[0-9]+; [01] behind$'
  is "SIG$signal: nothing else" "$(cat err)" ""
done
is "live copies" "$(copies live --text)" \
  $'before SIGINT\nbefore SIGTERM\nbefore SIGHUP'

# --json tells of what changes.
live --channel told --json >told 2>err &
forwarder=$!
"$cli" send --channel told hello >/dev/null
await "it is told" grep -q '"forwarded":1,.*"caught_up":true' told
kill -TERM $forwarder
wait $forwarder

is_opened_twice() {
  "$cli" producers --server "$to" --channel fenced --json |
    grep -q '"generation":2'
}

# Another one takes over. The first is told when it has something to send.
live --channel fenced >first.out 2>first.err &
forwarder=$!
"$cli" send --channel fenced one >/dev/null
await "the first one copies" has_copies fenced 1
live --channel fenced >second.out 2>second.err &
second=$!
await "the second one is there" is_opened_twice
"$cli" send --channel fenced two >/dev/null
wait $forwarder
is "who is fenced: exit code" $? 1
has "who is fenced: says so" "$(cat first.err)" \
  'was opened again.*Another process forwards the channel under this --name$'
await "the second one goes on" has_copies fenced 2
kill -TERM $second
wait $second
is "who takes over: exit code" $? 143
is "both are there once" "$(copies fenced --text)" $'one\ntwo'

# On a terminal there is a line that shows how far it is.
: >out
TERM=dumb script -qefc "echo \$\$ >pid; exec env --default-signal=INT $cli forward \
  --from $MESSENGER_SERVER_ADDR --to $to --channel many=shown" /dev/null >out </dev/null &
terminal=$!
shows() { terminal_lines out | grep -qE "$1"; }
await "on a terminal" shows '^forwarded 500, [0-9]+/s, 0 behind'
kill -INT "$(cat pid)"
wait $terminal
has "on a terminal: the summary" "$(cat out)" 'many to shown: 500 forwarded in'

# ---- Who is not there

# away FROM TO WHICH: forward ends since one of them is not there.
away() {
  "$cli" forward --from "$1" --to "$2" --channel one --give-up-after 0s \
    >out 2>err
  is "no server $3: exit code" $? 3
  has "no server $3" "$(tail -n 1 err)" \
    "127.0.0.1:1: .*Is messenger-server running there\\? \\($3\\)\$"
}
away 127.0.0.1:1 "$to" --from
away "$MESSENGER_SERVER_ADDR" 127.0.0.1:1 --to
: >err
"$cli" forward --from 127.0.0.1:1 --to "$to" --channel one >out 2>err &
forwarder=$!
await "it waits" grep -q 'trying again' err
kill -TERM $forwarder
wait $forwarder
is "SIGTERM while it waits: exit code" $? 143
has "SIGTERM while it waits: the summary" "$(cat out)" '^one: 0 forwarded in '

# It goes on when the destination is back, which is a new log here: there it
# begins anew.
live --channel many=again >out 2>err &
forwarder=$!
await "all is copied" has_copies again 500
kill_destination
"$cli" send --channel many 501 >/dev/null
await "it is told that the destination is away" grep -q "lost $to: .*again" err
start_destination "$to" --log memory:
await "all is copied again" has_copies again 501
is "the copies at a new destination" "$(copies again --text)" "$(seq 1 501)"

# The source is a new log: its messages are copied after those of the old one,
# and what is between them is a gap.
kill_server
await "it is told that the source is away" \
  grep -q "lost $MESSENGER_SERVER_ADDR: .*again" err
restart_server --log memory:
seq 1 3 | "$cli" send - --channel many
await "those of the new source" has_copies again 505
copies again --json | tail -n 4 >new
has "a new source: the gap" "$(head -n 1 new)" \
  '"text":"","attributes":\[{"name":"messenger.gap","value":"new_epoch"},{"name":"messenger.gap.first_missing","value":"502"},{"name":"messenger.gap.next","value":"1"}'
is "a new source: its messages" \
  "$(sed 's/.*"text":"\([^"]*\)".*/\1/' new | tail -n 3)" "$(seq 1 3)"
kill -TERM $forwarder
wait $forwarder
is "after all that: exit code" $? 143
has "after all that: the summary" "$(cat out)" ', 1 of them for gaps'

# Messages that retention has dropped before they were copied.
kill_server
restart_server --log memory: --retention-bytes 64Ki
seq -f 'line %06.0f of a channel that keeps 64 KiB' 1 4000 |
  "$cli" send - --channel short
forward --channel short --until-caught-up >out || fail "a gap: exit code $?"
has "a gap: the summary" "$(cat out)" ', 1 of them for gaps, up to'
has "a gap" "$(copies short --json | head -n 1)" \
  '"messenger.gap","value":"retention"},{"name":"messenger.gap.first_missing","value":"1"}'
is "what is behind the gap" "$(copies short --text | tail -n 1 | cut -c 1-11)" \
  'line 004000'

# ---- What the destination refuses

kill_destination
start_destination "$to" --log memory: --max-message-bytes 1Ki --max-channels 1
"$cli" send --channel large small >/dev/null
head -c 1000 /dev/zero | tr '\0' x | "$cli" send --channel large - >/dev/null
"$cli" send --channel large small >/dev/null
refused "a message that has become too large" 1 \
  'message 2 of the epoch [0-9]+: .* 1024' --channel large
is "it is left there" "$(copies large --text)" small
refused "a channel too many" 1 'one more than the 1 channels' --channel short

# ---- Encryption

for directory in tls other; do
  "$server" init-tls $directory --name 127.0.0.1 >/dev/null
done
kill_destination
start_destination 127.0.0.1:0 --log memory: \
  --tls-cert tls/server.pem --tls-key tls/server.key
"$cli" send --channel one 'a secret' >/dev/null
forward --channel one --until-caught-up --to-tls-ca tls/ca.pem >out ||
  fail "encrypted: exit code $?"
has "encrypted" "$(cat out)" '^one: 1 forwarded'
refused "a CA of others" 3 "^messenger-cli: cannot connect to $to: .*
messenger-cli: the server's certificate comes from .*, but from \"CN=messenger CA [0-9a-f]+\"\$" \
  --channel one --to-tls-ca other/ca.pem --give-up-after 0s
refused "no encryption" 1 "$to: .*takes encrypted connections only" --channel one
refused "encryption that the source does not have" 3 \
  "^messenger-cli: $MESSENGER_SERVER_ADDR does not speak TLS
messenger-cli: it answers without TLS" \
  --channel one --from-tls-ca tls/ca.pem --to-tls-ca tls/ca.pem --give-up-after 0s
refused "a CA that is not there" 2 '^messenger-cli: --to-tls-ca: nowhere: ' \
  --channel one --to-tls-ca nowhere
kill_destination
start_destination "$to" --log memory:

# ---- Wrong usage

refused "no channel" 2 '--channel is required'
refused "a channel that is none" 2 '--channel: "a/b" has' --channel a/b
refused "a channel without a name" 2 "'a=' is neither CHANNEL nor FROM=TO" \
  --channel a=
refused "a channel twice" 2 '"a" is forwarded twice' --channel a --channel a=b
refused "two to one" 2 'two are forwarded to "b"' --channel b --channel a=b
refused "a name that is none" 2 "--name: has a '/'" --channel a --name a/b
refused "an empty name" 2 '--name: 0 bytes; must be 1 to 64' --channel a --name ''
refused "two kinds of proxies" 2 '--http-proxy excludes' --channel a \
  --http-proxy 127.0.0.1:1 --to-http-proxy 127.0.0.1:1
refused "a proxy of the destination" 3 "$to \\(through the proxy 127.0.0.1:1\\)" \
  --channel one --to-http-proxy 127.0.0.1:1 --give-up-after 0s
"$cli" --server "$to" forward --from "$to" --to "$to" --channel a 2>err
is "--server: exit code" $? 2
has "--server" "$(cat err)" '--server: forward has --from and --to'
"$cli" forward --to "$to" --channel a 2>err
is "no source: exit code" $? 2
has "no source" "$(cat err)" '--from is required'
"$cli" forward --from "$to" --to "$to" --channel a >out 2>err
is "a channel to itself: exit code" $? 1
has "a channel to itself" "$(cat err)" '"a" would be copied to itself'
"$cli" forward --from "$to" --to "$to" --channel a=b --until-caught-up >out ||
  fail "another channel of one server: exit code $?"
MESSENGER_SERVER_ADDR=nonsense:x "$cli" forward --from "$to" --to "$to" \
  --channel a=b --until-caught-up >/dev/full 2>err
is "a summary on a full disk: exit code" $? 1
has "a summary on a full disk" "$(cat err)" 'cannot write the output'

finish

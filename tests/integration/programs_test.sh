#!/usr/bin/env bash
# The programs as a user meets them: exit codes, pipes, signals, a real text.
#   programs_test.sh MESSENGER_SERVER MESSENGER_CLI
set -uo pipefail
server=$1
cli=$2
proto=$(readlink -f "$(dirname "$0")/../../proto")
source "$(dirname "$0")/../support/programs.sh"

has_reader() {
  "$cli" channels --channel "$1" "${@:2}" --json | grep -q '"readers":1'
}

has_no_reader() {
  "$cli" channels --channel "$1" --json | grep -q '"readers":0'
}

has_head() {
  "$cli" channels --channel "$1" --json | grep -q "\"head\":$2\b"
}

start_server

# A real text of more than 100,000 lines, with blank ones and a last line that
# does not end.
: >book
while [ "$(wc -l <book 2>/dev/null || echo 0)" -lt 120000 ]; do
  cat /usr/share/common-licenses/{GPL-3,Apache-2.0,LGPL-2.1} >>book
done
printf 'the end' >>book
grep -c '^$' book >/dev/null || fail "the text has no blank lines"
start=$(date +%s%N)
"$cli" send --channel book - <book || fail "send -: exit code $?"
"$cli" read --channel book --from earliest --until-caught-up --text >copy ||
  fail "read: exit code $?"
took=$((($(date +%s%N) - start) / 1000000))
echo >>book # read ends every line
cmp book copy || fail "the text came back different"
echo "$(wc -l <book) lines sent and read back in $took ms"
"$cli" read --channel book --from earliest --until-caught-up --json >lines.json
is "JSON lines" "$(wc -l <lines.json)" "$(wc -l <book)"
is "sequences in order" \
  "$(sed -n 's/.*"sequence":\([0-9]*\).*/\1/p' lines.json | sort -nc 2>&1)" ""

# One message at a time.
is "send prints channel and sequence" "$("$cli" send hello)" "general 1"
is "an empty text is a message" "$("$cli" send '')" "general 2"
has "the readable line" "$("$cli" read --last 2 --limit 1)" \
  '[0-9]{2}:[0-9]{2}:[0-9]{2}.*tester.*hello'
has "JSON of a receipt" "$("$cli" send --json x)" '"sequence":3'
is "--from SEQ" "$("$cli" read --from 2 --until-caught-up --text | tail -n 1)" x
is "--since a duration" "$("$cli" read --since 1h --limit 3 --text | wc -l)" 3
has "channels" "$("$cli" channels)" 'general'
has "ping" "$("$cli" ping)" "$MESSENGER_SERVER_ADDR.* ms"

# Chatting: a late reader gets what is sent after it joined.
"$cli" send --channel chat --author ann early >/dev/null
"$cli" read --channel chat --limit 2 --text >heard &
reader=$!
await "the reader joins" has_reader chat
"$cli" send --channel chat --author bob hi >/dev/null
"$cli" send --channel chat --author ann 'hi bob' >/dev/null
wait $reader || fail "chat: exit code $?"
is "a late reader gets what is sent after it joined" "$(cat heard)" \
  $'hi\nhi bob'

# Lines that are not UTF-8.
printf 'one\ntwo\nbad \xff\nfour\n' >bad
"$cli" send --channel bad - <bad 2>err
is "a bad line: exit code" $? 1
has "a bad line: its number" "$(cat err)" 'line 3'
has "a bad line: what to do" "$(cat err)" 'iconv'
is "what went before is stored" \
  "$("$cli" read --channel bad --from earliest --until-caught-up --text)" \
  $'one\ntwo'
"$cli" send --channel bad2 --skip-invalid - <bad 2>err
is "--skip-invalid: exit code" $? 1
is "--skip-invalid sends the rest" \
  "$("$cli" read --channel bad2 --from earliest --until-caught-up --text)" \
  $'one\ntwo\nfour'

# Pipes and files that end early.
is "read | head" \
  "$("$cli" read --channel book --from earliest --text 2>err | head -n 1)" \
  "$(head -n 1 book)"
is "read | head is quiet" "$(cat err)" ""
"$cli" read --channel book --from earliest --until-caught-up >/dev/full 2>err
is "a full disk: exit code" $? 1
"$cli" send --channel receipts hello >/dev/full 2>err
is "a receipt on a full disk: exit code" $? 1
has "a receipt on a full disk: it is stored" "$(cat err)" \
  'cannot write the output: .*; the message is stored: receipts 1$'
printf 'one\ntwo\n' | "$cli" send --channel receipts --json - >/dev/full 2>err
is "a summary on a full disk: exit code" $? 1
has "a summary on a full disk: they are stored" "$(cat err)" \
  'cannot write the output: .*; Lines 1 to 2 were acknowledged\.$'
is "they are, once" "$("$cli" read --channel receipts --from earliest \
  --until-caught-up --text)" $'hello\none\ntwo'
for command in channels "channels --json" ping "ping --json"; do
  # shellcheck disable=SC2086
  "$cli" $command >/dev/full 2>err
  is "$command on a full disk: exit code" $? 1
  has "$command on a full disk" "$(cat err)" 'cannot write the output'
done
"$cli" send --channel receipts hello | true
is "a receipt that nobody wants: exit code" "${PIPESTATUS[0]}" 0

# The channel as an argument.
is "read CHANNEL" "$("$cli" read chat --last 1 --limit 1 --text)" 'hi bob'
is "read CHANNEL, twice the same" \
  "$("$cli" read --channel chat chat --last 1 --limit 1 --text)" 'hi bob'
"$cli" read --channel chat book 2>err
is "two different channels: exit code" $? 2
has "two different channels" "$(cat err)" "'book' is not what --channel says, 'chat'"
has "channels CHANNEL" "$("$cli" channels chat | tail -n +2)" '^chat '

# Words that nearly are some. means WORD MEANT COMMAND...
means() {
  local word=$1 meant=$2
  shift 2
  "$@" >/dev/null 2>err </dev/null
  is "$*: exit code" $? 2
  has "$*" "$(head -n 1 err)" "there is no [a-z]* '$word'; did you mean $meant\?\$"
}
means raed read "$cli" raed general
means chanels channels "$cli" chanels
means snd send "$cli" bench snd
means --chanel --channel "$cli" send --chanel x hello
means --txt --text "$cli" read --txt
means --until --until-caught-up "$cli" read --until
means verfy verify "$server" verfy
means --lsten --listen "$server" --lsten=127.0.0.1:0
means --jsn --json "$server" verify --jsn
"$cli" general 2>err
has "no word like that" "$(cat err)" \
  "no command 'general'; there are send, read, channels, producers, forward, ping, bench\$"
"$cli" send hello world 2>err
has "a word too many" "$(cat err)" "'world' is an argument too many"

# A time zone that there is not is said once; others are not.
TZ=Mars/Olympus "$cli" read --last 3 --limit 3 >out 2>err
is "an unknown TZ is said once" "$(grep -c "Mars/Olympus" err)" 1
has "an unknown TZ" "$(cat err)" "^TZ: 'Mars/Olympus' is no time zone .* UTC"
TZ=Mars/Olympus "$cli" read --since '2024-05-14 10:00' --limit 1 --json >out 2>err
is "an unknown TZ of --since" "$(grep -c "Mars/Olympus" err)" 1
for zone in UTC "" :UTC; do
  TZ=$zone "$cli" read --last 1 --limit 1 >out 2>err
  is "TZ=$zone" "$(cat err)" ""
done
TZ=Mars/Olympus "$cli" read --last 1 --limit 1 --json >out 2>err
is "an unknown TZ where it does not matter" "$(cat err)" ""

# Ctrl-C and SIGTERM. (A background job ignores SIGINT unless it is told not to.)
for signal in INT TERM HUP; do
  await "nobody reads" has_no_reader general
  env --default-signal=INT,HUP "$cli" read --channel general >out 2>err &
  reader=$!
  await "the reader stands" has_reader general
  kill -$signal $reader
  wait $reader
  is "read and SIG$signal: exit code" $? $((128 + $(kill -l $signal)))
done
await "it has gone" has_no_reader general
"$cli" read --channel general >out 2>err &
reader=$!
await "the reader stands" has_reader general
kill -INT $reader
kill -USR1 $reader
kill -USR2 $reader
kill -TERM $reader
wait $reader
is "an ignored SIGINT and SIGTERM: exit code" $? 143
await "it has gone" has_no_reader general
nohup "$cli" read --channel general >out 2>err &
reader=$!
await "the reader stands" has_reader general
kill -HUP $reader
kill -TERM $reader
wait $reader
is "SIGHUP under nohup: exit code" $? 143

# What was sent when the terminal closes is told.
mkfifo typed
"$cli" send --channel typed - <typed 2>err &
sender=$!
exec {typing}>typed
echo line >&"$typing"
await "the line is sent" has_head typed 1
kill -HUP $sender
wait $sender
is "SIGHUP of send -: exit code" $? 129
has "SIGHUP of send -: what was sent" "$(cat err)" 'Line 1 was acknowledged'
exec {typing}>&-

# Wrong usage, wrong address.
for wrong in "nosuch" "read --last x" "read --from 0" "read --last 1 --from 1" \
  "send" "read --limit 0" "send --channel a/b x" "read --nosuch"; do
  # shellcheck disable=SC2086
  "$cli" $wrong >/dev/null 2>err </dev/null
  is "messenger-cli $wrong: exit code" $? 2
  [ -s err ] || fail "messenger-cli $wrong: says nothing"
done
"$cli" ping --server 127.0.0.1:1 2>err
is "no server: exit code" $? 3
has "no server: says where" "$(cat err)" '127.0.0.1:1.*[Ii]s messenger-server'
for address in ::1 '[::1]' '[::1]:51075'; do
  has "the port of $address" "$("$cli" ping --server "$address" 2>&1)" \
    '\[::1\]:51075: '
done
is "an empty channel is the default one" "$("$cli" read --channel "" \
  --from earliest --until-caught-up --text)" \
  "$("$cli" read --from earliest --until-caught-up --text)"
"$cli" read --from 999 2>err
is "a start beyond the head: exit code" $? 1
has "a start beyond the head: says so" "$(cat err)" 'beyond the head'
"$server" --listen "$MESSENGER_SERVER_ADDR" --log memory: 2>err
is "an address in use: exit code" $? 1
has "an address in use: says so" "$(cat err)" 'Address already in use'
for address in nonsense ::1:0 '[::1]' 127.0.0.1:99999 unix:/tmp/x; do
  "$server" --listen "$address" 2>err
  is "--listen $address: exit code" $? 2
  has "--listen $address: says so" "$(cat err)" '^messenger-server: --listen: "'
done
MESSENGER_SERVER_PORT=x "$server" 2>err
is "a bad MESSENGER_SERVER_PORT: exit code" $? 2
has "a bad MESSENGER_SERVER_PORT: says so" "$(cat err)" \
  'MESSENGER_SERVER_PORT: the port "x" is no number from 0 to 65535'
for address in 127.0.0.1:99999 127.0.0.1:0 127.0.0.1:http 'a b' '' ::1:51075; do
  "$cli" ping --server "$address" 2>err
  is "--server '$address': exit code" $? 2
  has "--server '$address': says so" "$(cat err)" '^messenger-cli: --server: "'
done
MESSENGER_SERVER_ADDR=127.0.0.1:99999 "$cli" ping 2>err
is "a bad MESSENGER_SERVER_ADDR: exit code" $? 2
has "a bad MESSENGER_SERVER_ADDR: says so" "$(cat err)" \
  'MESSENGER_SERVER_ADDR: "127.0.0.1:99999": the port "99999" is no number'

# A server that cannot start leaves no log behind.
mkdir empty
for listen in "$MESSENGER_SERVER_ADDR" nonsense 192.0.2.1:0; do
  (cd empty && "$server" --listen "$listen" 2>../err)
  is "a failed start on $listen leaves nothing" "$(ls -A empty)" ""
done
(cd empty && "$server" --listen 127.0.0.1:0 --max-message-bytes 99Mi 2>../err)
is "a failed start with a bad option: exit code" $? 2
is "a failed start with a bad option leaves nothing" "$(ls -A empty)" ""

# The environment does not say how to connect.
ambient=(env http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1
  grpc_proxy=http://127.0.0.1:1 no_proxy=localhost
  GRPC_XDS_BOOTSTRAP=/nonexistent)
has "proxies in the environment do not count" \
  "$("${ambient[@]}" "$cli" send --channel ambient x 2>&1)" '^ambient 1$'
"$cli" ping --http-proxy 127.0.0.1:1 2>err
is "a proxy that is not there: exit code" $? 3
has "a proxy that is not there: is named" "$(cat err)" \
  "cannot reach $MESSENGER_SERVER_ADDR \(through the proxy 127.0.0.1:1\): Conn"
no_proxy=127.0.0.1 "$cli" ping --http-proxy 127.0.0.1:1 2>err
is "a proxy that is asked for, whatever no_proxy says: exit code" $? 3
"$cli" ping --http-proxy http://127.0.0.1:1 2>err
is "a proxy that is no address: exit code" $? 2
has "--help of the server" "$("$server" --help)" 'SIGTERM'
has "--help of the cli" "$("$cli" --help)" 'send'
has "--version" "$("$cli" --version)" '[0-9]+\.[0-9]+\.[0-9]+'

# So does SIGHUP, and a second one does not hurry it. SIGUSR1 does nothing.
: >out
"$server" --listen 127.0.0.1:0 --log memory: >out 2>err &
other=$!
await "another server listens" grep -q listening out
kill -USR1 $other
kill -USR2 $other
address=$(sed -n 's/.*listening on \([^ ]*\).*/\1/p' out)
is "after SIGUSR1" "$("$cli" send --server "$address" hello)" "general 1"
kill -HUP $other
kill -HUP $other
wait $other
is "SIGHUP: exit code" $? 0
has "SIGHUP drains" "$(cat err)" '^messenger-server: SIGHUP: draining'

# A drain that gRPC does not end is ended by an alarm: here before its time.
: >out # of the one before
"$server" --listen 127.0.0.1:0 --log memory: --drain-timeout 10m >out 2>err &
other=$!
await "a third server listens" grep -q listening out
address=$(sed -n 's/.*listening on \([^ ]*\).*/\1/p' out)
"$cli" send --server "$address" hello >/dev/null
"$cli" read --server "$address" >/dev/null 2>&1 &
reader=$!
await "the reader of the third stands" has_reader general --server "$address"
kill -STOP $reader
head -c 4000000 /dev/zero | tr '\0' x | fold -w 1000000 |
  "$cli" send --server "$address" - >/dev/null
kill -TERM $other
await "the third drains" grep -q draining err
kill -ALRM $other
wait $other
is "a drain without end: exit code" $? 1
has "a drain without end" "$(cat err)" 'a call has not ended'
kill -KILL $reader
wait $reader

# SIGTERM drains: readers are told, and the server exits with 0.
"$cli" read --channel general --give-up-after 0s 2>err &
reader=$!
await "the reader stands" has_reader general
kill -TERM $server_pid
wait $server_pid
is "a drained server: exit code" $? 0
server_pid=
wait $reader
is "a reader of a drained server: exit code" $? 3
has "a reader of a drained server: how to go on" "$(cat err)" \
  'Go on with: --after [0-9]+:[0-9]+'

# Descriptors that are closed, or whose other end has gone, are no reason to
# fail.
"$server" --listen "$MESSENGER_SERVER_ADDR" <&- >&- 2>&- &
server_pid=$!
await "a server without descriptors serves" "$cli" ping
"$cli" send --author ann hello >/dev/null 2>&- ||
  fail "send without stderr: exit code $?"
kill -TERM $server_pid
wait $server_pid
is "a drained server without descriptors: exit code" $? 0
server_pid=
"$cli" ping 2>/dev/full
is "no server, and no room for saying so: exit code" $? 3

# kill -9 in the middle of a send that does not wait for the server: it says
# what was acknowledged.
start_server
for patience in 0s 200ms; do
  "$cli" send --channel killed --give-up-after $patience - \
    < <(yes 'a line') 2>err &
  sender=$!
  await "some lines arrive" "$cli" channels --channel killed --json
  kill_server
  wait $sender
  is "a killed server, after $patience: exit code of send" $? 3
  has "a killed server, after $patience: send says what is certain" \
    "$(cat err)" '(Line 1 was|Lines 1 to [0-9]+ were|No line was) acknowledged'
  [ $patience = 200ms ] || restart_server
done

# What was acknowledged is there when the server is started again, and goes on.
acknowledged=$(sed -nE 's/.*Lines 1 to ([0-9]+) were acknowledged.*/\1/p' err)
start_server
lines=$("$cli" read --channel killed --from earliest --until-caught-up --text |
  wc -l)
[ "$lines" -ge "${acknowledged:-1}" ] ||
  fail "of $acknowledged acknowledged lines, $lines are there"
is "the next message" "$("$cli" send --channel killed next)" \
  "killed $((lines + 1))"
cmp <("$cli" read --channel book --from earliest --until-caught-up --text) \
  book || fail "the text was changed by restarts"

# Killed and started again: send - and read wait for it, and go on.
seq 1 60000 | sed 's/^/line /' >text
echo 0 >restarted
# 15,000 lines for each restart, and one now and then until it has come: so that
# something is on the way whenever the server is killed, however slow all is.
slowly() {
  local part restarted count=200 sent=0
  while mapfile -t -n $count part && [ ${#part[@]} -gt 0 ]; do
    printf '%s' "${part[@]/%/$'\n'}"
    sleep 0.01
    sent=$((sent + ${#part[@]}))
    read -r restarted <restarted
    count=$((sent < 15000 * (restarted + 1) ? 200 : 1))
  done
}
"$cli" read --channel ride --from earliest --limit 60000 --text \
  >live 2>read.err &
reader=$!
"$cli" send --channel ride - < <(slowly <text) >sent 2>send.err &
sender=$!
# both_say TIMES PATTERN: in what they print on stderr.
both_say() {
  local err
  for err in read.err send.err; do
    [ "$(grep -c "$2" $err)" -ge "$1" ] || return
  done
}
restarts=0
for lines in 5000 20000 35000; do
  restarts=$((restarts + 1))
  await "lines arrive" has_lines live $lines
  kill_server
  await "restart $restarts: it is lost" both_say $restarts '^[^ ]*: lost '
  restart_server
  await "restart $restarts: it is back" both_say $restarts ': connected to '
  echo $restarts >restarted
done
wait $sender || fail "send over restarts: exit code $?"
wait $reader || fail "read over restarts: exit code $?"
cmp live text || fail "read over restarts: not what was sent"
cmp <("$cli" read --channel ride --from earliest --until-caught-up --text) \
  text || fail "send over restarts: not stored once each, in order"
for err in read.err send.err; do
  is "$err: how often it was lost" \
    "$(grep -c "lost $MESSENGER_SERVER_ADDR: .*trying again" $err)" 3
  is "$err: how often it was back" \
    "$(grep -c "connected to $MESSENGER_SERVER_ADDR after" $err)" 3
done

# Ctrl-C while the server is away.
mkfifo away.lines
env --default-signal=INT "$cli" send --channel away - <away.lines 2>err &
sender=$!
exec 7>away.lines
printf 'one\ntwo\n' >&7
await "two lines arrive" has_head away 2
kill_server
echo three >&7
await "the sender is told" grep -q 'trying again' err
kill -INT $sender
wait $sender
is "Ctrl-C while the server is away: exit code" $? 130
exec 7>&-
has "Ctrl-C while the server is away: says what is certain" "$(cat err)" \
  'Lines 1 to 2 were acknowledged; line 3 may have been stored or not'
restart_server

# A bookmark: each run goes on where the one before was.
marked() {
  "$cli" read --bookmark mark --channel ride --from earliest --text "$@"
}
marked --limit 1000 >marked || fail "read --bookmark: exit code $?"
marked --limit 7 >>marked || fail "read --bookmark: exit code $?"
"$cli" read --bookmark mark --text --limit 3 >>marked ||
  fail "read --bookmark without a channel: exit code $?"
marked --until-caught-up >>marked || fail "read --bookmark: exit code $?"
cmp marked text || fail "read --bookmark: not each message once"
is "read --bookmark: the rest is nothing" "$(marked --until-caught-up)" ""
is "the bookmark" "$(sed 's/@[0-9]*:/@:/' mark)" "ride@:60000"
# After kill -9 some messages may come again, but none is missed.
"$cli" send --channel mark - < <(slowly <text) &
sender=$!
: >marked
for _ in 1 2 3 4 5 6; do
  "$cli" read --bookmark mark2 --channel mark --from earliest --text >run &
  reader=$!
  await "lines are printed" has_lines run 1000
  kill -9 $reader
  wait $reader 2>/dev/null
  [ -z "$(tail -c 1 run)" ] || sed -i '$d' run # a line that was cut off
  cat run >>marked
done
wait $sender || fail "send to be marked: exit code $?"
"$cli" read --bookmark mark2 --until-caught-up --text >>marked ||
  fail "read --bookmark after kill -9: exit code $?"
cmp <(sort -u marked) <(sort text) || fail "read --bookmark missed a message"

# wrong_bookmark WHAT EXIT_CODE MESSAGE OPTION...
wrong_bookmark() {
  "$cli" read --until-caught-up "${@:4}" >out 2>err
  is "$1: exit code" $? "$2"
  has "$1: says so" "$(cat err)" "$3"
  is "$1: prints nothing" "$(cat out)" ""
}
echo nonsense >wrong
wrong_bookmark "a file that is no bookmark" 2 \
  'wrong holds no bookmark.*CHANNEL@EPOCH:SEQUENCE.*remove it' --bookmark wrong
is "it is left alone" "$(cat wrong)" nonsense
wrong_bookmark "the bookmark of another channel" 2 \
  'is chat, but the bookmark is of ride' --bookmark mark --channel chat
wrong_bookmark "a bookmark that cannot be written" 1 \
  'cannot write the bookmark not/there: No such file' \
  --bookmark not/there --channel ride --from earliest
wrong_bookmark "a bookmark that cannot be read" 1 \
  'cannot read the bookmark .: Is a directory' --bookmark .
echo precious >victim
ln -s victim mark.link
wrong_bookmark "a bookmark that is a link" 1 \
  'cannot read the bookmark mark.link: is a symbolic link; name the file' \
  --bookmark mark.link --channel ride --from earliest
mkfifo mark.fifo
wrong_bookmark "a bookmark that is a FIFO" 1 \
  'cannot read the bookmark mark.fifo: is a FIFO' \
  --bookmark mark.fifo --channel ride --from earliest
wrong_bookmark "a bookmark that is a device" 1 \
  'cannot read the bookmark /dev/null: is a device' \
  --bookmark /dev/null --channel ride --from earliest
# mark_beside WHAT EXIT_CODE: with what is in the place of the replacement.
mark_beside() {
  "$cli" read --bookmark beside --channel ride --from earliest --limit 3 \
    --text >out 2>err
  is "$1 beside the bookmark: exit code" $? "$2"
  is "$1 beside the bookmark: what it leads to" "$(cat victim)" precious
  rm -f beside beside.new
}
ln -s victim beside.new
mark_beside "a link" 1
has "a link beside the bookmark" "$(cat err)" 'beside.new: is a symbolic link'
mkfifo beside.new
mark_beside "a FIFO" 1
echo precious >beside.new
mark_beside "a file of somebody" 1
has "a file of somebody beside the bookmark" "$(cat err)" \
  'beside.new is in the way, and holds something else'
echo 'ride@1:2' >beside.new
mark_beside "what a killed run has left" 0
: >beside.new
mark_beside "nothing" 0
# A directory that is a link is fine.
mkdir marks
ln -s marks marks.link
"$cli" read --bookmark marks.link/mark --channel ride --from earliest \
  --limit 3 --text >out || fail "a bookmark in a linked directory: $?"
is "a bookmark in a linked directory" \
  "$(sed 's/@[0-9]*:/@:/' marks/mark)" "ride@:3"
is "nothing else is left there" "$(ls marks)" mark

# One process at a time.
"$server" --listen 127.0.0.1:0 2>err
is "a second server on a log: exit code" $? 1
has "a second server on a log: says why" "$(cat err)" \
  "messenger-data/LOCK: is locked by process $server_pid"
kill -TERM $server_pid
wait $server_pid
is "a server with a log: exit code" $? 0
server_pid=

# The beginning of a channel is gone: whoever asks for everything is told.
start_server --log memory: --retention-bytes 64Ki
seq -f 'line %06.0f of a channel that keeps 64 KiB' 1 4000 |
  "$cli" send --channel short - || fail "send to a short channel: exit code $?"
"$cli" read --channel short --from earliest --until-caught-up --text \
  >out 2>err || fail "the beginning is gone: exit code $?"
has "the beginning is gone: it is told" "$(cat err)" \
  'gap: messages 1 to [0-9]+ are not there any more \(retention\)'
is "the beginning is gone: the rest" "$(tail -n 1 out | cut -d ' ' -f 2)" 004000
"$cli" read --channel short --from earliest --until-caught-up --strict \
  >out 2>err
is "the beginning is gone, --strict: exit code" $? 1
has "the beginning is gone, --strict: says so" "$(cat err)" 'retention'
is "the beginning is gone, --strict: prints nothing" "$(cat out)" ""
kill -TERM $server_pid
wait $server_pid
server_pid=

# Where the log is, or none.
start_server --log file:elsewhere
is "another log" "$("$cli" send hello)" "general 1"
kill -TERM $server_pid
wait $server_pid
server_pid=
decoded=$(protoc --proto_path="$proto" \
  --decode messenger.v1.ReadMessagesResponse messenger/v1/messenger.proto \
  <elsewhere/channels/general.channel/00000000000000000001.segment)
has "a segment, decoded by protoc" "$decoded" '^  text: "hello"$'
mkdir other
touch other/file
"$server" --listen 127.0.0.1:0 --log file:other 2>err
is "a directory of something else: exit code" $? 1
has "a directory of something else: says why" "$(cat err)" 'contains "file"'
"$server" --listen 127.0.0.1:0 --log file:not/there 2>err
is "a directory that cannot be created: exit code" $? 1
has "a directory that cannot be created: says why" "$(cat err)" \
  'not/there: create directory: No such file'
"$server" --listen 127.0.0.1:0 --durability none 2>err
is "a durability that there is not: exit code" $? 2
has "a durability that there is not: says what there is" "$(cat err)" \
  "'none' is not known; it takes fsync or os"

finish

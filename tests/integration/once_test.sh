#!/usr/bin/env bash
# Sends that are stored once, or on a condition: conditions, idempotency keys, named
# producers, and a list of these.
#   once_test.sh MESSENGER_SERVER MESSENGER_CLI
set -uo pipefail
# shellcheck disable=SC2034 # for programs.sh
server=$1
cli=$2
source "$(dirname "$0")/../support/programs.sh"

# all CHANNEL: its texts.
all() { "$cli" read "$1" --from earliest --until-caught-up --text; }

# head_of CHANNEL
head_of() {
  "$cli" channels "$1" --json | sed -n 's/.*"head":\([0-9]*\).*/\1/p'
}

# refused WHAT CODE PATTERN COMMAND...: it says what is wrong.
refused() {
  "$cli" "${@:4}" >out 2>err </dev/null
  is "$1: exit code" $? "$2"
  has "$1: says so" "$(cat err)" "$3"
}

start_server

# ---- Conditions

condition=(send --channel condition)
is "no message yet" \
  "$("$cli" "${condition[@]}" --expected-last-sequence 0 first)" "condition 1"
refused "a wrong last sequence" 1 \
  '^messenger-cli: expected_last_sequence: 0, but the last one is 1$' \
  "${condition[@]}" --expected-last-sequence 0 other
is "a wrong last sequence: prints nothing" "$(cat out)" ""
refused "a last sequence to come" 1 ': 2, but the last one is 1$' \
  "${condition[@]}" --expected-last-sequence 2 other
is "the right last sequence" \
  "$("$cli" "${condition[@]}" --expected-last-sequence 1 second)" "condition 2"
epoch=$("$cli" channels condition --json | sed 's/.*"epoch":"\([0-9]*\)".*/\1/')
is "the right epoch" "$("$cli" "${condition[@]}" --expected-last-sequence 2 \
  --expected-epoch "$epoch" third)" "condition 3"
refused "a wrong epoch" 1 \
  "expected_epoch: 17, but the log has the epoch $epoch, .* is 3\$" \
  "${condition[@]}" --expected-last-sequence 3 --expected-epoch 17 other
refused "a refusal in JSON" 1 'but the last one is 3' \
  "${condition[@]}" --expected-last-sequence 2 --json other
is "a refusal in JSON" "$(cat out)" \
  "{\"channel\":\"condition\",\"reason\":\"WRONG_LAST_SEQUENCE\",\"epoch\":\"$epoch\",\"last_sequence\":3}"
is "what was refused is not stored" "$(all condition)" $'first\nsecond\nthird'
for number in -1 x 1.5; do
  refused "--expected-last-sequence '$number'" 2 "'$number' is not a number" \
    "${condition[@]}" --expected-last-sequence="$number" other
done
refused "--expected-epoch 0" 2 "'0' is not an epoch" \
  "${condition[@]}" --expected-last-sequence 3 --expected-epoch 0 other
refused "an epoch without a sequence" 2 \
  '--expected-epoch requires --expected-last-sequence' \
  "${condition[@]}" --expected-epoch 17 other

# ---- Idempotency keys

key=(send --channel keys --idempotency-key)
is "a key" "$("$cli" "${key[@]}" 'a b' hello)" "keys 1"
is "a message between" "$("$cli" send --channel keys hello)" "keys 2"
is "the key once more" "$("$cli" "${key[@]}" 'a b' hello)" "keys 1"
has "the key once more, in JSON" "$("$cli" "${key[@]}" 'a b' --json hello)" \
  '"sequence":1,.*"send_time":"20.*"duplicate":true'
is "another key" "$("$cli" "${key[@]}" c hello)" "keys 3"
refused "another message with the key" 1 'idempotency_key: "a b"' \
  "${key[@]}" 'a b' --json goodbye
is "another message with the key, in JSON" "$(cat out)" \
  '{"channel":"keys","reason":"IDEMPOTENCY_KEY_REUSED"}'
is "the key in another channel" \
  "$("$cli" send --channel keys2 --idempotency-key 'a b' goodbye)" "keys2 1"
refused "an empty key" 2 '--idempotency-key: 0 bytes; must be 1 to 255' \
  "${key[@]}" '' hello
refused "a long key" 2 '--idempotency-key: 256 bytes' \
  "${key[@]}" "$(printf '%0256d' 0)" hello
is "the longest key" "$("$cli" "${key[@]}" "$(printf '%0255d' 0)" hello)" \
  "keys 4"
refused "a key that is no UTF-8" 2 '--idempotency-key: not valid UTF-8' \
  "${key[@]}" $'\xff' hello
is "what there is" "$(all keys | wc -l)" 4

# ---- Named producers: one message

named=(send --channel named --producer-name)
is "a named producer" "$("$cli" "${named[@]}" ann one)" "named 1"
is "the number after the last one" "$("$cli" "${named[@]}" ann two)" "named 2"
is "a number that was stored" \
  "$("$cli" "${named[@]}" ann --producer-sequence 1 one)" "named 1"
is "a number behind a hole" \
  "$("$cli" "${named[@]}" ann --producer-sequence 10 ten)" "named 3"
is "a number in the hole" \
  "$("$cli" "${named[@]}" ann --producer-sequence 5 five)" "named -"
has "a number in the hole, in JSON" \
  "$("$cli" "${named[@]}" ann --producer-sequence 5 --json five)" \
  '"sequence":null,"epoch":"[0-9]+","send_time":null,"duplicate":true'
"$cli" "${named[@]}" ann --producer-sequence 5 five >/dev/full 2>err
has "a place that is not known and cannot be printed" "$(cat err)" \
  'cannot write the output: .*; the message is stored: named -$'
is "another producer" "$("$cli" "${named[@]}" bob one)" "named 4"
is "a condition as well" "$("$cli" "${named[@]}" bob \
  --expected-last-sequence 4 two)" "named 5"
refused "a condition that does not hold" 1 'but the last one is 5' \
  "${named[@]}" bob --expected-last-sequence 4 three
is "what there is of them" "$(all named)" $'one\ntwo\nten\none\ntwo'
refused "an empty name" 2 '--producer-name: 0 bytes; must be 1 to 256' \
  "${named[@]}" '' x
refused "a long name" 2 '--producer-name: 257 bytes' \
  "${named[@]}" "$(printf '%0257d' 0)" x
refused "the number 0" 2 "'0' is not a number from 1 on" \
  "${named[@]}" ann --producer-sequence 0 x
refused "a number without a name" 2 \
  '--producer-sequence requires --producer-name' \
  send --producer-sequence 1 x
refused "a key and a name" 2 '--idempotency-key excludes --producer-name' \
  "${named[@]}" ann --idempotency-key k x

# What is for one message.
for option in --expected-last-sequence=1 --idempotency-key=k \
  --producer-sequence=1; do
  refused "$option of many" 2 "${option%=*}: is for one message" \
    "${named[@]}" ann - "$option"
done

# ---- Named producers: the lines of a file

lines=(send - --channel lines --producer-name file)
seq 1 100 | "$cli" "${lines[@]}" 2>err || fail "lines: exit code $?"
is "lines: are quiet" "$(cat err)" ""
seq 1 150 | "$cli" "${lines[@]}" 2>err || fail "more lines: exit code $?"
is "more lines: what was there" "$(cat err)" \
  'messenger-cli: sent 150 lines (100 of them stored before)'
seq 1 150 | "$cli" "${lines[@]}" --json >out 2>err
is "lines in JSON: are quiet" "$(cat err)" ""
has "lines in JSON" "$(cat out)" \
  '"sent":150,"duplicates":150,"refused":0,.*"first_sequence":1,"last_sequence":150'
seq 1 150 >numbers
TERM=dumb script -qec "$cli ${lines[*]} <numbers" /dev/null >out </dev/null
has "on a terminal" "$(terminal_lines out)" \
  '^sent 150 lines \(150 of them stored before\) to lines in '
is "each line once" "$(all lines)" "$(seq 1 150)"
has "without a name there are no duplicates" \
  "$(seq 1 5 | "$cli" send - --channel plain --json)" '"sent":5,"duplicates":0'

# A line that is refused: it is mended, and all is sent again.
printf 'one\ntwo\nbad \xff\nfour\n' >mended
"$cli" send - --channel mended --producer-name m <mended 2>err
is "a bad line: exit code" $? 1
has "a bad line: what to do" "$(cat err)" \
  'line 3: .*Lines 1 to 2 were sent.*send all of it again, under the same'
printf 'one\ntwo\nthree\nfour\n' |
  "$cli" send - --channel mended --producer-name m 2>/dev/null
is "a line that was mended" "$(all mended)" $'one\ntwo\nthree\nfour'

# Two processes of one name: the first one is told.
mkfifo typed
"$cli" send - --channel fenced --producer-name p <typed 2>err &
sender=$!
exec {typing}>typed
echo one >&"$typing"
await "the line is sent" "$cli" channels fenced
is "the other one goes on" "$("$cli" send --channel fenced --producer-name p two)" \
  "fenced 2"
echo 'not stored' >&"$typing"
wait $sender
is "who is fenced: exit code" $? 1
exec {typing}>&-
has "who is fenced: says so" "$(cat err)" \
  'line 2: .*the named producer "p" was opened again.*Another process sends under this --producer-name\. Line 1 was acknowledged; the rest was not'
is "who is fenced stores nothing" "$(all fenced)" $'one\ntwo'

# SIGKILL in the middle, again and again: each line is stored once.
seq 1 20000 >text
slowly() {
  local part
  while mapfile -t -n 200 part && [ ${#part[@]} -gt 0 ]; do
    printf '%s' "${part[@]/%/$'\n'}"
    sleep 0.01
  done
}
stored=0
# has_more CHANNEL: than when it was looked at last.
has_more() {
  local head
  head=$(head_of "$1")
  [ "${head:-0}" -gt $stored ] && stored=$head
}
# Each has more to send than the last one had, and comes to no end by itself.
mkfifo hold
exec {hold}<>hold
for lines in 3000 6000 9000 12000 15000; do
  "$cli" send - --channel killed --producer-name text \
    < <(head -n $lines text | slowly && read -r <hold) &
  sender=$!
  await "more lines arrive" has_more killed
  kill -9 $sender || fail "the sender has ended"
  wait $sender 2>/dev/null
  echo >&"$hold"
done
exec {hold}>&-
"$cli" send - --channel killed --producer-name text <text 2>/dev/null ||
  fail "send after kills: exit code $?"
cmp <(all killed) text || fail "send after kills: not each line once"

# ---- A list of them

"$cli" producers --channel named >out
is "producers" "$(sed 's/[0-9-]* [0-9:]*$/when/' out)" \
  'CHANNEL  NAME  GENERATION  LAST  USED
named    ann            7    10  when
named    bob            3     2  when'
has "producers: when" "$(tail -n 1 out)" ' 20[0-9-]{8} [0-9:]{8}$'
has "producers of all channels" "$("$cli" producers)" '^lines  *file  *4  *150 '
has "producers --json" "$("$cli" producers --channel lines --json)" \
  '^\{"channel":"lines","name":"file","producer_id":"[0-9a-f]{32}","generation":[0-9]+,"last_producer_sequence":150,"epoch":"[0-9]+","last_used":"20[^"]*Z"\}$'
is "producers of a channel that has none" \
  "$("$cli" producers --channel none --json)" ""
refused "producers of no channel" 2 '"a/b" has' producers --channel a/b

"$cli" producers delete --channel named --name ann >out 2>&1 ||
  fail "producers delete: exit code $?"
is "producers delete: is quiet" "$(cat out)" ""
is "producers delete" "$("$cli" producers --channel named --json | wc -l)" 1
refused "a producer that is not there" 1 \
  'channel "named" has no named producer "ann"' \
  producers delete --channel named --name ann
is "a producer that is deleted begins anew" \
  "$("$cli" "${named[@]}" ann --producer-sequence 1 one)" "named 6"
refused "delete without a name" 2 '--name is required' \
  producers delete --channel named
refused "delete without a channel" 2 '--channel is required' \
  producers delete --name ann
refused "delete of all" 2 '--channel is required' producers --channel named \
  delete --name ann
refused "a command that is none" 2 "no command 'dlete'; did you mean delete" \
  producers dlete
refused "no server" 3 '127.0.0.1:1: .*Is messenger-server' \
  producers --server 127.0.0.1:1
refused "no server for a name" 3 '127.0.0.1:1: .*Is messenger-server' \
  "${named[@]}" ann --server 127.0.0.1:1 x
seq 1 3 | "$cli" send - --producer-name x --server 127.0.0.1:1 2>err
is "no server for lines: exit code" $? 3
has "no server for lines" "$(cat err)" '127.0.0.1:1: .*No line was acknowledged'
"$cli" producers >/dev/full 2>err
is "producers on a full disk: exit code" $? 1

finish

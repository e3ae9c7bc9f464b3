#!/usr/bin/env bash
# messenger-server verify, repair and dump as an operator meets them.
#   log_tools_test.sh MESSENGER_SERVER MESSENGER_CLI
set -uo pipefail
server=$1
cli=$2
source "$(dirname "$0")/../support/programs.sh"

# stop_server SIGNAL
stop_server() {
  kill "-$1" "$server_pid"
  wait "$server_pid" 2>/dev/null
  server_pid=
}

# overwrite FILE OFFSET TEXT
overwrite() {
  printf '%s' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# All but the lock, which names the process that has looked at it.
checksums() {
  find "$1" -type f ! -name LOCK -print0 | sort -z | xargs -0 sha256sum
}

start_server
seq 1 100 | "$cli" send --channel numbers - || fail "send"
"$cli" send hello >/dev/null
out=$("$server" verify 2>err)
is "verify beside a server: exit code" $? 3
is "verify beside a server: stdout" "$out" ""
has "verify beside a server" "$(cat err)" \
  "LOCK: is locked by process $server_pid; stop the server first"
"$server" repair 2>/dev/null
is "repair beside a server: exit code" $? 3
stop_server KILL

# A log that was not closed is clean, and stays as it is.
checksums messenger-data >before
out=$("$server" verify)
is "verify: exit code" $? 0
has "verify: the summary" "$out" '^2 channels, 101 messages \(.*\) in 0 segments'
is "verify: the last line" "$(tail -n 1 <<<"$out")" clean
has "verify --json" "$("$server" verify --log file:messenger-data --json)" \
  '^\{"summary":\{"channels":2,.*"messages":101,.*"damages":0,"notices":0\}\}$'
out=$("$server" repair)
is "repair: exit code" $? 0
has "repair: nothing to do" "$out" 'nothing was changed'
checksums messenger-data >after
cmp before after || fail "verify or repair has changed a healthy log"

# The messages, without a server.
is "dump" "$("$server" dump --channel numbers --json | grep -c '"text"')" 100
is "dump --from --limit" \
  "$("$server" dump --channel numbers --from 99 --limit 1 | cut -d' ' -f 1,7)" \
  "99 99"
has "dump: the overview" "$("$server" dump)" '^channel numbers: first 1, head 100'
is "dump | head" "$("$server" dump --channel numbers | head -n 1 | cut -c 1-3)" \
  "1  "
is "dump CHANNEL" "$("$server" dump numbers --limit 1 | cut -d' ' -f 1,7)" "1 1"
"$server" dump --limit 1 2>err
is "dump --limit without a channel: exit code" $? 2
"$server" dump --channel nosuch 2>err
is "dump of no channel: exit code" $? 3
has "dump of no channel" "$(cat err)" '"nosuch"'

# Damage in a segment.
start_server
stop_server TERM
segment=messenger-data/channels/numbers.channel/00000000000000000001.segment
cp -a messenger-data whole
overwrite "$segment" 70 "????"
out=$("$server" verify)
is "verify of a damaged log: exit code" $? 1
has "verify of a damaged log" "$out" \
  '^damage: channels/numbers.channel/0+1.segment at 48: message 1 of channel "numbers" is damaged'
"$server" dump --channel numbers --limit 2 >out
is "dump of a damaged log: exit code" $? 1
is "dump passes over damage" "$(sed -n 2p out | cut -c 1-3)" "2  "
out=$("$server" repair)
is "repair of a damaged log: exit code" $? 0
has "repair tells what is lost" "$out" '^lost: message 1 of channel "numbers"'
has "repair tells where it is" "$out" '^kept: messenger-data/damaged-[0-9]{8}T'
kept=$(find messenger-data -path '*damaged-*' -name '*.segment')
[ -s "$kept" ] || fail "nothing is kept"
"$server" verify >/dev/null
is "verify after the repair: exit code" $? 0
start_server
out=$("$cli" read --channel numbers --from earliest --until-caught-up --text \
  2>err)
is "what is left can be read" "$out" "$(seq 2 100)"
"$cli" read --channel numbers --from earliest --limit 1 --json >out
has "and there is a gap before it" "$(cat out)" \
  '"first_missing":1,"next":2,"reason":"damaged"'
stop_server TERM

# What it prints cannot be written; it is repaired all the same.
rm -rf messenger-data
cp -a whole messenger-data
overwrite "$segment" 70 "????"
"$server" repair >/dev/full 2>err
is "repair, and a full disk: exit code" $? 1
has "repair, and a full disk" "$(cat err)" \
  'cannot write the output: .*; the log is repaired'
"$server" verify >/dev/null
is "verify after that repair: exit code" $? 0

# A checkpoint that is gone.
rm -rf messenger-data
cp -a whole messenger-data
rm messenger-data/checkpoint
"$server" --listen 127.0.0.1:0 2>err
is "a log without its checkpoint is not served: exit code" $? 1
"$server" repair --json >out
is "repair of a checkpoint: exit code" $? 0
has "a new epoch" "$(cat out)" '"repaired":true,.*"new_epoch":true'
is "nothing is lost" "$(grep -c '"lost"' out)" 0
start_server
is "all can be read" "$("$cli" read --channel numbers --from earliest \
  --until-caught-up --text | wc -l)" 100
stop_server TERM

# What is no file is not waited for, and a server with such a file ends.
rm -rf messenger-data
cp -a whole messenger-data
rm "$segment"
mkfifo "$segment"
timeout 20 "$server" verify 2>err
is "verify with a FIFO: exit code" $? 3
has "verify with a FIFO" "$(cat err)" \
  'numbers.channel/0+1.segment: open: is a FIFO, where a log has a file'
timeout 20 "$server" dump --channel numbers 2>err
is "dump with a FIFO: exit code" $? 3
timeout 20 "$server" repair 2>err
is "repair with a FIFO: exit code" $? 3
[ -p "$segment" ] || fail "the repair has changed the FIFO"
start_server
timeout 20 "$cli" read --channel numbers --from earliest --until-caught-up 2>err
is "reading a FIFO: exit code" $? 1
has "reading a FIFO" "$(cat err)" 'is a FIFO, where a log has a file'
stop_server TERM
echo precious >victim
for file in LOCK checkpoint; do
  rm -rf messenger-data
  cp -a whole messenger-data
  ln -sf "$PWD/victim" messenger-data/$file
  timeout 20 "$server" --listen 127.0.0.1:0 2>err
  is "a server whose $file is a link: exit code" $? 1
  has "a server whose $file is a link" "$(cat err)" \
    "messenger-data/$file: .*is a symbolic link, which is not followed"
  timeout 20 "$server" repair 2>/dev/null
  is "a repair whose $file is a link: exit code" $? 3
  is "what $file leads to" "$(cat victim)" precious
done
# The directory that the operator names may be a link.
rm -rf messenger-data
ln -s whole messenger-data
"$server" verify >/dev/null
is "verify of a linked directory: exit code" $? 0
start_server
is "a linked directory can be read" "$("$cli" read --channel numbers \
  --from earliest --until-caught-up --text | wc -l)" 100
stop_server TERM
rm messenger-data

# Wrong usage.
for wrong in "verify --nosuch" "verify x" "dump --limit 1" \
  "dump --channel numbers --limit 0" "dump --channel numbers --from 0" \
  "verify --log memory:" "verify --log nonsense" "nosuch"; do
  # shellcheck disable=SC2086
  "$server" $wrong >/dev/null 2>err
  is "messenger-server $wrong: exit code" $? 2
  [ -s err ] || fail "messenger-server $wrong: says nothing"
done
mkdir other
touch other/file
for directory in nosuch other; do
  "$server" verify --log "file:$directory" 2>err
  is "verify of $directory: exit code" $? 3
  has "verify of $directory" "$(cat err)" "^messenger-server verify: $directory: "
done
is "nothing was created" "$(ls other)" file
"$server" verify >/dev/full 2>err
is "a full disk: exit code" $? 3
for command in verify repair dump; do
  has "$command --help" "$("$server" "$command" --help)" 'Exit codes:'
done

finish

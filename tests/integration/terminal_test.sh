#!/usr/bin/env bash
# What others have written is shown to people without driving their terminal or
# forging a line, whichever program and stream it comes by; what is for machines
# is exact.
#   terminal_test.sh MESSENGER_SERVER MESSENGER_CLI PYTHON
set -uo pipefail
server=$1
cli=$2
python=$3
evil_server=$(readlink -f "$(dirname "$0")/evil_server.py")
source "$(dirname "$0")/../support/programs.sh"

# Clears the screen; DEL, C1; a line separator, a right-to-left override, an
# isolate; a carriage return.
evil=$'\e[2J\x7f\xc2\x9b31m\xe2\x80\xa8\xe2\x80\xaegnp\xe2\x81\xa6\r'
escaped='\\x1b\[2J\\x7f\\u009b31m\\u2028\\u202egnp\\u2066\\r'

# fit WHAT FILE...: they have lines, and nothing else that drives a terminal.
fit() {
  local what=$1 file
  shift
  for file in "$@"; do
    if LC_ALL=C grep -aqP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xd8\x9c' "$file"; then
      fail "$what: $file drives a terminal: $(cat -A "$file")"
    fi
    iconv -f utf-8 -t utf-8 "$file" >/dev/null 2>&1 ||
      fail "$what: $file is not UTF-8: $(cat -A "$file")"
  done
}

# run WHAT COMMAND...: what it prints, on both streams, is fit for a terminal.
run() {
  local what=$1
  shift
  timeout 30 "$@" >out 2>err </dev/null
  exit_code=$?
  fit "$what" out err
}

# on_terminal COMMAND: what it prints on one, which ends lines with \r\n.
on_terminal() {
  TERM=dumb script -qec "$1" /dev/null </dev/null | sed 's/\r$//'
}

start_server
read_all=("$cli" read --from earliest --until-caught-up)

# ---- Messages

"$cli" send --channel evil --author "$evil" --attribute "$evil=$evil" \
  "$evil"$'\n'"second $evil" >/dev/null || fail "send"
run "reading" "${read_all[@]}" --channel evil
has "read: it is escaped" "$(head -n 1 out)" \
  "^[0-9:]{8} $escaped  $escaped\$"
has "read: the second line" "$(tail -n 1 out)" \
  "^ {9}second $escaped  \{$escaped=$escaped\}\$"
run "read --json" "${read_all[@]}" --channel evil --json
is "read --json is one line" "$(wc -l <out)" 1
is "read --json is exact" "$("$python" -c '
import json, sys
m = json.loads(sys.stdin.readline())
evil = sys.argv[1]
print(m["author"] == evil, m["text"] == f"{evil}\nsecond {evil}",
      m["attributes"] == [{"name": evil, "value": evil}])' "$evil" <out)" \
  "True True True"
"${read_all[@]}" --channel evil --text >out
is "read --text to a file is exact" "$(cat out)" "$evil"$'\n'"second $evil"
on_terminal "$cli read --from earliest --until-caught-up --channel evil --text" \
  >out
fit "read --text on a terminal" out
is "read --text on a terminal keeps lines" "$(wc -l <out)" 2

# No author, text or attribute looks like another message.
say() { "$cli" send --channel forged "$@" >/dev/null || fail "send"; }
say --author bob 'fake text  real text'
say --author 'bob  fake text' 'real text'
say --author $'bob\xc2\xa0\xc2\xa0fake text' 'real text'
say --author $'bob\tx' 'real text'
say --author 'bob"' 'x'
say --author '-' 'x'
say --author '' 'x'
say --author ann $'hello\n10:01:02 bob  fake text'
say --author ann 'hello  {colour=red}'
say --author ann --attribute 'colour=red' 'hello'
say --author ann --attribute 'colour=red, size=2' 'hello'
run "read of what is forged" "${read_all[@]}" --channel forged
# A blank that does not break is shown as ~.
cut -c 10- out | sed 's/\xc2\xa0/~/g' >shown
diff shown - <<'SHOWN' || fail "messages look like others"
bob  fake text  real text
"bob  fake text"  real text
"bob~~fake text"  real text
bob\tx  real text
"bob\x22"  x
"-"  x
-  x
ann  hello
10:01:02 bob  fake text
ann  hello  {colour=red\x7d
ann  hello  {colour=red}
ann  hello  {colour="red, size=2"}
SHOWN
is "further lines are indented" "$(grep -c '^         10:01:02 bob' out)" 1
is "each line has its own time" "$(grep -c '^[0-9]' out)" 11

# ---- A server that is not ours

coproc EVIL { exec "$python" "$evil_server"; }
# shellcheck disable=SC2153 # coproc sets it
evil_pid=$EVIL_PID
read -r -t 30 port <&"${EVIL[0]}" || fail "the evil server does not start"
theirs=(--server "127.0.0.1:$port")
run "channels of an evil server" "$cli" channels "${theirs[@]}"
[ "$(cat out err | wc -l)" -le 2 ] || fail "a channel forges a line: $(cat out)"
run "channels --json of an evil server" "$cli" channels --json "${theirs[@]}"
run "a channel of an evil server" "$cli" channels x "${theirs[@]}"
has "a channel of an evil server: why" "$(cat err)" 'refused \\x1b'
run "reading from an evil server" "$cli" read "${theirs[@]}"
run "sending to an evil server" "$cli" send "${theirs[@]}" hello
run "ping of an evil server" "$cli" ping "${theirs[@]}"
echo line | "$cli" send - "${theirs[@]}" >out 2>err
fit "send - to an evil server" out err
has "send - to an evil server: why" "$(cat err)" '"\\x1b'
is "send - to an evil server: lines" "$(wc -l <err)" 1
eval "exec ${EVIL[1]}>&-"
wait "$evil_pid" 2>/dev/null

# ---- What is quoted of the command line

not_utf8=$'\xff\x9b'
for word in "$evil" "$not_utf8"; do
  for command in "$cli $word" "$cli --$word" "$cli send --$word" \
    "$cli read --last $word" "$cli read --since $word" "$cli read --after $word" \
    "$cli read --channel $word" "$cli read $word" "$cli read --bookmark /$word/x" \
    "$cli send --attribute $word x" "$cli send --give-up-after $word x" \
    "$cli send --max-message-bytes $word x" "$cli ping --server $word:1" \
    "$cli ping --count $word" "$cli bench send --size $word" \
    "$server $word" "$server --listen $word" "$server --log $word" \
    "$server --log file:/$word/x" "$server --durability $word" \
    "$server --retention-bytes $word" "$server verify --log $word" \
    "$server verify --log file:$word" "$server dump --log file:$word" \
    "$server repair --log file:$word --$word"; do
    # shellcheck disable=SC2086 # words without blanks
    run "$command" $command
    [ $exit_code != 0 ] || fail "$(cat -A <<<"$command"): succeeds"
  done
done
MESSENGER_SERVER_PORT=$evil run "a bad port" "$server"
MESSENGER_SERVER_ADDR=$evil run "a bad address" "$cli" ping
MESSENGER_AUTHOR=$not_utf8 run "a bad author" "$cli" send x
"$cli" send - --skip-invalid <<<"bad $not_utf8" >out 2>err
fit "send - of what is not UTF-8" out err

# ---- What is quoted of files

kill -TERM "$server_pid"
wait "$server_pid"
server_pid=
for name in "$evil" "$not_utf8" $'x at 5: all is well\nclean'; do
  touch "messenger-data/$name" "messenger-data/journals/$name" \
    "messenger-data/channels/$name"
  touch "messenger-data/channels/evil.channel/$name" 2>/dev/null
done
run "verify" "$server" verify
is "verify: no file forges a line" "$(grep -cx clean out)" 1
has "verify: names of files" "$(cat out)" "^notice: $escaped: "
has "verify: a name with blanks" "$(cat out)" \
  '^notice: "x at 5: all is well\\nclean": '
run "verify --json" "$server" verify --json
has "verify --json is exact" "$("$python" -c '
import json, sys
print([o["file"] for o in map(json.loads, sys.stdin) if "file" in o])' <out)" \
  "'x at 5: all is well\\\\nclean'"
run "dump" "$server" dump
run "dump of messages" "$server" dump evil
has "dump of messages: it is escaped" "$(cat out)" "  $escaped  $escaped"
run "dump --json" "$server" dump evil --json
run "dump of what is forged" "$server" dump forged
has "dump: an author with blanks" "$(cat out)" 'Z  "bob  fake text"  real text$'
run "repair" "$server" repair
start_server
is "a server with files of others" "$("$cli" send hello)" "general 1"
kill -TERM "$server_pid"
wait "$server_pid"
server_pid=
fit "notices of a server" server.out server.err
mkdir "log$evil"
: >server.out
"$server" --log "file:log$evil" --listen 127.0.0.1:0 >server.out 2>server.err &
server_pid=$!
await "a server of a log with an evil name" grep -q listening server.out
kill -TERM "$server_pid"
wait "$server_pid"
server_pid=
fit "a server of a log with an evil name" server.out server.err
touch not-a-log/x 2>/dev/null || { mkdir not-a-log && touch "not-a-log/$evil"; }
run "a directory of something else" "$server" --log file:not-a-log

finish

#!/usr/bin/env bash
# Bytes that are no text, through the programs and back bit for bit.
#   data_test.sh MESSENGER_SERVER MESSENGER_CLI PYTHON
set -uo pipefail
server=$1
cli=$2
python=$3
source "$(dirname "$0")/../support/programs.sh"

# all CHANNEL OPTION...: reads all of a channel.
all() {
  "$cli" read --channel "$1" --from earliest --until-caught-up "${@:2}"
}

# refused WHAT CODE PATTERN OPTION...: send says what is wrong.
refused() {
  "$cli" send "${@:4}" >out 2>err </dev/null
  is "$1: exit code" $? "$2"
  has "$1" "$(cat err)" "$3"
}

start_server --max-message-bytes 2Mi

# ---- One message

"$python" -c '
import random, sys
open("all", "wb").write(bytes(range(256)))
open("large", "wb").write(random.Random(1).randbytes(1 << 20))
open("larger", "wb").write(bytes((2 << 20) + 1))'
: >empty
larger=(--max-message-bytes 2Mi)

is "--data-file" \
  "$("$cli" send --channel one --data-file all --content-type image/png cat)" \
  "one 1"
is "--data-file without a text" "$("$cli" send --channel one --data-file all)" \
  "one 2"
is "--data-file -" "$("$cli" send --channel one --data-file - <all)" "one 3"
is "no data of a type" \
  "$("$cli" send --channel one --data-file empty --content-type image/gif)" \
  "one 4"
is "1 MiB" \
  "$("$cli" send "${larger[@]}" --channel one --data-file large 'text, too')" \
  "one 5"
is "the type of a text" \
  "$("$cli" send --channel one --content-type text/markdown '# x')" "one 6"
cat all all all large >expected
all one --data >got || fail "read --data: exit code $?"
cmp got expected || fail "the data of one came back different"
is "people are told of it" "$(all one | sed 's/^[0-9:]* //')" \
  'tester  cat  [256 bytes of image/png]
tester  [256 bytes]
tester  [256 bytes]
tester  [0 bytes of image/gif]
tester  text, too  [1048576 bytes]
tester  # x'
all one --json >json
"$python" - <<'END' || fail "JSON is not exact"
import base64, json
got = [json.loads(line) for line in open("json")]
one, large = open("all", "rb").read(), open("large", "rb").read()
def of(message):
    data = message.get("data")
    return (message["text"], data and base64.b64decode(data, validate=True),
            message.get("content_type"))
expected = [("cat", one, "image/png"), ("", one, None), ("", one, None),
            ("", None, "image/gif"), ("text, too", large, None),
            ("# x", None, "text/markdown")]
assert [of(message) for message in got] == expected
END
is "read --text has no data" "$(all one --text)" $'cat\n\n\n\ntext, too\n# x'

# A terminal is not driven by it.
TERM=dumb script -qec "$cli read one --last 1 --data" /dev/null >out </dev/null
is "read --data on a terminal: exit code" $? 2
has "read --data on a terminal" "$(cat out)" '--data: stdout is a terminal'

refused "no such file" 1 'cannot read nosuch: No such file' --data-file nosuch
refused "a directory" 1 'cannot read /: Is a directory' --data-file /
refused "a file without end" 1 '/dev/zero has more than 1048576 bytes' \
  --data-file /dev/zero
refused "a file that is too large" 1 'larger has more than 2097152 bytes' \
  "${larger[@]}" --data-file larger
refused "a message that is too large" 1 'message: 10485[0-9]* bytes, encoded' \
  --data-file large
refused "a type that is none" 2 \
  'content_type: byte 0x0a at offset 3; must be ASCII' --content-type $'a/b\n' x
refused "a type that is too long" 2 'content_type: 257 bytes; must be 0 to 256' \
  --content-type "$(printf '%0257d' 0)" x
"$cli" send --data-file - <&- 2>err
is "stdin is closed: exit code" $? 1
has "stdin is closed" "$(cat err)" 'stdin is closed'

# ---- Records

"$python" - <<'END'
import random
def framed(record):
    size, length = len(record), b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return length + bytes([size]) + record
r = random.Random(2)
records = [b"", bytes(range(256)), b"\n", b"\0", b"x" * 127, b"x" * 128,
           open("large", "rb").read(), b""]
records += [r.randbytes(r.randrange(2000)) for _ in range(5000)]
open("prefixed", "wb").write(b"".join(map(framed, records)))
open("plain", "wb").write(b"".join(records))
END
"$cli" send "${larger[@]}" - --length-prefixed --channel prefixed <prefixed ||
  fail "send --length-prefixed: exit code $?"
all prefixed --data --length-prefixed | cmp - prefixed ||
  fail "records behind their length came back different"
all prefixed --data | cmp - plain || fail "data back to back is different"
is "each record is a message" "$(all prefixed --json | wc -l)" 5008

printf 'one\nline\0\0\xc3\xa4\0\0last' >nulls
"$cli" send - --null --channel nulls <nulls || fail "send --null: exit code $?"
{ cat nulls && printf '\0'; } >expected
all nulls --text -0 | cmp - expected || fail "texts with NULs are different"
is "they are texts" "$(all nulls --text)" $'one\nline\n\n\xc3\xa4\n\nlast'
printf 'a\nb\0\xff\xfe\0\0' >nulls
"$cli" send - -0 --data --channel bytes <nulls || fail "send -0 --data: exit $?"
all bytes --data --null | cmp - nulls || fail "data with NULs is different"
is "they are data" "$(all bytes --text | tr '\n' .)" ...
printf 'latin1: \xe4\n' | "$cli" send - --data --channel latin1
is "lines as data" "$(all latin1 --data | od -An -tx1)" " 6c 61 74 69 6e 31 3a 20 e4"

# What is wrong is told by number.
printf 'ok\0\xff\0' | "$cli" send - --null --channel wrong 2>err
is "a record that is no text: exit code" $? 1
has "a record that is no text" "$(cat err)" \
  'record 2: not valid UTF-8.*Record 1 was sent;.* Send the records as bytes \(--data\)'
printf '\x02ok\x05cut' | "$cli" send - --length-prefixed --channel wrong 2>err
is "an input that is cut off: exit code" $? 1
has "an input that is cut off" "$(cat err)" \
  'record 2: the input ends 2 bytes before the record does\. Record 1 was sent'
{ printf '\x02ok\x81\x80\x40' && head -c 1048577 larger && printf '\x02ok'; } |
  "$cli" send - --length-prefixed --skip-invalid --channel skipped 2>err
is "a record that is too long: exit code" $? 1
has "a record that is too long" "$(cat err)" \
  'record 2: longer than the limit of 1048576 bytes'
is "what is around it" "$(all skipped --data)" okok

# What cannot be said together.
refused "nothing to send" 2 'TEXT is required' --content-type a/b
refused "many messages of one file" 2 '--data-file: is for one message' \
  - --data-file all
refused "two framings" 2 '--null excludes --length-prefixed' \
  - --null --length-prefixed
refused "records that are a text" 2 '--null: is about the records of stdin' x -0
refused "records that are a file" 2 '--data: is about the records of stdin' \
  --data --data-file all
# wrong_read PATTERN OPTION...
wrong_read() {
  "$cli" read "${@:2}" >out 2>err
  is "read ${*:2}: exit code" $? 2
  has "read ${*:2}" "$(cat err)" "$1"
}
wrong_read '--json excludes --data' --data --json
wrong_read '--text excludes --data' --data --text
wrong_read '--null excludes --length-prefixed' --data -0 --length-prefixed
wrong_read '--null requires --text or --data' -0
wrong_read '--null requires --text or --data' --json --null
wrong_read '--length-prefixed requires --data' --text --length-prefixed

# ---- On the disk

kill "$server_pid"
wait "$server_pid" 2>/dev/null
server_pid=
is "dump tells of it" \
  "$("$server" dump --channel one | sed 's/^[0-9]*  [^ ]*  //' | head -n 4)" \
  'tester  cat  [256 bytes of image/png]
tester  [256 bytes]
tester  [256 bytes]
tester  [0 bytes of image/gif]'
"$server" dump --channel one --json >dumped
"$python" - <<'END' || fail "dump --json is not what read --json was"
import json
dumped = [json.loads(line) for line in open("dumped")]
read = [json.loads(line) for line in open("json")]
names = ("sequence", "text", "data", "content_type")
pick = lambda messages: [[m.get(name) for name in names] for m in messages]
assert pick(dumped) == pick(read)
END

finish

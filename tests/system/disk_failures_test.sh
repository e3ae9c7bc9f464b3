#!/usr/bin/env bash
# System calls fail under a real messenger-server: what it refuses, that reads
# go on, when it writes again, and what is there after a restart.
#   disk_failures_test.sh MESSENGER_SERVER MESSENGER_CLI
# Needs strace, which is a failure to miss if $MESSENGER_REQUIRE_ALL_TESTS is 1,
# and to be allowed to use it. Otherwise it is skipped.
set -uo pipefail
source "$(dirname "$0")/../support/assert.sh"

server=$1
cli=$2
command -v strace >/dev/null || skip "strace is missing: script/bootstrap system"
strace -o /dev/null true ||
  MESSENGER_REQUIRE_ALL_TESTS='' skip "strace may trace nothing here"

work=$(mktemp -d)
server_pid=
tracer=
clean_up() {
  [ -z "$tracer" ] || kill "$tracer" 2>/dev/null
  [ -z "$server_pid" ] || stop KILL
  rm -rf "$work"
}
trap clean_up EXIT
cd "$work" || exit 1
unset "${!MESSENGER_SERVER_@}"

fail() {
  echo "FAIL: $*" >&2
  tail -n 20 notices >&2
  exit 1
}

# ---- The server

options=(--listen 127.0.0.1:0 --log file:log --journal-bytes 64Ki)

has_started() { grep -q ' listening on ' out || ! kill -0 "$server_pid"; }

# start [COMMAND...]: by that command; false if it ends instead of listening.
start() {
  : >out
  "$@" "$server" "${options[@]}" >out 2>>notices &
  server_pid=$!
  await "the server listens, or ends" has_started
  MESSENGER_SERVER_ADDR=$(sed -n 's/.*listening on \([^ ]*\).*/\1/p' out)
  export MESSENGER_SERVER_ADDR
  [ -n "$MESSENGER_SERVER_ADDR" ] && return
  wait "$server_pid"
  exit_code=$?
  server_pid=
  return 1
}
must_start() { start "$@" || fail "the server does not start"; }

# stop SIGNAL
stop() {
  kill "-$1" "$server_pid"
  wait "$server_pid" 2>/dev/null
  server_pid=
}

# break CALL:HOW: from now on that system call fails that way.
break_call() {
  : >strace.err
  strace -f -p "$server_pid" -o /dev/null -e trace="${1%%:*}" \
    -e inject="$1" 2>strace.err &
  tracer=$!
  await "strace is attached" grep attached strace.err
}
heal() {
  kill -INT "$tracer"
  wait "$tracer"
  tracer=
}

# ---- Its clients: each text is another one.

: >acknowledged
: >refused
texts=0

# send [PADDING]: remembers how it went.
send() {
  texts=$((texts + 1))
  local text="text $texts ${1:-}"
  if "$cli" send --channel c "$text" >receipt 2>error; then
    echo "$text" >>acknowledged
  else
    # On a full disk it is known not to be stored.
    local exit_code=$? full=3
    ! grep -qE 'No space left|disk is full' error || full=1
    is "a refused text: exit code" $exit_code $full
    has "a refused text: why" "$(cat error)" 'the log cannot be written to'
    echo "$text" >>refused
    return 1
  fi
}
must_send() { send "$@" || fail "text $texts was refused: $(cat error)"; }
must_refuse() { ! send "$@" || fail "text $texts was not refused"; }

read_all() {
  "$cli" read --channel c --from earliest --until-caught-up "$@" ||
    fail "read: exit code $?"
}

# What was acknowledged is there, in order and once, and there is nothing else
# but what was refused, once at most.
check() {
  local what=$1
  read_all --text >there
  cmp <(grep -xFf acknowledged there) acknowledged ||
    fail "$what: what was acknowledged is not there"
  is "$what: what nobody has sent" \
    "$(grep -vxFf acknowledged there | grep -vxFf refused)" ""
  is "$what: what is there twice" "$(sort there | uniq -d)" ""
  is "$what: sequences" "$(read_all --json |
    sed -n 's/.*"sequence":\([0-9]*\).*/\1/p')" "$(seq "$(wc -l <there)")"
}
check_after_kill() {
  stop KILL
  must_start
  check "$1, and after a restart"
}

must_start
must_send
must_send

# A full disk, for a while. What is refused then leaves no hole; and when there
# is room again, the server finds out without a send.
break_call pwrite64:error=ENOSPC
must_refuse
has "a full disk: it says so" "$(cat error)" 'No space left on device'
check "a full disk"
"$cli" ping 2>error
is "a full disk: exit code of ping" $? 3
has "a full disk: ping says so" "$(cat error)" 'takes no messages'
must_refuse
heal
await "there is room again" "$cli" ping
must_send
is "refused texts take no sequence" "$(cat receipt)" "c 3"
is "the server says so, once" "$(grep -c 'appends are refused' notices)" 1
is "and when it is over" "$(grep -c 'appends are accepted again' notices)" 1
must_send
check_after_kill "a full disk"
took "a full disk"

# Writes that are interrupted, or write nothing: they are tried again.
for how in error=EINTR retval=0; do
  break_call pwrite64:$how:when=1..3
  must_send
  heal
  check_after_kill "pwrite64 $how"
done
stop TERM

# Writes that write a part, and then fail: files may have so many bytes.
must_start env --ignore-signal=XFSZ prlimit --fsize=65536:
must_send
must_refuse "$(printf '%070000d' 0)"
has "a file that is too large: it says so" "$(cat error)" 'File too large'
must_send
prlimit --pid "$server_pid" --fsize=unlimited:
must_send "$(printf '%070000d' 0)"
check_after_kill "half a write"
took "writes that are cut short"

# A sync that fails: nothing is accepted any more.
for signal in KILL TERM; do
  break_call fdatasync:error=EIO:when=1
  must_refuse
  has "a failed sync: it says so" "$(cat error)" 'Input/output error'
  must_refuse
  heal
  must_refuse
  "$cli" ping 2>error
  is "a failed sync: exit code of ping" $? 3
  has "a failed sync: ping says so" "$(cat error)" 'takes no messages'
  check "a failed sync"
  stop $signal
  must_start
  check "a failed sync, and after SIG$signal"
  must_send
  check_after_kill "after a failed sync"
done
took "syncs that fail"

# What a checkpoint does fails: writing goes on until there are two journals,
# and when it works again.
for call in renameat openat mkdirat fsync unlinkat; do
  case $call in
    mkdirat) channel=new ;; # the directory of another one
    *) channel=c ;;
  esac
  break_call $call:error=EIO
  [ $channel = c ] || "$cli" send --channel $channel x >/dev/null ||
    fail "the first message to another channel was refused"
  for ((i = 0; i < 20; ++i)); do
    send "$(printf '%040000d' 0)" || break
  done
  [ $i -gt 1 ] || fail "$call fails: text $texts was refused at once"
  [ $i -lt 20 ] || fail "$call fails, and the journals grow and grow"
  has "$call fails: it says so" "$(cat error)" 'Input/output error'
  check "$call fails"
  if [ $call = openat ]; then
    check_after_kill "$call fails" # strace ends with the server
    wait "$tracer"
    tracer=
  else
    heal
  fi
  await "$call works again" send
  check "$call works again"
  check_after_kill "$call works again"
done
took "checkpoints that fail"

# Each system call of opening fails, one after the other: the server says which,
# and the next one finds everything.
in_log=()
while read -r path; do
  in_log+=(-P "$path")
done < <(find log)
for call in openat pread64 getdents64 mkdirat flock pwrite64 ftruncate fsync \
  fdatasync; do
  must_send "$(printf '%040000d' 0)"
  stop KILL
  only=()
  # The loader of shared libraries makes these calls, too.
  case $call in openat | pread64 | getdents64) only=("${in_log[@]}") ;; esac
  cp -a log before
  for ((n = 1; n < 60; ++n)); do
    # Each opening has another journal to sync.
    rm -rf log
    cp -a before log
    : >notices
    start strace -D -f -o /dev/null -e trace=$call \
      -e inject=$call:error=EIO:when=$n "${only[@]}" && break
    is "opening without $call number $n: exit code" "$exit_code" 1
    has "opening without $call number $n: says so" "$(cat notices)" \
      'messenger-server: [^ ]+: .*: Input/output error'
  done
  [ $n -gt 1 ] || fail "opening does not need $call"
  [ $n -lt 60 ] || fail "opening does not come to an end"
  echo "opening: $((n - 1)) x $call"
  rm -rf before
  stop KILL
  must_start
  check "opening without $call"
done
took "openings that fail"
echo "all passed: $(wc -l <acknowledged) texts acknowledged," \
  "$(wc -l <refused) refused"

#!/usr/bin/env bash
# Looking at a log on a file system that is mounted read-only.
#   read_only_test.sh MESSENGER_SERVER MESSENGER_CLI
# Takes root and mounts of its own. Without, it is skipped.
set -uo pipefail
server=$1
cli=$2
source "$(dirname "$0")/../support/programs.sh"

mounted=
at_exit() {
  [ -z "$server_pid" ] || kill -9 "$server_pid"
  [ -z "$mounted" ] || umount "$mounted" || umount -l "$mounted"
  cleanup
}
trap at_exit EXIT

mkdir disk
mount -t tmpfs -o size=64m tmpfs disk 2>/dev/null ||
  skip "nothing can be mounted here"
mounted=$PWD/disk

start_server --log file:disk/log
seq 1 100 | "$cli" send --channel Numbers - || fail "send"
kill "$server_pid"
wait "$server_pid"
server_pid=

checksums() { find disk -type f -exec sha256sum {} + | sort; }
checksums >before

# look WHAT NOTICES
look() {
  mount -o remount,ro disk || fail "cannot be mounted read-only"
  out=$("$server" verify --log file:disk/log)
  is "$1: verify: exit code" $? 0
  is "$1: verify: the last line" "$(tail -n 1 <<<"$out")" clean
  is "$1: verify: notices" "$(grep -c '^notice: LOCK' <<<"$out")" "$2"
  is "$1: dump" "$("$server" dump --log file:disk/log --channel Numbers \
    --json | grep -c '"text"')" 100
  "$server" repair --log file:disk/log 2>err
  is "$1: repair: exit code" $? 3
  has "$1: repair" "$(cat err)" 'LOCK: lock: Read-only file system'
  "$server" --listen 127.0.0.1:0 --log file:disk/log 2>err
  is "$1: a server: exit code" $? 1
  has "$1: a server" "$(cat err)" 'LOCK: lock: Read-only file system'
  mount -o remount,rw disk || fail "cannot be mounted again"
}
look "with a lock" 0
checksums >after
cmp before after || fail "something has changed"
rm disk/log/LOCK
look "without a lock" 1
[ ! -e disk/log/LOCK ] || fail "the lock was created"

finish

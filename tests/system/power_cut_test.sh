#!/usr/bin/env bash
# Cuts the power of a real file system under a real messenger-server, again and
# again: ext4 on a loop device, which then loses whatever was not synced. Also
# with a server that is killed before, with a durability that loses messages and
# has to say so, and with a disk that lies, which has to be found out.
#   power_cut_test.sh MESSENGER_SERVER MESSENGER_CRASH_TEST MESSENGER_LYING_DISK
#     ROUNDS
# Needs root, which is a failure to miss if $MESSENGER_REQUIRE_ALL_TESTS is 1, and
# a kernel that mounts loop devices. Without, it is skipped.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
source tests/system/machine.sh
need losetup mkfs.ext4 mount umount

server=$1
crash_test=$2
lying_disk=$3
rounds=$4

device=
drop_disk() {
  ! mountpoint --quiet "$work/disk" || umount "$work/disk"
  [ -z "$device" ] || losetup --detach "$device"
  device=
}
clean_up() {
  drop_disk || true
  remove_work
}
trap clean_up EXIT

# One without anything on it.
new_disk() {
  drop_disk
  rm -f "$work/image"
  truncate --size 512M "$work/image"
  mkfs.ext4 -q -F "$work/image" || fail "mkfs.ext4"
  device=$(losetup --find --show "$work/image") ||
    MESSENGER_REQUIRE_ALL_TESTS='' skip "there are no loop devices here"
  mkdir -p "$work/disk"
  mount -t ext4 "$device" "$work/disk" ||
    MESSENGER_REQUIRE_ALL_TESTS='' \
      skip "an ext4 file system on $device cannot be mounted here"
}

# What the program keeps when it fails stays, unless it is expected to.
keep=${TMPDIR:-/tmp}

# crash OPTION...: on a new disk.
crash() {
  new_disk
  TMPDIR=$keep "$crash_test" --server "$server" --device "$device" \
    --mount-point "$work/disk" "$@"
}

crash --rounds "$rounds" || fail "fsync: promises were not kept"
took "$rounds rounds, fsync"

crash --rounds "$rounds" --durability os >"$work/log" ||
  { cat "$work/log" >&2 && fail "os: promises were not kept"; }
cat "$work/log"
has "os: what a power cut has taken" "$(cat "$work/log")" '[1-9][0-9]* lost'
has "os: readers are told" "$(cat "$work/log")" '[1-9][0-9]* readers told'
took "$rounds rounds, os"

keep=$work crash --rounds 30 --preload "$lying_disk" >"$work/log" &&
  fail "a disk that lies was not found out"
# Messages are gone, the opening of a producer is, or the log as a whole.
has "a disk that lies is found out" "$(cat "$work/log")" \
  '^Durable: (.* are gone|.*the generation has not risen|the log cannot be opened)'
took "a disk that lies: $(grep -m 1 '^Durable' "$work/log")"
echo "all passed"

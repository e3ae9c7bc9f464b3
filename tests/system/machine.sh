# For tests that need another machine, to be sourced: a small Debian 12 in a
# directory. Sources tests/support/assert.sh.
# shellcheck shell=bash
source tests/support/assert.sh

[ "$(id -u)" = 0 ] || skip "needs root"

# need COMMAND...: of the packages in script/bootstrap system.
need() {
  local command
  for command in "$@"; do
    command -v "$command" >/dev/null || script/bootstrap system ||
      skip "$command is missing and cannot be installed"
  done
}

# A directory that is removed at the end, with all that is mounted in it. A test
# that has more to clean up has its own trap, and calls this.
work=$(mktemp -d)
remove_work() {
  findmnt -rno TARGET | grep "^$work/" | sort -r | xargs -r umount -l || true
  rm -rf --one-file-system "$work"
}
trap remove_work EXIT

# make_debian TARGET [PACKAGES]: as a directory or .tar, from the machine's own
# package sources.
make_debian() {
  local sources=() file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    [ ! -s $file ] || sources+=("$file")
  done
  mmdebstrap --quiet --variant=minbase ${2:+--include="$2"} \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    bookworm "$1" "${sources[@]}" || skip "mmdebstrap failed"
}

# make_machine [PACKAGES]: one to run commands in: "${in_machine[@]}" COMMAND...
machine=$work/machine
in_machine=(
  chroot "$machine" env -i LANG=C.UTF-8 HOME=/root
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
)
make_machine() {
  make_debian "$machine" "${1:-}"
  mount -t proc proc "$machine/proc"
  cp /etc/resolv.conf "$machine/etc/"
  "${in_machine[@]}" apt-get update -q >"$work/log" 2>&1 ||
    skip "apt-get update: $(tail -n 1 "$work/log")"
}

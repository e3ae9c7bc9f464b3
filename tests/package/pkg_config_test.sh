#!/usr/bin/env bash
# Builds and runs a program with nothing but pkg-config: with the archive, and with
# the shared library where it is installed.
#   pkg_config_test.sh CXX PKG_CONFIG_DIR SOURCE
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PKG_CONFIG_PATH=$2

# build PACKAGE
build() {
  local flags
  read -ra flags <<<"$(pkg-config --cflags --libs "$1")"
  "$compiler" -std=c++20 -o "$work/$1" "$source" "${flags[@]}"
  LD_LIBRARY_PATH=$(pkg-config --variable=libdir "$1") "$work/$1"
  proto=$(pkg-config --variable=protodir "$1")/messenger/v1/messenger.proto
  [ -f "$proto" ] || { echo "no $proto" >&2; exit 1; }
}

compiler=$1 source=$3
build messenger
! readelf -d "$work/messenger" | grep -q libmessenger ||
  { echo "messenger.pc links the shared library" >&2; exit 1; }

[ -f "$2/messenger-shared.pc" ] || exit 0
build messenger-shared
readelf -d "$work/messenger-shared" | grep -q libmessenger ||
  { echo "messenger-shared.pc links the archive" >&2; exit 1; }

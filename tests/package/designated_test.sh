#!/usr/bin/env bash
# Public structs can be made with any of their fields named, without a warning.
#   designated_test.sh SOURCE PKG_CONFIG_DIR CXX...
set -euo pipefail

source=$1
export PKG_CONFIG_PATH=$2
shift 2
include=$(pkg-config --variable=includedir messenger)
read -ra flags <<<"$(pkg-config --cflags messenger)"

# The package's own headers must not count as the system's, whose warnings are
# not told.
for cxx in "$@"; do
  echo "$cxx"
  "$cxx" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic \
    -Wmissing-field-initializers -Werror -I"$include" "${flags[@]}" "$source"
done

missing=0
while read -r struct; do
  grep -qE "\b$struct(<[a-z]+>)?\{\." "$source" || {
    echo "$source has no $struct" >&2
    missing=1
  }
done < <(sed -nE 's/^ *struct ([A-Za-z]+) \{$/\1/p' "$include"/messenger/*.h)
exit "$missing"

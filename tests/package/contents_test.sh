#!/usr/bin/env bash
# What is installed is what is listed: no file forgotten, none too many.
#   contents_test.sh PREFIX LIST INCLUDE_DIR
set -euo pipefail

diff -u "$2" <(cd "$1" && find . -type f,l |
  sed 's/Targets-[a-z]*\.cmake/Targets-CONFIG.cmake/' | LC_ALL=C sort)
for header in "$3"/messenger/*.h; do
  [ -f "$1/include/messenger/${header##*/}" ] || {
    echo "public header ${header##*/} is not installed" >&2
    exit 1
  }
done

#!/usr/bin/env bash
# A program in C loads a plugin that contains the library, or needs it.
#   plugin_test.sh BUILD_DIR PREFIX
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/../support/assert.sh"

cd "$1"
has "the static plugin" "$(./consumer ./libstatic_plugin.so)" '^3: 21.5 °C$'
# It can be unpacked anywhere: nothing of the library is looked for.
! readelf -d libstatic_plugin.so | grep -q libmessenger ||
  fail "the static plugin needs the shared library"

[ -e libshared_plugin.so ] || exit 0
has "the shared plugin, and again" \
  "$(./consumer ./libshared_plugin.so ./libshared_plugin.so | grep -c '^3: ')" 2
has "the shared program" "$(./shared_program)" '^3: 21.5 °C$'
library=$(find "$2" -name libmessenger.so)
soname=$(readelf -d "$library" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
has "the name with its version" "$soname" '^libmessenger\.so\.[0-9]+\.[0-9]+$'
for user in libshared_plugin.so shared_program; do
  has "$user" "$(readelf -d $user)" "NEEDED.*\[$soname\]"
done

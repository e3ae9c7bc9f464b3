#!/usr/bin/env bash
# Builds and runs a program with nothing but pkg-config.
#   pkg_config_test.sh CXX PKG_CONFIG_DIR SOURCE
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PKG_CONFIG_PATH=$2
read -ra flags <<<"$(pkg-config --cflags --libs messenger)"
"$1" -std=c++20 -o "$work/consumer" "$3" "${flags[@]}"
"$work/consumer"
proto=$(pkg-config --variable=protodir messenger)/messenger/v1/messenger.proto
[ -f "$proto" ] || { echo "no $proto" >&2; exit 1; }

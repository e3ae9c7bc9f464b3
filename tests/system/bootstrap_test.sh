#!/usr/bin/env bash
# script/bootstrap on a machine without a network: it says so in a few lines.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
source tests/support/assert.sh
[ "$(id -u)" = 0 ] || skip "needs root"
unshare -n true || skip "needs a network namespace of its own"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One package that is certainly missing.
sed 's/^bench=(/&cowsay-of-messenger /' script/bootstrap >"$work/bootstrap"
chmod +x "$work/bootstrap"
exit_code=0
unshare -n "$work/bootstrap" bench >"$work/out" 2>"$work/err" || exit_code=$?
is "exit code" "$exit_code" 1
error=$(cat "$work/err")
has "what is the matter" "$error" '^script/bootstrap: no network: '
has "what it has tried" "$error" "deb|mirror|resolv|connect"
has "what is missing" "$error" 'cowsay-of-messenger'
[ "$(wc -l <"$work/err")" -le 8 ] || fail "a page of errors: $error"

#!/usr/bin/env bash
# Tests the chat page in Debian's Chromium, headless.
#   run.sh WORK SERVER GATEWAY            all tests
#   run.sh WORK SERVER GATEWAY PATTERN    those whose names match
# WORK gets the modules from npm, and the screenshots: of everything that can be
# on the screen, and of the pages of a test that failed. With
# MESSENGER_UPDATE_SCREENSHOT=1 it also writes docs/images/chat.png, which the
# README shows.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
source tests/support/assert.sh

WORK=$1 SERVER=$2 GATEWAY=$3
shift 3
CHROMIUM=$(command -v chromium) || skip "chromium is missing; see script/bootstrap"
for command in node npm; do
  command -v $command >/dev/null || skip "$command is missing; see script/bootstrap"
done

mkdir -p "$WORK"
if ! cmp -s tests/browser/package.json "$WORK/installed.json"; then
  cp tests/browser/package.json "$WORK/"
  (cd "$WORK" && npm install --ignore-scripts --no-audit --no-fund --no-package-lock) ||
    skip "npm cannot install what package.json names"
  cp tests/browser/package.json "$WORK/installed.json"
fi
rm -rf "$WORK/screenshots"
export WORK SERVER GATEWAY CHROMIUM
exec node tests/browser/page_test.mjs "$@"

#!/usr/bin/env bash
# The installed programs find each other: a message comes by HTTP, and the client
# reads it.
#   programs_test.sh BIN_DIR
set -euo pipefail
source "$(dirname "$(readlink -f "$0")")/../support/assert.sh"
source "$(dirname "$(readlink -f "$0")")/../support/http.sh"
unset "${!MESSENGER_SERVER_@}" "${!MESSENGER_HTTP_@}"
cd "$1"

processes=()
trap 'kill "${processes[@]}" 2>/dev/null || true' EXIT

# start COMMAND...: into $address.
start() {
  local output listening
  exec {output}< <(exec "$@" --listen 127.0.0.1:0)
  processes+=($!)
  read -r -t 20 -u "$output" listening || fail "$1 does not listen"
  address=$(sed -n 's/.* listening on \([^ ]*\) .*/\1/p' <<<"$listening")
}

start ./messenger-server --log memory:
export MESSENGER_SERVER_ADDR=$address
start ./messenger-gateway
http "$address" GET /healthz >/dev/null || fail "the gateway is not healthy"
has "a message by HTTP" "$(http "$address" POST /v1/channels/general/messages \
  '{"author":"ann","text":"hello"}')" '"sequence":1'
is "what the client reads" "$(./messenger-cli read --from earliest \
  --until-caught-up --text)" hello

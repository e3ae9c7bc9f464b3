#!/usr/bin/env bash
# The Debian packages, on a machine that has nothing else: they install, the
# server and the gateway serve, and a program builds against the library with CMake and with
# pkg-config.
#   packages_test.sh [DIRECTORY]
# Takes them from the directory; builds them if they are not there.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
source tests/system/machine.sh
source tests/support/http.sh
need lintian mmdebstrap dpkg-shlibdeps file
unset "${!MESSENGER_SERVER_@}" "${!MESSENGER_HTTP_@}"

server=
gateway=
clean_up() {
  [ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  remove_work
}
trap clean_up EXIT

install() {
  "${in_machine[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
    --no-install-recommends "$@" >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2 && fail "apt-get install $*"; }
}

# listens NAME
listens() { grep ' listening on ' "$work/$1.log"; }

# address_of NAME
address_of() { sed -n 's/.* listening on \([^ ]*\) .*/\1/p' "$work/$1.log"; }

# stop NAME PROCESS
stop() {
  local exit_code=0
  kill "$2"
  wait "$2" || exit_code=$?
  is "the $1's exit code" "$exit_code" 0
}

packages=${1:-build/package}
if [ -z "${1:-}" ] || ! ls "$packages"/*.deb >/dev/null; then
  packages=build/package
  rm -f $packages/*.deb
  cmake --workflow --preset package >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2 && fail "the packages do not build"; }
fi
took "have $(find "$packages" -maxdepth 1 -name '*.deb' -printf '%f (%k KiB) ')"

lintian --fail-on error "$packages"/*.deb >"$work/log" 2>&1 ||
  fail "lintian: $(grep '^E: ' "$work/log")"
took "checked them"

make_machine
for package in messenger libmessenger0.1 libmessenger-dev; do
  cp "$packages/${package}"_*.deb "$machine/tmp/$package.deb"
done
cp libmessenger/examples/embedded_server.cc \
  tests/package/find_package/CMakeLists.txt "$machine/tmp/"
took "made a machine"

install /tmp/messenger.deb
"${in_machine[@]}" messenger-server --listen 127.0.0.1:0 >"$work/server.log" 2>&1 &
server=$!
await "the server listens" listens server
address=$(address_of server)
is "send" "$("${in_machine[@]}" messenger-cli send --server "$address" hello)" \
  "general 1"
is "read" "$("${in_machine[@]}" messenger-cli read --server "$address" --text \
  --from earliest --until-caught-up)" hello
"${in_machine[@]}" messenger-gateway --server "$address" --listen 127.0.0.1:0 \
  >"$work/gateway.log" 2>&1 &
gateway=$!
await "the gateway listens" listens gateway
http "$(address_of gateway)" GET /healthz >/dev/null ||
  fail "the gateway is not healthy"
has "read by HTTP" "$(http "$(address_of gateway)" GET \
  '/v1/channels/general/messages?from=earliest')" '"text":"hello"'
stop gateway "$gateway"
gateway=
stop server "$server"
server=
took "installed and used the programs"

install /tmp/libmessenger0.1.deb /tmp/libmessenger-dev.deb g++ cmake make
took "installed the library"
"${in_machine[@]}" cmake -S /tmp -B /tmp/build \
  -DCONSUMER_SOURCE=/tmp/embedded_server.cc >"$work/log" 2>&1 ||
  fail "CMake: $(cat "$work/log")"
"${in_machine[@]}" cmake --build /tmp/build >"$work/log" 2>&1 ||
  fail "build: $(cat "$work/log")"
has "built with CMake" "$("${in_machine[@]}" /tmp/build/consumer)" '^3: 21.5 °C$'
took "built and ran a program with CMake"

install pkg-config
read -ra flags < <("${in_machine[@]}" pkg-config --cflags --libs messenger)
"${in_machine[@]}" c++ -std=c++20 -o /tmp/consumer /tmp/embedded_server.cc "${flags[@]}"
has "built with pkg-config" "$("${in_machine[@]}" /tmp/consumer)" '^3: 21.5 °C$'
read -ra flags < <("${in_machine[@]}" pkg-config --cflags --libs messenger-shared)
"${in_machine[@]}" c++ -std=c++20 -o /tmp/shared /tmp/embedded_server.cc "${flags[@]}"
has "built with the shared library" "$("${in_machine[@]}" /tmp/shared)" '^3: 21.5 °C$'
took "built and ran a program with pkg-config"

"${in_machine[@]}" dpkg --remove messenger libmessenger-dev libmessenger0.1 >"$work/log"
is "what is left after removal" \
  "$(find "$machine/usr" "$machine/etc" -name '*messenger*')" ""

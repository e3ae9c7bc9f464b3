#!/usr/bin/env bash
# The images of the Dockerfile, built without a Docker engine, as an operator
# meets them: locked down, healthy, used through pipes, drained.
#   container_test.sh [--packages DIRECTORY] [podman|chroot]
# Runs them with podman if that is possible, else in a plain chroot. Puts the Debian
# packages into the directory, which their build makes on its way. Needs root,
# up to 4 GB in $TMPDIR and Debian's packages, also those of script/bootstrap
# system. Where something of that is missing it ends with 77, which is a failure
# if $MESSENGER_REQUIRE_ALL_TESTS is 1.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

source tests/system/machine.sh
source tests/support/http.sh
need mmdebstrap podman runc
packages=
if [ "${1:-}" = --packages ]; then
  packages=$2
  rm -rf "$packages"
  shift 2
fi
unset "${!MESSENGER_SERVER_@}" "${!MESSENGER_HTTP_@}"
server_image=localhost/messenger-server
cli_image=localhost/messenger-cli
gateway_image=localhost/messenger-gateway
driver=overlay
reader=
# In a chroot, by the name of the program: its process and its port.
declare -A process=() port=()

# Podman with everything of its own, so that it meets no other one.
pod() {
  podman --root "$work/store" --runroot "$work/run" --tmpdir "$work/tmp" \
    --storage-driver $driver --runtime runc --cgroup-manager cgroupfs \
    --events-backend file --log-level fatal "$@"
}

clean_up() {
  [ -z "$reader" ] || kill "$reader" 2>/dev/null || true
  kill "${process[@]}" 2>/dev/null || true
  pod rm --all --force --time 0 >/dev/null 2>&1 || true
  pod image unmount --all --force >/dev/null 2>&1 || true
  remove_work
}
trap clean_up EXIT

# As debian:bookworm-slim on a hub.
make_base() {
  make_debian "$work/base.tar"
  pod import --quiet "$work/base.tar" \
    docker.io/library/debian:bookworm-slim >"$work/log" 2>&1 ||
    skip "podman cannot import an image: $(tail -n 1 "$work/log")"
  rm "$work/base.tar"
}

# What an earlier build of the same sources has compiled, if there is a $CCACHE_DIR.
compiled=()
share_compiled() {
  local ccache file
  ccache=$(command -v ccache) && mkdir -p "$CCACHE_DIR" || return 0
  printf '%s\n' 'base_dir = /src' 'hash_dir = false' 'sloppiness = locale' \
    >"$CCACHE_DIR/ccache.conf"
  compiled=(--volume "$CCACHE_DIR:/root/.cache/ccache")
  for file in "$ccache" $(ldd "$ccache" | awk '/libhiredis/ {print $3}'); do
    compiled+=(--volume "$file:$file:ro")
  done
}

# build_image TARGET IMAGE
build_image() {
  pod build --isolation chroot --format docker --layers --pull=never \
    "${compiled[@]}" --target "$1" --tag "$2" . >"$work/log" 2>&1 ||
    { tail -n 40 "$work/log" >&2 && fail "$1 does not build"; }
  took "built $2: $(pod images --format '{{.Size}}' "$2"), of which base $(
    pod images --format '{{.Size}}' docker.io/library/debian)"
}

# Its layers are those that the server's image was made of.
keep_packages() {
  local root
  mkdir -p "$packages"
  build_image build localhost/messenger-build
  root=$(pod image mount localhost/messenger-build)
  cp "$root"/src/build/package/*.deb "$packages"
}

# inspect IMAGE FORMAT
inspect() { pod image inspect --format "$2" "$1"; }

# What runs the images is one of these two. Its functions take the name of a
# container, which is that of the program without "messenger-".

# With podman, the server and its gateway are alone in a network, on their default
# ports. Limits of their own, since podman's may be above those of the machine.
locked_down=(--read-only --cap-drop=all --security-opt=no-new-privileges
  --ulimit=nofile=4096:4096 --ulimit=nproc=2048:2048)

# The volume with certificates and tokens, and what clients take of them.
etc=(--volume messenger:/etc/messenger)
client=(--env MESSENGER_TLS_CA=/etc/messenger/tls/ca.pem --env MESSENGER_TOKEN)

# podman_make ARGUMENT...: with the server's program, into the volume.
podman_make() {
  pod run --rm --network none "${locked_down[@]}" "${etc[@]}" $server_image "$@"
}
# podman_start NAME [ARGUMENT...]
podman_start() {
  local name=$1 network=none
  shift
  [ "$name" = server ] || network=container:server
  pod run --detach --name "$name" --network $network --health-interval=disable \
    "${locked_down[@]}" "${etc[@]}" "${client[@]}" "localhost/messenger-$name" \
    "$@" >"$work/log" 2>&1
}
podman_log() { pod logs "$1" 2>&1; }
podman_status() { pod exec "$1" cat /proc/1/status; }
podman_health() { pod healthcheck run "$1"; }
podman_cli() {
  pod run --rm --interactive --network container:server "${locked_down[@]}" \
    "${etc[@]}" "${client[@]}" $cli_image "$@"
}
podman_http() {
  pod exec gateway bash -c "$(declare -f http)"' && http "$@"' bash \
    127.0.0.1:8080 "$@"
}
podman_signal() { pod kill --signal "$2" "$1" >/dev/null; }
podman_stop() {
  pod stop --time 20 "$1" >/dev/null
  exit_code=$(pod inspect --format '{{.State.ExitCode}}' "$1")
}
podman_health_alone() {
  pod run --rm --network none "${locked_down[@]}" --entrypoint '["/bin/sh", "-c"]' \
    "localhost/messenger-$1" "${health[$1]}"
}

# In a chroot they share the machine's network, on free ports.
# in_chroot IMAGE COMMAND...
in_chroot() {
  local root environment
  root=$(pod image mount "$1")
  mapfile -t environment < <(inspect "$1" \
    '{{range .Config.Env}}{{println .}}{{end}}' | grep .)
  shift
  exec chroot "$root" setpriv --reuid "${user%:*}" --regid "${user#*:}" \
    --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
    env -i PATH=/usr/local/bin:/usr/bin:/bin "${environment[@]}" \
    MESSENGER_TLS_CA=/etc/messenger/tls/ca.pem \
    MESSENGER_TOKEN="${MESSENGER_TOKEN:-}" "$@"
}
# Each has an /etc of its own, so that it is copied.
chroot_make() {
  local image
  (in_chroot $server_image messenger-server "$@") || return
  for image in $cli_image $gateway_image; do
    cp -a "$(pod image mount $server_image)/etc/messenger" \
      "$(pod image mount "$image")/etc/"
  done
}
chroot_start() {
  local name=$1
  shift
  in_chroot "localhost/messenger-$name" MESSENGER_SERVER_PORT=0 \
    MESSENGER_SERVER_ADDR="127.0.0.1:${port[server]:-1}" MESSENGER_HTTP_PORT=0 \
    "messenger-$name" "$@" >"$work/$name.log" 2>&1 &
  process[$name]=$!
  await "the $name listens" listens "$name"
  port[$name]=$(sed -n 's/.* listening on [^ ]*:\([0-9]*\) .*/\1/p' \
    "$work/$name.log")
}
chroot_log() { cat "$work/$1.log"; }
chroot_status() { cat "/proc/${process[$1]}/status"; }
chroot_health() { (in_chroot "localhost/messenger-$1" \
  MESSENGER_SERVER_PORT="${port[$1]}" MESSENGER_HTTP_PORT="${port[$1]}" \
  /bin/sh -c "${health[$1]}"); }
chroot_cli() { (in_chroot $cli_image \
  MESSENGER_SERVER_ADDR="127.0.0.1:${port[server]}" messenger-cli "$@"); }
chroot_http() { http "127.0.0.1:${port[gateway]}" "$@"; }
chroot_signal() { kill "-$2" "${process[$1]}"; }
chroot_stop() {
  kill "${process[$1]}"
  exit_code=0
  wait "${process[$1]}" || exit_code=$?
  unset "process[$1]"
}
chroot_health_alone() { chroot_health "$1"; }

# on WHAT [ARGUMENT...]: with what runs the images.
on() { "${runner}_$1" "${@:2}"; }

# listens NAME
listens() { on log "$1" | grep ' listening on '; }

declare -A health
check_images() {
  local image name
  for image in $server_image $cli_image $gateway_image; do
    has "$image: user" "$(inspect "$image" '{{.Config.User}}')" \
      '^[1-9][0-9]*:[1-9][0-9]*$'
    is "$image: licence" "$(inspect "$image" \
      '{{index .Config.Labels "org.opencontainers.image.licenses"}}')" \
      Apache-2.0
    is "$image: title" localhost/"$(inspect "$image" \
      '{{index .Config.Labels "org.opencontainers.image.title"}}')" "$image"
  done
  has "exposed ports" "$(inspect $server_image '{{.Config.ExposedPorts}}')" \
    'map\[51075/tcp:'
  has "exposed ports" "$(inspect $gateway_image '{{.Config.ExposedPorts}}')" \
    'map\[8080/tcp:'
  for name in server gateway; do
    image=localhost/messenger-$name
    is "entry point" "$(inspect $image '{{.Config.Entrypoint}}')" \
      "[messenger-$name]"
    health[$name]=$(inspect $image '{{index .HealthCheck.Test 1}}')
  done
  user=$(inspect $server_image '{{.Config.User}}')
  has "health check" "${health[server]}" '^messenger-cli ping '
  has "health check" "${health[gateway]}" '/healthz'
  # The gateway needs Boost's headers alone.
  image=$(pod image mount $gateway_image)
  ! grep -i boost "$image/usr/share/doc/messenger/packages" ||
    fail "the images need a library of Boost"
}

# check_locked_down NAME
check_locked_down() {
  local status
  has "the $1's log" "$(on log "$1")" "^messenger-$1 .* listening on 0\.0\.0\.0:"
  status=$(on status "$1")
  has "$1: not root" "$status" \
    "^Uid:.${user%:*}.${user%:*}.${user%:*}.${user%:*}$"
  has "$1: no capabilities" "$status" '^CapBnd:.0+$'
  has "$1: no new privileges" "$status" '^NoNewPrivs:.1$'
  on health "$1" >"$work/log" 2>&1 || fail "$1: not healthy: $(cat "$work/log")"
}

check_pipes() {
  seq -f 'line %.0f of a text' 20000 >"$work/text"
  on cli send --channel text - <"$work/text" || fail "send -: exit code $?"
  on cli read --channel text --from earliest --until-caught-up --text \
    >"$work/copy" </dev/null || fail "read: exit code $?"
  cmp "$work/text" "$work/copy" || fail "the text came back different"
}

# Two people chat, one by HTTP.
check_http() {
  local messages=/v1/channels/chat/messages
  await "the gateway has its server" on http GET /readyz
  has "a message by HTTP" \
    "$(on http POST $messages '{"author":"ann","text":"hi bob"}')" '"sequence":1'
  is "what it is to the client" "$(on cli read --channel chat --from earliest \
    --until-caught-up --text </dev/null)" 'hi bob'
  on cli send --channel chat 'hi ann' >/dev/null </dev/null ||
    fail "send: exit code $?"
  has "what both wrote" "$(on http GET "$messages?from=earliest")" \
    '"text":"hi bob".*"text":"hi ann"'
  on http GET /healthz '' chat.example >/dev/null ||
    fail "it does not know the name that it was given"
  ! on http GET /healthz '' other.example >/dev/null 2>&1 ||
    fail "it answers to any name"
}

check_drain_of_gateway() {
  on http GET '/v1/channels/chat/stream?from=earliest' >"$work/heard" 2>&1 \
    </dev/null &
  reader=$!
  await "the stream stands" grep '"text":"hi ann"' "$work/heard"
  on stop gateway
  is "a drained gateway: exit code" "$exit_code" 0
  has "a drained gateway: log" "$(on log gateway)" '^messenger-gateway: stopped$'
  wait "$reader" || true # with podman, it ends with the container
  reader=
}

check_drain() {
  on cli read --from earliest --text --give-up-after 0s \
    >"$work/heard" 2>"$work/error" </dev/null &
  reader=$!
  on cli send hello >/dev/null </dev/null || fail "send: exit code $?"
  await "the reader stands" grep -x hello "$work/heard"
  on stop server
  is "a drained server: exit code" "$exit_code" 0
  has "a drained server: log" "$(on log server)" '^messenger-server: stopped$'
  exit_code=0
  wait "$reader" || exit_code=$?
  reader=
  is "a reader of a drained server: exit code" "$exit_code" 3
  has "a reader of a drained server: error" "$(cat "$work/error")" \
    'the server is shutting down\. Go on with: --after [0-9]+:1'
}

# check_health_is_bad NAME
check_health_is_bad() {
  on signal "$1" STOP
  ! on health "$1" >/dev/null 2>&1 || fail "a stopped $1 is healthy"
  on signal "$1" CONT
  on health "$1" >/dev/null 2>&1 || fail "a continued $1 is not healthy"
}

pod info >/dev/null 2>&1 || { rm -rf "${work:?}"/* && driver=vfs; }
make_base
[ -z "${CCACHE_DIR:-}" ] || share_compiled
took "made a base system (storage driver: $driver)"
build_image server $server_image
build_image cli $cli_image
build_image gateway $gateway_image
[ -z "$packages" ] || keep_packages
check_images

runner=${1:-podman}
certify() {
  on make init-tls /etc/messenger/tls --name localhost --name 127.0.0.1 \
    >"$work/log" 2>&1
}
if ! certify && [ -z "${1:-}" ]; then
  echo "podman cannot run it here: $(tail -n 1 "$work/log")"
  runner=chroot
  certify
fi
MESSENGER_TOKEN=$(on make token add --tokens /etc/messenger/tokens \
  --identity ann 2>"$work/log")
export MESSENGER_TOKEN
on start server --tls-cert /etc/messenger/tls/server.pem \
  --tls-key /etc/messenger/tls/server.key --tokens /etc/messenger/tokens
await "the server listens" listens server
took "started the server with $runner"
check_locked_down server
check_pipes
took "20,000 lines there and back"
on start gateway --allow-host chat.example || fail "$(cat "$work/log")"
await "the gateway listens" listens gateway
check_locked_down gateway
check_http
took "a chat by HTTP"
check_health_is_bad server
check_health_is_bad gateway
took "unhealthy while stopped"
check_drain_of_gateway
check_drain
took "drained"
for name in server gateway; do
  ! on health_alone $name >/dev/null 2>&1 || fail "healthy without a $name"
done
took "unhealthy without a server, and without a gateway"
echo "all passed with $runner"

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
need mmdebstrap podman runc
packages=
if [ "${1:-}" = --packages ]; then
  packages=$2
  rm -rf "$packages"
  shift 2
fi
unset "${!MESSENGER_SERVER_@}"
server_image=localhost/messenger-server
cli_image=localhost/messenger-cli
driver=overlay
reader=
server=

# Podman with everything of its own, so that it meets no other one.
pod() {
  podman --root "$work/store" --runroot "$work/run" --tmpdir "$work/tmp" \
    --storage-driver $driver --runtime runc --cgroup-manager cgroupfs \
    --events-backend file --log-level fatal "$@"
}

clean_up() {
  [ -z "$reader" ] || kill "$reader" 2>/dev/null || true
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
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

# build_image TARGET IMAGE
build_image() {
  pod build --isolation chroot --format docker --layers --pull=never \
    --target "$1" --tag "$2" . >"$work/log" 2>&1 ||
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

# With podman, the server is alone in its network, on its default port. Limits
# of its own, since podman's may be above those of the machine.
locked_down=(--read-only --cap-drop=all --security-opt=no-new-privileges
  --ulimit=nofile=4096:4096 --ulimit=nproc=2048:2048)

podman_start() {
  pod run --detach --name server --network none --health-interval=disable \
    "${locked_down[@]}" $server_image >"$work/log" 2>&1
}
podman_log() { pod logs server 2>&1; }
podman_status() { pod exec server cat /proc/1/status; }
podman_health() { pod healthcheck run server; }
podman_cli() {
  pod run --rm --interactive --network container:server "${locked_down[@]}" \
    $cli_image "$@"
}
podman_signal() { pod kill --signal "$1" server >/dev/null; }
podman_stop() {
  pod stop --time 20 server >/dev/null
  exit_code=$(pod inspect --format '{{.State.ExitCode}}' server)
}
podman_health_alone() {
  pod run --rm --network none "${locked_down[@]}" --entrypoint '["/bin/sh", "-c"]' $server_image \
    "$health"
}

# In a chroot it shares the machine's network, on a free port.
# in_chroot IMAGE COMMAND...
in_chroot() {
  local root
  root=$(pod image mount "$1")
  shift
  exec chroot "$root" setpriv --reuid "${user%:*}" --regid "${user#*:}" \
    --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
    env -i PATH=/usr/local/bin:/usr/bin:/bin "$@"
}
chroot_start() {
  in_chroot $server_image MESSENGER_SERVER_PORT=0 \
    MESSENGER_SERVER_LOG=file:/var/lib/messenger messenger-server \
    >"$work/server.log" 2>&1 &
  server=$!
  await "the server listens" listens
  port=$(sed -n 's/.* listening on [^ ]*:\([0-9]*\) .*/\1/p' "$work/server.log")
}
chroot_log() { cat "$work/server.log"; }
chroot_status() { cat "/proc/$server/status"; }
chroot_health() { (in_chroot $server_image MESSENGER_SERVER_PORT="$port" \
  /bin/sh -c "$health"); }
chroot_cli() { (in_chroot $cli_image MESSENGER_SERVER_ADDR="127.0.0.1:$port" \
  messenger-cli "$@"); }
chroot_signal() { kill "-$1" "$server"; }
chroot_stop() {
  kill "$server"
  exit_code=0
  wait "$server" || exit_code=$?
  server=
}
chroot_health_alone() { chroot_health; }

# on WHAT [ARGUMENT...]: with what runs the images.
on() { "${runner}_$1" "${@:2}"; }

listens() { on log | grep ' listening on '; }

check_images() {
  local image
  for image in $server_image $cli_image; do
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
  has "entry point" "$(inspect $server_image '{{.Config.Entrypoint}}')" \
    '^\[messenger-server\]$'
  user=$(inspect $server_image '{{.Config.User}}')
  health=$(inspect $server_image '{{index .HealthCheck.Test 1}}')
  has "health check" "$health" '^messenger-cli ping '
}

check_server() {
  local status
  has "the server's log" "$(on log)" '^messenger-server .* listening on '
  status=$(on status)
  has "not root" "$status" "^Uid:.${user%:*}.${user%:*}.${user%:*}.${user%:*}$"
  has "no capabilities" "$status" '^CapBnd:.0+$'
  has "no new privileges" "$status" '^NoNewPrivs:.1$'
  on health >"$work/log" 2>&1 || fail "not healthy: $(cat "$work/log")"
}

check_pipes() {
  seq -f 'line %.0f of a text' 20000 >"$work/text"
  on cli send --channel text - <"$work/text" || fail "send -: exit code $?"
  on cli read --channel text --from earliest --until-caught-up --text \
    >"$work/copy" </dev/null || fail "read: exit code $?"
  cmp "$work/text" "$work/copy" || fail "the text came back different"
}

check_drain() {
  on cli read --from earliest --text --give-up-after 0s \
    >"$work/heard" 2>"$work/error" </dev/null &
  reader=$!
  on cli send hello >/dev/null </dev/null || fail "send: exit code $?"
  await "the reader stands" grep -x hello "$work/heard"
  on stop
  is "a drained server: exit code" "$exit_code" 0
  has "a drained server: log" "$(on log)" '^messenger-server: stopped$'
  exit_code=0
  wait "$reader" || exit_code=$?
  reader=
  is "a reader of a drained server: exit code" "$exit_code" 3
  has "a reader of a drained server: error" "$(cat "$work/error")" \
    'the server is shutting down\. Go on with: --after [0-9]+:1'
}

check_health_is_bad() {
  on signal STOP
  ! on health >/dev/null 2>&1 || fail "a stopped server is healthy"
  on signal CONT
  on health >/dev/null 2>&1 || fail "a continued server is not healthy"
}

pod info >/dev/null 2>&1 || { rm -rf "${work:?}"/* && driver=vfs; }
make_base
took "made a base system (storage driver: $driver)"
build_image server $server_image
build_image cli $cli_image
[ -z "$packages" ] || keep_packages
check_images

runner=${1:-podman}
if ! on start && [ -z "${1:-}" ]; then
  echo "podman cannot run it here: $(tail -n 1 "$work/log")"
  runner=chroot
  on start
fi
await "the server listens" listens
took "started with $runner"
check_server
check_pipes
took "20,000 lines there and back"
check_health_is_bad
took "unhealthy while stopped"
check_drain
took "drained"
! on health_alone >/dev/null 2>&1 || fail "healthy without a server"
took "unhealthy without a server"
echo "all passed with $runner"

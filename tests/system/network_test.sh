#!/usr/bin/env bash
# Two machines on a network, each a network namespace: who is let in, who is not,
# what both sides are told, and that no secret is in it.
#   network_test.sh MESSENGER_SERVER MESSENGER_CLI PYTHON
# Needs root and namespaces, which is a failure to miss if
# $MESSENGER_REQUIRE_ALL_TESTS is 1; without, it is skipped.
set -euo pipefail
server=$1
cli=$2
python=$3
cd "$(dirname "$(readlink -f "$0")")/../.."
source tests/system/machine.sh
here=$PWD/tests/system
need ip openssl
unset "${!MESSENGER_@}"

inside=msgr-in-$$
outside=msgr-out-$$
server_pid=
clean_up() {
  [ -z "$server_pid" ] || { kill -9 "$server_pid" && wait "$server_pid"; } \
    2>/dev/null || true
  ip netns delete $inside 2>/dev/null || true
  ip netns delete $outside 2>/dev/null || true
  remove_work
}
trap clean_up EXIT

ip netns add $inside >"$work/log" 2>&1 ||
  skip "no network namespaces: $(cat "$work/log")"
ip netns add $outside
ip -n $inside link add eth0 type veth peer name eth0 netns $outside
ip -n $inside address add 198.51.100.1/24 dev eth0
ip -n $outside address add 198.51.100.2/24 dev eth0
for machine in $inside $outside; do
  ip -n $machine link set lo up
  ip -n $machine link set eth0 up
done

# on MACHINE COMMAND [ARGUMENT...]. Not `ip netns exec`, which begins a copy of
# all mounts: no other test could unmount a disk as long as one is there.
on() { nsenter --net="/run/netns/$1" "${@:2}"; }

cd "$work"
"$server" init-tls tls --name 198.51.100.1 --name localhost --client ann \
  >"$work/log"
"$server" token add --tokens tokens --identity bob >bob.token 2>>"$work/log"
printf '%s\n' 'ann send,read *' 'bob read *' >rights
secret=$(sed 's/^messenger_[^_]*_//' bob.token)

# serve [OPTION...]: on every address of the inside, also if it is refused.
serve() {
  if [ -n "$server_pid" ]; then
    kill "$server_pid"
    wait "$server_pid" || true
  fi
  : >out # of the one before
  nsenter --net=/run/netns/$inside "$server" --log memory: "$@" >out 2>err &
  server_pid=$!
  await "the server listens" grep listening out
}

# from MACHINE COMMAND [ARGUMENT...]: the client there. What it prints is in
# $told, how it ends in $exit_code.
from() {
  local machine=$1 command=$2
  shift 2
  exit_code=0
  told=$(on "$machine" timeout 30 "$cli" "$command" \
    --server "$address" "$@" 2>&1 </dev/null) || exit_code=$?
}
address=198.51.100.1
tls=(--tls-ca tls/ca.pem)
ann=("${tls[@]}" --tls-cert tls/client.pem --tls-key tls/client.key)

# A server without anything listens on every address, and serves its machine.
serve
await "the operator is told" grep -q 'only this machine is served' err
address=127.0.0.1
from $inside send hello
is "its own machine" "$exit_code $told" "0 general 1"
address=198.51.100.1
for command in "send x" "read --until-caught-up" channels ping; do
  # shellcheck disable=SC2086 # a command with its arguments
  from $outside $command
  is "$command from outside: exit code" "$exit_code" 1
  has "$command from outside" "$told" \
    '198.51.100.1:51075: the server is protected.*init-tls.*--insecure'
done
from $outside ping --health
is "its health from outside" $exit_code 0
await "the operator is told of it" grep -q 'refused 198.51.100.2' err
is "the operator is told once" "$(grep -c 'refused 198.51.100.2' err)" 1
took "protected"

serve --insecure
await "the operator is told" grep -q 'whoever reaches the port may' err
from $outside send hello
is "--insecure from outside" "$exit_code $told" "0 general 1"
took "insecure"

# A token is not sent in the clear, nor taken without being told.
serve --tokens tokens
from $outside read --until-caught-up --token-file bob.token
has "a token without TLS" "$told" 'would go to .* without encryption'
from $outside read --until-caught-up --token-file bob.token --insecure-token
has "a token that was sent all the same" "$told" 'the server is protected'
await "the operator is told" grep -q 'without encryption.*: revoke that' err
serve --tokens tokens --insecure
from $outside read --until-caught-up --token-file bob.token --insecure-token
is "a token without TLS, where both were told so" "$exit_code $told" "0 "
from $outside read --until-caught-up
has "no token" "$told" 'takes a token or a client certificate'

# With TLS, certificates and tokens.
serve --tls-cert tls/server.pem --tls-key tls/server.key \
  --tls-client-ca tls/ca.pem --tls-client-certs optional --tokens tokens \
  --rights rights
from $outside send "${ann[@]}" hello
is "a certificate" "$exit_code $told" "0 general 1"
from $outside read --from earliest --until-caught-up --json "${tls[@]}" \
  --token-file bob.token
has "a token, and the author of the other" "$told" '"author":"ann"'
from $outside send "${tls[@]}" --token-file bob.token x
has "a right that is missing" "$told" '"bob" may not send'
from $outside send "${tls[@]}" x
has "no identity" "$told" 'to send takes a token or a client certificate'
from $outside send x
has "no TLS" "$told" 'takes encrypted connections only'
from $outside ping --health
is "its health without TLS" $exit_code 0
from $outside ping --health "${tls[@]}"
is "its health without an identity" $exit_code 0
from $outside ping "${ann[@]}"
is "the server, with an identity" $exit_code 0
on $outside openssl s_client -tls1_1 -cipher ALL:@SECLEVEL=0 \
  -connect 198.51.100.1:51075 </dev/null >"$work/log" 2>&1 &&
  fail "TLS 1.1 was accepted"
has "TLS 1.1" "$(cat "$work/log")" 'no peer certificate available'
await "the operator is told" grep 'nothing newer than TLS 1.1' err
took "TLS, tokens, certificates"

# A peer without TLS that wants much costs little, and nobody else anything.
for method in grpc.health.v1.Health/Check messenger.v1.MessengerServer/SendMessage; do
  mib=$(on $outside "$python" "$here/greedy_peer.py" $address 51075 \
    /$method $server_pid)
  [ "$mib" -lt 128 ] || fail "$method of a greedy peer took $mib MiB"
  from $outside send "${ann[@]}" hello
  is "a certificate, after a greedy peer" $exit_code 0
done
took "a greedy peer"

# Certificates are required.
serve --tls-cert tls/server.pem --tls-key tls/server.key \
  --tls-client-ca tls/ca.pem
from $outside send "${ann[@]}" hello
is "a certificate that is required" "$exit_code $told" "0 general 1"
from $outside send "${tls[@]}" --give-up-after 0s x
has "no certificate" "$told" 'may want a client certificate'
await "the operator is told" grep 'the client has shown no certificate' err
(
  mkdir other
  "$server" init-tls other --name x --client eve >/dev/null
)
from $outside send "${tls[@]}" --tls-cert other/client.pem \
  --tls-key other/client.key x
has "a certificate of another CA" "$told" 'or not accept this one'
await "the operator is told" grep 'comes from no CA in --tls-client-ca' err
from $outside send --tls-ca other/ca.pem --tls-cert tls/client.pem \
  --tls-key tls/client.key x
has "a server of another CA" "$told" "certificate comes from no CA"
took "certificates that are required"

# Reflection, and the example in Python, as strangers and as friends.
"$python" - <<'EOF' >/dev/null 2>&1 && has_grpc=yes || has_grpc=
import grpc
EOF
[ -n "$has_grpc" ] || skip "python3-grpcio is missing"
cat >reflect.py <<'EOF'
import sys
import grpc
target, ca, certificate, key = sys.argv[1:]
read = lambda name: open(name, "rb").read() if name else None
channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(
    read(ca), read(key), read(certificate)))
call = channel.stream_stream(
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
try:
    # ServerReflectionRequest.list_services
    answer = next(call(iter([b"\x3a\x01*"]), timeout=10))
    print("services" if b"messenger.v1.MessengerServer" in answer else answer)
except grpc.RpcError as error:
    print(error.code().name, error.details())
EOF
serve --tls-cert tls/server.pem --tls-key tls/server.key \
  --tls-client-ca tls/ca.pem --tls-client-certs optional
reflect() {
  on $outside env -u http_proxy -u https_proxy "$python" reflect.py \
    198.51.100.1:51075 tls/ca.pem "$@" 2>&1
}
has "reflection for a stranger" "$(reflect '' '')" \
  '^UNAUTHENTICATED to use this server takes a token'
is "reflection for a friend" "$(reflect tls/client.pem tls/client.key)" services
took "reflection"

for file in out err log; do
  ! grep -qF "$secret" $file || fail "a token is in $file"
done
echo "all passed"

#!/usr/bin/env bash
# The Python example, generated from the installed proto, against the server:
# sends, reads, resumes, brings bytes back as they were, and finds a message that
# was changed on its way. And over TLS, with a token.
#   python_client_test.sh SERVER PROTO_DIR GRPC_PYTHON_PLUGIN PYTHON EXAMPLE
set -euo pipefail

server=$1 proto_dir=$2 plugin=$3 python=$4 example=$5
work=$(mktemp -d)
server_pid=
cleanup() {
  [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

protoc --proto_path="$proto_dir" --python_out="$work" --grpc_out="$work" \
  --plugin=protoc-gen-grpc="$plugin" messenger/v1/messenger.proto
cp "$example" "$work/client.py"
cd "$work"

exec {from_server}< <(exec "$server" --listen 127.0.0.1:0 --log memory:)
server_pid=$!
read -r -t 20 -u "$from_server" listening
address=$(sed -n 's/.* listening on \([^ ]*\) .*/\1/p' <<<"$listening")

# The environment has no say in how it connects.
http_proxy=http://127.0.0.1:1 timeout 60 "$python" client.py "$address" |
  tee output
diff output - <<'OUTPUT'
stored up to 3
1 py one
resuming
2 py two
3 py three
OUTPUT

timeout 60 "$python" - "$address" <<'PYTHON'
import os
import sys

import grpc

import client

options = [("grpc.enable_http_proxy", 0)]
with grpc.insecure_channel(sys.argv[1], options) as channel:
    stub = client.messenger_pb2_grpc.MessengerServerStub(channel)
    start = client.pb.ReadMessagesRequest.Earliest()
    request = dict(channel="python", earliest=start, until_caught_up=True)
    messages = [message for _, message in client.read(stub, **request)]
    assert len(messages) == 3, messages

    # All there is to 1 MiB, encoded, but tag, length and type.
    large = os.urandom((1 << 20) - len(b"\x42...") - len(b"\x4a.a/b"))
    sent = [
        (bytes(range(256)), "image/png"),
        (large, "a/b"),
        (b"", "image/gif"),
        (b"\xff", ""),
    ]
    for data, content_type in sent:
        client.send(stub, channel="data", data=data, content_type=content_type)
    request = dict(channel="data", earliest=start, until_caught_up=True)
    got = [message for _, message in client.read(stub, **request)]
    assert [(m.data, m.content_type) for m in got] == sent, "other data"
    try:
        client.send(stub, channel="data", data=large + b"x", content_type="a/b")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    else:
        sys.exit("data that is too long was stored")

    changes = (
        (messages[1], "text", "tvo"),
        (messages[1], "author", ""),
        (messages[1], "sequence", 3),
        (got[0], "data", bytes(256)),
        (got[0], "content_type", "image/gif"),
    )
    for message, field, value in changes:
        changed = client.pb.Message()
        changed.CopyFrom(message)
        client.verify(changed)
        setattr(changed, field, value)
        try:
            client.verify(changed)
        except ValueError as error:
            print(error)
        else:
            sys.exit(f"a changed {field} was not noticed")
PYTHON

kill "$server_pid"
"$server" init-tls tls --name localhost >/dev/null
token=$("$server" token add --tokens tokens --identity ann 2>/dev/null)
exec {from_server}< <(exec "$server" --listen localhost:0 --log memory: \
  --tls-cert tls/server.pem --tls-key tls/server.key --tokens tokens)
server_pid=$!
read -r -t 20 -u "$from_server" listening
address=$(sed -n 's/.* listening on \([^ ]*\) .*/\1/p' <<<"$listening")
MESSENGER_TOKEN=$token timeout 60 "$python" client.py --tls-ca tls/ca.pem \
  "$address" | tee output
diff output - <<'OUTPUT'
stored up to 3
1 ann one
resuming
2 ann two
3 ann three
OUTPUT
MESSENGER_TOKEN=${token}x timeout 60 "$python" client.py \
  --tls-ca tls/ca.pem "$address" >output 2>&1 && exit 1
grep -q 'StatusCode.UNAUTHENTICATED' output
timeout 60 "$python" client.py "$address" >output 2>&1 && exit 1
grep -q 'takes encrypted connections only' output

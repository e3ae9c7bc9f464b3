#!/usr/bin/env bash
# The Python example, generated from the installed proto, against the server:
# sends, reads, resumes, and finds a message that was changed on its way.
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
    for field, value in ("text", "tvo"), ("author", ""), ("sequence", 3):
        changed = client.pb.Message()
        changed.CopyFrom(messages[1])
        client.verify(changed)
        setattr(changed, field, value)
        try:
            client.verify(changed)
        except ValueError as error:
            print(error)
        else:
            sys.exit(f"a changed {field} was not noticed")
PYTHON

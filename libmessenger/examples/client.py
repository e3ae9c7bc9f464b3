#!/usr/bin/env python3
"""A client in Python: sends, reads, verifies, and resumes.

    apt-get install python3-grpcio python3-protobuf python3-xxhash \
        protobuf-compiler protobuf-compiler-grpc
    protoc --proto_path=/usr/share/messenger/proto --python_out=. --grpc_out=. \
        --plugin=protoc-gen-grpc="$(command -v grpc_python_plugin)" \
        messenger/v1/messenger.proto
    client.py localhost:51075
"""

import sys

import grpc
import xxhash

from messenger.v1 import messenger_pb2 as pb
from messenger.v1 import messenger_pb2_grpc


def send(stub, text="", author="", channel="", data=b"", content_type=""):
    """Stores one message; returns its receipt.

    `text` is UTF-8; `data` may be any bytes, of the type that is said.
    """
    message = pb.NewMessage(
        author=author, text=text, data=data, content_type=content_type
    )
    request = pb.SendMessageRequest(channel=channel, message=message)
    return stub.SendMessage(request).receipt


def verify(message):
    """Raises ValueError unless the message is as the server stored it."""
    content = pb.Message()
    content.CopyFrom(message)
    content.ClearField("checksum")
    if xxhash.xxh3_64_intdigest(content.SerializeToString()) != message.checksum:
        raise ValueError(f"message {message.sequence} is damaged")


def read(stub, **request):
    """Yields (position, message) for each message of ReadMessagesRequest.

    The position is what `resume_after` takes to go on after that message.
    """
    epoch = 0
    for frame in stub.ReadMessages(pb.ReadMessagesRequest(**request)):
        epoch = frame.epoch or epoch
        if frame.HasField("gap"):
            reason = pb.Gap.Reason.Name(frame.gap.reason)
            print(f"gap ({reason}): goes on with {frame.gap.next}")
        for message in frame.messages:
            verify(message)
            yield pb.Position(epoch=epoch, sequence=message.sequence), message


def main():
    target = sys.argv[1] if len(sys.argv) > 1 else "localhost:51075"
    # Or else $http_proxy would have a say, even on the way to localhost.
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(target, options) as channel:
        stub = messenger_pb2_grpc.MessengerServerStub(channel)
        for text in "one", "two", "three":
            receipt = send(stub, text, author="py", channel="python")
        print("stored up to", receipt.first_sequence)

        everything = pb.ReadMessagesRequest.Earliest()
        for position, message in read(
            stub, channel="python", earliest=everything, limit=1
        ):
            print(message.sequence, message.author, message.text)
        print("resuming")
        for position, message in read(
            stub, channel="python", resume_after=position, until_caught_up=True
        ):
            print(message.sequence, message.author, message.text)


if __name__ == "__main__":
    main()

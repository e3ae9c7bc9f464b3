#!/usr/bin/env python3
"""A client in Python: sends, reads, verifies, and resumes.

    apt-get install python3-grpcio python3-protobuf python3-xxhash \
        protobuf-compiler protobuf-compiler-grpc
    protoc --proto_path=/usr/share/messenger/proto --python_out=. --grpc_out=. \
        --plugin=protoc-gen-grpc="$(command -v grpc_python_plugin)" \
        messenger/v1/messenger.proto
    client.py localhost:51075
    MESSENGER_TOKEN=... client.py --tls-ca ca.pem log.example:51075
"""

import argparse
import os

import grpc
import xxhash

from messenger.v1 import messenger_pb2 as pb
from messenger.v1 import messenger_pb2_grpc


def connect(target, ca_file=None, token=None):
    """A channel, encrypted if there is a CA; a token takes encryption."""
    # Or else $http_proxy would have a say, even on the way to localhost.
    options = [("grpc.enable_http_proxy", 0)]
    if ca_file is None:
        return grpc.insecure_channel(target, options)
    with open(ca_file, "rb") as ca:
        credentials = grpc.ssl_channel_credentials(ca.read())
    if token is not None:
        credentials = grpc.composite_channel_credentials(
            credentials, grpc.access_token_call_credentials(token)
        )
    return grpc.secure_channel(target, credentials, options)


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
    parser = argparse.ArgumentParser(description="Sends, reads, and resumes.")
    parser.add_argument("target", nargs="?", default="localhost:51075")
    parser.add_argument("--tls-ca", help="connect with TLS, trusting this CA")
    arguments = parser.parse_args()
    token = os.environ.get("MESSENGER_TOKEN")
    if token and arguments.tls_ca is None:
        parser.error("a token takes --tls-ca")
    # With an identity, the author is the server's business.
    author = "" if token else "py"
    with connect(arguments.target, arguments.tls_ca, token) as channel:
        stub = messenger_pb2_grpc.MessengerServerStub(channel)
        for text in "one", "two", "three":
            receipt = send(stub, text, author=author, channel="python")
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

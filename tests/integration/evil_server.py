#!/usr/bin/env python3
"""A server whose every name and error drives a terminal. Prints its port.

Names of channels, and the texts of errors, are what a client of anybody's may be
told: none of the rules that messenger-server keeps hold here.
"""

import sys
from concurrent import futures

import grpc

# Clears the screen, sets the title, C1, DEL, line separators, bidi, a new line.
EVIL = "\x1b[2J\x1b]0;owned\x07\u009b31m\x7f\u2028\u2029\u202egnp\u2066\r\nforged: line\t"


def field(number, data):
    length, size = len(data), b""
    while True:
        size += bytes([length & 127 | (128 if length > 127 else 0)])
        length >>= 7
        if not length:
            return bytes([number << 3 | 2]) + size + data


def list_channels(request, context):
    # Channel: name = 1.
    return field(1, field(1, EVIL.encode()))


def refuse(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "refused " + EVIL)


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        name = details.method.rsplit("/", 1)[1]
        if name == "ListChannels":
            return grpc.unary_unary_rpc_method_handler(list_channels)
        if name == "ReadMessages":
            return grpc.unary_stream_rpc_method_handler(refuse)
        if name == "SendMessages":
            return grpc.stream_stream_rpc_method_handler(refuse)
        if name == "Check":  # of health: the server does not know it
            return None
        return grpc.unary_unary_rpc_method_handler(refuse)


server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((Handler(),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
server.stop(0).wait()

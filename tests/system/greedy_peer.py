#!/usr/bin/env python3
"""A peer that makes calls by many connections, each with a large message that
never ends, and says how many MiB the server has taken for it at most.

    greedy_peer.py HOST PORT METHOD PID
"""

import socket
import struct
import sys
import time

CONNECTIONS = 40
CALLS = 100  # of each connection
CLAIMED = 8 << 20  # bytes of each message
ENOUGH = 400 << 20  # bytes of all
# RFC 9113, 6: frames, their flags, and a setting.
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4


def frame(kind, flags, stream, payload=b""):
    """RFC 9113, 4.1."""
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def field(name, value):
    """RFC 7541, 6.2.2: a literal, without indexing."""
    return b"".join([b"\0", *(bytes([len(s)]) + s.encode() for s in (name, value))])


def headers(method):
    return b"".join(
        field(*pair)
        for pair in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "x"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
    )


class Connection:
    """Sends as much as the server lets it: RFC 9113, 5.2."""

    def __init__(self, address, method):
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setblocking(False)
        self.received = b""
        self.window = self.initial_window = 65535
        streams = range(1, 2 * CALLS, 2)
        self.windows = dict.fromkeys(streams, self.initial_window)
        self.out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)
        for stream in streams:
            self.out += frame(HEADERS, END_HEADERS, stream, headers(method))
        self.prefixes = dict.fromkeys(streams, b"\0" + struct.pack(">I", CLAIMED))

    def go_on(self):
        """How many bytes it has sent; raises OSError if it has been ended."""
        try:
            while data := self.socket.recv(1 << 16):
                self.received += data
            raise ConnectionResetError
        except BlockingIOError:
            pass
        while len(self.received) >= 9:
            size = int.from_bytes(self.received[:3], "big")
            if len(self.received) < 9 + size:
                break
            kind, flags = self.received[3:5]
            stream = int.from_bytes(self.received[5:9], "big")
            self.take(kind, flags, stream, self.received[9 : 9 + size])
            self.received = self.received[9 + size :]
        for stream, window in self.windows.items():
            size = min(window, self.window, 16384)
            if len(self.out) < 1 << 20 and size > 5:
                payload = self.prefixes.pop(stream, b"").ljust(size, b"x")
                self.out += frame(DATA, 0, stream, payload)
                self.windows[stream] -= size
                self.window -= size
        try:
            sent = self.socket.send(self.out[: 1 << 20])
            self.out = self.out[sent:]
            return sent
        except BlockingIOError:
            return 0

    def take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == INITIAL_WINDOW_SIZE:
                    for each in self.windows:
                        self.windows[each] += value - self.initial_window
                    self.initial_window = value
            self.out += frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self.out += frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream == 0:
                self.window += more
            elif stream in self.windows:
                self.windows[stream] += more
        elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
            self.windows.pop(stream, None)
        elif kind == GOAWAY:
            raise ConnectionAbortedError


def resident_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) >> 10


def main(host, port, method, pid):
    before = most = resident_mib(pid)
    connections = [Connection((host, int(port)), method) for _ in range(CONNECTIONS)]
    sent = 0
    end = time.monotonic() + 20
    while sent < ENOUGH and time.monotonic() < end:
        if not any(connection.windows for connection in connections):
            break
        for connection in list(connections):
            try:
                sent += connection.go_on()
            except OSError:
                connections.remove(connection)
        most = max(most, resident_mib(pid))
    print(most - before)


main(*sys.argv[1:])

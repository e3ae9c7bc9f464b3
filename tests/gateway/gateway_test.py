#!/usr/bin/env python3
"""messenger-gateway, as its callers meet it.

    gateway_test.py SERVER_PROGRAM GATEWAY_PROGRAM

Everything is real: the programs, sockets, signals. What is waited for is an
event, with a deadline.
"""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import warnings

SERVER, GATEWAY = sys.argv[1:3]
DEADLINE = 30


def until(condition, what):
    """Waits for what no event tells of: the state of another process."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        select.select([], [], [], 0.02)
    raise AssertionError(f"not within {DEADLINE} s: {what}")


class Program:
    """A server or gateway that has said that it listens."""

    def __init__(self, *command, environment=None, tls=None):
        # The context to speak TLS with, if that is what it speaks.
        self.tls = tls
        # Of a gateway: where its server is. No caller needs to know.
        self.server = command[command.index("--server") + 1] if "--server" in command else None
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.stderr,
            text=True, env={**os.environ, **(environment or {})})
        ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE)
        line = self.process.stdout.readline() if ready else ""
        found = re.search(r"listening on ([0-9.]+):(\d+)", line)
        if not found:
            self.process.kill()
            raise AssertionError(f"{command[0]} does not listen: {line}{self.said()}")
        self.host, self.port = found.group(1), int(found.group(2))

    def said(self):
        # A seek would move where the program writes: both have one position.
        size = os.fstat(self.stderr.fileno()).st_size
        return os.pread(self.stderr.fileno(), size, 0).decode()

    def times_said(self, text):
        """How often, once it has been: notices are printed by a thread of their own."""
        return until(lambda: self.said().count(text), f"it says {text}")

    def freeze(self):
        """It stands still when this returns, and not some time later."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(DEADLINE)
        self.process.stdout.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)
        self.stderr.close()


def start_server(port=0, log="memory:", options=()):
    return Program(SERVER, "--listen", f"127.0.0.1:{port}", "--log", log, *options)


def start_gateway(server, *options, port=0, host="127.0.0.1", timeout="2s", tls=None):
    return Program(GATEWAY, "--server", f"127.0.0.1:{server.port}",
                   "--listen", f"{host}:{port}", "--timeout", timeout, *options, tls=tls)


def connections(gateway):
    """How many the gateway has to its server."""
    port = int(gateway.server.rsplit(":", 1)[1])
    inodes = set()
    for name in os.listdir(f"/proc/{gateway.process.pid}/fd"):
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(f"/proc/{gateway.process.pid}/fd/{name}"))
    rows = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}", encoding="ascii") as table:
            rows += [line.split() for line in table][1:]
    # The kernel may tell of one twice, if others come and go meanwhile.
    return len({row[9] for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01" and
                f"socket:[{row[9]}]" in inodes})


def is_closed(gateway, connection):
    """Whether the gateway has no socket for it any more."""
    port = f"{connection.getsockname()[1]:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return not any(row[2].endswith(":" + port) and
                   row[1].endswith(f":{gateway.port:04X}") and row[3] == "01" for row in rows)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def type(self):
        return self.headers["Content-Type"]


def connect(gateway, host="127.0.0.1"):
    if gateway.tls:
        return http.client.HTTPSConnection(host, gateway.port, timeout=DEADLINE,
                                           context=gateway.tls)
    return http.client.HTTPConnection(host, gateway.port, timeout=DEADLINE)


def call(gateway, method, path, body=None, headers=None, host="127.0.0.1"):
    if body is not None and not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    with contextlib.closing(connect(gateway, host)) as connection:
        connection.request(method, path, body, headers or {})
        answer = Answer(connection.getresponse())
    keeps_to_itself(gateway, answer.body)
    return answer


def keeps_to_itself(gateway, answer):
    """Nothing that is answered says where the server is."""
    assert gateway.server is None or gateway.server.encode() not in answer, answer


def raw(gateway, data, shut=False):
    """All that is answered to these bytes until the connection is closed."""
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                answer += piece
        return answer


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer else None


def send(gateway, text, channel="general", author="ann"):
    answer = call(gateway, "POST", f"/v1/channels/{channel}/messages",
                  {"author": author, "text": text})
    assert answer.status == 201, answer.body
    return answer.json


class Stream:
    """Server-sent events, as a browser reads them."""

    def __init__(self, gateway, channel, query="", last_id=None, headers=None):
        self.gateway = gateway
        self.connection = connect(gateway)
        headers = dict(headers or {})
        if last_id:
            headers["Last-Event-ID"] = last_id
        self.connection.request("GET", f"/v1/channels/{channel}/stream{query}", headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.headers["Content-Type"] == "text/event-stream"
        self.last_id = last_id
        self.retry = None

    def next(self):
        """(type, data) of the next event; None at the end."""
        kind, data = "message", []
        while True:
            line = self.response.readline()
            keeps_to_itself(self.gateway, line)
            line = line.decode()
            if not line:
                return None
            line = line.rstrip("\n")
            name, _, value = line.partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif name == "retry":
                self.retry = int(value)
            elif line == "" and data:
                return kind, json.loads("\n".join(data))

    def until(self, kind):
        """The data of the next event of this type, and of the messages before."""
        messages = []
        while event := self.next():
            if event[0] == kind:
                return event[1], messages
            if event[0] == "message":
                messages.append(event[1])
        raise AssertionError(f"ended before an event {kind}")

    def texts(self, count):
        return [self.until("message")[0]["text"] for _ in range(count)]

    def close(self):
        self.response.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def fits(schema, value, document, where="$"):
    """What of JSON Schema openapi.json uses; yields what does not fit."""
    known = {"$ref", "type", "required", "properties", "additionalProperties", "items", "oneOf",
             "const", "pattern", "format", "minLength", "maxLength", "minimum", "maximum",
             "minItems", "maxItems", "contentEncoding", "description", "default"}
    if unknown := set(schema) - known:
        yield f"{where}: the test does not know {unknown}"
    if "$ref" in schema:
        target = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        yield from fits(target, value, document, where)
        return
    if "oneOf" in schema:
        if sum(not list(fits(one, value, document)) for one in schema["oneOf"]) != 1:
            yield f"{where}: {value} is not one of {schema['oneOf']}"
    if "const" in schema and schema["const"] != value:
        yield f"{where}: {value} is not {schema['const']}"
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
             "null": type(None)}
    if "type" in schema:
        names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if type(value) not in [types[name] for name in names]:
            yield f"{where}: {value} is no {names}"
            return
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{where}: {value} is not {schema['pattern']}"
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        yield f"{where}: {value} is too short"
    if isinstance(value, int) and value < schema.get("minimum", value):
        yield f"{where}: {value} is too small"
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                yield f"{where}: has no {name}"
        for name, one in value.items():
            if name in schema.get("properties", {}):
                yield from fits(schema["properties"][name], one, document, f"{where}.{name}")
            elif schema.get("additionalProperties") is False:
                yield f"{where}: has {name}"
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from fits(schema.get("items", {}), one, document, f"{where}[{index}]")


class PostboxTest(unittest.TestCase):
    def test_two_users_chat_as_with_the_original(self):
        with start_server() as server:
            address = {"MESSENGER_SERVER_ADDR": f"127.0.0.1:{server.port}",
                       "MESSENGER_HTTP_PORT": "0"}
            with start_gateway(server) as early:
                old = call(early, "POST", "/sendMessage", {"author": "old", "text": "before"})
                self.assertEqual(old.status, 200)
                with Program(GATEWAY, environment=address) as ann, \
                        Program(GATEWAY, environment=address) as bob:
                    self.chat(ann, bob)

    def chat(self, ann, bob):
        sent = []
        for gateway, author, text in [(ann, "ann", "hello"), (bob, "bob", "Grüße 世界 😀"),
                                      (ann, "ann", ""), (bob, "", "a\nb\u2028\x00")]:
            # Both forms of JSON, any Content-Type, or none.
            body = json.dumps({"author": author, "text": text}, ensure_ascii=author == "ann")
            answer = call(gateway, "POST", "/sendMessage", body,
                          {"Content-Type": "text/plain"} if author == "ann" else {})
            self.assertEqual(answer.status, 200, answer.body)
            self.assertEqual(list(answer.json), ["sendTime"])
            self.assertRegex(answer.json["sendTime"], r"^\d{4}-\d\d-\d\dT[0-9:.]+Z$")
            sent.append({"author": author, "text": text, "sendTime": answer.json["sendTime"]})
        for gateway in (ann, bob):
            got = []

            def flush():
                answer = call(gateway, "POST", "/getAndFlushMessages")
                self.assertEqual(answer.status, 200)
                self.assertIsNone(answer.headers["Messenger-Dropped"])
                got.extend(answer.json)
                return len(got) >= len(sent)

            until(flush, "the postbox has all messages")
            self.assertEqual(got, sent)
            self.assertEqual(call(gateway, "POST", "/getAndFlushMessages").json, [])

    def test_it_is_bounded_and_says_what_it_dropped(self):
        with start_server() as server, \
                start_gateway(server, "--postbox-messages", "3") as gateway, \
                Stream(gateway, "general") as stream:
            stream.until("caught-up")
            call(gateway, "POST", "/v1/channels/general/messages",
                 [{"text": str(i)} for i in range(10)])
            until(lambda: "the postbox is full" in gateway.said(), "a notice")
            got, dropped = [], 0

            def flush():
                nonlocal dropped
                answer = call(gateway, "POST", "/getAndFlushMessages")
                dropped += int(answer.headers["Messenger-Dropped"] or 0)
                got.extend(message["text"] for message in answer.json)
                return dropped + len(got) == 10

            until(flush, "all messages are there or dropped")
            self.assertEqual(got, sorted(got))
            self.assertEqual(got[-1], "9")

    def test_wrong_requests_say_what_is_wrong(self):
        with start_server() as server, start_gateway(server) as gateway:
            for body, field in [("{}", "author"), ('{"author":"a"}', "text"),
                                ('{"author":1,"text":"b"}', "author"), ("[]", "body")]:
                answer = call(gateway, "POST", "/sendMessage", body)
                self.assertEqual((answer.status, answer.json["field"]), (400, field))
            self.assertEqual(call(gateway, "GET", "/getAndFlushMessages").status, 405)
            self.assertEqual(call(gateway, "POST", "/getAndFlushMessages").json, [])


class ApiTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = start_server()
        cls.gateway = start_gateway(cls.server, "--request-timeout", "1s", "--max-body-bytes", "2Mi",
                                    "--cors-origin", "https://chat.example",
                                    "--allow-host", "gate.example")
        cls.document = call(cls.gateway, "GET", "/openapi.json").json

    @classmethod
    def tearDownClass(cls):
        assert cls.gateway.process.poll() is None, cls.gateway.said()
        code = cls.gateway.stop()
        cls.server.stop()
        assert code == 0, code

    def check(self, method, path, template, body=None, status=200):
        """Calls it, and holds the answer against the document."""
        answer = call(self.gateway, method, path, body)
        self.assertEqual(answer.status, status, answer.body)
        described = self.document["paths"][template][method.lower()]["responses"][str(status)]
        content = described.get("content")
        if content is None:
            self.assertEqual(answer.body, b"")
            return None
        self.assertEqual(list(content), [answer.type])
        wrong = list(fits(content[answer.type]["schema"], answer.json, self.document))
        self.assertEqual(wrong, [])
        for name in described.get("headers", {}):
            self.assertTrue(name == "Messenger-Dropped" or name in answer.headers, name)
        return answer.json

    def problem(self, method, path, body, field, status=400):
        answer = call(self.gateway, method, path, body)
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.type, "application/problem+json")
        self.assertEqual(
            list(fits({"$ref": "#/components/schemas/Problem"}, answer.json, self.document)), [])
        self.assertEqual(answer.json.get("field"), field, answer.body)
        return answer.json

    def test_answers_are_as_the_document_says(self):
        messages, one = "/v1/channels/{channel}/messages", "/v1/channels/{channel}"
        path = "/v1/channels/api/messages"
        receipt = self.check("POST", path, messages, {"author": "ann", "text": "1"}, 201)
        receipts = self.check(
            "POST", path, messages,
            [{"text": "2", "attributes": [{"name": "a", "value": "b"}, {"name": "a", "value": ""}]},
             {"author": "\u202e\x1b[2J<b>", "text": "3"}, {}], 201)
        self.assertEqual([r["sequence"] for r in [receipt, *receipts]], [1, 2, 3, 4])
        page = self.check("GET", path + "?from=1", messages)
        self.assertEqual([m["text"] for m in page["messages"]], ["1", "2", "3", ""])
        self.assertEqual(page["messages"][0]["send_time"], receipt["send_time"])
        self.assertEqual(page["messages"][1]["attributes"],
                         [{"name": "a", "value": "b"}, {"name": "a", "value": ""}])
        self.assertEqual(page["messages"][2]["author"], "\u202e\x1b[2J<b>")
        self.assertTrue(page["caught_up"])
        self.check("GET", "/v1/channels", "/v1/channels")
        info = self.check("GET", "/v1/channels/api", one)
        self.assertEqual((info["messages"], info["head"]), (4, 4))
        self.check("DELETE", "/v1/channels/api", one, None, 204)
        self.check("GET", "/v1/channels/api", one, None, 404)
        self.check("DELETE", "/v1/channels/api", one, None, 404)
        # Told as a gap, not passed over.
        page = self.check("GET", f"{path}?after={receipt['epoch']}:1", messages)
        self.assertEqual([gap["reason"] for gap in page["gaps"]], ["deleted"])
        self.check("GET", path + "?from=99", messages, None, 400)
        self.check("POST", path, messages, "{", 400)
        for path in ("/healthz", "/readyz", "/openapi.json"):
            self.check("GET", path, path)
        self.check("POST", "/sendMessage", "/sendMessage", {"author": "a", "text": "b"})
        self.check("POST", "/getAndFlushMessages", "/getAndFlushMessages")
        session = "/v1/session"
        self.check("GET", session, session)
        self.check("POST", session, session, {"token": "none has blanks"}, 401)
        # This server takes any, since it knows none.
        problem = self.check("POST", session, session, {"token": "any"}, 409)
        self.assertIn("knows no tokens", problem["detail"])
        answer = call(self.gateway, "GET", session, headers=cookie("any"))
        self.assertEqual((answer.json, answer.headers["Set-Cookie"]), ({"signed_in": False}, None))
        self.check("POST", session, session, {}, 400)
        self.check("DELETE", session, session, None, 204)

    def test_pages_follow_each_other(self):
        for i in range(25):
            send(self.gateway, str(i), "pages")
        path, query, got = "/v1/channels/pages/messages?limit=10", "&from=earliest", []
        while True:
            page = call(self.gateway, "GET", path + query).json
            got += [int(message["text"]) for message in page["messages"]]
            if page["caught_up"]:
                break
            query = "&after=" + page["next"]
        self.assertEqual(got, list(range(25)))
        last = call(self.gateway, "GET", "/v1/channels/pages/messages?last=2").json
        self.assertEqual([m["text"] for m in last["messages"]], ["23", "24"])
        since = last["messages"][0]["send_time"]
        again = call(self.gateway, "GET", f"/v1/channels/pages/messages?since={since}").json
        self.assertEqual(again["messages"][-1], last["messages"][-1])
        listed, after = [], ""
        while after is not None:
            page = call(self.gateway, "GET", f"/v1/channels?limit=1&after={after}").json
            listed += [channel["channel"] for channel in page["channels"]]
            after = page["next"]
        self.assertEqual(listed, sorted(set(listed)))
        self.assertIn("pages", listed)

    def test_a_long_poll_waits_for_a_message(self):
        send(self.gateway, "first", "poll")
        page = call(self.gateway, "GET", "/v1/channels/poll/messages").json
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=DEADLINE)
        connection.request("GET", f"/v1/channels/poll/messages?after={page['next']}&wait=60")
        until(lambda: call(self.gateway, "GET", "/v1/channels/poll").json["readers"] == 1,
              "the poll reads")
        send(self.gateway, "second", "poll")
        answer = Answer(connection.getresponse())
        self.assertEqual([m["text"] for m in answer.json["messages"]], ["second"])
        # The same connection goes on.
        connection.request("GET", "/healthz")
        self.assertEqual(Answer(connection.getresponse()).status, 200)
        connection.close()

    def test_what_cannot_be_parsed_says_why(self):
        path = "/v1/channels/wrong/messages"
        for body, field in [
                ("", None), ("{", None), ('{"text":"\\ud800"}', None), (b'{"text":"\xff"}', None),
                ("[" * 100_000, None), ('{"text":' + "[" * 100 + "]" * 100 + "}", None),
                ('{"text":1e999}', None), ("nul", None), ("{} {}", None),
                ("[" + "[]," * 300_000 + "[]]", None), ("1", "body"), ("[]", "body"),
                ([{}] * 1001, "body"), ({"text": None}, "text"), ({"text": ["a"]}, "text"),
                ({"autor": "a"}, "autor"), ([{}, {"author": {}}], "[1].author"), ([1], "[0]"),
                ({"attributes": {}}, "attributes"),
                ({"attributes": [{"name": "a"}, {"name": 1}]}, "attributes[1].name"),
                ({"attributes": [{"name": "", "value": ""}]}, "attributes[0].name"),
                ({"text": "x" * 1_100_000}, "message")]:
            with self.subTest(body=str(body)[:40]):
                self.problem("POST", path, body, field)
        self.problem("GET", "/v1/channels/wrong", None, None, 404)

    def test_wrong_paths_and_queries_say_why(self):
        for name in ("a%20b", "", "x" * 129, "%ff", "a%2fb", "gr%C3%BC"):
            self.problem("GET", f"/v1/channels/{name}", None, "channel")
            self.problem("POST", f"/v1/channels/{name}/messages", {}, "channel")
        for query, field in [("limit=0", "limit"), ("limit=1001", "limit"), ("wait=61", "wait"),
                             ("limit=x", "limit"), ("from=0", "from"), ("from=-1", "from"),
                             ("since=yesterday", "since"), ("last=1e3", "last"),
                             ("after=1", "after"), ("after=0:1", "after"),
                             ("from=1&last=1", "last"), ("limit=1&limit=2", "limit"),
                             ("form=1", "form"), ("%zz=1", None), ("from=99999999", "from")]:
            with self.subTest(query=query):
                self.problem("GET", "/v1/channels/general/messages?" + query, None, field)
        for bad in ("x", "1", "0:1", "1:x"):
            answer = call(self.gateway, "GET", "/v1/channels/general/stream", None,
                          {"Last-Event-ID": bad})
            self.assertEqual((answer.status, answer.json["field"]), (400, "Last-Event-ID"))
        self.problem("GET", "/v2", None, None, 404)

    def test_methods(self):
        answer = call(self.gateway, "PUT", "/v1/channels/general/messages")
        self.assertEqual((answer.status, answer.headers["Allow"]),
                         (405, "GET, HEAD, POST, OPTIONS"))
        answer = call(self.gateway, "OPTIONS", "/v1/channels/general")
        self.assertEqual((answer.status, answer.headers["Allow"]),
                         (204, "GET, HEAD, DELETE, OPTIONS"))
        for path in ("/healthz", "/v1/channels", "/v1/channels/general/stream"):
            head = call(self.gateway, "HEAD", path)
            self.assertEqual((head.status, head.body), (200, b""))

    def test_pages_of_others_are_refused(self):
        own = f"http://127.0.0.1:{self.gateway.port}"
        for headers, status in [
                ({}, 200), ({"Origin": own}, 200), ({"Sec-Fetch-Site": "same-origin"}, 200),
                ({"Sec-Fetch-Site": "none"}, 200), ({"Origin": "https://chat.example"}, 200),
                ({"Origin": "https://chat.example", "Sec-Fetch-Site": "cross-site"}, 200),
                ({"Host": "localhost:1"}, 200), ({"Host": "[::1]:1"}, 200),
                ({"Host": "GATE.example"}, 200), ({"Host": "gate.example."}, 200),
                ({"Host": "gate.example", "Origin": "https://gate.example"}, 200),
                ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403),
                ({"Origin": "http://127.0.0.1:1"}, 403), ({"Origin": "http://chat.example"}, 403),
                ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403),
                ({"Host": "evil.example"}, 421), ({"Host": "127.0.0.1.evil.example"}, 421),
                ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
                ({"Host": "localhost.evil.example:8080"}, 421), ({"Host": "1.2.3"}, 421)]:
            for method, path in (("POST", "/getAndFlushMessages"),
                                 ("GET", "/v1/channels/general/messages")):
                with self.subTest(headers=headers, path=path):
                    answer = call(self.gateway, method, path, None, headers)
                    self.assertEqual(answer.status, status, answer.body)
                    allowed = headers.get("Origin") == "https://chat.example"
                    self.assertEqual(answer.headers["Access-Control-Allow-Origin"],
                                     "https://chat.example" if allowed else None)
                    self.assertIn("frame-ancestors 'none'",
                                  answer.headers["Content-Security-Policy"])
        preflight = {"Access-Control-Request-Method": "DELETE", "Origin": "https://chat.example"}
        answer = call(self.gateway, "OPTIONS", "/v1/channels/general", None, preflight)
        self.assertEqual(answer.status, 204)
        self.assertIn("DELETE", answer.headers["Access-Control-Allow-Methods"])
        preflight["Origin"] = "http://evil.example"
        answer = call(self.gateway, "OPTIONS", "/v1/channels/general", None, preflight)
        self.assertEqual(answer.status, 403)

    def test_shapes_that_smuggle_are_refused(self):
        head = b"POST /v1/channels/smuggle/messages HTTP/1.1\r\nHost: localhost\r\n"
        next_one = b"POST /v1/channels/smuggled/messages HTTP/1.1\r\nHost: localhost\r\n" \
                   b"Content-Length: 2\r\n\r\n{}"
        for fields in [b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
                       b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
                       b"Content-Length: 2, 2\r\n\r\n{}", b"Content-Length: +2\r\n\r\n{}",
                       b"Content-Length: -1\r\n\r\n{}", b"Content-Length: 0x2\r\n\r\n{}",
                       b"Content-Length: 99999999999999999999\r\n\r\n{}",
                       b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                       b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                       b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                       b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                       b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
                       b"2\r\n{}\r\n0\r\n\r\n",
                       b"Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                       b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
                       b"Host: localhost\r\nContent-Length: 2\r\n\r\n{}"]:
            with self.subTest(fields=fields):
                answer = raw(self.gateway, head + fields + next_one)
                self.assertIn(status_of(answer), (400, 413), answer)
                self.assertEqual(answer.count(b"HTTP/1.1 "), 1, answer)
        for request in [b"POST /v1/channels/smuggle/messages HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
                        b"GET /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                        b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n",
                        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
                        b"GET /healthz\r\n\r\n",
                        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA\x00b: c\r\n\r\n"]:
            with self.subTest(request=request):
                answer = raw(self.gateway, request, shut=True)
                self.assertIn(status_of(answer), (400,), answer)
        for channel in ("smuggle", "smuggled"):
            self.assertEqual(call(self.gateway, "GET", f"/v1/channels/{channel}").status, 404)
        # What is right, in one piece and pipelined.
        good = head.replace(b"smuggle", b"pipelined")
        answer = raw(self.gateway,
                     good + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" +
                     good + b"Content-Length: 2\r\n\r\n{}" +
                     good + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
        self.assertEqual(answer.count(b"HTTP/1.1 201 "), 3, answer)

    def test_what_is_too_large_or_too_slow_is_refused(self):
        answer = call(self.gateway, "POST", "/v1/channels/large/messages", b" " * (3 << 20))
        self.assertEqual((answer.status, answer.json["limit"]), (413, 2 << 20))
        chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        answer = raw(self.gateway, b"POST /v1/channels/large/messages HTTP/1.1\r\nHost: localhost\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n" + 3 * chunk)
        self.assertEqual(status_of(answer), 413)
        for header in (b"X: " + b"x" * 20_000, b"\r\n".join([b"X: y"] * 5000)):
            answer = raw(self.gateway,
                         b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
            self.assertEqual(status_of(answer), 431)
        answer = raw(self.gateway, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIn(status_of(answer), (400, 431))
        # Who begins, and does not go on.
        for begin in (b"GET /healthz HTTP/1.1\r\nHost: loc",
                      b"POST /sendMessage HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"):
            answer = raw(self.gateway, begin)
            self.assertEqual(status_of(answer), 408, answer)

    def test_a_client_may_ask_before_it_sends_its_body(self):
        head = b"POST /v1/channels/expect/messages HTTP/1.1\r\nHost: localhost\r\n" \
               b"Connection: close\r\nContent-Length: 2\r\n"
        answer = raw(self.gateway, head + b"Expect: 100-continue\r\n\r\n{}")
        self.assertTrue(answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 "), answer)
        self.assertEqual(status_of(raw(self.gateway, head + b"Expect: more\r\n\r\n{}")), 417)

    def test_http_1_0_gets_a_stream_that_ends_with_the_connection(self):
        send(self.gateway, "old", "http10")
        with socket.create_connection(("127.0.0.1", self.gateway.port), DEADLINE) as connection:
            connection.sendall(b"GET /v1/channels/http10/stream?from=1 HTTP/1.0\r\n\r\n")
            got = b""
            while b"caught-up" not in got:
                piece = connection.recv(65536)
                self.assertTrue(piece, got)
                got += piece
        self.assertNotIn(b"chunked", got)
        self.assertIn(b"\r\n\r\nretry: 2000\n\nid: ", got)


class DataTest(unittest.TestCase):
    """Bytes that are no text, in and out bit for bit."""

    BYTES = bytes(range(256))
    # The largest message has 1 MiB, encoded: tag, length, and the type.
    MOST = (1 << 20) - len(b"\x42...") - len(b"\x4a.a/b")

    @classmethod
    def setUpClass(cls):
        cls.server = start_server()
        cls.gateway = start_gateway(cls.server, "--cors-origin", "https://chat.example")
        cls.document = call(cls.gateway, "GET", "/openapi.json").json

    @classmethod
    def tearDownClass(cls):
        assert cls.gateway.process.poll() is None, cls.gateway.said()
        cls.gateway.stop()
        cls.server.stop()

    def post(self, channel, body, content_type=None, query="", status=201, **headers):
        if content_type is not None:
            headers["Content-Type"] = content_type
        answer = call(self.gateway, "POST", f"/v1/channels/{channel}/messages{query}", body,
                      headers)
        self.assertEqual(answer.status, status, answer.body)
        return answer.json

    def messages(self, channel):
        page = call(self.gateway, "GET", f"/v1/channels/{channel}/messages?from=earliest").json
        self.assertEqual(
            list(fits({"$ref": "#/components/schemas/Page"}, page, self.document)), [])
        return page["messages"]

    def get(self, channel, message, headers=None, method="GET"):
        return call(self.gateway, method, f"/v1/channels/{channel}/messages/{message}/data", None,
                    headers)

    def check_data(self, channel, message, data, content_type):
        answer = self.get(channel, message)
        self.assertEqual((answer.status, answer.type), (200, content_type), answer.body[:200])
        self.assertEqual(answer.body, data)
        self.assertRegex(answer.headers["Content-Disposition"],
                         rf'^attachment; filename="{channel}-\d+"$')
        self.assertEqual(answer.headers.get_all("Content-Security-Policy"),
                         ["sandbox; default-src 'none'; frame-ancestors 'none'"])
        self.assertEqual(answer.headers.get_all("X-Content-Type-Options"), ["nosniff"])
        self.assertEqual(answer.headers["Cross-Origin-Resource-Policy"], "same-origin")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")

    def test_larger_messages_pass_if_the_server_takes_them(self):
        server = start_server(options=["--max-message-bytes", "2Mi"])
        gateway = start_gateway(server, "--max-message-bytes", "2Mi")
        try:
            data = os.urandom(1 << 20)
            path = "/v1/channels/large/messages"
            text = base64.b64encode(data).decode()
            for body, kind in (data, "a/b"), ({"data": text, "content_type": "a/b"}, None):
                headers = {"Content-Type": kind} if kind else {}
                receipt = call(gateway, "POST", path, body, headers)
                self.assertEqual(receipt.status, 201, receipt.body)
                got = call(gateway, "GET", f"{path}/{receipt.json['sequence']}/data")
                self.assertEqual((got.status, got.type), (200, "a/b"))
                self.assertEqual(got.body, data)
            self.problem(call(gateway, "POST", path, bytes(2 << 20), {"Content-Type": "a/b"}),
                         400, "message", "exceed the limit of 2097152")
        finally:
            gateway.stop()
            server.stop()

    def test_a_body_of_another_type_is_data(self):
        large = os.urandom(self.MOST)
        sent = [("image/png", self.BYTES), ("a/b", large), ("text/markdown; charset=utf-8", b"x"),
                ("application/problem+json", b"{}"), ("text/html", b"<script>alert(1)</script>"),
                ("multipart/form-data; boundary=x", b"--x--"), ("anything", b"\r\n"),
                ("application/jsonx", b"{}"), ("image/gif", b"")]
        for sequence, (kind, data) in enumerate(sent, 1):
            with self.subTest(kind=kind):
                receipt = self.post("raw", data, kind)
                self.assertEqual(receipt["sequence"], sequence)
                for message in (sequence, f"{receipt['epoch']}:{sequence}"):
                    self.check_data("raw", message, data, kind)
        got = []
        for message in self.messages("raw"):
            self.assertEqual((message["author"], message["text"]), ("", ""))
            got.append((message["content_type"], base64.b64decode(message.get("data", ""))))
        self.assertEqual(got, sent)
        self.assertNotIn("data", self.messages("raw")[-1])
        # Beside it, from the query.
        self.post("caption", b"\xff", "image/png", "?author=ann+%C3%BC&text=my%20cat")
        (message,) = self.messages("caption")
        self.assertEqual((message["author"], message["text"], message["data"]),
                         ("ann ü", "my cat", "/w=="))

    def test_a_body_of_json_is_not(self):
        for kind in ("application/json", "Application/JSON; charset=utf-8", None, "",
                     "application/x-www-form-urlencoded", "text/plain;charset=UTF-8"):
            with self.subTest(kind=kind):
                self.post("json", '{"text":"hello"}', kind)
        for message in self.messages("json"):
            self.assertEqual(message["text"], "hello")
            self.assertNotIn("data", message)
            self.assertNotIn("content_type", message)
            answer = self.get("json", message["sequence"])
            self.assertEqual((answer.status, answer.type), (404, "application/problem+json"))

    def test_json_has_it_in_base64_both_ways(self):
        large = os.urandom(self.MOST)
        sent = [{"data": base64.b64encode(self.BYTES).decode(), "content_type": "image/png"},
                {"data": base64.b64encode(large).decode(), "content_type": "a/b"},
                {"text": "beside", "data": "AA=="}, {"data": "", "content_type": "image/gif"},
                {"text": "# x", "content_type": "text/markdown"}, {"data": ""}]
        self.post("base64", sent, "application/json")
        with Stream(self.gateway, "base64", "?from=earliest") as stream:
            events = stream.until("caught-up")[1]
        got = self.messages("base64")
        for message in events:
            self.assertEqual(list(fits({"$ref": "#/components/schemas/Message"}, message,
                                       self.document)), [])
        self.assertEqual(got, events)
        for message, original in zip(got, sent, strict=True):
            for name in ("data", "content_type"):
                self.assertEqual(message.get(name), original.get(name) or None)
        self.check_data("base64", 1, self.BYTES, "image/png")
        self.check_data("base64", 2, large, "a/b")
        self.check_data("base64", 3, b"\0", "application/octet-stream")
        self.check_data("base64", 4, b"", "image/gif")
        for message in (5, 6):
            self.assertEqual(self.get("base64", message).status, 404)

    def problem(self, answer, status, field, detail):
        self.assertEqual((answer.status, answer.type), (status, "application/problem+json"),
                         answer.body)
        self.assertEqual(list(fits({"$ref": "#/components/schemas/Problem"}, answer.json,
                                   self.document)), [])
        self.assertEqual(answer.json.get("field"), field)
        self.assertIn(detail, answer.json["detail"])

    def test_what_is_wrong_is_named(self):
        path = "/v1/channels/wrong/messages"
        for body, field, detail in [
                ({"data": "AA"}, "data", "data: not base64: ends at offset 2"),
                ({"data": "AA= ="}, "data", "byte 0x3d at offset 2"),
                ({"data": "AAAA\nAAAA"}, "data", "byte 0x0a at offset 4"),
                ([{}, {"data": "A-=="}], "[1].data", "[1].data: not base64: byte 0x2d at offset 1"),
                ({"data": "AB=="}, "data", "bits of 'B' at offset 1"),
                ({"data": 1}, "data", "must be a string, in base64"),
                ({"content_type": 1}, "content_type", "must be a string"),
                ({"content_type": "a\r\nX: y"}, "content_type", "byte 0x0d at offset 1"),
                ([{"content_type": "x" * 257}], "[0].content_type", "257 bytes"),
                ({"data": base64.b64encode(bytes(1 << 20)).decode()}, "message", "exceed")]:
            with self.subTest(body=str(body)[:40]):
                self.problem(call(self.gateway, "POST", path, body), 400, field, detail)
        for kind, query, headers, status, field, detail in [
                ("a/b", "?form=1", {}, 400, "form", "there are: author text"),
                ("a/b", "?author=%ff", {}, 400, "author", "not valid UTF-8"),
                ("a/\xe4", "", {}, 400, "content_type", "byte 0xe4 at offset 2"),
                ("x" * 257, "", {}, 400, "content_type", "257 bytes"),
                ("a/b", "", {"Content-Encoding": "gzip"}, 415, "Content-Encoding", "without")]:
            with self.subTest(kind=kind[:9], query=query):
                answer = call(self.gateway, "POST", path + query, b"x",
                              {"Content-Type": kind, **headers})
                self.problem(answer, status, field, detail)
        self.problem(call(self.gateway, "POST", path, bytes(1 << 20), {"Content-Type": "a/b"}),
                     400, "message", "exceed the limit of 1048576")
        answer = raw(self.gateway, b"POST /v1/channels/wrong/messages HTTP/1.1\r\nHost: localhost\r\n"
                     b"Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 1\r\n"
                     b"Connection: close\r\n\r\nx")
        self.assertEqual(status_of(answer), 400)
        self.assertIn(b'"field":"Content-Type"', answer)
        self.assertEqual(call(self.gateway, "GET", "/v1/channels/wrong").status, 404)
        # What changes nothing is no coding.
        self.post("wrong", b"x", "a/b", **{"Content-Encoding": "identity"})

    def test_what_is_not_there_is_not_found(self):
        receipt = self.post("there", b"x", "a/b")
        epoch = int(receipt["epoch"])
        for message in (2, 3, 99, 1 << 63, f"{epoch}:2", f"{epoch}:99", f"{epoch + 1}:1"):
            with self.subTest(message=message):
                self.problem(self.get("there", message), 404, None, "there is no such message")
        self.problem(self.get("nowhere", 1), 404, None, "there is no such message yet")
        for message in ("0", "x", "", "-1", f"{epoch}:", "0:1", f"{epoch}:0", "1:2:3", "1%20"):
            with self.subTest(message=message):
                self.problem(self.get("there", message), 400, "message", "must be a sequence")
        call(self.gateway, "DELETE", "/v1/channels/there")
        self.problem(self.get("there", 1), 404, None, "any more (deleted)")
        self.assertEqual(self.get("there", 1, method="POST").status, 405)

    def test_a_browser_saves_it_or_shows_it_but_does_not_run_it(self):
        self.post("script", b"alert(1)", "text/javascript")
        site = {"Sec-Fetch-Site": "same-origin"}
        for use in ("image", "document", "empty"):
            answer = self.get("script", 1, {**site, "Sec-Fetch-Dest": use})
            self.assertEqual((answer.status, answer.body), (200, b"alert(1)"))
        # A browser does not say so over plain HTTP: then it is no script.
        self.post("script", b"body{}", "Text/CSS; charset=utf-8")
        for message in (1, 2):
            self.assertEqual(self.get("script", message).type, "application/octet-stream")
        unknown = call(self.gateway, "GET", "/v1/channels/script/messages/1/data?x=1")
        self.problem(unknown, 400, "x", "is not known")
        for use in ("script", "style", "worker", "serviceworker", "iframe", "embed", "object"):
            self.problem(self.get("script", 1, {**site, "Sec-Fetch-Dest": use}), 403,
                         "Sec-Fetch-Dest", "not be part of a page")
        self.assertEqual(
            self.get("script", 1, {"Sec-Fetch-Site": "cross-site",
                                   "Sec-Fetch-Dest": "image"}).status, 403)
        head = self.get("script", 1, method="HEAD")
        self.assertEqual((head.status, head.body, head.headers["Content-Length"]), (200, b"", "8"))
        allowed = self.get("script", 1, {"Origin": "https://chat.example"})
        self.assertEqual(allowed.headers["Access-Control-Allow-Origin"], "https://chat.example")

    def test_a_key_is_for_one_content(self):
        key = {"Idempotency-Key": "data"}
        first = self.post("keyed", self.BYTES, "a/b", **key)
        again = self.post("keyed", self.BYTES, "a/b", **key)
        self.assertEqual((first["sequence"], again["sequence"], again["duplicate"]), (1, 1, True))
        for body, kind in ((self.BYTES + b"x", "a/b"), (self.BYTES, "a/c")):
            self.assertEqual(self.post("keyed", body, kind, status=422, **key)["field"],
                             "Idempotency-Key")
        self.check_data("keyed", 1, self.BYTES, "a/b")

    def test_the_postbox_tells_of_it(self):
        call(self.gateway, "POST", "/getAndFlushMessages")
        self.post("general", b"x" * 12, "image/png", "?text=cat")
        self.post("general", b"x", "image/png")
        got = []

        def flush():
            got.extend(m["text"] for m in call(self.gateway, "POST", "/getAndFlushMessages").json)
            return len(got) >= 2

        until(flush, "the postbox has both")
        self.assertEqual(got, ["cat  [12 bytes of image/png]", "[1 byte of image/png]"])

    def test_large_data_ends_a_page(self):
        for _ in range(6):
            self.post("large", bytes(self.MOST), "a/b")
        page = call(self.gateway, "GET", "/v1/channels/large/messages?from=earliest").json
        self.assertEqual(len(page["messages"]), 4)
        self.assertFalse(page["caught_up"])
        rest = call(self.gateway, "GET", f"/v1/channels/large/messages?after={page['next']}").json
        self.assertEqual([m["sequence"] for m in rest["messages"]], [5, 6])


class PageTest(unittest.TestCase):
    """The files of the chat page; tests/browser has the page itself."""

    @classmethod
    def setUpClass(cls):
        cls.server = start_server()
        cls.gateway = start_gateway(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()
        cls.server.stop()

    def get(self, path, headers=None, method="GET"):
        return call(self.gateway, method, path, None, headers)

    def test_files_say_what_they_are_and_what_they_may(self):
        page = self.get("/")
        names = re.findall(r'"page/([^"]+)"', page.body.decode())
        self.assertIn("main.js", names)
        paths = {"/": "text/html; charset=utf-8"}
        types = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8",
                 "svg": "image/svg+xml"}
        paths.update({f"/page/{name}": types[name.rsplit(".", 1)[1]] for name in names})
        for path, kind in paths.items():
            with self.subTest(path=path):
                answer = self.get(path)
                self.assertEqual((answer.status, answer.type), (200, kind))
                policy = answer.headers.get_all("Content-Security-Policy")
                self.assertEqual(len(policy), 1)
                for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'",
                             "base-uri 'none'", "form-action 'none'"):
                    self.assertIn(part, policy[0].split("; "))
                self.assertNotIn("unsafe", policy[0])
                self.assertEqual(answer.headers.get_all("Cache-Control"), ["no-cache"])
                for name, value in (("X-Content-Type-Options", "nosniff"),
                                    ("Referrer-Policy", "no-referrer"),
                                    ("Cross-Origin-Opener-Policy", "same-origin"),
                                    ("Cross-Origin-Resource-Policy", "same-origin")):
                    self.assertEqual(answer.headers[name], value)

    def test_what_a_browser_has_is_not_sent_again(self):
        for path in ("/", "/page/main.js"):
            full = self.get(path)
            tag = full.headers["ETag"]
            for known in (tag, "W/" + tag, f'"other", {tag}', "*"):
                answer = self.get(path, {"If-None-Match": known})
                self.assertEqual((answer.status, answer.body), (304, b""))
                self.assertEqual(answer.headers["ETag"], tag)
                self.assertIsNone(answer.headers["Content-Length"])
            self.assertEqual(self.get(path, {"If-None-Match": '"other"'}).body, full.body)
            head = self.get(path, method="HEAD")
            self.assertEqual((head.status, head.body), (200, b""))
            self.assertEqual(head.headers["Content-Length"], str(len(full.body)))
        # The connection goes on behind an answer without a body.
        answer = raw(self.gateway, b"GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\n\r\n"
                     b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.assertEqual([status_of(answer), answer.count(b"HTTP/1.1 ")], [304, 2])
        for path in ("/page/", "/page/none.js", "/page/..%2fmain.js", "/page", "//", "/index.html"):
            self.assertEqual(self.get(path).status, 404, path)
        self.assertEqual(self.get("/", method="POST").status, 405)

    def test_a_link_of_another_site_opens_it(self):
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document"}
        self.assertEqual(self.get("/", link).status, 200)
        for path, headers in (("/", {**link, "Sec-Fetch-Dest": "iframe"}),
                              ("/", {**link, "Sec-Fetch-Mode": "no-cors"}),
                              ("/", {**link, "Origin": "http://evil.example"}),
                              ("/page/main.js", link), ("/v1/channels", link)):
            self.assertEqual(self.get(path, headers).status, 403, (path, headers))
        self.assertEqual(self.get("/", {**link, "Host": "evil.example"}).status, 421)


class StreamTest(unittest.TestCase):
    def test_events_and_resuming_by_id(self):
        with start_server() as server, start_gateway(server) as gateway:
            send(gateway, "1")
            send(gateway, "2")
            with Stream(gateway, "general", "?from=earliest") as stream:
                joined, _ = stream.until("joined")
                self.assertEqual((joined["next"], joined["head"]), (1, 2))
                first, _ = stream.until("message")
                self.assertEqual((first["text"], stream.last_id), ("1", first["epoch"] + ":1"))
                head, messages = stream.until("caught-up")
                self.assertEqual((head, [m["text"] for m in messages]), ({"head": 2}, ["2"]))
                last_id = stream.last_id
                send(gateway, "3")
                self.assertEqual(stream.texts(1), ["3"])
            # The id counts, not the URL, which is the same as before.
            with Stream(gateway, "general", "?from=earliest", last_id) as stream:
                self.assertEqual(stream.texts(1), ["3"])
            # Nothing is missed, even if there was no message yet.
            with Stream(gateway, "general") as stream:
                stream.until("caught-up")
                last_id = stream.last_id
            send(gateway, "4")
            with Stream(gateway, "general", "", last_id) as stream:
                self.assertEqual(stream.texts(1), ["4"])
            with Stream(gateway, "general", "", "1234:9") as stream:
                gap, _ = stream.until("gap")
                self.assertEqual(gap["reason"], "new_epoch")
                self.assertEqual(stream.texts(4), ["1", "2", "3", "4"])

    def test_it_rides_out_a_restart_of_the_server(self):
        with tempfile.TemporaryDirectory() as folder:
            log = f"file:{folder}/log"
            with start_server(log=log) as server:
                port = server.port
                with start_gateway(server) as gateway, Stream(gateway, "general") as stream:
                    stream.until("caught-up")
                    send(gateway, "1")
                    self.assertEqual(stream.texts(1), ["1"])
                    server.stop()
                    self.assertTrue(
                        stream.until("waiting")[0]["reason"].startswith("the server"))
                    # The operator is told where that is.
                    self.assertTrue(gateway.times_said(f"127.0.0.1:{port}"))
                    self.away(gateway)
                    with Stream(gateway, "general") as late:
                        late.until("waiting")
                    with start_server(port, log):
                        until(lambda: call(gateway, "GET", "/readyz").status == 200, "it is back")
                        send(gateway, "2")
                        self.assertEqual(stream.texts(1), ["2"])
                        flushed = []

                        def flush():
                            flushed.extend(call(gateway, "POST", "/getAndFlushMessages").json)
                            return len(flushed) >= 2

                        until(flush, "the postbox has both")
                        self.assertEqual([m["text"] for m in flushed], ["1", "2"])

    def test_what_is_repeated_with_its_key_is_stored_once(self):
        path = "/v1/channels/general/messages"
        with tempfile.TemporaryDirectory() as folder:
            log = f"file:{folder}/log"
            key = {"Idempotency-Key": "8f14e45f-ceea-467f-9e3d-2b7d0f2c11aa"}
            with start_server(log=log) as server:
                port = server.port
                with start_gateway(server) as gateway:
                    first = call(gateway, "POST", path, {"text": "once"}, key)
                    self.assertEqual((first.status, first.json["duplicate"]), (201, False))
                    again = call(gateway, "POST", path, {"text": "once"}, key)
                    self.assertEqual(again.json, first.json | {"duplicate": True})
                    # Keys are by channel.
                    other = call(gateway, "POST", "/v1/channels/x/messages", {"text": "once"}, key)
                    self.assertEqual((other.status, other.json["duplicate"]), (201, False))
                    other = call(gateway, "POST", path, {"text": "other"}, key)
                    self.assertEqual((other.status, other.json["field"], other.json["value"]),
                                     (422, "Idempotency-Key", key["Idempotency-Key"]))
                    for wrong, body in [("", {}), ("k" * 256, {}), ("k", [{}])]:
                        answer = call(gateway, "POST", path, body, {"Idempotency-Key": wrong})
                        self.assertEqual((answer.status, answer.json["field"]),
                                         (400, "Idempotency-Key"))
                    server.process.kill()
                    server.process.wait()
                    answer = call(gateway, "POST", path, {"text": "later"}, {"Idempotency-Key": "l"})
                    self.assertEqual(answer.status, 503)
                    # It depends on whether the end was noticed before it was written.
                    self.assertIs(type(answer.json["may_be_stored"]), bool)
            with start_server(port, log) as server, start_gateway(server) as gateway:
                again = call(gateway, "POST", path, {"text": "once"}, key)
                self.assertEqual(again.json, first.json | {"duplicate": True})
                page = call(gateway, "GET", path + "?from=1").json
                self.assertEqual([m["text"] for m in page["messages"]], ["once"])

    def away(self, gateway):
        """The server is away: answers are 503, and say when to try again."""
        for method, path, body in [("GET", "/v1/channels", None), ("GET", "/readyz", None),
                                   ("GET", "/v1/channels/general", None),
                                   ("DELETE", "/v1/channels/general", None),
                                   ("GET", "/v1/channels/general/messages", None),
                                   ("POST", "/v1/channels/other/messages", [{}, {}])]:
            answer = call(gateway, method, path, body)
            self.assertEqual((answer.status, answer.type), (503, "application/problem+json"), path)
            self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual(answer.json["receipts"], [None, None])
        self.assertIs(answer.json["may_be_stored"], False)
        self.assertEqual(call(gateway, "GET", "/healthz").status, 200)

    def test_it_resumes_over_a_restart_of_the_gateway(self):
        with start_server() as server:
            with start_gateway(server) as gateway:
                port = gateway.port
                with Stream(gateway, "general", "?from=earliest") as stream:
                    send(gateway, "1")
                    self.assertEqual(stream.texts(1), ["1"])
                    stream.retry = None
                    gateway.process.send_signal(signal.SIGTERM)
                    while stream.next():
                        pass
                    self.assertGreaterEqual(stream.retry, 1000)
                    last_id = stream.last_id
                self.assertEqual(gateway.process.wait(DEADLINE), 0)
            with start_gateway(server) as other:
                send(other, "2")
            with start_gateway(server, port=port) as gateway, \
                    Stream(gateway, "general", "?from=earliest", last_id) as stream:
                send(gateway, "3")
                self.assertEqual(stream.texts(2), ["2", "3"])

    def test_streams_of_a_channel_cost_the_server_one_reader(self):
        count = 250
        with start_server() as server, start_gateway(server) as gateway, \
                contextlib.ExitStack() as stack:
            send(gateway, "before", "crowd")
            streams = [stack.enter_context(Stream(gateway, "crowd")) for _ in range(count)]
            for stream in streams:
                stream.until("caught-up")
            threads = len(os.listdir(f"/proc/{gateway.process.pid}/task"))
            self.assertLess(threads, 50)
            # One that reads nothing, and one that has gone.
            streams.pop().close()
            streams.pop()
            until(lambda: call(gateway, "GET", "/v1/channels/crowd").json["readers"] == 1,
                  "all of them share one reader")
            for i in range(20):
                send(gateway, str(i), "crowd")
            for stream in streams:
                self.assertEqual(stream.texts(20), [str(i) for i in range(20)])
            self.assertEqual(call(gateway, "GET", "/v1/channels/crowd").json["readers"], 1)
            # gRPC begins and ends some as it likes, but none stays for a stream.
            until(lambda: len(os.listdir(f"/proc/{gateway.process.pid}/task")) <= threads,
                  "there are no more threads than before")

    def test_a_stream_that_takes_nothing_is_cut_off_and_delays_nobody(self):
        with start_server() as server, \
                start_gateway(server, "--write-timeout", "3s") as gateway, \
                Stream(gateway, "bulk") as good:
            good.until("caught-up")
            with socket.socket() as stalled:
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stalled.connect(("127.0.0.1", gateway.port))
                stalled.settimeout(DEADLINE)
                stalled.sendall(b"GET /v1/channels/bulk/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertTrue(stalled.recv(16))
                text = "x" * 500_000
                for i in range(24):
                    send(gateway, f"{i} {text}", "bulk")
                    self.assertEqual(good.texts(1)[0].split()[0], str(i))
                # Only what the kernels hold has been sent; then comes the end.
                taken = 0
                with contextlib.suppress(ConnectionError):
                    until(lambda: is_closed(gateway, stalled), "the gateway gives it up")
                    while piece := stalled.recv(1 << 20):
                        taken += len(piece)
                self.assertLess(taken, 12_000_000)



class ProgramTest(unittest.TestCase):
    def run_program(self, *options, environment=None):
        return subprocess.run([GATEWAY, *options], capture_output=True, text=True, check=False,
                              timeout=DEADLINE, stdin=subprocess.DEVNULL,
                              env={**os.environ, **(environment or {})})

    def test_help_and_wrong_usage(self):
        done = self.run_program("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("POST /getAndFlushMessages", done.stdout)
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 80)
        for options, environment, named in [
                (["--listen", "nowhere"], {}, "nowhere"), (["--server", "a:b"], {}, "a:b"),
                (["--cors-origin", "chat.example"], {}, "chat.example"),
                (["--allow-host", "http://a"], {}, "http://a"), (["--timeout", "0s"], {}, "--timeout"),
                (["--max-body-bytes", "17Mi"], {}, "--max-body-bytes: 17825792"),
                ([], {"MESSENGER_HTTP_PORT": "x"}, "MESSENGER_HTTP_PORT"),
                ([], {"MESSENGER_HTTP_HOST": "a/b"}, "MESSENGER_HTTP_HOST"),
                ([], {"MESSENGER_HTTP_HOST": "a:1"}, "MESSENGER_HTTP_HOST"),
                ([], {"MESSENGER_SERVER_ADDR": "a b"}, "MESSENGER_SERVER_ADDR")]:
            done = self.run_program(*options, environment=environment)
            self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
            self.assertIn(named, done.stderr)
            self.assertNotIn("postbox", done.stderr)

    def test_the_environment_says_where_it_listens(self):
        with start_server() as server:
            for host, where in ("0.0.0.0", "0.0.0.0"), ("", "127.0.0.1"):
                with Program(GATEWAY, environment={
                        "MESSENGER_SERVER_ADDR": f"127.0.0.1:{server.port}",
                        "MESSENGER_HTTP_HOST": host, "MESSENGER_HTTP_PORT": "0"}) as gateway:
                    self.assertEqual(gateway.host, where)
                    self.assertEqual(call(gateway, "GET", "/healthz").status, 200)

    def test_an_address_in_use_is_an_error(self):
        with start_server() as server, start_gateway(server) as gateway:
            done = self.run_program("--listen", f"127.0.0.1:{gateway.port}")
            self.assertEqual(done.returncode, 1)
            self.assertIn("Address already in use", done.stderr)

    def test_signals_drain(self):
        with start_server() as server:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                with start_gateway(server) as gateway, Stream(gateway, "general") as stream:
                    stream.until("caught-up")
                    idle = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE)
                    idle.request("GET", "/healthz")
                    Answer(idle.getresponse())
                    poll = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE)
                    # One of its own: the server may still count the reader of the last round.
                    polled = f"/v1/channels/polled.{number}"
                    place = send(gateway, "1", f"polled.{number}")
                    poll.request("GET", f"{polled}/messages?wait=60&after="
                                 f"{place['epoch']}:{place['sequence']}")
                    # From then on it is answered, whether the gateway knows that already or not.
                    until(lambda: call(gateway, "GET", polled).json["readers"] == 1,
                          "the poll has reached the server")
                    self.assertEqual(gateway.stop(number), 0)
                    while stream.next():
                        pass
                    answer = Answer(poll.getresponse())
                    self.assertEqual(answer.status, 200, answer.body)
                    self.assertEqual(answer.json["messages"], [])
                    idle.close()
                    poll.close()
                    self.assertIn("stopped", gateway.said())

    def test_what_the_server_has_not_answered_is_answered_before_the_end(self):
        with start_server() as server, \
                start_gateway(server, "--drain-timeout", "60s", timeout="60s") as gateway, \
                socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as connection:
            place = send(gateway, "1")
            server.freeze()
            try:
                # The gateway has the second one when it answers the first one.
                connection.sendall(
                    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
                    b"GET /v1/channels/general/messages?wait=60&after=%s:%d HTTP/1.1\r\n"
                    b"Host: localhost\r\n\r\n" % (place["epoch"].encode(), place["sequence"]))
                self.assertEqual(status_of(connection.recv(65536)), 200)
                gateway.process.send_signal(signal.SIGTERM)

                def is_draining():
                    try:
                        socket.create_connection(("127.0.0.1", gateway.port), DEADLINE).close()
                    except ConnectionRefusedError:
                        return True
                    except ConnectionResetError:
                        pass  # it was not accepted in time
                    return False

                until(is_draining, "it accepts nothing more")
            finally:
                server.thaw()
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            self.assertEqual(status_of(answer), 200, answer)
            self.assertIn(b'"messages":[]', answer)
            self.assertEqual(gateway.process.wait(DEADLINE), 0)
            self.assertNotIn("cut off", gateway.said())

    def test_a_server_that_hangs_does_not_hold_up_the_end(self):
        with start_server() as server, start_gateway(server, "--drain-timeout",
                                                     "100ms") as gateway:
            server.freeze()
            asking = []
            try:
                # More than can wait at once, one behind the other, until the deadline.
                for i in range(60):
                    connection = http.client.HTTPConnection("127.0.0.1", gateway.port,
                                                            timeout=DEADLINE)
                    connection.request("GET", "/v1/channels",
                                       headers=bearer(f"unknown{i}") if i % 2 else {})
                    asking.append(connection)
                self.assertEqual(call(gateway, "GET", "/healthz").status, 200)
                self.assertEqual(gateway.stop(signal.SIGTERM), 0)
                self.assertRegex(gateway.said(), "cut off(.|\n)*stopped")
            finally:
                server.thaw()
                for connection in asking:
                    connection.close()

    def test_it_begins_without_its_server(self):
        with start_server() as server:
            pass  # a port on which nobody listens
        with start_gateway(server) as gateway:
            self.assertEqual(call(gateway, "GET", "/readyz").status, 503)
            self.assertEqual(call(gateway, "GET", "/healthz").status, 200)
            with start_server(server.port):
                until(lambda: call(gateway, "GET", "/readyz").status == 200, "it is ready")
                send(gateway, "hello")

    def test_connections_are_bounded(self):
        with start_server() as server, \
                start_gateway(server, "--max-connections", "2") as gateway:
            with Stream(gateway, "general"), Stream(gateway, "general"):
                self.assertEqual(status_of(raw(gateway, b"")), 503)
            until(lambda: call(gateway, "GET", "/healthz").status == 200, "there is room again")


class Door:
    """What an operator has who secures a server: certificates, tokens, rights."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.directory.name)
        self.issue("tls")
        self.write("rights", "")
        self.write("tokens", "")

    def write(self, name, text):
        """Beside, and renamed, as an operator's tools do it."""
        new = self.path / f"{name}.new"
        new.write_text(text, encoding="utf-8")
        new.replace(self.path / name)

    def tool(self, *arguments):
        return subprocess.run([SERVER, *arguments], check=True, capture_output=True, text=True,
                              timeout=DEADLINE).stdout

    def issue(self, directory):
        """A CA, and a certificate by it."""
        self.tool("init-tls", str(self.path / directory), "--name", "localhost",
                  "--name", "127.0.0.1")

    def add(self, identity):
        return self.tool("token", "add", "--tokens", str(self.path / "tokens"),
                         "--identity", identity).strip()

    def revoke(self, token):
        self.tool("token", "revoke", "--tokens", str(self.path / "tokens"), token.split("_")[1])

    def server(self, *options):
        return start_server(options=["--tokens", str(self.path / "tokens"),
                                     "--rights", str(self.path / "rights"), *options])

    def https(self, directory="tls"):
        """The options of a gateway, and the context for its callers."""
        files = self.path / directory
        return (["--https-cert", str(files / "server.pem"), "--https-key", str(files / "server.key")],
                ssl.create_default_context(cafile=files / "ca.pem"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.directory.cleanup()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def cookie(token, name="messenger_token"):
    return {"Cookie": f"theme=dark; {name}={token}"}


def other_address():
    """One of this machine that is not its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with contextlib.suppress(OSError):
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return probe.getsockname()[0]
    raise unittest.SkipTest("this machine has no address but its loopback")


MESSAGES = "/v1/channels/general/messages"


class TokensTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.door = Door()
        cls.door.write("rights", "ann send,read general\n"
                                 "ann admin general\n"
                                 "bob read general\n"
                                 "bob send other\n"
                                 "* read news\n")
        cls.ann, cls.bob = cls.door.add("ann"), cls.door.add("bob")
        cls.server = cls.door.server()
        cls.gateway = start_gateway(cls.server, "--cors-origin", "https://chat.example")

    @classmethod
    def tearDownClass(cls):
        code = cls.gateway.stop()
        said = cls.gateway.said()
        cls.server.stop()
        cls.door.directory.cleanup()
        assert code == 0, said
        assert cls.ann not in said and cls.bob not in said, said

    def new_token(self, identity):
        """One that the server knows."""
        token = self.door.add(identity)
        until(lambda: call(self.gateway, "POST", "/v1/session", {"token": token}).status == 204,
              "the server knows the new token")
        return token

    def problem(self, answer, status, reason):
        self.assertEqual((answer.status, answer.json["reason"]), (status, reason), answer.body)
        self.assertEqual(answer.type, "application/problem+json")
        challenge = 'Bearer error="invalid_token"' if reason.startswith("TOKEN_") else "Bearer"
        self.assertEqual(answer.headers["WWW-Authenticate"], challenge if status == 401 else None)

    def test_the_server_decides_by_the_callers_token(self):
        for identity, headers in ("ann", bearer(self.ann)), ("ann", cookie(self.ann)), \
                ("ann", {"authorization": f"bearer {self.ann}"}):
            with self.subTest(headers=headers):
                answer = call(self.gateway, "POST", MESSAGES, {"text": "hello"}, headers)
                self.assertEqual(answer.status, 201, answer.body)
                page = call(self.gateway, "GET", f"{MESSAGES}?last=1", headers=headers).json
                self.assertEqual([m["author"] for m in page["messages"]], [identity])
        general = "/v1/channels/general"
        for method, path, body in [("POST", MESSAGES, {"text": "x"}),
                                   ("POST", MESSAGES, {"author": "ann", "text": "x"}),
                                   ("DELETE", general, None)]:
            answer = call(self.gateway, method, path, body, bearer(self.bob))
            self.problem(answer, 403, "RIGHT_MISSING")
            self.assertIn("bob", answer.json["detail"])
        answer = call(self.gateway, "POST", MESSAGES, {"author": "eve", "text": "x"},
                      bearer(self.ann))
        self.assertEqual(answer.status, 403, answer.body)
        for path in (MESSAGES, f"{MESSAGES}/1/data", f"{general}/stream", general):
            self.problem(call(self.gateway, "GET", path), 401, "CREDENTIALS_REQUIRED")
        self.assertEqual(
            [channel["channel"] for channel in
             call(self.gateway, "GET", "/v1/channels", headers=bearer(self.bob)).json["channels"]],
            ["general"])

    def test_refusals_are_as_the_document_says(self):
        document = call(self.gateway, "GET", "/openapi.json").json
        refused = 0
        for template, item in document["paths"].items():
            for method, operation in item.items():
                if method == "parameters" or "401" not in operation["responses"]:
                    continue
                path = template.replace("{channel}", "general").replace("{message}", "1")
                body = {"author": "", "text": "x"} if template != "/v1/session" else {"token": "x"}
                answer = call(self.gateway, method.upper(), path,
                              body if method == "post" else None, bearer("x"))
                with self.subTest(method=method, path=path):
                    self.problem(answer, 401, "TOKEN_INVALID")
                    content = operation["responses"]["401"]["content"][answer.type]
                    self.assertEqual(list(fits(content["schema"], answer.json, document)), [])
                refused += 1
        self.assertEqual(refused, 11)

    def test_without_a_token_a_request_is_the_gateways_own(self):
        self.assertEqual(call(self.gateway, "GET", "/v1/channels").json["channels"], [])
        # A proxy before it may have passwords of its own.
        answer = call(self.gateway, "GET", "/v1/channels", headers={"Authorization": "Basic YTpi"})
        self.assertEqual(answer.status, 200, answer.body)
        answer = call(self.gateway, "GET", "/v1/channels/news/messages")
        self.assertEqual(answer.status, 200, answer.body)

    def test_what_is_no_token_is_refused(self):
        well_formed = self.ann[:-1] + ("A" if self.ann[-1] != "A" else "B")
        for headers in ({"Authorization": "Bearer"}, {"Authorization": "Bearer "}, bearer("a b"),
                        bearer("x"), bearer("x" * 5000), bearer(well_formed), cookie("a\\b"),
                        cookie(well_formed), {"Authorization": f"Bearer\t{self.ann}"},
                        {"Authorization": f"Bearer:{self.ann}"}, {"Authorization": self.ann},
                        {"Authorization": ""}):
            for method, path, body in [("GET", "/v1/channels", None),
                                       ("POST", "/getAndFlushMessages", None),
                                       ("POST", "/sendMessage", {"author": "", "text": "x"})]:
                with self.subTest(headers=headers, path=path):
                    self.problem(call(self.gateway, method, path, body, headers), 401,
                                 "TOKEN_INVALID")
            if "Authorization" in headers:
                answer = call(self.gateway, "GET", "/v1/session", headers=headers)
                self.problem(answer, 401, "TOKEN_INVALID")
        # An empty cookie is none.
        self.problem(call(self.gateway, "GET", MESSAGES, headers=cookie("")), 401,
                     "CREDENTIALS_REQUIRED")

    def test_what_is_no_token_costs_no_connection_and_no_place(self):
        with Door() as door:
            door.write("rights", "* read general\n")
            ann = door.add("ann")
            with door.server() as server, \
                    start_gateway(server, "--max-tokens", "1", timeout="60s") as gateway, \
                    Stream(gateway, "general", headers=bearer(ann)) as stream:
                stream.until("caught-up")
                until(lambda: connections(gateway) == 2, "the gateway has one, and ann")
                for i in range(20):
                    for path in ("/v1/channels", "/v1/channels/general/stream"):
                        answer = call(gateway, "GET", path, headers=bearer(f"garbage{i}"))
                        self.problem(answer, 401, "TOKEN_INVALID")
                # One that was made would stay for a minute.
                until(lambda: connections(gateway) == 2, "there are no others")
                answer = call(gateway, "GET", "/v1/channels", headers=bearer(ann))
                self.assertEqual(answer.status, 200, answer.body)

    def test_a_token_that_is_revoked_is_forgotten_at_once(self):
        with Door() as door:
            door.write("rights", "* read general\n")
            ann, bob = door.add("ann"), door.add("bob")
            with door.server() as server, start_gateway(server, timeout="60s") as gateway:
                until(lambda: connections(gateway) == 1, "the gateway has one")
                with Stream(gateway, "general", headers=bearer(ann)) as stream:
                    stream.until("caught-up")
                    answer = call(gateway, "GET", MESSAGES, headers=bearer(bob))
                    self.assertEqual(answer.status, 200, answer.body)
                    until(lambda: connections(gateway) == 3, "each of them has one")
                    door.revoke(ann)
                    door.revoke(bob)
                    self.assertEqual(stream.until("problem")[0]["status"], 401)
                    until(lambda: call(gateway, "GET", MESSAGES, headers=bearer(bob)).status == 401,
                          "it is revoked")
                # One that is only not used is kept for a minute.
                until(lambda: connections(gateway) == 1, "both are forgotten")

    def test_tokens_that_are_asked_about_are_bounded(self):
        most = 100
        with Door() as door, contextlib.ExitStack() as stack:
            ann = door.add("ann")
            server = stack.enter_context(door.server())
            gateway = stack.enter_context(start_gateway(server, timeout="60s"))

            def ask(token):
                connection = stack.enter_context(contextlib.closing(connect(gateway)))
                connection.request("GET", "/v1/channels", headers=bearer(token))
                return connection

            server.freeze()
            try:
                asking = [ask(f"garbage{i}") for i in range(most + 5)]
                waiting = {connection.sock: connection for connection in asking}
                refused = []
                while len(refused) < 5:
                    ready, _, _ = select.select(list(waiting), [], [], DEADLINE)
                    self.assertTrue(ready, f"{len(refused)} are refused")
                    refused += [Answer(waiting.pop(one).getresponse()) for one in ready]
            finally:
                server.thaw()
            for answer in refused:
                self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "1"))
                self.assertIn("too many tokens", answer.json["detail"])
            self.assertEqual(len(refused), 5)
            for connection in waiting.values():
                self.problem(Answer(connection.getresponse()), 401, "TOKEN_INVALID")
            self.assertEqual(gateway.times_said(f"asked about {most} tokens"), 1)
            # It does not stay so.
            answer = call(gateway, "GET", "/v1/session", headers=cookie(ann))
            self.assertEqual(answer.json, {"signed_in": True})

    def test_a_stream_ends_when_its_token_is_revoked(self):
        token = self.new_token("bob")
        with Stream(self.gateway, "general", headers=bearer(token)) as revoked, \
                Stream(self.gateway, "general", headers=bearer(self.bob)) as other:
            revoked.until("caught-up")
            other.until("caught-up")
            self.door.revoke(token)
            problem, _ = revoked.until("problem")
            self.assertEqual((problem["status"], problem["reason"]), (401, "TOKEN_INVALID"))
            self.assertIsNone(revoked.next())
            # A browser that comes back stays away, since it is answered with an error.
            answer = call(self.gateway, "GET", "/v1/channels/general/stream", headers=bearer(token))
            self.problem(answer, 401, "TOKEN_INVALID")
            call(self.gateway, "POST", MESSAGES, {"text": "go on"}, bearer(self.ann))
            self.assertEqual(other.texts(1), ["go on"])

    def test_a_stream_ends_when_the_right_is_gone(self):
        rights = (self.door.path / "rights").read_text(encoding="utf-8")
        try:
            token = self.door.add("eve")
            self.door.write("rights", rights + "eve read general\n")
            until(lambda: call(self.gateway, "GET", MESSAGES, headers=bearer(token)).status == 200,
                  "she may read")
            with Stream(self.gateway, "general", headers=bearer(token)) as stream:
                stream.until("caught-up")
                self.door.write("rights", rights)
                problem, _ = stream.until("problem")
                self.assertEqual((problem["status"], problem["reason"]), (403, "RIGHT_MISSING"))
            answer = call(self.gateway, "GET", "/v1/channels/general/stream", headers=bearer(token))
            self.problem(answer, 403, "RIGHT_MISSING")
        finally:
            self.door.write("rights", rights)

    def readers(self):
        answer = call(self.gateway, "GET", "/v1/channels/general", headers=bearer(self.ann))
        return answer.json["readers"]

    def test_streams_are_shared_by_token_and_never_across(self):
        call(self.gateway, "POST", MESSAGES, {"text": "first"}, bearer(self.ann))
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(Stream(self.gateway, "general", headers=headers))
                       for headers in (bearer(self.ann), cookie(self.ann), bearer(self.bob),
                                       bearer(self.bob), bearer(self.bob))]
            for stream in streams:
                stream.until("caught-up")
            until(lambda: self.readers() == 2, "each token has one reader")
            call(self.gateway, "POST", MESSAGES, {"text": "for all"}, bearer(self.ann))
            for stream in streams:
                self.assertEqual(stream.texts(1), ["for all"])

    def test_a_page_signs_in_and_out(self):
        own = {"Origin": f"http://127.0.0.1:{self.gateway.port}", "Sec-Fetch-Site": "same-origin"}
        session = "/v1/session"
        self.assertEqual(call(self.gateway, "GET", session, headers=own).json,
                         {"signed_in": False})
        answer = call(self.gateway, "POST", session, {"token": self.ann}, own)
        self.assertEqual((answer.status, answer.body), (204, b""))
        kept, *attributes = answer.headers["Set-Cookie"].split("; ")
        self.assertEqual(kept, f"messenger_token={self.ann}")
        self.assertEqual(attributes, ["Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Strict"])
        with_cookie = {**own, "Cookie": kept}
        self.assertEqual(call(self.gateway, "GET", session, headers=with_cookie).json,
                         {"signed_in": True})
        self.assertEqual(call(self.gateway, "GET", MESSAGES, headers=with_cookie).status, 200)
        answer = call(self.gateway, "DELETE", session, headers=with_cookie)
        self.assertEqual(answer.status, 204)
        self.forgets_all(answer)
        # Behind a proxy that speaks TLS, the cookie is for TLS and this host alone.
        proxied = {"Host": "127.0.0.1", "Origin": "https://127.0.0.1"}
        answer = call(self.gateway, "POST", session, {"token": self.ann}, proxied)
        kept, *attributes = answer.headers["Set-Cookie"].split("; ")
        self.assertEqual(kept, f"__Host-messenger_token={self.ann}")
        self.assertEqual(attributes, ["Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Strict",
                                      "Secure"])
        # A browser does not say where the page came from when it only reads. Another page of
        # the site may have planted the other cookie.
        for other in ("x", self.bob):
            both = {"Cookie": f"messenger_token={other}; {kept}"}
            answer = call(self.gateway, "POST", MESSAGES, {"text": "hello"}, {**proxied, **both})
            self.assertEqual(answer.status, 201, answer.body)
            self.assertEqual(call(self.gateway, "GET", session, headers=both).json,
                             {"signed_in": True})
        self.forgets_all(call(self.gateway, "DELETE", session, headers=proxied))
        for body, status in [({"token": "x"}, 401), ({"token": ""}, 401), ({"token": "a b"}, 401),
                             ({"token": 1}, 400), ({}, 400), ([], 400), ("{", 400),
                             ({"token": self.ann, "more": 1}, 400)]:
            answer = call(self.gateway, "POST", session, body, own)
            self.assertEqual(answer.status, status, answer.body)
            self.assertIsNone(answer.headers["Set-Cookie"])
            self.assertNotIn(self.ann, answer.body.decode())
        # One that is not valid any more is forgotten.
        token = self.new_token("ann")
        self.door.revoke(token)

        def is_signed_out():
            answer = call(self.gateway, "GET", session, headers={**own, **cookie(token)})
            return answer if answer.json == {"signed_in": False} else None

        self.forgets_all(until(is_signed_out, "the server knows that it is revoked"))
        for headers in (cookie("x"), cookie("a\\b")):
            self.forgets_all(call(self.gateway, "GET", session, headers={**own, **headers}))
        # Somebody without any right is known all the same.
        self.new_token("nobody")

    def forgets_all(self, answer):
        """Whichever cookie the browser has."""
        gone = sorted(one.partition("; ")[0] for one in answer.headers.get_all("Set-Cookie")
                      if "Path=/; Max-Age=0; " in one)
        self.assertEqual(gone, ["__Host-messenger_token=", "messenger_token="])

    def test_the_cookie_counts_for_the_gateways_own_pages_alone(self):
        for headers, status in [
                ({}, 200), ({"Origin": f"http://127.0.0.1:{self.gateway.port}"}, 200),
                ({"Sec-Fetch-Site": "none"}, 200), ({"Origin": "https://chat.example"}, 401),
                ({"Origin": "https://chat.example", "Sec-Fetch-Site": "cross-site"}, 401),
                ({"Origin": "http://127.0.0.1:1"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403)]:
            for method, body in ("GET", None), ("POST", {"text": "x"}):
                with self.subTest(headers=headers, method=method):
                    answer = call(self.gateway, method, MESSAGES, body,
                                  {**headers, **cookie(self.ann)})
                    self.assertEqual(answer.status, 201 if (status, method) == (200, "POST")
                                     else status, answer.body)
        other = {"Origin": "https://chat.example"}
        answer = call(self.gateway, "GET", MESSAGES, headers={**other, **bearer(self.ann)})
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://chat.example")
        self.assertIsNone(answer.headers["Access-Control-Allow-Credentials"])
        preflight = {**other, "Access-Control-Request-Method": "GET"}
        answer = call(self.gateway, "OPTIONS", MESSAGES, headers=preflight)
        self.assertIn("Authorization", answer.headers["Access-Control-Allow-Headers"])
        for method in ("POST", "DELETE"):
            answer = call(self.gateway, method, "/v1/session", {"token": self.ann}, other)
            self.assertEqual(answer.status, 403, answer.body)
            self.assertIsNone(answer.headers["Set-Cookie"])
        answer = call(self.gateway, "GET", "/v1/session", headers={**other, **cookie(self.ann)})
        self.assertEqual(answer.json, {"signed_in": False})

    def test_there_is_no_postbox_while_the_gateway_may_not_read(self):
        answer = call(self.gateway, "POST", "/getAndFlushMessages")
        self.assertEqual(answer.status, 403, answer.body)
        self.assertIn("there is no postbox", answer.json["detail"])
        self.assertEqual(call(self.gateway, "GET", "/readyz").status, 200)
        self.assertEqual(self.gateway.times_said("there is no postbox"), 1)

    def test_the_gateway_has_an_identity_of_its_own(self):
        with Door() as door:
            token = door.add("web")
            door.write("token", token)
            door.write("rights", "web send,read general\n")
            with door.server() as server, \
                    start_gateway(server, "--token-file", str(door.path / "token")) as gateway:
                self.assertEqual(call(gateway, "POST", MESSAGES, {"author": "ann", "text": "x"}).status,
                                 403)
                answer = call(gateway, "POST", MESSAGES, {"text": "as web"})
                self.assertEqual(answer.status, 201, answer.body)
                door.write("rights", "web send,read,send-as general\n")
                until(lambda: call(gateway, "POST", "/sendMessage",
                                   {"author": "ann", "text": "as ann"}).status == 200,
                      "it may send as others")
                with Stream(gateway, "general", "?from=1") as stream:
                    self.assertEqual([stream.until("message")[0]["author"] for _ in range(2)],
                                     ["web", "ann"])
                posted = []

                def flush():
                    posted.extend(message["text"] for message in
                                  call(gateway, "POST", "/getAndFlushMessages").json)
                    return len(posted) >= 2

                until(flush, "the postbox has them")
                self.assertEqual(posted, ["as web", "as ann"])

    def test_tokens_in_use_are_bounded(self):
        with start_gateway(self.server, "--max-tokens", "1") as gateway:
            with Stream(gateway, "general", headers=bearer(self.ann)):
                answer = call(gateway, "GET", MESSAGES, headers=bearer(self.bob))
                self.assertEqual(answer.status, 503, answer.body)
                self.assertIn("--max-tokens", answer.json["detail"])
            # One that nobody uses makes room.
            until(lambda: call(gateway, "GET", MESSAGES, headers=bearer(self.bob)).status == 200,
                  "there is room again")
            # That the last one is answered does not say that it is not in use any more.
            until(lambda: call(gateway, "GET", MESSAGES, headers=bearer(self.ann)).status == 200,
                  "there is room again")

    def test_no_token_goes_to_another_machine_in_the_clear(self):
        with Program(GATEWAY, "--server", "192.0.2.1:1", "--listen", "127.0.0.1:0",
                     "--timeout", "1s") as gateway:
            for _ in range(2):
                answer = call(gateway, "GET", MESSAGES, headers=bearer(self.ann))
                self.assertEqual(answer.status, 502, answer.body)
                self.assertIn("without encryption", answer.json["detail"])
                self.assertNotIn("192.0.2.1", answer.json["detail"])
            self.assertEqual(gateway.times_said("cannot pass tokens on"), 1)
            self.assertEqual(call(gateway, "GET", "/healthz").status, 200)


def is_served(gateway, trust):
    """Whether a client that trusts just this certificate is answered."""
    gateway.tls = trust
    with contextlib.suppress(ssl.SSLCertVerificationError):
        return call(gateway, "GET", "/healthz").status == 200
    return False


class HttpsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.door = Door()
        cls.door.write("rights", "ann send,read *\n* send,read open\n* send,read general\n")
        cls.ann = cls.door.add("ann")
        files = cls.door.path / "tls"
        # Both ways are encrypted.
        cls.server = cls.door.server("--tls-cert", str(files / "server.pem"),
                                     "--tls-key", str(files / "server.key"))
        options, cls.tls = cls.door.https()
        cls.options = ["--tls-ca", str(files / "ca.pem"), *options]
        cls.gateway = start_gateway(cls.server, "--request-timeout", "1s", "--write-timeout", "3s",
                                    *cls.options, tls=cls.tls)

    @classmethod
    def tearDownClass(cls):
        code = cls.gateway.stop()
        said = cls.gateway.said()
        cls.server.stop()
        cls.door.directory.cleanup()
        assert code == 0, said

    def test_everything_is_served_over_tls(self):
        answer = call(self.gateway, "POST", "/sendMessage", {"author": "", "text": "posted"})
        self.assertEqual(answer.status, 200, answer.body)
        # A token that is none takes nothing out; one that is one, may.
        answer = call(self.gateway, "POST", "/getAndFlushMessages", headers=bearer("x"))
        self.assertEqual((answer.status, answer.json["reason"]), (401, "TOKEN_INVALID"))
        posted = until(lambda: call(self.gateway, "POST", "/getAndFlushMessages",
                                    headers=bearer(self.ann)).json, "it comes")
        self.assertEqual([message["text"] for message in posted], ["posted"])
        text = "x" * 900_000
        with Stream(self.gateway, "open", headers=bearer(self.ann)) as stream:
            stream.until("caught-up")
            for i in range(4):
                answer = call(self.gateway, "POST", "/v1/channels/open/messages",
                              {"text": f"{i} {text}"}, bearer(self.ann))
                self.assertEqual(answer.status, 201, answer.body)
                self.assertEqual(stream.texts(1), [f"{i} {text}"])
        self.assertEqual(call(self.gateway, "GET", "/").status, 200)
        with contextlib.closing(connect(self.gateway)) as connection:
            for _ in range(3):
                connection.request("GET", "/healthz")
                self.assertEqual(Answer(connection.getresponse()).status, 200)

    def test_its_cookie_is_for_this_host_and_tls_alone(self):
        own = {"Origin": f"https://127.0.0.1:{self.gateway.port}"}
        answer = call(self.gateway, "POST", "/v1/session", {"token": self.ann}, own)
        self.assertEqual(answer.status, 204, answer.body)
        kept, *attributes = answer.headers["Set-Cookie"].split("; ")
        self.assertEqual(kept, f"__Host-messenger_token={self.ann}")
        self.assertEqual(set(attributes) - {"Max-Age=604800"},
                         {"Path=/", "HttpOnly", "SameSite=Strict", "Secure"})
        answer = call(self.gateway, "GET", "/v1/session", headers={**own, "Cookie": kept})
        self.assertEqual(answer.json, {"signed_in": True})
        # Another page of the site may have planted the other one.
        answer = call(self.gateway, "GET", "/v1/session", headers={**own, **cookie(self.ann)})
        self.assertEqual(answer.json, {"signed_in": False})

    def test_plain_http_is_told_to_speak_tls(self):
        answer = raw(self.gateway, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(status_of(answer), 400)
        self.assertIn(b"https://", answer)

    def test_old_versions_of_tls_are_refused(self):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname = False
        old.verify_mode = ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", self.gateway.port), DEADLINE) as connection, \
                self.assertRaisesRegex(ssl.SSLError, "(?i)alert.protocol.version"):
            old.wrap_socket(connection)

    def test_a_slow_handshake_is_cut_off(self):
        for begin in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
            with self.subTest(begin=begin):
                self.assertEqual(raw(self.gateway, begin), b"")
        self.assertEqual(call(self.gateway, "GET", "/healthz").status, 200)

    def test_a_slow_request_is_answered_over_tls(self):
        with socket.create_connection(("127.0.0.1", self.gateway.port), DEADLINE) as connection, \
                self.tls.wrap_socket(connection, server_hostname="127.0.0.1") as encrypted:
            encrypted.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
            self.assertEqual(status_of(encrypted.recv(65536)), 408)

    def test_a_stream_that_takes_nothing_is_cut_off(self):
        with Stream(self.gateway, "open") as good, socket.socket() as stalled:
            good.until("caught-up")
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.settimeout(DEADLINE)
            stalled.connect(("127.0.0.1", self.gateway.port))
            with self.tls.wrap_socket(stalled, server_hostname="127.0.0.1") as encrypted:
                encrypted.sendall(b"GET /v1/channels/open/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertTrue(encrypted.recv(16))
                text = "x" * 500_000
                for i in range(24):
                    call(self.gateway, "POST", "/v1/channels/open/messages", {"text": f"{i} {text}"},
                         bearer(self.ann))
                    self.assertEqual(good.texts(1)[0].split()[0], str(i))
                until(lambda: is_closed(self.gateway, encrypted), "the gateway gives it up")

    def test_a_new_certificate_is_for_new_connections(self):
        files = self.door.path / "changing"
        self.door.issue("changing")
        self.door.issue("next")
        options, old = self.door.https("changing")
        _, new = self.door.https("next")
        options = [*self.options[:2], *options]

        def replace(name, source):
            self.door.write(f"changing/{name}", source.read_text(encoding="utf-8"))

        with start_gateway(self.server, *options, tls=old) as gateway, \
                Stream(gateway, "open") as stream:
            stream.until("caught-up")
            # The key of another certificate, for as long as that takes.
            replace("server.key", self.door.path / "next" / "server.key")
            self.assertEqual(gateway.times_said("that was there before is used"), 1)
            self.assertTrue(is_served(gateway, old))
            replace("server.pem", self.door.path / "next" / "server.pem")
            until(lambda: is_served(gateway, new), "the new certificate is shown")
            self.assertFalse(is_served(gateway, old))
            gateway.tls = new
            call(gateway, "POST", "/v1/channels/open/messages", {"text": "still there"},
                 bearer(self.ann))
            self.assertEqual(stream.texts(1), ["still there"])
            (files / "server.pem").unlink()
            until(lambda: gateway.said().count("that was there before is used") == 2, "it is told")
            self.assertTrue(is_served(gateway, new))

    @unittest.skipIf("ASAN_OPTIONS" in os.environ,
                     "UndefinedBehaviorSanitizer takes a descriptor to look at an object")
    def test_a_certificate_that_cannot_be_read_is_read_later(self):
        files = self.door.path / "unread"
        self.door.issue("unread")
        self.door.issue("later")
        options, old = self.door.https("unread")
        _, new = self.door.https("later")

        with start_gateway(self.server, *self.options[:2], *options, tls=old) as gateway:
            self.assertTrue(is_served(gateway, old))
            # From then on it needs no other connection to the server: gRPC 1.51 aborts
            # if there is no descriptor for that.
            until(lambda: call(gateway, "GET", "/readyz").status == 200, "it is ready")
            pid = gateway.process.pid
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
            gateway.freeze()  # so that it sees both at once
            for name in ("server.pem", "server.key"):
                os.rename(self.door.path / "later" / name, files / name)
            gateway.thaw()
            self.assertEqual(gateway.times_said("Too many open files"), 1)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            until(lambda: is_served(gateway, new), "the new certificate is shown")
            # It was told once, though it was tried again and again.
            self.assertEqual(gateway.times_said("Too many open files"), 1)

    def test_a_certificate_that_ends_soon_is_told(self):
        self.door.tool("init-tls", str(self.door.path / "short"), "--name", "localhost",
                       "--days", "2")
        options, _ = self.door.https("short")
        with start_gateway(self.server, *options) as gateway:
            text = "server.pem: expires on "
            self.assertEqual(gateway.times_said(text), 1)
            # Of one that is read again it is told again, and not at each look.
            os.utime(self.door.path / "short" / "server.pem")
            until(lambda: gateway.said().count(text) == 2, "it is told again")
            os.utime(self.door.path / "short" / "server.pem")
            until(lambda: gateway.said().count(text) >= 3, "it is told again")
            self.assertEqual(gateway.times_said(text), 3)
            self.assertIn("(days left: 2)", gateway.said())

    def test_a_gateway_that_does_not_encrypt_towards_its_server_is_not_ready(self):
        with start_gateway(self.server) as gateway:
            answer = call(gateway, "GET", "/v1/channels")
            self.assertEqual((answer.status, answer.json["reason"]), (502, "ENCRYPTION_REQUIRED"))
            self.assertEqual(call(gateway, "GET", "/v1/channels/open/stream").status, 502)
            self.assertEqual(call(gateway, "GET", "/readyz").status, 503)
            # It is told once, though it tries again and again.
            self.assertEqual(gateway.times_said("connect with TLS"), 1)

    def test_it_drains(self):
        with start_gateway(self.server, *self.options, tls=self.tls) as gateway, \
                Stream(gateway, "open") as stream, contextlib.closing(connect(gateway)) as idle, \
                socket.create_connection(("127.0.0.1", gateway.port)) as silent:
            idle.request("GET", "/healthz")
            self.assertEqual(Answer(idle.getresponse()).status, 200)
            stream.until("caught-up")
            self.assertEqual(gateway.stop(), 0)
            self.assertIsNone(stream.next())
            self.assertNotIn("cut off", gateway.said())
            self.assertEqual(silent.recv(1), b"")

    def test_wrong_files_are_wrong_usage(self):
        key = str(self.door.path / "tls" / "server.key")
        certificate = str(self.door.path / "tls" / "server.pem")
        other = str(self.door.path / "tls" / "client.key")
        for options, named in [(["--https-cert", certificate], "--https-key"),
                               (["--https-key", key], "--https-cert"),
                               (["--https-cert", "/nowhere", "--https-key", key], "/nowhere"),
                               (["--https-cert", key, "--https-key", key], "--https-cert: "),
                               (["--https-cert", certificate, "--https-key", other],
                                "--https-key: "),
                               (["--tls-ca", "/nowhere"], "--tls-ca: /nowhere: ")]:
            done = subprocess.run([GATEWAY, "--listen", "127.0.0.1:0", *options], check=False,
                                  capture_output=True, text=True, timeout=DEADLINE)
            self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
            self.assertIn(named, done.stderr)
            self.assertNotIn("postbox", done.stderr)


class ProtectedTest(unittest.TestCase):
    def test_without_tls_it_serves_its_own_machine_only(self):
        address = other_address()
        with start_server() as server, start_gateway(server, host="0.0.0.0") as gateway:
            self.assertTrue(gateway.times_said("only this machine is served"))
            self.assertEqual(call(gateway, "GET", "/v1/channels").status, 200)
            for method, path in [("GET", "/v1/channels"), ("POST", MESSAGES), ("GET", "/"),
                                 ("GET", "/v1/channels/general/stream"), ("OPTIONS", "/"),
                                 ("POST", "/getAndFlushMessages"), ("GET", "/nothing")]:
                answer = call(gateway, method, path, host=address)
                self.assertEqual((answer.status, answer.type), (403, "application/problem+json"))
                self.assertIn("--https-cert", answer.json["detail"])
            answer = call(gateway, "GET", "/", host=address, headers={"Accept": "text/html,*/*"})
            self.assertEqual((answer.status, answer.type), (403, "text/plain; charset=utf-8"))
            for path in ("/healthz", "/readyz"):
                self.assertEqual(call(gateway, "GET", path, host=address).status, 200)
            self.assertEqual(gateway.times_said(f"refused {address}"), 1)

    def test_insecure_serves_all(self):
        address = other_address()
        with start_server() as server, \
                start_gateway(server, "--insecure", host="0.0.0.0") as gateway:
            self.assertEqual(call(gateway, "GET", "/v1/channels", host=address).status, 200)
            self.assertTrue(gateway.times_said("not encrypted"))

    def test_tls_serves_all(self):
        address = other_address()
        with Door() as door, start_server() as server:
            options, tls = door.https()
            tls.check_hostname = False
            with start_gateway(server, *options, host="0.0.0.0", tls=tls) as gateway:
                self.assertEqual(call(gateway, "GET", "/v1/channels", host=address).status, 200)
                self.assertEqual(gateway.said(), "")


if __name__ == "__main__":
    # What is ignored here, as under nohup or in the background, programs would ignore as well.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[3:]])

#!/usr/bin/env python3
"""Everybody is killed, again and again, while messages are forwarded: none is
lost, doubled or reordered.

    forward_kills_test.py --server S --cli C [--messages N] [--seconds T] [--seed X]

`send -`, a source, `forward` and a destination are at work, and SIGKILL ends each
of them at random, some at the same time. The sender begins its input anew each
time, under its --producer-name. In the end the source must have each line of the
input once, in order, and the destination each message of the source, by the
attribute messenger.source.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

DEADLINE = 60  # seconds, for what has to come soon


class Failure(Exception):
    pass


class Process:
    """One that is killed and started again. What it says is kept in a file."""

    def __init__(self, name, command, directory):
        self.name = name
        self.command = command
        self.errors = open(f"{directory}/{name}.err", "w+b")
        self.process = None
        self.kills = 0

    def start(self, **pipes):
        self.process = subprocess.Popen(self.command, stderr=self.errors, text=True, **pipes)

    def kill(self):
        self.check_running()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.kills += 1

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def check_running(self):
        if self.process.poll() is not None:
            raise Failure(f"{self.name} has ended with {self.process.returncode}: {self.said()}")

    def said(self):
        # A seek would move where the process writes: both have one position.
        size = os.fstat(self.errors.fileno()).st_size
        return os.pread(self.errors.fileno(), size, 0).decode()[-2000:]


class Server(Process):
    def __init__(self, name, server, directory):
        super().__init__(name, [server, "--log", f"file:{directory}/{name}"], directory)
        self.address = "127.0.0.1:0"

    def start(self, **_):
        listen = ["--listen", self.address]
        self.process = subprocess.Popen(
            self.command + listen, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        match = re.search(r"listening on (\S+)", self.process.stdout.readline())
        if not match:
            raise Failure(f"{self.name} does not start: {self.said()}")
        self.address = match.group(1)


class Sender(Process):
    """Its input comes within `seconds`, and from the beginning after a kill: then
    what has come already is there at once."""

    def __init__(self, cli, source, messages, seconds, directory):
        command = [cli, "send", "-", "--channel", "events", "--producer-name", "input"]
        super().__init__("sender", command + ["--server", source.address], directory)
        self.messages = messages
        self.rate = messages / seconds
        self.began = time.monotonic()
        self.feeding = None

    def start(self, **_):
        super().start(stdin=subprocess.PIPE)
        self.feeding = threading.Thread(target=self.feed, args=(self.process.stdin,))
        self.feeding.start()

    def feed(self, pipe):
        fed = 0
        try:
            while fed < self.messages:
                due = int((time.monotonic() - self.began) * self.rate)
                due = min(due, self.messages, fed + 10_000)
                pipe.write("".join(f"{line(i)}\n" for i in range(fed, due)))
                pipe.flush()
                fed = due
                time.sleep(0.02)
            pipe.close()
        except BrokenPipeError:
            pass

    def check_running(self):
        # It does not wait for a source that is away when it begins.
        if self.process.poll() == 3 and self.said().endswith("No line was acknowledged.\n"):
            self.feeding.join()
            self.start()
        if self.process.poll() != 0:
            super().check_running()

    def kill(self):
        super().kill()
        self.feeding.join()

    def end(self):
        super().end()
        if self.feeding:
            self.feeding.join()

    def is_done(self):
        if self.process.poll() != 0:
            self.check_running()
        return self.process.poll() == 0


def line(number):
    return f"line {number + 1}"


class Run:
    def __init__(self, options, directory):
        self.options = options
        self.random = random.Random(options.seed)
        self.source = Server("source", options.server, directory)
        self.destination = Server("destination", options.server, directory)
        self.source.start()
        self.destination.start()
        forward = [options.cli, "forward", "--channel", "events=copies"]
        forward += ["--from", self.source.address, "--to", self.destination.address]
        self.forwarder = Process("forwarder", forward, directory)
        self.last = Process("last", forward + ["--until-caught-up"], directory)
        self.sender = Sender(
            options.cli, self.source, options.messages, options.seconds, directory
        )
        # Servers first, for those who need them.
        self.all = [self.source, self.destination, self.forwarder, self.sender]

    def end(self):
        for process in [*self.all, self.last]:
            process.end()

    def work(self):
        self.forwarder.start()
        self.sender.start()
        # Each once, whatever comes.
        victims = [[process] for process in self.all]
        self.random.shuffle(victims)
        while True:
            time.sleep(self.random.uniform(0.05, 0.6))
            if self.sender.is_done():
                break
            killed = victims.pop() if victims else self.draw()
            for process in killed:
                process.kill()
            time.sleep(self.random.choice([0, 0.05, 0.3]))
            for process in killed:
                process.start()
        self.forwarder.check_running()
        self.last.start()
        if self.last.process.wait(timeout=DEADLINE + self.options.seconds) != 0:
            self.last.check_running()

    def take_over(self):
        """The last one went on under the name of the one that still runs."""
        more = [self.options.cli, "send", "--server", self.source.address]
        subprocess.run([*more, "--channel", "events", "more"], check=True)
        if self.forwarder.process.wait(timeout=DEADLINE) != 1:
            self.forwarder.check_running()
        if "under this --name" not in self.forwarder.said():
            raise Failure(f"the forwarder does not say why: {self.forwarder.said()}")

    def draw(self):
        return [process for process in self.all if self.random.random() < self.chance(process)]

    def chance(self, process):
        # The sender needs time to come to where it was.
        return 0.4 if process is not self.sender else min(0.4, 30_000 / self.options.messages)

    def messages(self, server, channel):
        command = [self.options.cli, "read", channel, "--server", server.address, "--json"]
        command += ["--from", "earliest", "--until-caught-up"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
            yield from map(json.loads, reader.stdout)
        if reader.returncode != 0:
            raise Failure(f"reading {channel}: exit code {reader.returncode}")

    def check(self):
        read = 0
        for message in self.messages(self.source, "events"):
            if message["sequence"] != read + 1 or message["text"] != line(read):
                raise Failure(f"the source has, after {read} lines: {message}")
            read += 1
        copied = 0
        for message in self.messages(self.destination, "copies"):
            attributes = {a["name"]: a["value"] for a in message["attributes"]}
            source = re.fullmatch(r"events@\d+:(\d+)", attributes.get("messenger.source", ""))
            if (
                not source
                or int(source.group(1)) != copied + 1
                or message["sequence"] != copied + 1
                or message["text"] != line(copied)
            ):
                raise Failure(f"the destination has, after {copied} copies: {message}")
            copied += 1
        if read != self.options.messages or copied != self.options.messages:
            raise Failure(f"the source has {read} messages, the destination {copied}")

    def report(self):
        for process in self.all:
            print(f"{process.name} was killed {process.kills} times")
            if process.kills == 0:
                raise Failure(f"{process.name} was never killed: more --seconds")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--cli", required=True)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"--seed {options.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        run = Run(options, directory)
        try:
            run.work()
            print(f"{options.messages} messages in {time.monotonic() - began:.1f} s")
            run.report()
            run.check()
            run.take_over()
        except (Failure, subprocess.TimeoutExpired) as failure:
            print(f"FAIL: {failure}", file=sys.stderr)
            return 1
        finally:
            run.end()
    print(f"all is there once and in order, {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

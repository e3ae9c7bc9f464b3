#!/usr/bin/env python3
"""No wait with a limit is one for the wall clock.

    waits_test.py SOURCE_ROOT

The limits of absl, and those of gRPC, are times of the wall clock, even if they
are said as durations: when that is set back by an hour, such a wait takes an
hour longer. This finds each of them in the library and in the programs, and
what else could wait for a time beside base/cond_var.h.
"""

import pathlib
import re
import sys

INSTEAD = {
    # absl: CondVar, Mutex, Notification.
    r"\b\w*(?:Wait|Await|Lock)\w*With(?:Timeout|Deadline)\b": "CondVar::WaitUntil of base/cond_var.h",
    r"\bSleepFor\b": "CondVar::WaitUntil of base/cond_var.h",
    # The system and the standard library: condition variables, semaphores.
    r"\b(?:pthread_\w+|sem|mtx|cnd)_(?:timed|clock)(?:wait|lock|rdlock|wrlock|join\w*)\b": "CondVar::WaitUntil of base/cond_var.h",
    r"\.(?:wait|try_lock|try_acquire)_(?:for|until)\b": "CondVar::WaitUntil of base/cond_var.h",
    r"\bstd::condition_variable\w*": "CondVar of base/cond_var.h",
    # gRPC.
    r"\bset_deadline\b|\bgpr_(?:now|time_\w+|inf_future)\b|\bgrpc::Alarm\b|\bAsyncNext\b": "a limit of our own, and a cancellation",
    r"(?:->|\.)WaitFor(?:Connected|StateChange)\b": "a limit of our own, and a cancellation",
    # A time of the wall clock to wait for.
    r"\b(?:system_clock::now|absl::Now)\(\)\s*\+": "a time of the steady clock",
    r"\bTFD_TIMER_ABSTIME\b|\btimerfd_create\(\s*CLOCK_REALTIME\b": "CLOCK_MONOTONIC",
}
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
# Where the one wait is made.
ITSELF = ("cond_var.h", "cond_var.cc")

PLANTED = """
  changed_.WaitWithTimeout(&mu_, absl::Seconds(1)); changed_.WaitWithDeadline(&mu_, absl::Now() + patience);
  mu_.AwaitWithTimeout(condition, timeout); mu_.LockWhenWithDeadline(condition, time);
  done.WaitForNotificationWithTimeout(timeout);
  absl::SleepFor(absl::Seconds(1));
  pthread_cond_timedwait(&c, &m, &t); sem_clockwait(&s, CLOCK_REALTIME, &t);
  std::condition_variable changed;
  changed.wait_for(lock, timeout);
  context.set_deadline(std::chrono::system_clock::now() + timeout);
"""
INNOCENT = """
  // changed_.WaitWithTimeout
  changed_.WaitUntil(&mu_, CondVar::After(timeout)); changed_.Wait(&mu_); done.WaitForNotification();
  std::this_thread::sleep_for(1ms); const auto now = std::chrono::system_clock::now(); sigtimedwait(&s, nullptr, &t);
"""


def find(text):
    """The line of each that it has, and what to take instead."""
    text = COMMENT.sub(lambda comment: "\n" * comment.group().count("\n"), text)
    lines = text.splitlines()
    return [
        (lines[text.count("\n", 0, found.start())].strip(), instead)
        for pattern, instead in INSTEAD.items()
        for found in re.finditer(pattern, text)
    ]


def main():
    root = pathlib.Path(sys.argv[1])
    errors = []
    if len(find(PLANTED)) != 13 or find(INNOCENT):
        errors.append(f"it finds {find(PLANTED)} and {find(INNOCENT)} in what was planted")
    looked_at = 0
    for folder in ("libmessenger/include", "libmessenger/src", "apps"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".cc") or path.name in ITSELF:
                continue
            looked_at += 1
            for line, instead in find(path.read_text()):
                errors.append(f"{path.relative_to(root)}: may wait for the wall clock; use {instead}: {line}")
    if looked_at < 100:
        errors.append(f"it has looked at {looked_at} files only")
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

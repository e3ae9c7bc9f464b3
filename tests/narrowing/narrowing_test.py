#!/usr/bin/env python3
"""No number is cut silently.

    narrowing_test.py SOURCE_ROOT

What is implicit, the compiler finds: -Wconversion and -Wsign-conversion, with
warnings as errors. What is explicit must go through Narrow or TryNarrow of
base/narrow.h: this finds each other cast to a type that is smaller than a size,
in the library and in the programs, and knows the few that may be.
"""

import pathlib
import re
import sys

# Smaller than std::size_t. A cast to unsigned char is a look at a byte.
TYPE = (
    r"(?:(?:std::)?u?int(?:8|16|32)_t|(?:un)?signed\s+(?:int|short)"
    r"|int|short|unsigned|float|(?:signed\s+)?char)"
)
CAST = re.compile(rf"static_cast<\s*{TYPE}\s*>\s*\(|(?<![\w:<]){TYPE}\((?!\))")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)

# Where no number is cut: the file, the line, how often it is there.
LOG = "libmessenger/src/log/durable/"
WIRE = "libmessenger/src/wire/"
ALLOWED = {
    # Values of an enum, in the type that it has.
    (WIRE + "coding.h", "return field << 3U | static_cast<std::uint32_t>(type);"): 1,
    # A byte is put where bytes are.
    (LOG + "journal.cc", "header[0] = static_cast<char>(record.type);"): 1,
    (LOG + "segment_format.cc", "bytes[0] = static_cast<char>(kHeaderTag);"): 1,
    (LOG + "segment_format.cc", "bytes[1] = static_cast<char>(kSegmentHeaderSize - 2);"): 1,
    (LOG + "segment_reader.cc", "const auto tag = static_cast<char>(wire::kEntryTag);"): 1,
    # The seven low bits of a varint, and the last ones.
    (WIRE + "coding.h", "*out++ = static_cast<char>(value | 0x80U);"): 1,
    (WIRE + "coding.h", "*out++ = static_cast<char>(value);"): 1,
    ("apps/cli/printer.cc", "out->push_back(static_cast<char>((value & 0x7f) | 0x80));"): 1,
    ("apps/cli/printer.cc", "out->push_back(static_cast<char>(value));"): 1,
    ("apps/gateway/http.cc", "decoded.push_back(static_cast<char>(*byte));"): 1,
    # POLLIN, POLLOUT.
    ("libmessenger/src/testing/proxy_connection.cc", ".events = static_cast<short>(events),"): 1,
    # At most INT_MAX, as is said there.
    ("apps/common/event.cc", "timeout ? static_cast<int>(std::min(*timeout, kLongest).count()) : -1;"): 1,
    # The number of a signal.
    ("apps/common/interrupt.cc", "Take(static_cast<int>(info.ssi_signo));"): 1,
    # As many as there are threads.
    ("apps/cli/bench/runner.cc", ".producer = static_cast<std::uint32_t>(index),"): 1,
    # At most 64.
    ("apps/cli/bench/measure.cc", "const auto width = static_cast<int>(std::bit_width(nanoseconds));"): 1,
}

PLANTED = """
  a = static_cast<std::uint32_t>(size);
  b = static_cast<
      int>(size);
  c = static_cast<uint16_t>(size) + static_cast<unsigned int>(size);
  d = std::uint32_t(size);
  e = int(size);
  f = static_cast<char>(size);
"""
INNOCENT = """
  // static_cast<int>(size)
  a = Narrow<std::uint32_t>(size) + static_cast<std::uint64_t>(size);
  b = static_cast<unsigned char>(text[0]);
  std::function<int(int)> f; absl::FunctionRef<void(std::uint32_t)> g;
  int Count(std::uint32_t value); point(x); std::uint32_t (&array)[3] = c;
"""


def find(text):
    """The lines with a cast, each as often as it has one."""
    text = COMMENT.sub(lambda comment: "\n" * comment.group().count("\n"), text)
    lines = text.splitlines()
    return [lines[text.count("\n", 0, cast.start())].strip() for cast in CAST.finditer(text)]


def main():
    root = pathlib.Path(sys.argv[1])
    errors = []
    if len(find(PLANTED)) != 7 or find(INNOCENT):
        errors.append(f"it finds {find(PLANTED)} and {find(INNOCENT)} in what was planted")
    found = {}
    for folder in ("libmessenger", "apps"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".cc") or path.name == "narrow.h":
                continue
            for line in find(path.read_text()):
                key = (str(path.relative_to(root)), line)
                found[key] = found.get(key, 0) + 1
    for key, count in found.items():
        if count > ALLOWED.get(key, 0):
            errors.append(f"{key[0]}: may cut a number; use Narrow or TryNarrow: {key[1]}")
    for key, count in ALLOWED.items():
        if found.get(key, 0) < count:
            errors.append(f"{key[0]}: is not there any more, though it is allowed: {key[1]}")
    flags = (root / "cmake/CompileOptions.cmake").read_text()
    for flag in ("-Wconversion", "-Wsign-conversion"):
        if flag not in flags:
            errors.append(f"cmake/CompileOptions.cmake: has no {flag}")
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

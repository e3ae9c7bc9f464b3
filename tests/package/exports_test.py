#!/usr/bin/env python3
"""The shared library shows what the public headers declare, and nothing else.

  exports_test.py LIBRARY ARCHIVE INCLUDE_DIR
"""

import pathlib
import re
import subprocess
import sys


def symbols(*options, kinds="[A-Za-z]"):
    """The demangled names of the defined functions and objects, by what nm calls them."""
    lines = subprocess.run(
        ["nm", "--demangle", "--defined-only", *options],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    found = (re.match(rf"[0-9a-f]+ {kinds} (.*)", line) for line in lines)
    return {match[1] for match in found if match}


def main():
    library, archive, include_dir = sys.argv[1:]
    shown = symbols("--dynamic", library)
    headers = "\n".join(
        path.read_text() for path in pathlib.Path(include_dir, "messenger").glob("*.h")
    )
    wrong = [
        f"is shown, and is none of ours: {name}"
        for name in shown
        if not re.match(r"(vtable for |typeinfo (name )?for )?messenger::\w", name)
    ]
    classes = set(re.findall(r"^(?:class|struct) (\w+)", headers, re.M))
    functions = set(re.findall(r"^[\w:<>, ]*\b(\w+)\(", headers, re.M))
    # What is weak, W, is inline in a header, and whoever uses it has it.
    for name in symbols("--extern-only", archive, kinds="[A-TX-Z]"):
        match = re.match(r"messenger::(\w+)(::(~?\w+))?\(", name)
        if not match:
            continue
        if match[2]:
            # A member that a header declares, of a class that one declares.
            public = match[1] in classes and re.search(
                rf"(?<!\w){re.escape(match[3])}\(", headers
            )
        else:
            public = match[1] in functions
        if public and name not in shown:
            wrong.append(f"is public, and is not shown: {name}")
    for line in sorted(wrong):
        print(line, file=sys.stderr)
    print(f"{len(shown)} symbols are shown")
    sys.exit(1 if wrong or len(shown) < 50 else 0)


main()

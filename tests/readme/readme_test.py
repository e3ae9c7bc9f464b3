#!/usr/bin/env python3
"""The README tells the truth: its code is that of the examples, its output
theirs.

    readme_test.py README SOURCE_ROOT SERVER EXAMPLES_DIR

A fenced block after the line `<!-- code: FILE -->` has to be part of that file;
one after `<!-- output: COMMAND -->` has to be what the command prints, where
SERVER stands for the address of a new server and each port for any.
"""

import pathlib
import re
import shlex
import subprocess
import sys

BLOCK = re.compile(r"<!-- (code|output): (.+?) -->\n```\w+\n(.*?)```\n", re.DOTALL)


def without_ports(text):
    return re.sub(r"\bport \d+", "port N", text)


def code_error(block, path):
    if block not in path.read_text():
        return f"the code is not that of {path}:\n{block}"
    return None


def output_error(block, command, examples, server):
    with subprocess.Popen(
        [server, "--listen", "127.0.0.1:0", "--log", "memory:"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            address = re.search(r"listening on (\S+)", line).group(1)
            words = shlex.split(command.replace("SERVER", address))
            run = subprocess.run(
                [examples / words[0], *words[1:]],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            process.terminate()
    printed = run.stdout + run.stderr
    if run.returncode != 0:
        return f"{command} exits with {run.returncode}:\n{printed}"
    if without_ports(printed) != without_ports(block):
        return f"{command} prints\n{printed}\nnot\n{block}"
    return None


def main():
    readme, root, server, examples = map(pathlib.Path, sys.argv[1:])
    blocks = BLOCK.findall(readme.read_text())
    errors = []
    for kind, name, block in blocks:
        print(f"{kind}: {name}")
        if kind == "code":
            errors.append(code_error(block, root / name))
        else:
            errors.append(output_error(block, name, examples, server))
    kinds = {kind for kind, _, _ in blocks}
    if kinds != {"code", "output"}:
        errors.append(f"{readme} has blocks of {kinds or 'no kind'} only")
    errors = [error for error in errors if error]
    print("\n\n".join(errors), file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""A module includes what the table of modules lets it include, and no other.

    layers_test.py SOURCE_ROOT

The table stands in libmessenger/doc/architecture.md, "Modules", and says itself
how it is read. This finds each include of the library and of the programs that
the table does not allow, what the table allows and nobody needs, rows without
sources, sources without a row, and circles between modules.
"""

import pathlib
import re
import sys

TABLE = "libmessenger/doc/architecture.md"
FOLDERS = ("libmessenger/include", "libmessenger/src", "apps")
SOURCES = re.compile(r".*\.(?:h|cc|cc\.in)")
INCLUDE = re.compile(r'[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]')
EVERYWHERE = "everywhere"
SPAN = re.compile(r"`([^`]+)`")


def alternatives(text):
    """messenger/{log,message}.h is two headers."""
    braces = re.search(r"\{([^}]*)\}", text)
    if not braces:
        return [text]
    return [text[: braces.start()] + word + text[braces.end() :] for word in braces[1].split(",")]


class Rule:
    """One word of the column "may include"."""

    def __init__(self, text):
        self.text = text
        self.used = False
        pattern = re.escape(text + "*" if text.endswith("/") else text)
        self.pattern = re.compile(pattern.replace(r"\*\*", ".*").replace(r"\*", "[^/]*"))

    def allows(self, header):
        if not self.pattern.fullmatch(header):
            return False
        self.used = True
        return True


class Row:
    """What a directory, or one file of it, may include."""

    def __init__(self, line, words):
        self.line = line
        self.rules = [Rule(text) for word in words for text in alternatives(word)]

    def allows(self, header):
        # Not any(): each rule is to know whether it is used.
        return bool([rule for rule in self.rules if rule.allows(header)])


def path_of(name):
    return name if name.startswith("apps/") else "libmessenger/" + name


def rows_of(document):
    """The rows of the table by the path of what they are about."""
    rows = {}
    start = document.index("\n# Modules\n")
    begin = document.count("\n", 0, start) + 1
    for number, line in enumerate(document[start:].splitlines(), begin):
        if number > begin + 1 and line.startswith("# "):
            break
        columns = [column.strip() for column in line.split("|")[1:-1]]
        if len(columns) != 3:
            continue
        if name := SPAN.fullmatch(columns[0]):
            rows[path_of(name[1])] = Row(number, SPAN.findall(columns[2]))
        elif columns[0] == EVERYWHERE:
            rows[EVERYWHERE] = Row(number, SPAN.findall(columns[2]))
    return rows


def included_as(path):
    """How others include it: libmessenger/src/log/log.h is log/log.h."""
    return re.sub(r"^libmessenger/(?:src|include)/", "", path)


def circle_of(edges):
    """A way from a module to itself, or nothing."""
    done = set()

    def walk(module, way):
        if module in way:
            return way[way.index(module) :] + [module]
        if module not in done:
            for other in sorted(edges.get(module, {})):
                if circle := walk(other, way + [module]):
                    return circle
            done.add(module)
        return None

    return next((circle for module in sorted(edges) if (circle := walk(module, []))), None)


def check(document, files):
    """What is wrong with the files (path: text), by the table in the document."""
    rows = rows_of(document)
    everywhere = rows.pop(EVERYWHERE, Row(0, []))
    errors = []
    modules = {}  # path of a directory: how others include what is in it
    for path in files:
        directory = path.rpartition("/")[0] + "/"
        if directory in rows:
            modules[directory] = included_as(directory)
        elif directory not in modules:
            modules[directory] = None
            errors.append(f"{path}: {directory} has no row in {TABLE}")
    for path, row in rows.items():
        if path not in files and path not in modules:
            errors.append(f"{TABLE}:{row.line}: there are no sources in {path}")
    named = {rule.text for row in rows.values() for rule in row.rules}
    by_prefix = {prefix: directory for directory, prefix in modules.items() if prefix}
    edges = {}  # module: module: where the one includes the other
    for path, text in files.items():
        directory = path.rpartition("/")[0] + "/"
        if not modules[directory]:
            continue
        mine = [row for row in (rows[directory], rows.get(path)) if row]
        for number, line in enumerate(text.splitlines(), 1):
            if not (include := INCLUDE.match(line)):
                continue
            header = include[1]
            # The standard library's, and the system's.
            if "/" not in header and header not in named and "<" in line:
                continue
            prefix = header.rpartition("/")[0] + "/"
            if prefix == modules[directory]:
                continue
            allowed = [row for row in [everywhere, *mine] if row.allows(header)]
            if not allowed:
                words = ", ".join(rule.text for row in mine for rule in row.rules)
                errors.append(
                    f"{path}:{number}: includes {header}, which {TABLE}:{mine[0].line} does not allow; "
                    f"it allows {words or 'nothing'}"
                )
            if prefix in by_prefix:
                edges.setdefault(directory, {}).setdefault(by_prefix[prefix], f"{path}:{number}")
    for row in dict.fromkeys([everywhere, *rows.values()]):
        for rule in row.rules:
            if not rule.used:
                errors.append(f"{TABLE}:{row.line}: allows {rule.text}, which nobody there includes")
    if circle := circle_of(edges):
        steps = [f"{one} includes {other} ({edges[one][other]})" for one, other in zip(circle, circle[1:])]
        errors.append("modules in a circle: " + ", ".join(steps))
    return errors


def errors_of_planted():
    """What check does not find in what was planted for it."""
    document = """
# Modules

| module | is | may include |
|---|---|---|
| everywhere | | `absl/**`, `sys/*` |
| `include/m/` | public | |
| `include/m/grpc.h` | | `grpcpp/**` |
| `src/base/` | base | `m/{one,two}.h` |
| `src/log/` | log | `base/`, `hash.h` |
| `src/log/disk/` | disk | `base/`, `log/` |
| `apps/` | programs | `m/*.h` |
| `apps/cli/` | a program | `m/deep/one.h` |

# Threads

| `src/none/` | | `all/**` |
"""
    good = {
        "libmessenger/include/m/one.h": "#include <string>\n",
        "libmessenger/include/m/two.h": '#include "m/one.h"\n#include "absl/a/b.h"\n',
        "libmessenger/include/m/grpc.h": "#include <grpcpp/server.h>\n",
        "libmessenger/src/base/b.cc": '#include "m/one.h"\n#include "m/two.h"\n#include <sys/x.h>\n',
        "libmessenger/src/log/log.cc": '#include <hash.h>\n#include "base/b.h"\n// #include "apps/x.h"\n',
        "libmessenger/src/log/disk/d.cc": '#include "log/disk/d.h"\n#include "log/log.h"\n#include "base/b.h"\n',
        "apps/a.cc": '#include "m/two.h"\n#include "apps/a.h"\n',
        "apps/cli/c.cc": '#include "m/deep/one.h"\n',
    }
    planted = [
        # What is not allowed, by file and line.
        ("libmessenger/src/base/b.h", '\n\n#include "log/log.h"\n', ":3: includes log/log.h"),
        ("libmessenger/src/log/log.h", '#include "log/disk/d.h"\n', ":1: includes log/disk/d.h"),
        ("libmessenger/src/log/log.h", '#include "m/one.h"\n', "it allows base/, hash.h"),
        ("libmessenger/src/log/disk/d.h", "#include <hash.h>\n", ":1: includes hash.h"),
        ("libmessenger/src/log/disk/d.h", '# include "d.h"\n', ":1: includes d.h"),
        ("libmessenger/src/base/b.h", '#include "m/grpc.h"\n', ":1: includes m/grpc.h"),
        ("libmessenger/include/m/three.h", "#include <grpcpp/server.h>\n", ":1: includes grpcpp/server.h"),
        ("apps/cli/c.h", '#include "m/deep/x.h"\n', ":1: includes m/deep/x.h"),
        ("apps/cli/c.h", "#include <boost/asio.hpp>\n", ":1: includes boost/asio.hpp"),
        # A circle, and what is no module.
        ("libmessenger/src/log/log.h", '#include "log/disk/d.h"\n', "modules in a circle: libmessenger/src/log/"),
        ("libmessenger/src/other/o.cc", "", "libmessenger/src/other/ has no row"),
        # What the table has and the sources have not.
        ("libmessenger/src/base/b.cc", '#include "m/one.h"\n#include <sys/x.h>\n', "allows m/two.h, which nobody"),
        ("libmessenger/src/log/disk/d.cc", None, "no sources in libmessenger/src/log/disk/"),
    ]
    errors = [f"in what is as it should be it finds: {error}" for error in check(document, good)]
    for path, text, expected in planted:
        files = {**good, path: text}
        found = check(document, {path: text for path, text in files.items() if text is not None})
        if not any(expected in error and (expected[0] != ":" or error.startswith(path)) for error in found):
            errors.append(f"it does not find {expected!r} in {path}: {text!r}; it finds {found}")
    return errors


def main():
    root = pathlib.Path(sys.argv[1])
    document = (root / TABLE).read_text()
    files = {
        path.relative_to(root).as_posix(): path.read_text()
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*"))
        if SOURCES.fullmatch(path.name)
    }
    errors = errors_of_planted() + check(document, files)
    if len(files) < 200:
        errors.append(f"it has looked at {len(files)} files only")
    # One include more, in the sources as they are.
    path = "libmessenger/src/base/utf8.h"
    planted = check(document, {**files, path: '#include "server/fan_out.h"\n' + files[path]})
    if not any(error.startswith(f"{path}:1: includes server/fan_out.h") for error in planted):
        errors.append("it does not find an include of server/ that was planted in base/")
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

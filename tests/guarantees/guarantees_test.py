#!/usr/bin/env python3
"""Every test that the documents point at exists.

    guarantees_test.py SOURCE_ROOT

libmessenger/doc/guarantees.md names, for each promise, the tests that defend it:
a file in `code`, its cases in *italics* behind it, in the same paragraph or item
of a list, without what stands before a case's first colon. Some tests have a
name, as "Conformance", which an item may begin with instead. Behind the word
ctest, tests are named as ctest knows them. In every document, what is named of
tests/ and of script/ must be there.
"""

import difflib
import pathlib
import re
import sys

GUARANTEES = "libmessenger/doc/guarantees.md"
# Where the documents are, and what they point at.
DOCUMENTS = ("*.md", "libmessenger/**/*.md", "tests/**/*.md")
PLACE = re.compile(r"(?<![\w/.-])(?:\.\./)*((?:tests|script)/[\w./-]*[\w/])")

# `code`, *a case*, and the word ctest, in the order in which they come.
MENTION = re.compile(r"`(?P<code>[^`]+)`|(?<!\*)\*(?P<case>[^\s*`][^*`]*)\*(?!\*)|(?P<ctest>\bctest\b)")
DEFINITION = re.compile(r'"(?P<name>[A-Z][\w ]+)"\s+is\s+\[?`(?P<place>tests/[^`]+)`')
CASE = re.compile(r'^[ \t]*\w*TEST_CASE\w*\([^")]*?((?:"(?:[^"\\]|\\.)*"\s*)+)', re.MULTILINE)
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')


def cases_in(text):
    """The names of the test cases in a file, with and without what is before the first colon."""
    names = ["".join(LITERAL.findall(case)) for case in CASE.findall(text)]
    return names + [name.partition(": ")[2] for name in names if ": " in name]


def cases_by_file(sources):
    return {path: cases_in(text) for path, text in sources.items() if path.endswith((".cc", ".h"))}


def ctests_in(text):
    """The names that a CMakeLists.txt gives to tests; what a loop names is a pattern."""
    names = set()
    for name in re.findall(r"\badd_test\(\s*NAME\s+([^\s)]+)", text):
        function = re.search(rf"\bfunction\((\w+) (\w+)\)(?:(?!endfunction)[^$]|\$(?!{{))*?{re.escape(name)}", text)
        if function and name.endswith(f"${{{function[2]}}}"):
            for given in re.findall(rf"\b{function[1]}\(\s*([a-z]\w*)(?![\w)])", text):
                names.add(name.replace(f"${{{function[2]}}}", given))
        else:
            names.add(name)
    return names


def blocks_of(text):
    """The paragraphs and items of lists, each with the number of its first line."""
    block, first = [], 1
    for number, line in enumerate(text.splitlines(), 1):
        if block and (not line.strip() or re.match(r"\s*(?:[-#|]|\d+\.) ", line)):
            yield first, "\n".join(block)
            block = []
        if line.strip():
            first = first if block else number
            block.append(line)
    if block:
        yield first, "\n".join(block)


def nearest(name, names):
    found = difflib.get_close_matches(name, names, n=1, cutoff=0)
    return f'; the nearest is "{found[0]}"' if found else ""


def check_names(document, text, sources, ctests):
    """What is wrong with the names of tests in a document, and how many there are."""
    errors, checked = [], 0
    cases = cases_by_file(sources)
    home = {name: path for path, names in cases.items() for name in names}
    known_as = {found["name"]: found["place"] for found in DEFINITION.finditer(text)}
    for first, block in blocks_of(text):
        place, of_ctest = None, False
        start = re.match(r"\s*- ([A-Z][\w ]*?)(?=[:,])", block)
        if start:
            place = known_as.get(start[1])
        for found in MENTION.finditer(block):
            line = first + block.count("\n", 0, found.start())
            if found["ctest"]:
                of_ctest = True
            elif code := found["code"]:
                if code.startswith("tests/"):
                    place = code.rstrip("/")
                elif of_ctest and re.fullmatch(r"[a-z_]+\.[a-z_]+", code):
                    checked += 1
                    if code not in ctests:
                        errors.append(f"{document}:{line}: ctest has no {code}{nearest(code, ctests)}")
            elif place:
                checked += 1
                name = " ".join(found["case"].split())
                here = [
                    case for path, names in cases.items() if path == place or path.startswith(place + "/") for case in names
                ]
                if name not in here:
                    hint = f'; it is in {home[name]}' if name in home else nearest(name, here or list(home))
                    errors.append(f'{document}:{line}: there is no test case "{name}" in {place}{hint}')
    return errors, checked


def check_places(document, text, is_there):
    """What a document names of tests/ and script/, and is not there."""
    errors = []
    for number, line in enumerate(text.splitlines(), 1):
        for place in PLACE.findall(line):
            if not is_there(place):
                errors.append(f"{document}:{number}: there is no {place}")
    return errors


def errors_of_planted():
    """What is not found of what was planted for it."""
    sources = {
        "tests/a_test.cc": 'TEST_CASE("log: one is "\n    "one") {\nTEST_CASE_FIXTURE(F, "two: a: b") {\n',
        "tests/suite/x_test.cc": '  LOG_TEST_CASE("log: three") {\n',
        "tests/suite/y_test.cc": 'TEST_CASE_TEMPLATE_DEFINE(\n    "log: four, \\"quoted\\"", T, id) {\n',
    }
    good = """
"Conformance" is [`tests/suite`](../../tests/suite): *not a case, as of old* — but

*Emphasis*, and `code`. ctest runs it as `crash.kill`.

- Conformance: *three*. `tests/a_test.cc`: *one is
  one*; *a: b*, and **more**
- `tests/suite/x_test.cc`: *three* `retention.max_bytes`
- *emphasis*
"""
    good = good.replace(": *not a case, as of old* — but", ", a suite")
    wrong = {
        "*three*. `tests/a": ("*tree*. `tests/a", 6, 'no test case "tree" in tests/suite; the nearest is "three"'),
        "one*; *a: b*": ("two*; *a: b*", 6, 'no test case "one is two"'),
        "*a: b*": ("*a: c*", 7, 'no test case "a: c" in tests/a_test.cc; the nearest is "a: b"'),
        "x_test.cc`: *three*": ("x_test.cc`: *one is one*", 8, "it is in tests/a_test.cc"),
        "`crash.kill`": ("`crash.kil`", 4, "ctest has no crash.kil; the nearest is crash.kill".replace("is c", 'is "c')),
    }
    errors = []
    found, checked = check_names("d.md", good, sources, ["crash.kill"])
    if found or checked != 5:
        errors.append(f"in what is as it should be it finds {found}, of {checked} names")
    for old, (new, line, expected) in wrong.items():
        found, _ = check_names("d.md", good.replace(old, new), sources, ["crash.kill"])
        if len(found) != 1 or not found[0].startswith(f"d.md:{line}: ") or expected not in found[0]:
            errors.append(f"{new!r} was planted in line {line}; it finds {found}")
    text = "[`tests/a`](../../tests/a/b.cc) and `script/c`.\n~/tests/d and `tests/e/`, tests/f."
    found = check_places("d.md", text, lambda place: place == "tests/a")
    if [error[-9:].split()[-1] for error in found] != ["tests/a/b.cc"[-9:], "script/c", "tests/e/", "tests/f"]:
        errors.append(f"of the places in {text!r} it misses {found}")
    return errors


def main():
    root = pathlib.Path(sys.argv[1])
    sources = {
        path.relative_to(root).as_posix(): path.read_text()
        for suffix in ("h", "cc")
        for path in sorted((root / "tests").rglob(f"*.{suffix}"))
    }
    ctests = set().union(*(ctests_in(path.read_text()) for path in (root / "tests").rglob("CMakeLists.txt")))
    errors = errors_of_planted()
    found, checked = check_names(GUARANTEES, (root / GUARANTEES).read_text(), sources, ctests)
    errors += found
    if checked < 150:
        errors.append(f"{GUARANTEES}: names {checked} tests only, as far as can be seen")
    for pattern in DOCUMENTS:
        for path in sorted(root.glob(pattern)):
            text = path.read_text()
            errors += check_places(path.relative_to(root).as_posix(), text, lambda place: (root / place).exists())
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

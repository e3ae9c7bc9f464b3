"""Runs clang over the sources: does each file compile alone, and what does
clang-tidy find? See script/lint.

Both take most of their time for the headers of libraries that a file includes,
and little for the file. clang-tidy, which takes 10 to 40 s for them, reads files
in batches, each of which includes many of them and lies where the rules for them
are found. A file that is compiled alone finds them precompiled.
"""
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

BUILD = pathlib.Path("build/lint")
# What has one batch, or several: files that include much the same. A program has
# its own, where names need not be those of no other one.
CLUSTERS = [
    "libmessenger/src",
    "libmessenger/examples",
    "apps/cli",
    "apps/gateway",
    "apps",
    "tests/benchmarks/peers",
    "tests/benchmarks",
    "tests/chaos",
    "tests/crash",
    "tests/integration",
    "tests",
]
BATCH_BYTES = 600_000
# The headers of libraries that take the most time in all, those first that most
# files include.
HEAVY = [
    "absl/status/statusor.h",
    "fmt/format.h",
    "absl/synchronization/mutex.h",
    "absl/container/flat_hash_map.h",
    "nlohmann/json.hpp",
    "CLI/CLI.hpp",
    "grpcpp/channel.h",
]
# Fewer files do not make up for what it takes to precompile headers.
PRECOMPILED_FOR = 6
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)


def git(*arguments):
    output = subprocess.run(["git", *arguments], check=True, text=True,
                            capture_output=True).stdout
    return output.split("\n")[:-1]


def base_of_change():
    """The commit since which everything counts as changed."""
    try:
        main = git("merge-base", "HEAD", "origin/main")[0]
    except subprocess.CalledProcessError:
        main = ""
    head = git("rev-parse", "HEAD")[0]
    if main and main != head:
        return main
    then = int(git("log", "-1", "--format=%ct")[0]) - 3 * 24 * 3600
    before = git("rev-list", "-1", f"--before={then}", "HEAD")
    # Without an older commit: all files.
    return before[0] if before else git("hash-object", "-t", "tree",
                                        "/dev/null")[0]


def changed_files():
    files = git("diff", "--name-only", base_of_change())
    files += git("ls-files", "--others", "--exclude-standard")
    return {f for f in files if os.path.exists(f)}


class Source:
    """A file of the compilation database, and how it is compiled."""

    def __init__(self, entry):
        self.file = os.path.relpath(entry["file"])
        words = shlex.split(entry["command"])[1:]
        self.flags = []
        while words:
            word = words.pop(0)
            if word in ("-o", "-c"):
                words.pop(0)
            elif word != "-fPIC":  # no code is generated
                self.flags.append(word)


def read_database():
    with open(BUILD / "compile_commands.json", encoding="utf-8") as database:
        entries = [Source(e) for e in json.load(database)]
    sources = {}
    for source in entries:
        if not source.file.startswith("build/"):
            sources.setdefault(source.file, source)
    return sources


def cluster_of(file):
    return next(c for c in CLUSTERS if file.startswith(c + "/"))


def include_paths(flags):
    paths = [f[2:] for f in flags if f.startswith("-I")]
    return [os.path.relpath(p) for p in paths]


class Includes:
    """Which of our files a file includes, directly or not."""

    def __init__(self):
        self.direct = {}
        self.heavy = {}

    def of(self, file, paths):
        found, pending = set(), [file]
        while pending:
            for included in self._direct(pending.pop(), paths):
                if included not in found:
                    found.add(included)
                    pending.append(included)
        return found

    def heavy_of(self, files):
        """Which of HEAVY at least one of our files includes."""
        return frozenset().union(*(self._heavy(f) for f in files))

    def _heavy(self, file):
        if file not in self.heavy:
            names = INCLUDE.findall(pathlib.Path(file).read_text("utf-8"))
            self.heavy[file] = frozenset(names).intersection(HEAVY)
        return self.heavy[file]

    def _direct(self, file, paths):
        key = (file, tuple(paths))
        if key not in self.direct:
            names = INCLUDE.findall(pathlib.Path(file).read_text("utf-8"))
            self.direct[key] = [
                path for path in (self._resolve(file, n, paths) for n in names)
                if path]
        return self.direct[key]

    @staticmethod
    def _resolve(file, name, paths):
        for path in [os.path.dirname(file), *paths]:
            candidate = os.path.normpath(os.path.join(path, name))
            if os.path.exists(candidate):
                return candidate
        return None


class Job:
    """A run of a tool. One that found nothing is not run again until what it
    reads changes: system headers apart, its command, the rules and `inputs`."""

    def __init__(self, what, command, cost, inputs):
        self.what = what
        self.command = command
        self.cost = cost  # only compared
        content = hashlib.sha256(repr(command).encode())
        rules = git("ls-files", "*.clang-tidy")
        for file in [*rules, *sorted(inputs)]:
            content.update(pathlib.Path(file).read_bytes())
        self.stamp = BUILD / "clean" / content.hexdigest()

    def is_clean(self):
        return self.stamp.exists()

    def run(self):
        done = subprocess.run(self.command, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        # "39003 warnings generated." is of the system's headers.
        lines = [l for l in done.stdout.split("\n")
                 if not re.match(r"\d+ warnings? (and \d+ errors? )?generated",
                                 l)]
        if done.returncode == 0:
            self.stamp.touch()
        return done.returncode, "\n".join(lines).strip()


class Alone(Job):
    """Whether a file compiles without what another one includes.

    What is precompiled for it is nothing but what it includes anyway: a header
    that lacks an include is found still, where it is compiled itself."""

    def __init__(self, file, flags, options, graph):
        paths = include_paths(flags)
        inputs = {file} | graph.of(file, paths)
        super().__init__(file, ["clang++", *flags, *options, "-fsyntax-only",
                                file], 1, inputs)
        header = file.removesuffix(".cc") + ".h"
        if header in inputs:
            # It comes first, and has to do without what follows.
            inputs = {header} | graph.of(header, paths)
        self.heavy = graph.heavy_of(inputs)
        # Of those, what matters to the headers of libraries.
        self.flags = tuple(sorted({
            f for f in flags
            if f.startswith(("-D", "-pthread", "-std="))
            and not f.startswith(("-DMESSENGER_", "-Dmessenger_"))}))


def header_alone(header, sources, graph):
    """A header that no source of its name includes first."""
    def common(source):
        return len(os.path.commonprefix([source.file, header]))
    flags = max(sources.values(), key=common).flags
    return Alone(header, flags, ["-Wno-pragma-once-outside-header", "-xc++"],
                 graph)


def precompile(jobs, pool):
    """Has these jobs, which are about to be run, find headers precompiled."""
    directory = BUILD / "precompiled"
    directory.mkdir(exist_ok=True)
    pending = [job for job in jobs if isinstance(job, Alone)]
    commands = []
    # Who has no company with all that it includes may have it with some.
    for count in range(len(HEAVY), 0, -1):
        groups = collections.defaultdict(list)
        for job in pending:
            names = tuple(h for h in HEAVY[:count] if h in job.heavy)
            groups[names, job.flags].append(job)
        pending = []
        for (names, flags), members in groups.items():
            if not names or len(members) < PRECOMPILED_FOR:
                pending += members
                continue
            header = directory / f"{len(commands)}.h"
            header.write_text("".join(f"#include <{n}>\n" for n in names))
            output = f"{header}.pch"
            commands.append(["clang++", *flags, "-xc++-header", str(header),
                             "-o", output])
            for job in members:
                job.command[1:1] = ["-include-pch", output]
    list(pool.map(lambda c: subprocess.run(c, check=True), commands))


def batches(sources, name, included):
    """clang-tidy over the sources, batch by batch."""
    clusters = collections.defaultdict(list)
    for source in sources:
        clusters[cluster_of(source.file)].append(source)
    for cluster, members in sorted(clusters.items()):
        size = sum(os.path.getsize(s.file) for s in members)
        count = -(-size // BATCH_BYTES)
        for i in range(count):
            part = members[i * len(members) // count:
                           (i + 1) * len(members) // count]
            yield batch(BUILD / cluster / f"{name}_{i}", part, included)


def batch(directory, sources, included):
    """One run of clang-tidy, over a file of its own in the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    text, mains, flags = [], [], []
    for source in sources:
        content = pathlib.Path(source.file).read_text("utf-8")
        if re.search(r"^int main\(", content, re.MULTILINE):
            # There can be one only; the linter knows the others by their names.
            mains.append(f"main_{len(mains)}")
            text.append(f"#define main {mains[-1]}")
        text.append(f'#include "{os.path.abspath(source.file)}"')
        if mains:
            text.append("#undef main")
        flags += [f for f in source.flags if f not in flags]
    file = directory / "batch.cc"
    file.write_text("\n".join(text) + "\n", "utf-8")
    option = "bugprone-exception-escape.FunctionsThatShouldNotThrow"
    (directory / ".clang-tidy").write_text(
        "InheritParentConfig: true\n"
        "CheckOptions:\n"
        f"  - {{ key: {option}, value: '{','.join(mains)}' }}\n", "utf-8")
    what = ", ".join(s.file for s in sources[:2])
    if len(sources) > 2:
        what += f" and {len(sources) - 2} more"
    # Batches consist of included .cc files.
    return Job("clang-tidy: " + what,
               ["clang-tidy", "--quiet", "--checks=-bugprone-suspicious-include",
                str(file), "--", *flags],
               100 + sum(os.path.getsize(s.file) for s in sources) / 1000,
               {s.file for s in sources}.union(
                   *(included[s.file] for s in sources)))


def run(jobs, title):
    """True if none finds anything."""
    if not jobs:
        return True
    start = time.monotonic()
    clean = [job for job in jobs if job.is_clean()]
    jobs = [job for job in jobs if not job.is_clean()]
    failed = []
    done = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        precompile(jobs, pool)
        jobs = sorted(jobs, key=lambda job: -job.cost)
        running = {pool.submit(job.run): job for job in jobs}
        for future in concurrent.futures.as_completed(running):
            done += 1
            code, output = future.result()
            if code != 0:
                failed.append((running[future].what, output))
            if sys.stdout.isatty():
                print(f"\r\033[K   [{done}/{len(jobs)}] {title}", end="",
                      flush=True)
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    before = f", {len(clean)} clean before" if clean else ""
    print(f"   {title}: {len(jobs)} runs, {len(failed)} with findings"
          f"{before} ({time.monotonic() - start:.0f} s)")
    for what, output in failed:
        print(f"\n{what}:\n{output}")
    return not failed


def check_own_header_first(files):
    """So that a header which does not stand alone is found where its source is
    compiled."""
    wrong = []
    for file in files:
        header = file[:-3] + ".h"
        if file.endswith(".cc") and os.path.exists(header):
            first = INCLUDE.search(pathlib.Path(file).read_text("utf-8"))
            if not first or os.path.basename(first[1]) != os.path.basename(
                    header):
                wrong.append(f"{file}: must include {header} first")
    print("\n".join(wrong), end="\n" if wrong else "")
    return not wrong


def main(arguments):
    sources = read_database()
    only_changed = "--changed" in arguments
    named = {os.path.relpath(a) for a in arguments if a != "--changed"}
    changed = named or changed_files()

    # The rules for tests are those beside their batches' parent.
    (BUILD / "tests").mkdir(parents=True, exist_ok=True)
    shutil.copy("tests/.clang-tidy", BUILD / "tests/.clang-tidy")
    (BUILD / "clean").mkdir(exist_ok=True)

    graph = Includes()
    included = {file: graph.of(file, include_paths(source.flags))
                for file, source in sources.items()}
    headers = [f for f in git("ls-files", "*.h", "--cached", "--others",
                              "--exclude-standard")
               if f[:-2] + ".cc" not in sources]
    # A header is linted where it is included: by its source, or any.
    first, dependents = [], []
    for file, source in sources.items():
        if file in changed or file[:-3] + ".h" in changed:
            first.append(source)
        elif included[file] & changed:
            dependents.append(source)
    covered = set().union(*(included[s.file] for s in first), set())
    for header in sorted(h for h in changed if h.endswith(".h")):
        user = next((s for s in dependents if header in included[s.file]), None)
        if header not in covered and user:
            covered |= included[user.file]
            first.append(user)
            dependents.remove(user)

    if len(first) > len(sources) / 4 and not named and not only_changed:
        # Fewer batches cost less than the second half of two turns.
        dependents += first
        first = []

    if not check_own_header_first(sources):
        return 1
    jobs = list(batches(first, "changed", included))
    jobs += [Alone(s.file, s.flags, [], graph) for s in first]
    jobs += [header_alone(h, sources, graph)
             for h in headers if h in changed]
    if not run(jobs, "what has changed"):
        return 1
    if named or only_changed:
        return 0
    rest = [s for s in sources.values() if s not in first]
    jobs = list(batches(rest, "rest", included))
    jobs += [Alone(s.file, s.flags, [], graph) for s in dependents]
    jobs += [header_alone(h, sources, graph)
             for h in headers if h not in changed]
    return 0 if run(jobs, "the rest") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#include "log/durable/file_system.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "log/durable/file_util.h"
#include "support/faulty_file_system.h"
#include "support/seed.h"
#include "support/temporary_directory.h"

namespace messenger::file_system_test {
namespace {

using test::FaultyFileSystem;
using test::Random;
using test::TemporaryDirectory;
using test::TestSeed;
using Mode = FileSystem::Mode;
using CrashMode = FaultyFileSystem::CrashMode;
using Operation = FaultyFileSystem::Operation;

// "OK", or the code and the message.
std::string Say(const absl::Status& status) {
  if (status.ok()) return "OK";
  return fmt::format("{}: {}", absl::StatusCodeToString(status.code()),
                     MessageOf(status));
}

template <typename T>
std::string Say(const absl::StatusOr<T>& result) {
  return Say(result.status());
}

std::unique_ptr<File> Open(FileSystem& files, const std::string& path,
                           Mode mode) {
  absl::StatusOr<std::unique_ptr<File>> file = files.Open(path, mode);
  REQUIRE(Say(file) == "OK");
  return *std::move(file);
}

std::string ReadAll(FileSystem& files, const std::string& path) {
  const std::unique_ptr<File> file = Open(files, path, Mode::kRead);
  const absl::StatusOr<std::uint64_t> size = file->Size();
  REQUIRE(Say(size) == "OK");
  std::string bytes(*size, '?');
  const absl::StatusOr<std::size_t> read =
      file->Read(0, bytes.data(), bytes.size());
  REQUIRE(Say(read) == "OK");
  CHECK(*read == *size);
  return bytes;
}

void Create(FileSystem& files, const std::string& path,
            std::string_view bytes) {
  REQUIRE(Say(Open(files, path, Mode::kCreate)->Write(0, bytes)) == "OK");
}

std::vector<std::string> Sorted(
    absl::StatusOr<std::vector<std::string>> names) {
  REQUIRE(Say(names) == "OK");
  std::sort(names->begin(), names->end());
  return *std::move(names);
}

using Names = std::vector<std::string>;

class OnDisk {
 public:
  FileSystem& files() { return *files_; }
  std::string Path(std::string_view name) const {
    return fmt::format("{}/{}", directory_.path(), name);
  }

 private:
  const std::shared_ptr<FileSystem> files_ = FileSystem::Posix();
  const TemporaryDirectory directory_;
};

class InMemory {
 public:
  InMemory() { REQUIRE(Say(files_.CreateDirectory("/data")) == "OK"); }

  FileSystem& files() { return files_; }
  static std::string Path(std::string_view name) {
    return fmt::format("/data/{}", name);
  }

 private:
  FaultyFileSystem files_;
};

TEST_CASE_TEMPLATE("file system: what is written is read", Fixture, OnDisk,
                   InMemory) {
  Fixture f;
  const std::unique_ptr<File> file =
      Open(f.files(), f.Path("x"), Mode::kCreate);
  CHECK(Say(file->Write(0, "hello world")) == "OK");
  CHECK(Say(file->Write(6, "there")) == "OK");
  CHECK(Say(file->Write(20, "")) == "OK");
  CHECK(Say(file->Sync()) == "OK");
  file->WillNeed(0, 11);
  CHECK(file->Size().value() == 11);
  CHECK(ReadAll(f.files(), f.Path("x")) == "hello there");
}

TEST_CASE_TEMPLATE("file system: a read ends where the file ends", Fixture,
                   OnDisk, InMemory) {
  Fixture f;
  Create(f.files(), f.Path("x"), "0123456789");
  const std::unique_ptr<File> file = Open(f.files(), f.Path("x"), Mode::kRead);
  std::array<char, 8> out{};
  CHECK(file->Read(0, out.data(), out.size()).value() == 8);
  CHECK(std::string_view(out.data(), 8) == "01234567");
  CHECK(file->Read(7, out.data(), out.size()).value() == 3);
  CHECK(std::string_view(out.data(), 3) == "789");
  CHECK(file->Read(10, out.data(), out.size()).value() == 0);
  CHECK(file->Read(99, out.data(), out.size()).value() == 0);
}

TEST_CASE_TEMPLATE("file system: a hole reads as zeros", Fixture, OnDisk,
                   InMemory) {
  Fixture f;
  Create(f.files(), f.Path("x"), "ab");
  const std::unique_ptr<File> file =
      Open(f.files(), f.Path("x"), Mode::kModify);
  CHECK(Say(file->Write(4, "ef")) == "OK");
  CHECK(ReadAll(f.files(), f.Path("x")) == std::string("ab\0\0ef", 6));
}

TEST_CASE_TEMPLATE("file system: truncating cuts and extends", Fixture, OnDisk,
                   InMemory) {
  Fixture f;
  const std::unique_ptr<File> file =
      Open(f.files(), f.Path("x"), Mode::kCreate);
  CHECK(Say(file->Write(0, "abcdef")) == "OK");
  CHECK(Say(file->Truncate(3)) == "OK");
  CHECK(ReadAll(f.files(), f.Path("x")) == "abc");
  CHECK(Say(file->Truncate(5)) == "OK");
  CHECK(ReadAll(f.files(), f.Path("x")) == std::string("abc\0\0", 5));
}

TEST_CASE_TEMPLATE("file system: allocating only extends", Fixture, OnDisk,
                   InMemory) {
  Fixture f;
  const std::unique_ptr<File> file =
      Open(f.files(), f.Path("x"), Mode::kCreate);
  CHECK(Say(file->Write(0, "abc")) == "OK");
  const absl::Status allocated = file->Allocate(100'000);
  // Not every file system of an operating system can.
  if (allocated.ok()) {
    CHECK(file->Size().value() == 100'000);
  } else {
    MESSAGE(Say(allocated));
  }
  CHECK(Say(file->Truncate(5)) == "OK");
  CHECK(Say(file->Allocate(2)) == "OK");
  CHECK(ReadAll(f.files(), f.Path("x")) == std::string("abc\0\0", 5));
}

TEST_CASE_TEMPLATE("file system: the mode says what opening does", Fixture,
                   OnDisk, InMemory) {
  Fixture f;
  FileSystem& files = f.files();
  const std::string path = f.Path("x");
  CHECK(Say(files.Open(path, Mode::kRead)) ==
        fmt::format("NOT_FOUND: {}: open: No such file or directory", path));
  CHECK(Say(files.Open(path, Mode::kModify)) ==
        fmt::format("NOT_FOUND: {}: open: No such file or directory", path));
  Create(files, path, "abc");
  CHECK(Say(Open(files, path, Mode::kModify)->Write(1, "B")) == "OK");
  CHECK(ReadAll(files, path) == "aBc");

  const std::unique_ptr<File> read_only = Open(files, path, Mode::kRead);
  CHECK(Say(read_only->Write(0, "x")) ==
        fmt::format("INTERNAL: {}: write: Bad file descriptor", path));
  CHECK(Say(read_only->Truncate(0)) ==
        fmt::format("INTERNAL: {}: truncate: Invalid argument", path));
  CHECK(Say(read_only->Allocate(9)) ==
        fmt::format("INTERNAL: {}: allocate: Bad file descriptor", path));
  CHECK(Say(read_only->Sync()) == "OK");

  Open(files, path, Mode::kCreate);
  CHECK(ReadAll(files, path).empty());
}

TEST_CASE_TEMPLATE("file system: directories are created and listed", Fixture,
                   OnDisk, InMemory) {
  Fixture f;
  FileSystem& files = f.files();
  CHECK(Sorted(files.List(f.Path(""))) == Names{});
  CHECK(Say(files.CreateDirectory(f.Path("d"))) == "OK");
  CHECK(Say(files.CreateDirectory(f.Path("d"))) == "OK");
  CHECK(Say(files.CreateDirectory(f.Path("d/e"))) == "OK");
  Create(files, f.Path("d/x"), "x");
  Create(files, f.Path("y"), "y");
  CHECK(Sorted(files.List(f.Path(""))) == Names{"d", "y"});
  CHECK(Sorted(files.List(f.Path("d"))) == Names{"e", "x"});
  CHECK(Say(files.SyncDirectory(f.Path("d"))) == "OK");
}

TEST_CASE_TEMPLATE("file system: a directory that is none is an error", Fixture,
                   OnDisk, InMemory) {
  Fixture f;
  FileSystem& files = f.files();
  Create(files, f.Path("x"), "x");
  const std::string none = f.Path("none");
  const std::string file = f.Path("x");
  CHECK(Say(files.List(none)) ==
        fmt::format("NOT_FOUND: {}: list: No such file or directory", none));
  CHECK(Say(files.List(file)) ==
        fmt::format("INTERNAL: {}: list: Not a directory", file));
  CHECK(Say(files.SyncDirectory(none)) ==
        fmt::format("NOT_FOUND: {}: sync directory: No such file or directory",
                    none));
  CHECK(Say(files.SyncDirectory(file)) ==
        fmt::format("INTERNAL: {}: sync directory: Not a directory", file));
  CHECK(Say(files.CreateDirectory(none + "/d")) ==
        fmt::format(
            "NOT_FOUND: {}/d: create directory: No such file or directory",
            none));
  CHECK(Say(files.CreateDirectory(file)) ==
        fmt::format("INTERNAL: {}: create directory: File exists", file));
  CHECK(Say(files.Open(none + "/x", Mode::kCreate)) ==
        fmt::format("NOT_FOUND: {}/x: open: No such file or directory", none));
  CHECK(Say(files.Open(file + "/x", Mode::kCreate)) ==
        fmt::format("INTERNAL: {}/x: open: Not a directory", file));
}

TEST_CASE_TEMPLATE("file system: renaming replaces the target", Fixture, OnDisk,
                   InMemory) {
  Fixture f;
  FileSystem& files = f.files();
  Create(files, f.Path("x"), "new");
  Create(files, f.Path("y"), "old");
  const std::unique_ptr<File> old = Open(files, f.Path("y"), Mode::kRead);
  CHECK(Say(files.Rename(f.Path("x"), f.Path("y"))) == "OK");
  CHECK(Say(files.Rename(f.Path("y"), f.Path("y"))) == "OK");
  CHECK(Sorted(files.List(f.Path(""))) == Names{"y"});
  CHECK(ReadAll(files, f.Path("y")) == "new");
  std::array<char, 3> out{};
  CHECK(old->Read(0, out.data(), out.size()).value() == 3);
  CHECK(std::string_view(out.data(), 3) == "old");
}

TEST_CASE_TEMPLATE("file system: directories are renamed with what they hold",
                   Fixture, OnDisk, InMemory) {
  Fixture f;
  FileSystem& files = f.files();
  CHECK(Say(files.CreateDirectory(f.Path("d"))) == "OK");
  CHECK(Say(files.CreateDirectory(f.Path("t"))) == "OK");
  Create(files, f.Path("d/x"), "x");
  CHECK(Say(files.Rename(f.Path("d"), f.Path("t/e"))) == "OK");
  CHECK(Sorted(files.List(f.Path(""))) == Names{"t"});
  CHECK(ReadAll(files, f.Path("t/e/x")) == "x");
}

TEST_CASE_TEMPLATE("file system: what cannot be renamed stays", Fixture, OnDisk,
                   InMemory) {
  Fixture f;
  FileSystem& files = f.files();
  const std::string x = f.Path("x");
  const std::string d = f.Path("d");
  CHECK(Say(files.Rename(x, d)) ==
        fmt::format("NOT_FOUND: {}: rename to {}: No such file or directory", x,
                    d));
  Create(files, x, "x");
  CHECK(Say(files.CreateDirectory(d)) == "OK");
  Create(files, d + "/y", "y");
  CHECK(Say(files.CreateDirectory(f.Path("e"))) == "OK");
  CHECK(Say(files.Rename(x, d)) ==
        fmt::format("DATA_LOSS: {}: rename to {}: Is a directory", x, d));
  CHECK(Say(files.Rename(d, x)) ==
        fmt::format("INTERNAL: {}: rename to {}: Not a directory", d, x));
  CHECK(Say(files.Rename(f.Path("e"), d)) ==
        fmt::format("INTERNAL: {}: rename to {}: Directory not empty",
                    f.Path("e"), d));
  CHECK(Say(files.Rename(d, d + "/e")) ==
        fmt::format("INTERNAL: {0}: rename to {0}/e: Invalid argument", d));
  CHECK(Sorted(files.List(f.Path(""))) == Names{"d", "e", "x"});
}

TEST_CASE_TEMPLATE("file system: files and empty directories are removed",
                   Fixture, OnDisk, InMemory) {
  Fixture f;
  FileSystem& files = f.files();
  const std::string d = f.Path("d");
  CHECK(Say(files.CreateDirectory(d)) == "OK");
  Create(files, d + "/x", "x");
  const std::unique_ptr<File> open = Open(files, d + "/x", Mode::kModify);
  CHECK(Say(files.Remove(d)) ==
        fmt::format("INTERNAL: {}: remove: Directory not empty", d));
  CHECK(Say(files.Remove(d + "/x")) == "OK");
  CHECK(Say(files.Remove(d + "/x")) ==
        fmt::format("NOT_FOUND: {}/x: remove: No such file or directory", d));
  CHECK(Say(open->Write(1, "y")) == "OK");
  CHECK(open->Size().value() == 2);
  CHECK(Say(files.Remove(d)) == "OK");
  CHECK(Sorted(files.List(f.Path(""))) == Names{});
}

TEST_CASE_TEMPLATE("file system: a lock excludes others and names its holder",
                   Fixture, OnDisk, InMemory) {
  Fixture f;
  FileSystem& files = f.files();
  const std::string path = f.Path("LOCK");
  // Longer than what the lock writes, and not its own.
  Create(files, path, "1234567890123\n");
  absl::StatusOr<std::unique_ptr<FileLock>> lock = files.Lock(path);
  CHECK(Say(lock) == "OK");
  CHECK(ReadAll(files, path) == fmt::format("{}\n", getpid()));
  CHECK(Say(files.Lock(path)) ==
        fmt::format("FAILED_PRECONDITION: {}: is locked by process {}", path,
                    getpid()));
  CHECK(Say(files.Lock(f.Path("other"))) == "OK");
  lock->reset();
  CHECK(Say(files.Lock(path)) == "OK");
  CHECK(Say(files.Lock(f.Path("none/LOCK"))) ==
        fmt::format("NOT_FOUND: {}: lock: No such file or directory",
                    f.Path("none/LOCK")));
}

TEST_CASE("posix file system: the lock of another process is its") {
  OnDisk f;
  const std::string path = f.Path("LOCK");
  std::array<int, 2> ready{};
  REQUIRE(pipe(ready.data()) == 0);
  const pid_t child = fork();
  REQUIRE(child != -1);
  if (child == 0) {
    const auto lock = f.files().Lock(path);
    const char answer = lock.ok() ? 'y' : 'n';
    if (write(ready[1], &answer, 1) == 1) pause();
    _exit(1);
  }
  char answer = '?';
  CHECK(read(ready[0], &answer, 1) == 1);
  CHECK(answer == 'y');
  CHECK(Say(f.files().Lock(path)) ==
        fmt::format("FAILED_PRECONDITION: {}: is locked by process {}", path,
                    child));
  CHECK(kill(child, SIGKILL) == 0);
  CHECK(waitpid(child, nullptr, 0) == child);
  CHECK(Say(f.files().Lock(path)) == "OK");
  close(ready[0]);
  close(ready[1]);
}

TEST_CASE("posix file system: a full disk is RESOURCE_EXHAUSTED") {
  CHECK(Say(FileError("x", "write", ENOSPC)) ==
        "RESOURCE_EXHAUSTED: x: write: No space left on device");
  CHECK(absl::IsResourceExhausted(FileError("x", "write", EDQUOT)));
}

TEST_CASE("posix file system: others may not look into what it creates") {
  OnDisk f;
  Create(f.files(), f.Path("x"), "x");
  CHECK(Say(f.files().CreateDirectory(f.Path("d"))) == "OK");
  struct stat info = {};
  REQUIRE(stat(f.Path("x").c_str(), &info) == 0);
  CHECK((info.st_mode & 0137) == 0);
  REQUIRE(stat(f.Path("d").c_str(), &info) == 0);
  CHECK((info.st_mode & 0027) == 0);
}

// Of `crashes` power cuts, each of a file system made by `prepare(files)`, what
// `look(files)` saw.
template <typename Prepare, typename Look>
std::set<std::string> Outcomes(Prepare prepare, Look look,
                               CrashMode mode = CrashMode::kPowerCut,
                               int crashes = 1000) {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  std::mt19937_64 random(TestSeed());
  std::set<std::string> outcomes;
  for (int i = 0; i < crashes; ++i) {
    FaultyFileSystem files;
    prepare(files);
    files.Crash(mode, random);
    outcomes.insert(look(files));
  }
  return outcomes;
}

using Seen = std::set<std::string>;

// The first byte of each sector of "/x"; '.' is zero.
std::string Sectors(const FaultyFileSystem& files) {
  const std::string content = files.Contents("/x");
  std::string sectors;
  for (std::size_t i = 0; i < content.size(); i += 512) {
    const std::string sector = content.substr(i, 512);
    CHECK(sector == std::string(sector.size(), sector[0]));
    sectors += sector[0] == '\0' ? '.' : sector[0];
  }
  return sectors;
}

std::string Paths(const FaultyFileSystem& files) {
  std::string paths;
  for (const std::string& path : files.Files()) paths += path;
  return paths;
}

TEST_CASE("faulty file system: killing the process keeps what it saw") {
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              Create(files, "x", "abc");
              CHECK(Say(files.Rename("x", "y")) == "OK");
            },
            [](FaultyFileSystem& files) {
              return files.Contents("y") + Paths(files);
            },
            CrashMode::kKillProcess) == Seen{"abc/y"});
}

TEST_CASE("faulty file system: a power cut after a killed process still cuts") {
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              files.SetContents("x", "old");
              const auto file = Open(files, "x", Mode::kModify);
              CHECK(Say(file->Truncate(0)) == "OK");
              CHECK(Say(file->Write(0, "new")) == "OK");
              std::mt19937_64 random(TestSeed());
              files.Crash(CrashMode::kKillProcess, random);
            },
            [](FaultyFileSystem& files) { return files.Contents("x"); }) ==
        Seen{"old", "new", "", std::string("\0\0\0", 3)});
}

TEST_CASE("faulty file system: a power cut may undo that a file is replaced") {
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              files.SetContents("x", "old");
              const auto file = Open(files, "x", Mode::kCreate);
              CHECK(Say(file->Write(0, "new")) == "OK");
              CHECK(Say(file->Sync()) == "OK");
            },
            [](FaultyFileSystem& files) {
              return files.Files().empty() ? "none" : files.Contents("x");
            }) == Seen{"old", "new", "none"});
}

TEST_CASE("faulty file system: a power cut keeps what was synced") {
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              const auto file = Open(files, "x", Mode::kCreate);
              CHECK(Say(file->Write(0, "abc")) == "OK");
              CHECK(Say(file->Sync()) == "OK");
              CHECK(Say(file->Truncate(2)) == "OK");
              CHECK(Say(file->Sync()) == "OK");
              CHECK(Say(files.SyncDirectory("/")) == "OK");
            },
            [](FaultyFileSystem& files) { return files.Contents("x"); }) ==
        Seen{"ab"});
}

TEST_CASE("faulty file system: any of the sectors written may be lost") {
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              files.SetContents("x", std::string(1536, 'a'));
              const auto file = Open(files, "x", Mode::kModify);
              CHECK(Say(file->Write(512, std::string(1024, 'b'))) == "OK");
            },
            Sectors) == Seen{"aaa", "aab", "aba", "abb"});
}

TEST_CASE("faulty file system: a sector is as it was at some moment") {
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              files.SetContents("x", "aaaa");
              const auto file = Open(files, "x", Mode::kModify);
              CHECK(Say(file->Write(1, "b")) == "OK");
              CHECK(Say(file->Write(2, "c")) == "OK");
              CHECK(Say(file->Write(1, "d")) == "OK");
            },
            [](FaultyFileSystem& files) { return files.Contents("x"); }) ==
        Seen{"aaaa", "abaa", "abca", "adca"});
}

TEST_CASE("faulty file system: size and content may be lost apart") {
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              files.SetContents("x", std::string(512, 'a'));
              const auto file = Open(files, "x", Mode::kModify);
              CHECK(Say(file->Write(512, std::string(1024, 'b'))) == "OK");
            },
            Sectors) == Seen{"a", "a..", "a.b", "ab.", "abb"});
}

TEST_CASE("faulty file system: what a kept truncation cut off is gone") {
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              files.SetContents("x", std::string(1024, 'a'));
              const auto file = Open(files, "x", Mode::kModify);
              CHECK(Say(file->Truncate(512)) == "OK");
              CHECK(Say(file->Allocate(1024)) == "OK");
            },
            Sectors) == Seen{"aa", "a", "a."});
}

TEST_CASE("faulty file system: a synced file without its name is lost") {
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              const auto file = Open(files, "x", Mode::kCreate);
              CHECK(Say(file->Sync()) == "OK");
            },
            Paths) == Seen{"", "/x"});
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              CHECK(Say(files.CreateDirectory("d")) == "OK");
              Create(files, "d/x", "x");
              CHECK(Say(files.SyncDirectory("d")) == "OK");
            },
            Paths) == Seen{"", "/d/x"});
}

TEST_CASE("faulty file system: a directory is as it was at some moment") {
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              files.SetContents("a", "");
              files.SetContents("b", "");
              Create(files, "c", "");
              CHECK(Say(files.Rename("c", "a")) == "OK");
              CHECK(Say(files.Remove("b")) == "OK");
            },
            Paths) == Seen{"/a/b", "/a/b/c", "/a"});
}

TEST_CASE("faulty file system: a kept rename is kept in both directories") {
  const auto prepare = [](FaultyFileSystem& files) {
    files.SetContents("a/x", "");
    files.SetContents("b/y", "");
    CHECK(Say(files.Remove("b/y")) == "OK");
    CHECK(Say(files.Rename("a/x", "b/x")) == "OK");
    Create(files, "b/z", "");
  };
  CHECK(Outcomes(prepare, Paths) ==
        Seen{"/a/x/b/y", "/a/x", "/b/x", "/b/x/b/z"});
  CHECK(Outcomes(
            [&](FaultyFileSystem& files) {
              prepare(files);
              CHECK(Say(files.SyncDirectory("a")) == "OK");
            },
            Paths) == Seen{"/b/x", "/b/x/b/z"});
}

TEST_CASE(
    "faulty file system: random writes: only what was not synced is old "
    "or new") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  std::mt19937_64 crash_random(random.Next());
  constexpr std::size_t kSize = 4096;
  FaultyFileSystem files;
  files.SetContents("x", std::string(kSize, 'a'));
  std::string content(kSize, 'a');
  for (int round = 0; round < 200; ++round) {
    std::vector<std::set<char>> possible(kSize);
    for (std::size_t i = 0; i < kSize; ++i) possible[i] = {content[i]};
    auto file = Open(files, "x", Mode::kModify);
    for (std::uint64_t step = random.Between(0, 12); step > 0; --step) {
      if (random.OneIn(6)) {
        REQUIRE(Say(file->Sync()) == "OK");
        for (std::size_t i = 0; i < kSize; ++i) possible[i] = {content[i]};
        continue;
      }
      const std::uint64_t offset = random.Between(0, kSize - 1);
      const std::string bytes = random.Text(random.Between(0, kSize - offset));
      REQUIRE(Say(file->Write(offset, bytes)) == "OK");
      content.replace(offset, bytes.size(), bytes);
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        possible[offset + i].insert(bytes[i]);
      }
    }
    REQUIRE(ReadAll(files, "x") == content);
    files.Crash(CrashMode::kPowerCut, crash_random);
    content = files.Contents("x");
    REQUIRE(content.size() == kSize);
    for (std::size_t i = 0; i < kSize; ++i) {
      INFO("round ", round, ", offset ", i);
      REQUIRE(possible[i].contains(content[i]));
    }
  }
}

TEST_CASE("faulty file system: the same seed gives the same crash") {
  const auto crash = [] {
    std::mt19937_64 random(7);
    FaultyFileSystem files;
    for (int i = 0; i < 10; ++i) {
      const std::string directory = fmt::format("{}", i);
      CHECK(Say(files.CreateDirectory(directory)) == "OK");
      Create(files, directory + "/x", std::string(10'000, 'x'));
    }
    files.Crash(CrashMode::kPowerCut, random);
    std::string all;
    for (const std::string& path : files.Files()) {
      all += path + files.Contents(path);
    }
    return all;
  };
  CHECK(crash() == crash());
}

TEST_CASE("faulty file system: files and locks do not survive a crash") {
  std::mt19937_64 random(1);
  FaultyFileSystem files;
  const auto file = Open(files, "x", Mode::kCreate);
  CHECK(Say(file->Write(0, "abc")) == "OK");
  absl::StatusOr<std::unique_ptr<FileLock>> lock = files.Lock("LOCK");
  files.Crash(CrashMode::kKillProcess, random);
  CHECK(files.open_files() == 0);
  char out = 0;
  CHECK(Say(file->Read(0, &out, 1)) == "INTERNAL: x: read: after the crash");
  CHECK(Say(file->Write(0, "x")) == "INTERNAL: x: write: after the crash");
  CHECK(Say(file->Sync()) == "INTERNAL: x: sync: after the crash");
  CHECK(Say(file->Truncate(0)) == "INTERNAL: x: truncate: after the crash");
  CHECK(Say(file->Allocate(9)) == "INTERNAL: x: allocate: after the crash");
  CHECK(Say(file->Size()) == "INTERNAL: x: size: after the crash");
  CHECK(files.Contents("x") == "abc");

  const auto relocked = files.Lock("LOCK");
  CHECK(Say(relocked) == "OK");
  lock->reset();
  CHECK(files.Lock("LOCK").status().code() ==
        absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("faulty file system: once stopped, nothing changes until the crash") {
  std::mt19937_64 random(1);
  FaultyFileSystem files;
  Create(files, "x", "abc");
  files.Stop();
  CHECK(Say(files.Open("x", Mode::kCreate)) ==
        "INTERNAL: x: open: after the crash");
  CHECK(Say(files.CreateDirectory("d")) ==
        "INTERNAL: d: create directory: after the crash");
  CHECK(Say(files.List("/")) == "INTERNAL: /: list: after the crash");
  CHECK(Say(files.Rename("x", "y")) == "INTERNAL: x: rename: after the crash");
  CHECK(Say(files.Remove("x")) == "INTERNAL: x: remove: after the crash");
  CHECK(Say(files.SyncDirectory("/")) ==
        "INTERNAL: /: sync directory: after the crash");
  CHECK(Say(files.Lock("x")) == "INTERNAL: x: lock: after the crash");
  files.Crash(CrashMode::kKillProcess, random);
  CHECK(ReadAll(files, "x") == "abc");
  CHECK(Paths(files) == "/x");
}

TEST_CASE("faulty file system: every operation can fail, and does nothing") {
  FaultyFileSystem files;
  const auto file = Open(files, "x", Mode::kCreate);
  CHECK(Say(file->Write(0, "abc")) == "OK");
  std::vector<Operation> operations;
  files.SetFault([&](Operation operation, const std::string& path) {
    operations.push_back(operation);
    return absl::InternalError("fault at " + path);
  });
  char out = 0;
  CHECK(Say(files.Open("x", Mode::kCreate)) == "INTERNAL: fault at x");
  CHECK(Say(file->Read(0, &out, 1)) == "INTERNAL: fault at x");
  CHECK(Say(file->Write(0, "x")) == "INTERNAL: fault at x");
  CHECK(Say(file->Sync()) == "INTERNAL: fault at x");
  CHECK(Say(file->Truncate(0)) == "INTERNAL: fault at x");
  CHECK(Say(file->Allocate(9)) == "INTERNAL: fault at x");
  CHECK(Say(files.Rename("x", "y")) == "INTERNAL: fault at x");
  CHECK(Say(files.Remove("x")) == "INTERNAL: fault at x");
  CHECK(Say(files.CreateDirectory("d")) == "INTERNAL: fault at d");
  CHECK(Say(files.SyncDirectory("/")) == "INTERNAL: fault at /");
  CHECK(Say(files.List("/")) == "INTERNAL: fault at /");
  CHECK(Say(files.Lock("z")) == "INTERNAL: fault at z");
  files.SetFault(nullptr);
  CHECK(operations ==
        std::vector{
            Operation::kOpen, Operation::kRead, Operation::kWrite,
            Operation::kSync, Operation::kTruncate, Operation::kAllocate,
            Operation::kRename, Operation::kRemove, Operation::kCreateDirectory,
            Operation::kSyncDirectory, Operation::kList, Operation::kLock});
  CHECK(Sorted(files.List("/")) == Names{"x"});
  CHECK(ReadAll(files, "x") == "abc");
  CHECK(files.syncs() == 0);
  CHECK(files.directory_syncs() == 0);
}

TEST_CASE("faulty file system: a failed sync forgets what it had to sync") {
  CHECK(Outcomes(
            [](FaultyFileSystem& files) {
              files.SetContents("x", "aaaa");
              const auto file = Open(files, "x", Mode::kModify);
              CHECK(Say(file->Write(1, "b")) == "OK");
              files.SetFault([](Operation, const std::string&) {
                return absl::InternalError("fault");
              });
              CHECK(Say(file->Sync()) == "INTERNAL: fault");
              files.SetFault(nullptr);
              CHECK(Say(file->Write(2, "c")) == "OK");
              CHECK(Say(file->Sync()) == "OK");
              CHECK(ReadAll(files, "x") == "abca");
            },
            [](FaultyFileSystem& files) { return files.Contents("x"); }) ==
        Seen{"aaca"});
}

TEST_CASE("faulty file system: a failed write may write a part") {
  Seen seen;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    FaultyFileSystem files;
    files.SetShortWrites(seed);
    const auto file = Open(files, "x", Mode::kCreate);
    files.SetFault([](Operation, const std::string&) {
      return absl::InternalError("fault");
    });
    CHECK(Say(file->Write(0, "abc")) == "INTERNAL: fault");
    seen.insert(files.Contents("x"));
  }
  CHECK(seen == Seen{"", "a", "ab", "abc"});
}

TEST_CASE("faulty file system: a fault can be the crash itself") {
  std::mt19937_64 random(1);
  FaultyFileSystem files;
  const auto file = Open(files, "x", Mode::kCreate);
  files.SetFault([&](Operation operation, const std::string&) {
    if (operation == Operation::kWrite) files.Stop();
    if (operation == Operation::kRemove) {
      files.Crash(CrashMode::kKillProcess, random);
    }
    return absl::OkStatus();
  });
  CHECK(Say(files.Remove("x")) == "INTERNAL: x: remove: after the crash");
  const auto reopened = Open(files, "x", Mode::kModify);
  CHECK(Say(reopened->Write(0, "abc")) ==
        "INTERNAL: x: write: after the crash");
  CHECK(files.Contents("x").empty());
}

TEST_CASE("faulty file system: a full disk takes what fits") {
  FaultyFileSystem files;
  files.SetContents("y", "12345");
  files.SetCapacity(10);
  const auto file = Open(files, "x", Mode::kCreate);
  CHECK(Say(file->Write(0, "abc")) == "OK");
  CHECK(Say(file->Write(2, "CDEFG")) ==
        "RESOURCE_EXHAUSTED: x: write: No space left on device");
  CHECK(files.Contents("x") == "abCDE");
  CHECK(Say(file->Write(0, "ABCDE")) == "OK");
  CHECK(Say(file->Truncate(6)) ==
        "RESOURCE_EXHAUSTED: x: truncate: No space left on device");
  CHECK(Say(file->Allocate(6)) ==
        "RESOURCE_EXHAUSTED: x: allocate: No space left on device");
  CHECK(Say(files.Remove("y")) == "OK");
  CHECK(Say(file->Allocate(10)) == "OK");
  CHECK(Say(files.Lock("LOCK")) ==
        "RESOURCE_EXHAUSTED: LOCK: write: No space left on device");
}

TEST_CASE("faulty file system: tests set and see contents") {
  FaultyFileSystem files;
  files.SetContents("d/e/x", "abc");
  files.SetContents("y", "123");
  CHECK(files.Files() == Names{"/d/e/x", "/y"});
  CHECK_THROWS_AS(files.Contents("z"), std::invalid_argument);
  CHECK_THROWS_AS(files.Contents("d"), std::invalid_argument);

  const auto file = Open(files, "y", Mode::kRead);
  files.SetContents("y", "45");
  CHECK(file->Size().value() == 2);
  std::mt19937_64 random(1);
  files.Crash(CrashMode::kPowerCut, random);
  CHECK(files.Contents("d/e/x") == "abc");
  CHECK(files.Contents("y") == "45");
}

TEST_CASE("faulty file system: open files and syncs are counted") {
  FaultyFileSystem files;
  {
    const auto x = Open(files, "x", Mode::kCreate);
    const auto y = Open(files, "y", Mode::kCreate);
    CHECK(files.open_files() == 2);
    CHECK(Say(x->Sync()) == "OK");
    CHECK(Say(y->Sync()) == "OK");
  }
  CHECK(Say(files.SyncDirectory("/")) == "OK");
  const auto x = Open(files, "x", Mode::kRead);
  CHECK(files.open_files() == 1);
  CHECK(files.max_open_files() == 2);
  CHECK(files.syncs() == 2);
  CHECK(files.directory_syncs() == 1);
}

}  // namespace
}  // namespace messenger::file_system_test

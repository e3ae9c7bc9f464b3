// What is no file, in the place of every file of a log: nothing else is read,
// changed or removed, and nothing waits for ever.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "log/durable/checkpoint.h"
#include "log/durable/durable_log.h"
#include "log/durable/file_system.h"
#include "log/durable/file_util.h"
#include "log/durable/journal.h"
#include "log/durable/segment_format.h"
#include "log/tools/dump.h"
#include "log/tools/repair.h"
#include "log/tools/survey.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/temporary_directory.h"

namespace messenger::hostile_files_test {
namespace {

namespace fs = std::filesystem;
using namespace test;  // NOLINT(google-build-using-namespace)
using Mode = FileSystem::Mode;

constexpr std::string_view kPrecious = "precious";
constexpr uid_t kSomebody = 12345;

std::string Say(const absl::Status& status) {
  if (status.ok()) return "OK";
  return fmt::format("{}: {}", absl::StatusCodeToString(status.code()),
                     MessageOf(status));
}
template <typename T>
std::string Say(const absl::StatusOr<T>& result) {
  return Say(result.status());
}

void Write(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}
std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void BindSocket(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&address),
               sizeof address) == 0);
  close(fd);
}

// A directory "log", and beside it what it must not touch.
class Place {
 public:
  Place() {
    fs::create_directory(log());
    fs::create_directory(Outside("directory"));
    Write(Outside("file"), kPrecious);
    Write(Outside("directory/file"), kPrecious);
  }

  std::string log() const { return directory_.path() + "/log"; }
  std::string In(std::string_view name) const {
    return fmt::format("{}/{}", log(), name);
  }
  std::string Outside(std::string_view name) const {
    return fmt::format("{}/{}", directory_.path(), name);
  }

  bool untouched() const {
    return Contents(Outside("file")) == kPrecious &&
           Contents(Outside("directory/file")) == kPrecious &&
           std::distance(fs::directory_iterator(Outside("directory")), {}) == 1;
  }

  // Puts something there, instead of what is there.
  void Put(std::string_view what, const std::string& path) const {
    fs::remove_all(path);
    if (what == "link to a file") {
      fs::create_symlink(Outside("file"), path);
    } else if (what == "link to a directory") {
      fs::create_directory_symlink(Outside("directory"), path);
    } else if (what == "link to nothing") {
      fs::create_symlink(Outside("nothing"), path);
    } else if (what == "link to a device") {
      fs::create_symlink("/dev/zero", path);
    } else if (what == "hard link") {
      fs::create_hard_link(Outside("file"), path);
    } else if (what == "socket") {
      BindSocket(path);
    } else if (what == "FIFO") {
      REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    } else {
      FAIL(what);
    }
  }

 private:
  const TemporaryDirectory directory_;
};

const std::vector<std::string> kNoFiles = {
    "link to a file",  "link to a directory",
    "link to nothing", "link to a device",
    "socket",          "FIFO"};

// ---------------------------------------------------------------------------
// The file system

TEST_CASE("hostile files: what is no file is not opened") {
  const auto files = FileSystem::Posix();
  for (const std::string& what : kNoFiles) {
    CAPTURE(what);
    const Place place;
    const std::string x = place.In("x");
    place.Put(what, x);
    for (const Mode mode : {Mode::kRead, Mode::kModify}) {
      const std::string kind =
          what.starts_with("link") ? "symbolic link" : what;
      const std::string said = Say(files->Open(x, mode));
      CHECK(said.starts_with(
          fmt::format("DATA_LOSS: {}: open: is a {}, wh", x, kind)));
    }
    CHECK(Say(files->Lock(x)).starts_with("DATA_LOSS: "));
    CHECK(Say(files->LockToRead(x)).starts_with("DATA_LOSS: "));
    CHECK(fs::symlink_status(x).type() != fs::file_type::not_found);
    CHECK(place.untouched());
  }
  CHECK(Say(files->Open("/dev/full", Mode::kModify)) ==
        "DATA_LOSS: /dev/full: open: is a device, where a log has a file");
}

TEST_CASE("hostile files: a new file is written to through nothing") {
  const auto files = FileSystem::Posix();
  std::vector<std::string> all = kNoFiles;
  all.emplace_back("hard link");
  for (const std::string& what : all) {
    CAPTURE(what);
    const Place place;
    const std::string x = place.In("x");
    place.Put(what, x);
    {
      const auto file = files->Open(x, Mode::kCreate);
      REQUIRE(Say(file) == "OK");
      CHECK(Say((*file)->Write(0, "new")) == "OK");
    }
    CHECK(Contents(x) == "new");
    CHECK(fs::is_regular_file(fs::symlink_status(x)));
    place.Put(what, x);
    CHECK(Say(ReplaceFile(*files, place.log(), "y", "new")) == "OK");
    CHECK(Say(files->Rename(place.In("y"), x)) == "OK");
    CHECK(Contents(x) == "new");
    place.Put(what, x);
    CHECK(Say(files->Remove(x)) == "OK");
    CHECK(place.untouched());
    CHECK(!fs::exists(place.Outside("nothing")));
  }
}

TEST_CASE("hostile files: a file with another name is read, not changed") {
  const auto files = FileSystem::Posix();
  const Place place;
  const std::string x = place.In("x");
  place.Put("hard link", x);
  CHECK(Say(files->Open(x, Mode::kRead)) == "OK");
  CHECK(Say(files->Open(x, Mode::kModify)) ==
        fmt::format("DATA_LOSS: {}: open: has 2 names (hard links), and "
                    "writing to it would change the others: put a copy of it "
                    "in its place",
                    x));
  CHECK(Say(files->Lock(x)).starts_with("DATA_LOSS: "));
  CHECK(place.untouched());
}

TEST_CASE("hostile files: a lock is not taken of what was not written for it") {
  const auto files = FileSystem::Posix();
  const Place place;
  const std::string lock = place.In("LOCK");
  for (const std::string& content :
       {std::string("precious"), std::string("12 monkeys"),
        std::string(1000, '1')}) {
    Write(lock, content);
    CHECK(Say(files->Lock(lock)) ==
          fmt::format("DATA_LOSS: {}: lock: holds something else than the id "
                      "of a process",
                      lock));
    CHECK(Contents(lock) == content);
  }
  // What a power cut may have left.
  Write(lock, std::string_view("12\n\0\0\0", 6));
  CHECK(Say(files->Lock(lock)) == "OK");
  CHECK(Contents(lock) == fmt::format("{}\n", getpid()));
}

TEST_CASE("hostile files: below a log, no directory is a link") {
  for (const std::string what :
       {"link to a directory", "link to nothing", "FIFO", "socket"}) {
    CAPTURE(what);
    const auto files = FileSystem::Posix();
    const Place place;
    const auto lock = files->Lock(place.In("LOCK"));
    REQUIRE(Say(lock) == "OK");
    fs::create_directory(place.In("d"));
    Write(place.In("mine"), "mine");
    for (const std::string name : {"link", "d/link"}) {
      const std::string link = place.In(name);
      place.Put(what, link);
      const std::string refused = fmt::format("DATA_LOSS: {}: ", link);
      CHECK(Say(files->List(link)).starts_with(refused));
      CHECK(Say(files->CreateDirectory(link)).starts_with(refused));
      CHECK(Say(files->SyncDirectory(link)).starts_with(refused));
      CHECK(Say(files->CreateDirectory(link + "/new")).starts_with(refused));
      CHECK(Say(files->Open(link + "/file", Mode::kRead)).starts_with(refused));
      CHECK(
          Say(files->Open(link + "/new", Mode::kCreate)).starts_with(refused));
      CHECK(Say(files->Remove(link + "/file")).starts_with(refused));
      CHECK(Say(files->Rename(place.In("mine"), link + "/file"))
                .starts_with(refused));
      CHECK(Say(files->Rename(link + "/file", place.In("mine")))
                .starts_with(refused));
      CHECK(place.untouched());
    }
    CHECK(Contents(place.In("mine")) == "mine");
  }
}

TEST_CASE("hostile files: the log's directory may be a link, and stays it") {
  const auto files = FileSystem::Posix();
  const Place place;
  const std::string link = place.Outside("link");
  fs::create_directory_symlink("log", link);
  CHECK(Say(files->CreateDirectory(link)) == "OK");
  auto lock = files->Lock(link + "/LOCK");
  REQUIRE(Say(lock) == "OK");
  // Whoever leads it elsewhere leads nothing there.
  fs::remove(link);
  fs::create_directory_symlink(place.Outside("directory"), link);
  CHECK(Say(files->CreateDirectory(link)) == "OK");
  CHECK(Say(files->CreateDirectory(link + "/d")) == "OK");
  CHECK(Say(files->Open(link + "/d/x", Mode::kCreate)) == "OK");
  CHECK(Say(files->SyncDirectory(link)) == "OK");
  auto names = files->List(link);
  REQUIRE(Say(names) == "OK");
  std::sort(names->begin(), names->end());
  CHECK(*names == std::vector<std::string>{"LOCK", "d"});
  CHECK(fs::exists(place.In("d/x")));
  CHECK(place.untouched());
  *lock = nullptr;
  names = files->List(link);
  REQUIRE(Say(names) == "OK");
  CHECK(*names == std::vector<std::string>{"file"});
}

TEST_CASE("hostile files: what belongs to somebody else is not changed" *
          doctest::skip(geteuid() != 0)) {
  const auto files = FileSystem::Posix();
  const Place place;
  const std::string x = place.In("x");
  const auto give = [](const std::string& path, uid_t to) {
    REQUIRE(chown(path.c_str(), to, static_cast<gid_t>(-1)) == 0);
  };
  Write(x, kPrecious);
  give(x, kSomebody);
  fs::create_directory(place.In("d"));
  give(place.In("d"), kSomebody);
  Write(place.In("LOCK"), "");
  give(place.In("LOCK"), kSomebody);
  CHECK(Say(files->Lock(place.In("LOCK"))).starts_with("DATA_LOSS: "));
  give(place.In("LOCK"), 0);
  {
    const auto lock = files->Lock(place.In("LOCK"));
    REQUIRE(Say(lock) == "OK");
    CHECK(Say(files->Open(x, Mode::kRead)) == "OK");
    const std::string refused = fmt::format(
        "DATA_LOSS: {}: open: belongs to user {}, who is neither "
        "the one that runs this (0) nor the owner of the log's "
        "directory",
        x, kSomebody);
    CHECK(Say(files->Open(x, Mode::kModify)) == refused);
    CHECK(Say(files->Open(x, Mode::kCreate)) == refused);
    CHECK(Contents(x) == kPrecious);
    CHECK(
        Say(files->CreateDirectory(place.In("d"))).starts_with("DATA_LOSS: "));
  }
  // A repair that root runs in the directory of the server's user.
  give(place.log(), kSomebody);
  const auto lock = files->Lock(place.In("LOCK"));
  REQUIRE(Say(lock) == "OK");
  CHECK(Say(files->Open(x, Mode::kModify)) == "OK");
  CHECK(Say(files->CreateDirectory(place.In("d"))) == "OK");
}

TEST_CASE("hostile files: no file is read that is larger than any of a log") {
  const Place place;
  const auto files = FileSystem::Posix();
  constexpr std::uintmax_t kHuge = std::uintmax_t{1} << 40;
  Write(place.In("x"), "x");
  fs::resize_file(place.In("x"), kHuge);
  CHECK(Say(ReadFile(*files, place.In("x"))) ==
        fmt::format("DATA_LOSS: {}: has {} bytes, and no such file of a log "
                    "has more than {}",
                    place.In("x"), kHuge, kMaxReadFile));
  CHECK(Say(ReadFile(*files, place.In("x"), 1)).starts_with("DATA_LOSS: "));
}

// ---------------------------------------------------------------------------
// The log

// As a server opens it.
absl::StatusOr<std::shared_ptr<DurableLog>> OpenLogIn(
    const Place& place, std::vector<std::string>* notices = nullptr) {
  return DurableLog::Open(place.log(),
                          {.on_notice =
                               [notices](std::string_view notice) {
                                 if (notices == nullptr) return;
                                 notices->emplace_back(notice);
                               }},
                          {});
}

// With a segment, and closed.
void MakeLog(const Place& place) {
  const auto log = OpenLogIn(place);
  REQUIRE(Say(log) == "OK");
  MustAppend(**log, BatchOf("general", {std::string("hello")}));
}

std::string Segment(const Place& place) {
  return place.In("channels/general.channel/" + SegmentFileName(1));
}

std::string NewestJournal(const Place& place) {
  std::string newest;
  for (const auto& entry : fs::directory_iterator(place.In("journals"))) {
    newest = std::max(newest, entry.path().string());
  }
  return newest;
}

TEST_CASE("hostile files: a log with what is no file is not opened") {
  using PathOf = std::function<std::string(const Place&)>;
  const std::vector<PathOf> paths = {
      [](const Place& place) { return place.In("LOCK"); },
      [](const Place& place) { return place.In("checkpoint"); }, NewestJournal,
      [](const Place& place) {
        const std::string newest = NewestJournal(place);
        const auto number =
            ParseJournalFileName(fs::path(newest).filename().string());
        return place.In("journals/" + JournalFileName(*number + 1));
      },
      [](const Place& place) { return place.In("journals"); }};
  for (const PathOf& path_of : paths) {
    for (const std::string& what : kNoFiles) {
      const Place place;
      MakeLog(place);
      const std::string path = path_of(place);
      CAPTURE(path);
      CAPTURE(what);
      place.Put(what, path);
      const std::string refused = fmt::format("DATA_LOSS: {}: ", path);
      const auto log = OpenLogIn(place);
      CHECK(Say(log).starts_with(refused));
      const LogToolContext context = {.directory = place.log()};
      CHECK(Say(Verify(context, {})).starts_with(refused));
      CHECK(Say(Inspect(context, {})).starts_with(refused));
      CHECK(Say(Repair(context, {})).starts_with(refused));
      CHECK(place.untouched());
      CHECK(fs::symlink_status(path).type() != fs::file_type::not_found);
    }
  }
}

TEST_CASE("hostile files: a hard link in the next journal's place is not cut") {
  const Place place;
  MakeLog(place);
  const std::string newest = NewestJournal(place);
  const auto number =
      ParseJournalFileName(fs::path(newest).filename().string());
  place.Put("hard link", place.In("journals/" + JournalFileName(*number + 1)));
  CHECK(Say(OpenLogIn(place)).starts_with("DATA_LOSS: "));
  CHECK(place.untouched());
}

TEST_CASE("hostile files: a segment that is no file is lost to its readers") {
  for (const std::string& what : kNoFiles) {
    CAPTURE(what);
    const Place place;
    MakeLog(place);
    place.Put(what, Segment(place));
    {
      const auto log = OpenLogIn(place);
      REQUIRE(Say(log) == "OK");
      const auto reader = (*log)->OpenReader("general", Start::At(1), {});
      CHECK(Say(TryRead(*reader)).starts_with("DATA_LOSS: "));
      // What comes next goes to another segment.
      MustAppend(**log, BatchOf("general", {std::string("more")}));
    }
    CHECK(
        fs::exists(place.In("channels/general.channel/" + SegmentFileName(2))));
    CHECK(place.untouched());
    const auto log = OpenLogIn(place);
    REQUIRE(Say(log) == "OK");
    const auto reader = (*log)->OpenReader("general", Start::At(2), {});
    CHECK(MessagesIn(test::Read(*reader))[0].text == "more");
  }
}

TEST_CASE("hostile files: an index that is no file is done without") {
  for (const std::string& what : kNoFiles) {
    CAPTURE(what);
    const Place place;
    MakeLog(place);
    place.Put(what, place.In("channels/general.channel/" + IndexFileName(1)));
    const auto log = OpenLogIn(place);
    REQUIRE(Say(log) == "OK");
    const auto reader = (*log)->OpenReader("general", Start::At(1), {});
    CHECK(MessagesIn(test::Read(*reader))[0].text == "hello");
    CHECK(place.untouched());
  }
}

TEST_CASE("hostile files: an index of any size is read as far as it counts") {
  const Place place;
  MakeLog(place);
  constexpr std::uintmax_t kHuge = std::uintmax_t{1} << 40;
  const std::string index =
      place.In("channels/general.channel/" + IndexFileName(1));
  fs::resize_file(index, kHuge);
  {
    const LogToolContext context = {.directory = place.log()};
    CHECK(Verify(context, {}).value().damages == 0);
    const auto log = OpenLogIn(place);
    REQUIRE(Say(log) == "OK");
    const auto reader = (*log)->OpenReader("general", Start::At(1), {});
    CHECK(MessagesIn(test::Read(*reader))[0].text == "hello");
    MustAppend(**log, BatchOf("general", {std::string("more")}));
  }
  // It was appended to the segment.
  CHECK(fs::file_size(index) < kHuge);
}

TEST_CASE("hostile files: checkpoints go through nothing in their way") {
  std::vector<std::string> all = kNoFiles;
  all.emplace_back("hard link");
  for (const std::string& what : all) {
    CAPTURE(what);
    const Place place;
    MakeLog(place);
    place.Put(what, place.In("checkpoint.new"));
    place.Put(what, place.In("channels/other.channel"));
    fs::remove_all(place.In("channels/other.channel"));
    fs::create_directory(place.In("channels/other.channel"));
    place.Put(what, place.In("channels/other.channel/" + SegmentFileName(1)));
    {
      const auto log = OpenLogIn(place);
      REQUIRE(Say(log) == "OK");
      MustAppend(**log, BatchOf("other", {std::string("more")}));
    }
    CHECK(place.untouched());
    const LogToolContext context = {.directory = place.log()};
    const auto verified = Verify(context, {});
    REQUIRE(Say(verified) == "OK");
    CHECK(verified->damages == 0);
    CHECK(verified->summary.segments == 2);
  }
}

TEST_CASE("hostile files: a channel's directory that is a link gets nothing") {
  const Place place;
  MakeLog(place);
  const std::string link = place.In("channels/evil.channel");
  place.Put("link to a directory", link);
  {
    const auto log = OpenLogIn(place);
    REQUIRE(Say(log) == "OK");
    MustAppend(**log, BatchOf("evil", {std::string("m")}));
  }
  CHECK(place.untouched());
  fs::remove(link);
  // It is in a journal still.
  const auto log = OpenLogIn(place);
  REQUIRE(Say(log) == "OK");
  const auto reader = (*log)->OpenReader("evil", Start::At(1), {});
  CHECK(MessagesIn(test::Read(*reader))[0].text == "m");
}

TEST_CASE("hostile files: what is in a stranger's directory is left alone") {
  for (const std::string_view name : {"channels", "journals", "reserve"}) {
    CAPTURE(name);
    const Place place;
    Write(place.In(name), kPrecious);
    Write(place.In("notes"), kPrecious);
    CHECK(absl::IsFailedPrecondition(OpenLogIn(place).status()));
    CHECK(Contents(place.In(name)) == kPrecious);
    CHECK(Contents(place.In("notes")) == kPrecious);
  }
}

TEST_CASE("hostile files: what no checkpoint has left is never removed") {
  const Place place;
  MakeLog(place);
  const std::string directory = place.In("channels/general.channel/");
  place.Put("FIFO", directory + SegmentFileName(5));
  place.Put("FIFO", directory + "zz");
  place.Put("link to a file", directory + SegmentFileName(6));
  fs::create_directory(directory + SegmentFileName(7));
  Write(directory + SegmentFileName(8), "left of a checkpoint");
  std::vector<std::string> notices;
  {
    const auto log = OpenLogIn(place, &notices);
    REQUIRE(Say(log) == "OK");
    MustAppend(**log, BatchOf("general", {std::string("more")}));
  }
  for (const std::uint64_t first : {5U, 6U, 7U}) {
    CHECK(fs::symlink_status(directory + SegmentFileName(first)).type() !=
          fs::file_type::not_found);
    CHECK(std::count(notices.begin(), notices.end(),
                     fmt::format("{}{}: is no file of this log; left alone",
                                 directory, SegmentFileName(first))) == 1);
  }
  CHECK(fs::exists(directory + "zz"));
  CHECK(!fs::exists(directory + SegmentFileName(8)));
  CHECK(place.untouched());
}

TEST_CASE("hostile files: a checkpoint of any size is refused at once") {
  const Place place;
  MakeLog(place);
  const std::string checkpoint = place.In("checkpoint");
  const std::string before = Contents(checkpoint);
  constexpr std::uintmax_t kHuge = std::uintmax_t{1} << 40;
  fs::resize_file(checkpoint, kHuge);
  CHECK(Say(OpenLogIn(place)) ==
        fmt::format("DATA_LOSS: {}: is not as large as its header says",
                    checkpoint));
  // And if it says so.
  std::string header = before.substr(0, 32);
  const std::uint64_t body = kHuge - header.size();
  std::copy_n(reinterpret_cast<const char*>(&body), sizeof body, &header[16]);
  Write(checkpoint, header);
  fs::resize_file(checkpoint, kHuge);
  CHECK(Say(OpenLogIn(place)).starts_with("DATA_LOSS: "));
  Write(checkpoint, "");
  fs::resize_file(checkpoint, kHuge);
  CHECK(Say(OpenLogIn(place)) ==
        fmt::format("DATA_LOSS: {}: is not a checkpoint", checkpoint));
}

// ---------------------------------------------------------------------------
// Logs that cannot be written

// This thread is nobody, to the file system.
class Nobody {
 public:
  Nobody() { setfsuid(kSomebody); }
  ~Nobody() { setfsuid(geteuid()); }
  Nobody(const Nobody&) = delete;
  Nobody& operator=(const Nobody&) = delete;
};

void ForbidWriting(const std::string& directory) {
  using fs::perms;
  fs::permissions(fs::path(directory).parent_path(), perms(0755));
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    fs::permissions(entry.path(),
                    entry.is_directory() ? perms(0555) : perms(0444));
  }
  fs::permissions(directory, perms(0555));
}

void AllowWriting(const std::string& directory) {
  fs::permissions(directory, fs::perms(0755));
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_directory()) {
      fs::permissions(entry.path(), fs::perms(0755));
    }
  }
}

std::vector<std::string> Listing(const std::string& directory) {
  std::vector<std::string> all;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    all.push_back(
        entry.path().string() + "=" +
        (entry.is_regular_file() ? Contents(entry.path().string()) : ""));
  }
  std::sort(all.begin(), all.end());
  return all;
}

TEST_CASE("hostile files: verify and dump read what they may not write") {
  for (const bool has_lock : {true, false}) {
    CAPTURE(has_lock);
    const Place place;
    MakeLog(place);
    if (!has_lock) fs::remove(place.In("LOCK"));
    ForbidWriting(place.log());
    const std::vector<std::string> before = Listing(place.log());
    std::vector<std::string> findings;
    const LogToolContext context = {.directory = place.log()};
    const LogToolOptions options = {
        .on_finding = [&](const LogFinding& finding) {
          findings.push_back(finding.file + ": " + finding.what);
        }};
    {
      const Nobody nobody;
      const auto verified = Verify(context, options);
      REQUIRE(Say(verified) == "OK");
      CHECK(verified->damages == 0);
      CHECK(verified->notices == (has_lock ? 0 : 1));
      CHECK(verified->summary.messages == 1);
      CHECK(findings ==
            (has_lock ? std::vector<std::string>{}
                      : std::vector<std::string>{
                            "LOCK: is missing and cannot be created: nothing "
                            "keeps a server from writing to the log "
                            "meanwhile"}));
      CHECK(Say(Inspect(context, {})) == "OK");
      std::size_t messages = 0;
      CHECK(Say(ReadStored(context, {.channel = "general"},
                           [&](const Message& /*message*/) { ++messages; },
                           {})) == "OK");
      CHECK(messages == 1);
      CHECK(!Repair(context, {}).ok());
      CHECK(!OpenLogIn(place).ok());
    }
    CHECK(Listing(place.log()) == before);
    AllowWriting(place.log());
  }
}

TEST_CASE("hostile files: who only reads keeps who writes out, not others") {
  const Place place;
  MakeLog(place);
  ForbidWriting(place.log());
  const std::string lock = place.In("LOCK");
  const auto files = FileSystem::Posix();
  {
    const Nobody nobody;
    const auto one = files->LockToRead(lock);
    CHECK(Say(one) == "OK");
    CHECK((*one)->held());
    CHECK(Say(files->LockToRead(lock)) == "OK");
  }
  absl::StatusOr<std::unique_ptr<FileLock>> reads = nullptr;
  {
    const Nobody nobody;
    reads = files->LockToRead(lock);
  }
  fs::permissions(lock, fs::perms(0644));
  CHECK(absl::IsFailedPrecondition(files->Lock(lock).status()));
  *reads = nullptr;
  const auto writes = files->Lock(lock);
  CHECK(Say(writes) == "OK");
  {
    const Nobody nobody;
    CHECK(Say(files->LockToRead(lock)) ==
          fmt::format("FAILED_PRECONDITION: {}: is locked by process {}", lock,
                      getpid()));
  }
  AllowWriting(place.log());
}

}  // namespace
}  // namespace messenger::hostile_files_test

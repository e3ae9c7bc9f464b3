// Channels whose names differ by case alone, file systems that ignore it, and
// logs of version 1, whose directories are called like the channels.
#include "log/durable/old_directories.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "log/durable/channel_directory.h"
#include "log/durable/checkpoint.h"
#include "log/durable/disk_coding.h"
#include "log/durable/durable_log.h"
#include "log/durable/segment_format.h"
#include "log/tools/dump.h"
#include "log/tools/repair.h"
#include "log/tools/survey.h"
#include "support/disk_image.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "support/seed.h"
#include "unit/log/durable/folding_file_system.h"

namespace messenger::old_directories_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using CrashMode = FaultyFileSystem::CrashMode;
using Operation = FaultyFileSystem::Operation;
using Texts = std::vector<std::string>;
using History = std::map<std::string, Texts>;

constexpr std::size_t kCheckpointHeaderSize = 32;

void Require(const absl::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

class Log {
 public:
  explicit Log(std::shared_ptr<FileSystem> files,
               std::chrono::hours later = {}) {
    clock_.Advance(later);
    auto log = DurableLog::Open(
        "/log",
        {.retention = {.max_age = std::chrono::hours(8)},
         .on_notice =
             [notices = notices_](std::string_view notice) {
               notices->emplace_back(notice);
             }},
        {.clock = {.now = [this] { return clock_.now(); },
                   .steady_now = [this] { return clock_.steady_now(); }},
         .files = std::move(files)});
    Require(log.status());
    log_ = *std::move(log);
  }

  void Send(const std::string& channel, const Texts& texts) {
    MustAppend(*log_, BatchOf(channel, texts));
  }
  Texts Read(const std::string& channel) {
    return ReadToHead(*log_->OpenReader(channel, Start::At(1), {})).texts();
  }
  // Before it is closed, and while nothing is going on.
  const Texts& notices() const { return *notices_; }

 private:
  FakeClock clock_;
  std::shared_ptr<Texts> notices_ = std::make_shared<Texts>();
  std::shared_ptr<DurableLog> log_;
};

History ReadAll(const std::shared_ptr<FileSystem>& files,
                const History& expected) {
  Log log(files);
  History read;
  for (const auto& [channel, texts] : expected) {
    read[channel] = log.Read(channel);
  }
  return read;
}

const History& TheHistory() {
  static const History history = {
      {"orders", {"a", "b", "c"}}, {"ORDERS", {"1", "2"}},
      {"Orders", {"x"}},           {"con", {"k"}},
      {"plain", {"p", "q"}},       {std::string(128, 'Q'), {"long"}}};
  return history;
}

// Each opening is so late that it begins another segment of each channel.
void Fill(const std::shared_ptr<FileSystem>& files, const History& history) {
  for (std::size_t i = 0; i < 3; ++i) {
    Log log(files, std::chrono::hours(2 * i));
    for (const auto& [channel, texts] : history) {
      if (i < texts.size()) log.Send(channel, {texts[i]});
    }
  }
}

std::string WithVersion(std::string checkpoint, std::uint32_t version) {
  PutLittleEndian<std::uint32_t>(&checkpoint[8], version);
  const std::string_view all(checkpoint);
  PutLittleEndian<std::uint64_t>(
      &checkpoint[24],
      SeededChecksum(0, all.substr(0, 24), all.substr(kCheckpointHeaderSize)));
  return checkpoint;
}

std::string OldPath(const std::string& path) {
  constexpr std::string_view kChannels = "/log/channels/";
  if (!path.starts_with(kChannels)) return path;
  const std::size_t begin = kChannels.size();
  const std::size_t size = path.find('/', begin) - begin;
  const auto parsed = ParseChannelDirectoryName(path.substr(begin, size));
  return std::string(kChannels) + OldChannelDirectoryName(parsed->channel) +
         path.substr(begin + size);
}

// As a server of version 1 has left it.
Image OldImage(const Image& image) {
  Image old;
  for (const auto& [path, bytes] : image) old[OldPath(path)] = bytes;
  old["/log/checkpoint"] = WithVersion(old.at("/log/checkpoint"), 1);
  return old;
}

const Image& TheImage() {
  static const Image image = [] {
    const auto files = std::make_shared<FaultyFileSystem>();
    Fill(files, TheHistory());
    return ImageOf(*files);
  }();
  return image;
}

std::set<std::string> DirectoriesOf(const FaultyFileSystem& files) {
  std::set<std::string> names;
  constexpr std::string_view kChannels = "/log/channels/";
  for (const std::string& path : files.Files()) {
    if (!path.starts_with(kChannels)) continue;
    const std::string rest = path.substr(kChannels.size());
    names.insert(rest.substr(0, rest.find('/')));
  }
  return names;
}

std::set<std::string> DirectoriesOfToday() {
  std::set<std::string> names;
  for (const auto& [channel, texts] : TheHistory()) {
    names.insert(ChannelDirectoryName(channel));
  }
  return names;
}

LogToolContext ContextOf(std::shared_ptr<FileSystem> files) {
  static const FakeClock clock;
  return {.directory = "/log",
          .files = std::move(files),
          .clock = {.now = [] { return clock.now(); },
                    .steady_now = [] { return clock.steady_now(); }}};
}

struct Findings {
  std::uint64_t damages = 0;
  std::uint64_t messages = 0;
  std::vector<std::string> all;
};

Findings VerifyLog(const std::shared_ptr<FileSystem>& files) {
  Findings findings;
  const auto result =
      Verify(ContextOf(files), {.on_finding = [&](const LogFinding& finding) {
               findings.all.push_back(finding.file + ": " + finding.what);
             }});
  Require(result.status());
  findings.damages = result->damages;
  findings.messages = result->summary.messages;
  return findings;
}

Texts Dump(const std::shared_ptr<FileSystem>& files,
           const std::string& channel) {
  Texts texts;
  Require(ReadStored(
      ContextOf(files), {.channel = channel},
      [&](const Message& message) { texts.emplace_back(message.text); }, {}));
  return texts;
}

std::size_t CountOf(const History& history) {
  std::size_t count = 0;
  for (const auto& [channel, texts] : history) count += texts.size();
  return count;
}

std::string SegmentPath(std::string_view directory, std::uint64_t first) {
  return fmt::format("/log/channels/{}/{}", directory, SegmentFileName(first));
}

TEST_CASE("old directories: channels are apart where case is ignored") {
  const auto disk = std::make_shared<FaultyFileSystem>();
  const auto files = std::make_shared<FoldingFileSystem>(disk);
  Fill(files, TheHistory());
  CHECK(VerifyLog(files).damages == 0);
  CHECK(ReadAll(files, TheHistory()) == TheHistory());
  CHECK(DirectoriesOf(*disk) == DirectoriesOfToday());
}

TEST_CASE("old directories: opening a log of version 1 renames them") {
  const auto files = DiskWith(OldImage(TheImage()));
  REQUIRE(DirectoriesOf(*files) != DirectoriesOfToday());
  {
    Log log(files);
    for (const auto& [channel, texts] : TheHistory()) {
      CHECK(log.Read(channel) == texts);
    }
    REQUIRE(log.notices().size() == 1);
    CHECK(log.notices()[0] ==
          "/log/channels: 4 directories of channels got names without "
          "capitals");
  }
  CHECK(DirectoriesOf(*files) == DirectoriesOfToday());
  CHECK(VerifyLog(files).all.empty());
  CHECK(ReadAll(files, TheHistory()) == TheHistory());
}

TEST_CASE("old directories: a server of before does not open the log again") {
  // The first thing that changes is the checkpoint, and with it the version.
  const auto files = DiskWith(OldImage(TheImage()));
  files->SetFault([&](Operation operation, const std::string& path) {
    if (operation != Operation::kRename ||
        path.find("/channels/") == std::string::npos) {
      return absl::OkStatus();
    }
    CHECK(GetLittleEndian<std::uint32_t>(&files->Contents(
              "/log/checkpoint")[8]) == kBasicCheckpointVersion);
    return absl::InternalError("no renames");
  });
  CHECK_THROWS(Log(files));
  files->SetFault(nullptr);
  CHECK(ReadAll(files, TheHistory()) == TheHistory());
}

TEST_CASE("old directories: versions that nobody knows are refused") {
  for (const std::uint32_t version : {0U, kCheckpointVersion + 1}) {
    Image image = TheImage();
    image["/log/checkpoint"] = WithVersion(image["/log/checkpoint"], version);
    const auto log = DurableLog::Open("/log", {}, {.files = DiskWith(image)});
    CHECK(absl::IsFailedPrecondition(log.status()));
    CHECK(MessageOf(log.status()) ==
          fmt::format("/log/checkpoint: has format version {}; this program "
                      "knows versions 1 to 3",
                      version));
  }
}

TEST_CASE("old directories: verify and dump read both, and rename nothing") {
  const auto files = DiskWith(OldImage(TheImage()));
  const Image before = ImageOf(*files);
  const Findings found = VerifyLog(files);
  CHECK(found.damages == 0);
  CHECK(found.messages == CountOf(TheHistory()));
  CHECK(std::find(found.all.begin(), found.all.end(),
                  "channels/ORDERS.channel: is called as in a log of version "
                  "1; the server, or a repair, makes it "
                  "\"fc+orders.channel\"") != found.all.end());
  for (const auto& [channel, texts] : TheHistory()) {
    CHECK(Dump(files, channel) == texts);
  }
  const auto overview = Inspect(ContextOf(files), {});
  REQUIRE(overview.ok());
  CHECK(overview->channels[0].segments[0].file ==
        "channels/ORDERS.channel/00000000000000000001.segment");
  Image after = ImageOf(*files);
  after["/log/LOCK"] = before.at("/log/LOCK");
  CHECK(after == before);
}

TEST_CASE("old directories: a crash at any moment of renaming loses nothing") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  std::mt19937_64 random(TestSeed());
  const Image old = OldImage(TheImage());
  int moment = 0;
  for (bool finished = false; !finished; ++moment) {
    for (const CrashMode mode :
         {CrashMode::kKillProcess, CrashMode::kPowerCut}) {
      CAPTURE(moment);
      const auto files = DiskWith(old);
      int left = moment;
      bool stopped = false;
      files->SetFault([&](Operation operation, const std::string& /*path*/) {
        const bool changes = operation == Operation::kRename ||
                             operation == Operation::kSyncDirectory ||
                             operation == Operation::kWrite ||
                             operation == Operation::kSync;
        if (!changes || stopped || left-- > 0) return absl::OkStatus();
        stopped = true;
        files->Stop();
        return absl::InternalError("the crash");
      });
      try {
        Log log(files);
        finished = !stopped;
      } catch (const std::runtime_error&) {
      }
      files->SetFault(nullptr);
      files->Crash(mode, random);
      const Findings found = VerifyLog(files);
      CHECK(found.damages == 0);
      CHECK(found.messages == CountOf(TheHistory()));
      CHECK(ReadAll(files, TheHistory()) == TheHistory());
      CHECK(DirectoriesOf(*files) == DirectoriesOfToday());
    }
  }
  CHECK(moment > 10);
}

TEST_CASE("old directories: of two places, the one of today counts") {
  Image image = TheImage();
  // What an operator has brought back from an old copy: a segment that is in
  // both, one that is missing where it should be, and one of nobody.
  const std::string copied = image.at(SegmentPath("fc+orders.channel", 1));
  image[SegmentPath("ORDERS.channel", 1)] = "old";
  image[SegmentPath("ORDERS.channel", 2)] =
      image.at(SegmentPath("fc+orders.channel", 2));
  image.erase(SegmentPath("fc+orders.channel", 2));
  image[SegmentPath("ORDERS.channel", 99)] = copied;
  const auto files = DiskWith(image);
  CHECK(VerifyLog(files).damages == 0);
  CHECK(Dump(files, "ORDERS") == TheHistory().at("ORDERS"));
  {
    Log log(files);
    CHECK(log.Read("ORDERS") == TheHistory().at("ORDERS"));
    CHECK(std::find(log.notices().begin(), log.notices().end(),
                    "/log/channels/ORDERS.channel: is left of a log of version "
                    "1; what is in it is not needed") != log.notices().end());
  }
  CHECK(files->Contents(SegmentPath("fc+orders.channel", 1)) == copied);
  CHECK(files->Contents(SegmentPath("ORDERS.channel", 1)) == "old");
  CHECK(ReadAll(files, TheHistory()) == TheHistory());
}

// As a server of version 1 has left it where case is ignored, before anything
// was overwritten.
Image SharedImage(std::string_view shared) {
  Image image = OldImage(TheImage());
  for (const auto& [first, channel] :
       std::map<std::uint64_t, std::string>{{1, "orders"}, {2, "ORDERS"}}) {
    const std::string from = SegmentPath(channel + ".channel", first);
    std::string bytes = image.at(from);
    image[SegmentPath("shared", first)] = bytes;
  }
  const std::string third = image.at(SegmentPath("orders.channel", 3));
  std::erase_if(image, [](const auto& file) {
    const std::string& path = file.first;
    return path.find("/orders.") != std::string::npos ||
           path.find("/ORDERS.") != std::string::npos ||
           path.find("/Orders.") != std::string::npos;
  });
  for (const std::uint64_t first : {1U, 2U}) {
    image[SegmentPath(shared, first)] = image.at(SegmentPath("shared", first));
    image.erase(SegmentPath("shared", first));
  }
  image[SegmentPath(shared, 3)] = third;
  return image;
}

TEST_CASE("old directories: what channels shared is given to its channel") {
  for (const std::string shared :
       {"orders.channel", "ORDERS.channel", "Orders.channel"}) {
    CAPTURE(shared);
    const auto disk = DiskWith(SharedImage(shared));
    const auto files = std::make_shared<FoldingFileSystem>(disk);
    // Of "orders", 1 and 3 are there, of "ORDERS" 2; nothing of "Orders".
    CHECK(VerifyLog(files).messages == CountOf(TheHistory()) - 3);
    {
      Log log(files);
      CHECK(log.Read("plain") == TheHistory().at("plain"));
    }
    CHECK(disk->Contents(SegmentPath("orders.channel", 1)) ==
          TheImage().at(SegmentPath("orders.channel", 1)));
    CHECK(disk->Contents(SegmentPath("orders.channel", 3)) ==
          TheImage().at(SegmentPath("orders.channel", 3)));
    CHECK(disk->Contents(SegmentPath("fc+orders.channel", 2)) ==
          TheImage().at(SegmentPath("fc+orders.channel", 2)));
    const Findings found = VerifyLog(files);
    CHECK(found.messages == CountOf(TheHistory()) - 3);
    CHECK(found.damages == 3);
  }
}

TEST_CASE("old directories: a repair renames them, then repairs") {
  Image image = OldImage(TheImage());
  std::string& damaged = image.at(SegmentPath("ORDERS.channel", 2));
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  const auto files = DiskWith(image);
  const auto repair = Repair(ContextOf(files), {});
  REQUIRE(repair.ok());
  CHECK(repair->after.damages == 0);
  REQUIRE(repair->losses.size() == 1);
  CHECK(repair->losses[0].kept_in ==
        fmt::format("{}/channels/fc+orders.channel/{}", repair->kept_in,
                    SegmentFileName(2)));
  CHECK(VerifyLog(files).messages == CountOf(TheHistory()) - 1);
  History expected = TheHistory();
  expected["ORDERS"].pop_back();
  CHECK(ReadAll(files, expected) == expected);
}

TEST_CASE("old directories: a repair without a checkpoint finds both places") {
  Image image = OldImage(TheImage());
  // Renamed in part.
  image[SegmentPath("8+orders.channel", 1)] =
      image.at(SegmentPath("Orders.channel", 1));
  std::erase_if(image, [](const auto& file) {
    return file.first == "/log/checkpoint" ||
           file.first.find("/Orders.channel/") != std::string::npos;
  });
  const auto files = DiskWith(image);
  const auto repair = Repair(ContextOf(files), {});
  REQUIRE(repair.ok());
  CHECK(repair->after.damages == 0);
  CHECK(VerifyLog(files).all.size() == 1);  // what was kept
  CHECK(ReadAll(files, TheHistory()) == TheHistory());
  CHECK(DirectoriesOf(*files) == DirectoriesOfToday());
}

TEST_CASE("old directories: foreign files are never removed, and told of") {
  Image image = TheImage();
  const std::string directory = "/log/channels/plain.channel/";
  image[directory + "notes.txt"] = "of somebody";
  image[directory + "1.segment"] = "of somebody";
  image[directory + SegmentFileName(77) + ".bak"] = "of somebody";
  image[directory + SegmentFileName(77)] = "of a checkpoint";
  image[directory + IndexFileName(77)] = "of a checkpoint";
  image[directory + IndexFileName(1) + ".new"] = "of a repair";
  const auto files = DiskWith(image);
  {
    Log log(files);
    log.Send("plain", {"next"});
  }
  const std::vector<std::string> left = files->Files();
  const auto is_left = [&](const std::string& name) {
    return std::find(left.begin(), left.end(), directory + name) != left.end();
  };
  CHECK(is_left("notes.txt"));
  CHECK(is_left("1.segment"));
  CHECK(is_left(SegmentFileName(77) + ".bak"));
  CHECK(!is_left(SegmentFileName(77)));
  CHECK(!is_left(IndexFileName(77)));
  CHECK(!is_left(IndexFileName(1) + ".new"));
  const Findings found = VerifyLog(files);
  CHECK(std::count_if(
            found.all.begin(), found.all.end(), [](const std::string& finding) {
              return finding.ends_with(": is no file of this log; left alone");
            }) == 3);
}

}  // namespace
}  // namespace messenger::old_directories_test

#include "log/durable/old_directories.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "base/status.h"
#include "log/durable/layout.h"
#include "log/durable/segment_format.h"

namespace messenger {
namespace {

// What channels share whose names differ by case alone.
std::string KeyOf(std::string_view channel) {
  std::string key(channel);
  absl::AsciiStrToLower(&key);
  return key;
}

}  // namespace

ChannelDirectories::ChannelDirectories(FileSystem& files, std::string channels,
                                       const std::vector<std::string>& names)
    : files_(files), channels_(std::move(channels)) {
  for (const std::string& name : names) {
    auto parsed = ParseChannelDirectoryName(name);
    if (!parsed) continue;
    std::string lower = KeyOf(parsed->channel);
    entries_.emplace(std::move(lower),
                     Entry{.name = name,
                           .channel = std::move(parsed->channel),
                           .old = parsed->old});
  }
}

absl::StatusOr<ChannelDirectories> ChannelDirectories::List(
    FileSystem& files, const std::string& log) {
  std::string channels = ChannelsDirectory(log);
  auto names = files.List(channels);
  if (!names.ok() && !absl::IsNotFound(names.status())) return names.status();
  if (!names.ok()) names.emplace();
  std::sort(names->begin(), names->end());
  return ChannelDirectories(files, std::move(channels), *names);
}

std::vector<ChannelDirectories::Old> ChannelDirectories::WithOldNames() const {
  std::vector<Old> all;
  for (const auto& [key, entry] : entries_) {
    if (!entry.old) continue;
    Old old = {.name = entry.name,
               .today = ChannelDirectoryName(entry.channel)};
    const auto [begin, end] = entries_.equal_range(key);
    old.both = std::any_of(begin, end, [&old](const auto& other) {
      return other.second.name == old.today;
    });
    all.push_back(std::move(old));
  }
  return all;
}

std::vector<std::string> ChannelDirectories::Related(
    std::string_view channel) const {
  const std::string home = ChannelDirectoryName(channel);
  const auto [begin, end] = entries_.equal_range(KeyOf(channel));
  std::vector<std::string> names;
  for (auto it = begin; it != end; ++it) {
    if (it->second.name != home) names.push_back(it->second.name);
  }
  // First the one that is the channel's own.
  std::stable_partition(names.begin(), names.end(),
                        [own = OldChannelDirectoryName(channel)](
                            const std::string& name) { return name == own; });
  return names;
}

absl::StatusOr<bool> ChannelDirectories::Holds(
    const std::string& name, std::string_view channel,
    std::uint64_t first_sequence) const {
  const auto file = files_.Open(
      fmt::format("{}/{}/{}", channels_, name, SegmentFileName(first_sequence)),
      FileSystem::Mode::kRead);
  if (absl::IsNotFound(file.status())) return false;
  if (!file.ok()) return file.status();
  std::array<char, kSegmentHeaderSize> bytes{};
  const auto read = (*file)->Read(0, bytes.data(), bytes.size());
  if (!read.ok()) return read.status();
  const auto header = SegmentHeader::Decode({bytes.data(), *read});
  // Without a header, it is that of the channel which the directory names.
  return header ? header->channel_hash == HashChannelName(channel)
                : name == OldChannelDirectoryName(channel);
}

absl::StatusOr<std::string> ChannelDirectories::Find(
    std::string_view channel, std::uint64_t first_sequence) const {
  std::string home = ChannelDirectoryName(channel);
  const std::vector<std::string> related = Related(channel);
  if (related.empty()) return home;
  const absl::Status there =
      files_
          .Open(fmt::format("{}/{}/{}", channels_, home,
                            SegmentFileName(first_sequence)),
                FileSystem::Mode::kRead)
          .status();
  if (!absl::IsNotFound(there)) return home;
  for (const std::string& name : related) {
    const absl::StatusOr<bool> holds = Holds(name, channel, first_sequence);
    if (!holds.ok()) return holds.status();
    if (*holds) return name;
  }
  return home;
}

namespace {

class Renaming {
 public:
  Renaming(FileSystem& files, const std::string& log,
           std::vector<std::string>* notices)
      : files_(files),
        log_(log),
        channels_(ChannelsDirectory(log)),
        notices_(*notices) {}

  absl::Status Run(const SegmentsOfChannels& segments) {
    absl::StatusOr<ChannelDirectories> before =
        ChannelDirectories::List(files_, log_);
    if (!before.ok()) return before.status();
    absl::Status s = RenameDirectories(*before);
    if (!s.ok()) return s;
    const absl::StatusOr<ChannelDirectories> directories =
        renamed_ > 0 ? ChannelDirectories::List(files_, log_)
                     : *std::move(before);
    if (!directories.ok()) return directories.status();
    for (const auto& [channel, firsts] : segments) {
      s = MoveSegments(channel, firsts, *directories);
      if (!s.ok()) return s;
    }
    for (const std::string& name : both_) RemoveEmpty(name);
    return absl::OkStatus();
  }

 private:
  std::string PathOf(std::string_view name) const {
    return fmt::format("{}/{}", channels_, name);
  }

  absl::Status RenameDirectories(const ChannelDirectories& directories) {
    for (const ChannelDirectories::Old& old : directories.WithOldNames()) {
      if (old.both) {
        both_.push_back(old.name);
        continue;
      }
      absl::Status s = files_.Rename(PathOf(old.name), PathOf(old.today));
      if (!s.ok()) return s;
      ++renamed_;
    }
    if (renamed_ == 0) return absl::OkStatus();
    notices_.push_back(
        fmt::format("{}: {} directories of channels got names without capitals",
                    channels_, renamed_));
    return files_.SyncDirectory(channels_);
  }

  absl::Status MoveSegments(const std::string& channel,
                            const std::vector<std::uint64_t>& firsts,
                            const ChannelDirectories& directories) {
    if (directories.Related(channel).empty()) return absl::OkStatus();
    const std::string home = ChannelDirectoryName(channel);
    std::set<std::string> from;
    for (const std::uint64_t first : firsts) {
      const auto name = directories.Find(channel, first);
      if (!name.ok()) return name.status();
      if (*name == home) continue;
      absl::Status s;
      if (from.empty()) s = CreateHome(home);
      if (s.ok()) s = MoveSegment(*name, home, first);
      if (!s.ok()) return s;
      from.insert(*name);
    }
    if (from.empty()) return absl::OkStatus();
    absl::Status s = files_.SyncDirectory(PathOf(home));
    for (const std::string& name : from) {
      if (s.ok()) s = files_.SyncDirectory(PathOf(name));
      notices_.push_back(
          fmt::format("{}: segments of channel \"{}\" were moved "
                      "to {}",
                      PathOf(name), channel, home));
    }
    return s;
  }

  absl::Status CreateHome(const std::string& home) {
    absl::Status s = files_.CreateDirectory(PathOf(home));
    if (s.ok()) s = files_.SyncDirectory(channels_);
    return s;
  }

  // The index first: as long as the segment is there, this is done again.
  absl::Status MoveSegment(const std::string& from, const std::string& to,
                           std::uint64_t first_sequence) {
    const auto move = [&](const std::string& file) {
      return files_.Rename(fmt::format("{}/{}", PathOf(from), file),
                           fmt::format("{}/{}", PathOf(to), file));
    };
    absl::Status s = move(IndexFileName(first_sequence));
    if (!s.ok() && !absl::IsNotFound(s)) return s;
    return move(SegmentFileName(first_sequence));
  }

  void RemoveEmpty(const std::string& name) {
    const std::string path = PathOf(name);
    if (files_.Remove(path).ok()) return;
    notices_.push_back(fmt::format(
        "{}: is left of a log of version 1; what is in it is not needed",
        path));
  }

  FileSystem& files_;
  const std::string& log_;
  const std::string channels_;
  std::vector<std::string>& notices_;
  std::size_t renamed_ = 0;
  // Those that are there beside the one of today.
  std::vector<std::string> both_;
};

}  // namespace

absl::Status RenameOldDirectories(FileSystem& files, const std::string& log,
                                  const SegmentsOfChannels& segments,
                                  std::vector<std::string>* notices) {
  return Renaming(files, log, notices).Run(segments);
}

}  // namespace messenger

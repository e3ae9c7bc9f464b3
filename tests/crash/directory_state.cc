#include "directory_state.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>

namespace messenger::test {
namespace {

namespace fs = std::filesystem;

// doc/log_format.md says where things are.
constexpr std::size_t kCheckpointHeaderSize = 32;
constexpr std::size_t kCheckpointChecksumAt = 24;

std::string Contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::uint64_t NumberOf(const fs::path& file) {
  return std::strtoull(file.stem().c_str(), nullptr, 10);
}

// Calls `visit` for each file with the extension; none if there is no
// directory.
template <typename Visit>
void ForEach(const fs::path& directory, std::string_view extension,
             Visit visit) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    if (entry.path().extension() == extension) visit(entry);
  }
}

// What a checkpoint says of a channel.
struct Named {
  std::map<std::uint64_t, std::uint64_t> segments;
  std::uint64_t first_sequence = 0;
};

std::map<std::string, Named> NamedBy(
    const storage::v1::Checkpoint& checkpoint) {
  std::map<std::string, Named> channels;
  for (const storage::v1::Channel& channel : checkpoint.channels()) {
    Named& named = channels[channel.name()];
    named.first_sequence = channel.first_sequence();
    for (const storage::v1::Segment& segment : channel.segments()) {
      named.segments[segment.first_sequence()] = segment.size();
    }
  }
  return channels;
}

}  // namespace

std::string LockedBy(const std::string& directory) {
  std::string holder = Contents(fs::path(directory) / "LOCK");
  if (holder.ends_with('\n')) holder.pop_back();
  return holder;
}

DirectoryState LookAt(const std::string& directory) {
  const fs::path log = directory;
  DirectoryState state;
  const std::string checkpoint = Contents(log / "checkpoint");
  if (checkpoint.size() >= kCheckpointHeaderSize) {
    state.checkpoint.ParseFromArray(
        &checkpoint[kCheckpointHeaderSize],
        static_cast<int>(checkpoint.size() - kCheckpointHeaderSize));
    std::memcpy(&state.checkpoint_checksum, &checkpoint[kCheckpointChecksumAt],
                sizeof(state.checkpoint_checksum));
  }
  state.checkpoint_begun = fs::exists(log / "checkpoint.new");
  ForEach(log / "journals", ".journal", [&](const fs::directory_entry& file) {
    state.journals.insert(NumberOf(file.path()));
  });
  ForEach(
      log / "channels", ".channel", [&](const fs::directory_entry& channel) {
        ForEach(channel.path(), ".segment",
                [&](const fs::directory_entry& file) {
                  state.segments[{channel.path().stem().string(),
                                  NumberOf(file.path())}] = file.file_size();
                });
      });
  return state;
}

Progress Compare(const DirectoryState& before, const DirectoryState& after) {
  Progress progress;
  progress.made_checkpoint =
      before.checkpoint_checksum != after.checkpoint_checksum;
  const std::uint64_t first = after.checkpoint.first_journal();
  for (const std::uint64_t journal : after.journals) {
    // The one in use is the last.
    if (journal < first) {
      progress.left_garbage = true;
    } else if (journal != *after.journals.rbegin()) {
      progress.left_journals = true;
    }
  }
  progress.left_checkpoint = after.checkpoint_begun;

  const auto were_named = NamedBy(before.checkpoint);
  const auto named = NamedBy(after.checkpoint);
  for (const auto& [name, channel] : named) {
    const auto then = were_named.find(name);
    if (then == were_named.end()) continue;
    for (const auto& [segment, size] : channel.segments) {
      if (!then->second.segments.contains(segment)) {
        progress.began_segment = true;
      }
    }
    for (const auto& [segment, size] : then->second.segments) {
      if (!after.segments.contains({name, segment})) {
        progress.removed_segment = true;
      }
    }
  }
  for (const auto& [place, size] : after.segments) {
    const auto then = before.segments.find(place);
    const bool changed = then == before.segments.end() || then->second != size;
    const auto channel = named.find(place.first);
    if (channel == named.end()) {
      progress.left_segment = progress.left_segment || changed;
      continue;
    }
    const auto segment = channel->second.segments.find(place.second);
    if (segment != channel->second.segments.end()) {
      progress.left_entries =
          progress.left_entries || (changed && size > segment->second);
    } else if (place.second < channel->second.first_sequence) {
      progress.left_dropped = true;
    } else {
      progress.left_segment = progress.left_segment || changed;
    }
  }
  return progress;
}

}  // namespace messenger::test

#include "log/tools/segment_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "base/status.h"
#include "log/durable/file_util.h"
#include "log/durable/journal_replay.h"
#include "log/durable/layout.h"
#include "log/message_log.h"
#include "log/tools/finding_text.h"
#include "wire/entry.h"

namespace messenger {
namespace {

constexpr ReadBounds kBlock{.max_bytes = std::size_t{256} << 10};

class Scanner {
 public:
  Scanner(FileSystem& files, const SegmentPlace& place, const SegmentInfo& info,
          const SegmentScanOptions& options, SegmentScan* scan)
      : files_(files),
        place_(place),
        info_(info),
        options_(options),
        scan_(*scan),
        directory_(fmt::format("{}/{}", ChannelsDirectory(place.log),
                               place.directory)),
        file_(SegmentPath(place.directory, info.first_sequence)),
        last_time_(options.not_before) {}

  absl::Status Run() {
    absl::Status s = CheckFile();
    if (!s.ok() || scan_.lost || scan_.header_damaged) return s;
    auto reader =
        SegmentReader::Open(files_, directory_, place_.channel, info_);
    if (!reader.ok()) return reader.status();
    s = LoadIndex();
    if (s.ok()) s = ReadAll(**reader);
    if (s.ok()) CheckIndex();
    return s;
  }

 private:
  static constexpr auto kDamage = LogFinding::Kind::kDamage;

  // Its size, and its header.
  absl::Status CheckFile() {
    auto file = files_.Open(fmt::format("{}/{}", place_.log, file_),
                            FileSystem::Mode::kRead);
    if (absl::IsNotFound(file.status())) {
      LoseAll("the file is missing");
      return absl::OkStatus();
    }
    if (!file.ok()) return file.status();
    const absl::StatusOr<std::uint64_t> size = (*file)->Size();
    if (!size.ok()) return size.status();
    std::array<char, kSegmentHeaderSize> bytes{};
    const absl::StatusOr<std::size_t> read =
        (*file)->Read(0, bytes.data(), bytes.size());
    if (!read.ok()) return read.status();
    if (*read < kSegmentHeaderSize) {
      LoseAll("the file ends within its header");
      return absl::OkStatus();
    }
    size_ = *size;
    if (options_.open_end) info_.size = size_;
    const auto header = SegmentHeader::Decode({bytes.data(), *read});
    if (!header) {
      scan_.header_damaged = true;
      Report({.kind = kDamage,
              .bytes = kSegmentHeaderSize,
              .first_sequence = info_.first_sequence,
              .last_sequence = options_.open_end ? 0 : info_.end_sequence - 1,
              .what = fmt::format("the header is damaged: {} cannot be read "
                                  "until it is repaired",
                                  All())});
      return absl::OkStatus();
    }
    if (header->first_sequence != info_.first_sequence ||
        header->channel_hash != HashChannelName(place_.channel)) {
      LoseAll("the file is that of another segment");
    }
    return absl::OkStatus();
  }

  std::string All() const {
    return options_.open_end ? fmt::format("channel \"{}\" from {} on",
                                           place_.channel, info_.first_sequence)
                             : MessagesOf(place_.channel, info_.first_sequence,
                                          info_.end_sequence - 1);
  }

  void LoseAll(std::string_view why) {
    scan_.lost = true;
    if (!options_.open_end) {
      scan_.losses.push_back({.channel = place_.channel,
                              .first_sequence = info_.first_sequence,
                              .last_sequence = info_.end_sequence - 1,
                              .bytes = 0,
                              .kept_in = file_});
    }
    Report({.kind = kDamage,
            .first_sequence = info_.first_sequence,
            .last_sequence = options_.open_end ? 0 : info_.end_sequence - 1,
            .what = fmt::format("{}: {} cannot be read", why, All())});
  }

  void Report(LogFinding finding) {
    if (finding.file.empty()) finding.file = file_;
    finding.channel = place_.channel;
    options_.report(std::move(finding));
  }

  absl::Status ReadAll(SegmentReader& reader) {
    SegmentReader::Place at = {.sequence = info_.first_sequence,
                               .offset = kSegmentHeaderSize};
    while (at.sequence < info_.end_sequence && at.offset < info_.size) {
      const SegmentReader::Place before = at;
      auto entries = reader.Read(&at, kBlock, info_);
      if (entries.ok()) {
        Take(before, entries->bytes.bytes);
        options_.read(at.offset - before.offset);
        continue;
      }
      if (!absl::IsDataLoss(entries.status())) return entries.status();
      if (absl::Status s = reader.SkipDamage(&at, info_); !s.ok()) return s;
      Lose(before, at);
      options_.read(at.offset - before.offset);
    }
    if (options_.open_end) {
      info_.end_sequence = at.sequence;
    } else if (at.sequence < info_.end_sequence) {
      Lose(at, {.sequence = info_.end_sequence, .offset = at.offset});
    } else if (at.offset < info_.size) {
      Report({.kind = kDamage,
              .offset = at.offset,
              .bytes = info_.size - at.offset,
              .what = fmt::format("{} bytes after message {} of channel \"{}\" "
                                  "should not be there",
                                  info_.size - at.offset, at.sequence - 1,
                                  place_.channel)});
    } else if (scan_.losses.empty() && last_time_ != info_.last_time) {
      Report({.kind = kDamage,
              .what = "the checkpoint has another time for its last message"});
    }
    if (size_ > at.offset) scan_.rest = size_ - at.offset;
    return absl::OkStatus();
  }

  void Take(const SegmentReader::Place& from, std::string_view bytes) {
    SegmentReader::Place at = from;
    wire::EntryReader entries(bytes);
    while (entries.Next()) {
      const std::size_t size = entries.entry().size();
      const SegmentReader::Place next = {.sequence = at.sequence + 1,
                                         .offset = at.offset + size};
      Message message;
      if (wire::DecodeMessage(entries.message(), &message).ok()) {
        TakeMessage(at, next, message);
      } else {
        Lose(at, next);
      }
      at = next;
    }
  }

  void TakeMessage(const SegmentReader::Place& at,
                   const SegmentReader::Place& next, Message& message) {
    if (scan_.runs.empty() || scan_.runs.back().end.sequence != at.sequence ||
        scan_.runs.back().end.offset != at.offset) {
      scan_.runs.push_back({.begin = at, .end = at, .last_time = {}});
    }
    scan_.runs.back().end = next;
    scan_.runs.back().last_time = message.send_time;
    if (message.send_time < last_time_) {
      Report({.kind = kDamage,
              .offset = at.offset,
              .bytes = next.offset - at.offset,
              .first_sequence = at.sequence,
              .last_sequence = at.sequence,
              .what = fmt::format(
                  "the send time of {} is before that of the "
                  "message before it",
                  MessagesOf(place_.channel, at.sequence, at.sequence))});
    }
    last_time_ = std::max(last_time_, message.send_time);
    if (scan_.messages++ == 0) scan_.first_time = message.send_time;
    scan_.bytes += next.offset - at.offset;
    const std::uint64_t last_place =
        scan_.places.empty() ? kSegmentHeaderSize : scan_.places.back().offset;
    const IndexEntry here = {.sequence = at.sequence,
                             .time = message.send_time,
                             .offset = at.offset};
    if (at.offset >= last_place + kIndexInterval) scan_.places.push_back(here);
    while (next_slot_ < slots_.size() &&
           slots_[next_slot_].sequence < at.sequence) {
      ++next_slot_;
    }
    if (next_slot_ < slots_.size() &&
        slots_[next_slot_].sequence == at.sequence &&
        (slots_[next_slot_].offset != at.offset ||
         slots_[next_slot_].time != message.send_time)) {
      BadIndex("names another place", next_slot_);
    }
    message.channel = place_.channel;
    options_.visit(message);
  }

  void Lose(const SegmentReader::Place& from, const SegmentReader::Place& to) {
    const std::uint64_t bytes = to.offset - from.offset;
    LogLoss loss = {
        .channel = place_.channel,
        .first_sequence = from.sequence,
        .last_sequence = to.sequence - 1,
        .maybe = to.sequence == std::numeric_limits<std::uint64_t>::max(),
        .bytes = bytes,
        .kept_in = file_};
    std::string what;
    if (loss.maybe) {
      loss.last_sequence = from.sequence + MaxMessages(bytes) - 1;
      what =
          fmt::format("channel \"{}\" is damaged from message {} on ({} bytes)",
                      place_.channel, from.sequence, bytes);
    } else if (bytes == 0) {
      what = fmt::format(
          "the file ends before {}",
          MessagesOf(place_.channel, from.sequence, loss.last_sequence));
    } else {
      what = fmt::format(
          "{} damaged ({} bytes)",
          MessagesAre(place_.channel, from.sequence, loss.last_sequence),
          bytes);
    }
    Report({.kind = kDamage,
            .offset = from.offset,
            .bytes = bytes,
            .first_sequence = from.sequence,
            .last_sequence = loss.last_sequence,
            .what = std::move(what)});
    scan_.losses.push_back(std::move(loss));
  }

  // The index as it is; CheckIndex says what is missing.
  absl::Status LoadIndex() {
    const std::string name = IndexFileName(info_.first_sequence);
    index_file_ =
        fmt::format("{}/{}/{}", kChannelsName, place_.directory, name);
    const absl::StatusOr<std::string> bytes =
        ReadBeginning(files_, fmt::format("{}/{}", directory_, name),
                      MaxIndexSize(info_.size));
    if (absl::IsNotFound(bytes.status())) {
      index_missing_ = true;
      return absl::OkStatus();
    }
    if (!bytes.ok()) return bytes.status();
    options_.read(bytes->size());
    const SegmentHeader header = {
        .first_sequence = info_.first_sequence,
        .channel_hash = HashChannelName(place_.channel)};
    std::string_view rest = *bytes;
    std::uint64_t last = kSegmentHeaderSize;
    while (rest.size() >= kIndexEntrySize) {
      const std::string_view slot = rest.substr(0, kIndexEntrySize);
      const auto entry = IndexEntry::Decode(slot, header);
      if (!entry) {
        // A crash leaves zeros: the index is not synced.
        if (slot.find_first_not_of('\0') != std::string_view::npos) {
          BadIndex("is damaged", slots_.size());
        }
        return absl::OkStatus();
      }
      // What a checkpoint was writing that did not come to its end.
      if (entry->offset >= info_.size) return absl::OkStatus();
      if (entry->offset <= last) BadIndex("goes back", slots_.size());
      last = entry->offset;
      slots_.push_back(*entry);
      rest.remove_prefix(kIndexEntrySize);
    }
    return absl::OkStatus();
  }

  void BadIndex(std::string_view what, std::size_t slot) {
    if (std::exchange(scan_.index_damaged, true)) return;
    Report({.kind = kDamage,
            .file = index_file_,
            .offset = slot * kIndexEntrySize,
            .bytes = kIndexEntrySize,
            .what = fmt::format("the index of channel \"{}\" {}: finding a "
                                "message takes longer, none is lost",
                                place_.channel, what)});
  }

  void CheckIndex() {
    if (scan_.index_damaged || scan_.places.empty() || !slots_.empty()) return;
    if (!index_missing_ && !scan_.intact()) return;
    Report({.kind = LogFinding::Kind::kNotice,
            .file = index_file_,
            .what = fmt::format("the index of channel \"{}\" {}: finding a "
                                "message takes longer, none is lost",
                                place_.channel,
                                index_missing_ ? "is missing" : "is empty")});
  }

  FileSystem& files_;
  const SegmentPlace& place_;
  SegmentInfo info_;
  const SegmentScanOptions& options_;
  SegmentScan& scan_;
  const std::string directory_;
  const std::string file_;
  std::string index_file_;
  std::uint64_t size_ = 0;
  Timestamp last_time_;
  std::vector<IndexEntry> slots_;  // of the index, as far as it is intact
  std::size_t next_slot_ = 0;
  bool index_missing_ = false;
};

}  // namespace

std::string SegmentPath(std::string_view directory,
                        std::uint64_t first_sequence) {
  return fmt::format("{}/{}/{}", kChannelsName, directory,
                     SegmentFileName(first_sequence));
}

absl::Status ScanSegment(FileSystem& files, const SegmentPlace& place,
                         const SegmentInfo& info,
                         const SegmentScanOptions& options, SegmentScan* scan) {
  *scan = SegmentScan();
  return Scanner(files, place, info, options, scan).Run();
}

}  // namespace messenger

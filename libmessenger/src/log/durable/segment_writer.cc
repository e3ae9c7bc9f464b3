#include "log/durable/segment_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "wire/entry.h"

namespace messenger {

SegmentWriter::SegmentWriter(std::unique_ptr<File> segment,
                             std::unique_ptr<File> index,
                             const SegmentHeader& header,
                             const SegmentInfo& info)
    : segment_(std::move(segment)),
      index_(std::move(index)),
      header_(header),
      info_(info) {}

absl::StatusOr<SegmentWriter> SegmentWriter::Create(
    FileSystem& files, const std::string& directory, std::string_view channel,
    std::uint64_t epoch, std::uint64_t first_sequence) {
  auto segment = files.Open(directory + "/" + SegmentFileName(first_sequence),
                            FileSystem::Mode::kCreate);
  if (!segment.ok()) return segment.status();
  auto index = files.Open(directory + "/" + IndexFileName(first_sequence),
                          FileSystem::Mode::kCreate);
  if (!index.ok()) return index.status();
  const SegmentHeader header = {.epoch = epoch,
                                .first_sequence = first_sequence,
                                .channel_hash = HashChannelName(channel)};
  const std::array<char, kSegmentHeaderSize> bytes = header.Encode();
  absl::Status s = (*segment)->Write(0, {bytes.data(), bytes.size()});
  if (!s.ok()) return s;
  return SegmentWriter(*std::move(segment), *std::move(index), header,
                       {.first_sequence = first_sequence,
                        .end_sequence = first_sequence,
                        .size = kSegmentHeaderSize});
}

absl::StatusOr<SegmentWriter> SegmentWriter::Resume(
    FileSystem& files, const std::string& directory, std::string_view channel,
    const SegmentInfo& info) {
  const std::string path =
      directory + "/" + SegmentFileName(info.first_sequence);
  auto segment = files.Open(path, FileSystem::Mode::kModify);
  if (!segment.ok()) return segment.status();
  const absl::StatusOr<SegmentHeader> header =
      ReadSegmentHeader(**segment, path, channel, info.first_sequence);
  if (!header.ok()) return header.status();
  const absl::StatusOr<std::uint64_t> size = (*segment)->Size();
  if (!size.ok()) return size.status();
  if (*size < info.size) {
    return absl::DataLossError(
        fmt::format("{}: has {} bytes instead of {}", path, *size, info.size));
  }
  if (*size > info.size) {
    absl::Status s = (*segment)->Truncate(info.size);
    if (!s.ok()) return s;
  }
  // Readers put up with a part of the index that is missing.
  const std::string index_path =
      directory + "/" + IndexFileName(info.first_sequence);
  auto index = files.Open(index_path, FileSystem::Mode::kModify);
  if (absl::IsNotFound(index.status())) {
    index = files.Open(index_path, FileSystem::Mode::kCreate);
  }
  if (!index.ok()) return index.status();
  SegmentWriter writer(*std::move(segment), *std::move(index), *header, info);
  absl::Status s = writer.ResumeIndex();
  if (!s.ok()) return s;
  return writer;
}

absl::Status SegmentWriter::ResumeIndex() {
  const absl::StatusOr<std::uint64_t> size = index_->Size();
  if (!size.ok()) return size.status();
  // Entries of what was cut off go, and so does what follows damage.
  std::string bytes(std::min(*size, MaxIndexSize(info_.size)), '\0');
  const absl::StatusOr<std::size_t> read =
      index_->Read(0, bytes.data(), bytes.size());
  if (!read.ok()) return read.status();
  bytes.resize(*read);
  for (const IndexEntry& entry : DecodeIndex(bytes, header_, info_.size)) {
    last_indexed_ = entry.offset;
    index_size_ += kIndexEntrySize;
  }
  return index_->Truncate(index_size_);
}

absl::Status SegmentWriter::Append(
    std::string_view entries, std::uint64_t count,
    std::chrono::steady_clock::time_point written) {
  std::string index;
  std::uint64_t indexed = last_indexed_;
  wire::EntryReader reader(entries);
  std::uint64_t sequence = info_.end_sequence;
  std::string_view last;
  while (reader.Next()) {
    last = reader.message();
    const std::uint64_t offset =
        info_.size +
        static_cast<std::uint64_t>(reader.entry().data() - entries.data());
    if (offset >= indexed + kIndexInterval) {
      const auto bytes = IndexEntry{.sequence = sequence,
                                    .time = wire::SplitMessage(last).send_time,
                                    .offset = offset}
                             .Encode(header_);
      index.append(bytes.data(), bytes.size());
      indexed = offset;
    }
    ++sequence;
  }
  absl::Status s = segment_->Write(info_.size, entries);
  if (s.ok() && !index.empty()) s = index_->Write(index_size_, index);
  if (!s.ok()) return s;
  index_size_ += index.size();
  last_indexed_ = indexed;
  if (info_.end_sequence == info_.first_sequence) info_.first_write = written;
  info_.end_sequence += count;
  info_.size += entries.size();
  info_.last_time = wire::SplitMessage(last).send_time;
  info_.last_write = written;
  return absl::OkStatus();
}

absl::Status SegmentWriter::Sync() {
  return segment_->Sync();
}

}  // namespace messenger

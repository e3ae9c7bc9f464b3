#include "log/durable/checkpointer.h"

#include <fmt/format.h>

#include <algorithm>

#include "log/durable/journal.h"
#include "log/durable/layout.h"
#include "log/durable/retention.h"

namespace messenger {
namespace {

// Files that are written before they are synced.
constexpr std::size_t kMaxUnsynced = 64;

// What is not there need not be removed.
absl::Status Remove(FileSystem& files, const std::string& path) {
  absl::Status s = files.Remove(path);
  return absl::IsNotFound(s) ? absl::OkStatus() : s;
}

}  // namespace

Checkpointer::Checkpointer(std::shared_ptr<FileSystem> files,
                           std::string directory, const ChannelContext* context,
                           SegmentCache* cache, EncodedChannels encoded,
                           std::uint64_t max_cached_bytes)
    : files_(std::move(files)),
      directory_(std::move(directory)),
      context_(context),
      cache_(cache),
      encoded_(std::move(encoded)),
      max_cached_bytes_(max_cached_bytes) {}

absl::Status Checkpointer::Run(CheckpointWork& work,
                               ForEachChannel for_each_channel) {
  absl::Status s = Flush(work);
  if (!s.ok()) return s;
  CollectDropped(for_each_channel);
  for (CheckpointWork::Dirty& dirty : work.dirty) {
    dirty.channel->CompleteCheckpoint(&dirty.state);
    encoded_[dirty.state.name] = EncodeChannelState(dirty.state);
  }
  s = WriteCheckpoint(*files_, directory_, work.log, encoded_);
  if (s.ok()) s = RemoveJournalsBefore(work.log.first_journal);
  if (s.ok()) s = RemoveDropped();
  Evict();
  return s;
}

absl::Status Checkpointer::Flush(const CheckpointWork& work) {
  struct Flushed {
    DurableChannel* channel;
    DurableChannel::Flush flush;
    std::vector<SegmentInfo> segments;
  };
  auto next = work.dirty.begin();
  while (next != work.dirty.end()) {
    std::vector<SegmentWriter> writers;
    std::vector<Flushed> flushed;
    absl::Status s;
    for (; next != work.dirty.end() && writers.size() < kMaxUnsynced && s.ok();
         ++next) {
      flushed.push_back({.channel = next->channel,
                         .flush = next->channel->BeginFlush(next->state.head),
                         .segments = {}});
      Flushed& last = flushed.back();
      if (last.flush.runs.empty()) continue;
      const std::size_t first = writers.size();
      s = WriteSegments(last.channel, last.flush, &writers);
      for (std::size_t i = first; i < writers.size(); ++i) {
        last.segments.push_back(writers[i].info());
      }
    }
    for (SegmentWriter& writer : writers) {
      if (s.ok()) s = writer.Sync();
    }
    bool directories = false;
    for (const Flushed& f : flushed) {
      // A segment that is not the last one grown has a name of its own.
      const bool created =
          !f.segments.empty() &&
          (!f.flush.last_segment || f.segments.back().first_sequence !=
                                        f.flush.last_segment->first_sequence);
      if (created && s.ok()) {
        s = files_->SyncDirectory(
            ChannelDirectory(directory_, f.channel->name()));
      }
      directories = directories || (created && !f.flush.last_segment);
    }
    if (directories && s.ok()) {
      s = files_->SyncDirectory(ChannelsDirectory(directory_));
    }
    for (Flushed& f : flushed) {
      if (!s.ok()) f.segments.clear();
      f.channel->EndFlush(f.flush, f.segments);
      if (!f.segments.empty()) {
        std::uint64_t bytes = 0;
        for (const EntryRun& run : f.flush.runs) bytes += run.size();
        cached_.push_back({.channel = f.channel,
                           .end = f.segments.back().end_sequence,
                           .bytes = bytes});
        cached_bytes_ += bytes;
      }
    }
    if (!s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status Checkpointer::WriteSegments(DurableChannel* channel,
                                         const DurableChannel::Flush& flush,
                                         std::vector<SegmentWriter>* written) {
  const std::string directory = ChannelDirectory(directory_, channel->name());
  absl::Status s = files_->CreateDirectory(directory);
  if (s.ok()) s = RemoveUnknown(channel, directory);
  if (!s.ok()) return s;
  const std::size_t first = written->size();
  const std::uint64_t max_size = MaxSegmentSize(context_->options.retention);
  for (const EntryRun& run : flush.runs) {
    const bool open = written->size() > first;
    const SegmentInfo* const info = open ? &written->back().info() : nullptr;
    if (!open || info->end_sequence != run.first_sequence ||
        info->size + run.size() > max_size) {
      absl::StatusOr<SegmentWriter> writer = OpenSegment(
          *channel, directory, open ? std::nullopt : flush.last_segment, run);
      if (!writer.ok()) return writer.status();
      written->push_back(*std::move(writer));
    }
    s = written->back().Append(run.bytes(), run.count(), run.last_write);
    if (!s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::StatusOr<SegmentWriter> Checkpointer::OpenSegment(
    const DurableChannel& channel, const std::string& directory,
    const std::optional<SegmentInfo>& last, const EntryRun& next) {
  const RetentionOptions& retention = context_->options.retention;
  if (last && last->end_sequence == next.first_sequence &&
      last->size + next.size() <= MaxSegmentSize(retention) &&
      TakesMore(retention, last->first_write, next.last_write)) {
    absl::StatusOr<SegmentWriter> resumed =
        SegmentWriter::Resume(*files_, directory, channel.name(), *last);
    // A damaged segment stays as it is, for those who read what is left of it;
    // it must not keep everything else from being written.
    if (!absl::IsDataLoss(resumed.status()) &&
        !absl::IsNotFound(resumed.status())) {
      return resumed;
    }
  }
  return SegmentWriter::Create(*files_, directory, channel.name(),
                               context_->epoch(), next.first_sequence);
}

absl::Status Checkpointer::RemoveUnknown(DurableChannel* channel,
                                         const std::string& directory) {
  if (cleaned_.contains(channel)) return absl::OkStatus();
  // Not what is dropped by now: the checkpoint may still mention it.
  const auto encoded = encoded_.find(channel->name());
  const ChannelState state = encoded == encoded_.end()
                                 ? ChannelState()
                                 : DecodeChannelState(encoded->second);
  const auto names = files_->List(directory);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const bool known =
        std::any_of(state.segments.begin(), state.segments.end(),
                    [&](const SegmentInfo& segment) {
                      return name == SegmentFileName(segment.first_sequence) ||
                             name == IndexFileName(segment.first_sequence);
                    });
    if (known) continue;
    const std::string path = fmt::format("{}/{}", directory, name);
    // What is of somebody else is none of ours to remove, and what is no file
    // was not left by a checkpoint.
    if (!IsChannelFile(name) ||
        absl::IsDataLoss(
            files_->Open(path, FileSystem::Mode::kRead).status())) {
      if (context_->options.on_notice) {
        context_->options.on_notice(
            fmt::format("{}: is no file of this log; left alone", path));
      }
      continue;
    }
    absl::Status s = Remove(*files_, path);
    if (!s.ok()) return s;
  }
  cleaned_.insert(channel);
  return absl::OkStatus();
}

absl::Status Checkpointer::RemoveJournalsBefore(std::uint64_t number) {
  const std::string directory = JournalsDirectory(directory_);
  const auto names = files_->List(directory);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const auto found = ParseJournalFileName(name);
    if (!found || *found >= number) continue;
    absl::Status s = Remove(*files_, fmt::format("{}/{}", directory, name));
    if (!s.ok()) return s;
  }
  return absl::OkStatus();
}

void Checkpointer::CollectDropped(ForEachChannel for_each_channel) {
  for_each_channel([&](DurableChannel* channel) {
    const std::vector<std::uint64_t> dropped = channel->TakeDroppedSegments();
    if (dropped.empty()) return;
    for (const std::uint64_t segment : dropped) {
      dropped_.emplace_back(channel, segment);
    }
    const auto encoded = encoded_.find(channel->name());
    if (encoded == encoded_.end()) return;
    ChannelState state = DecodeChannelState(encoded->second);
    channel->CompleteCheckpoint(&state);
    encoded->second = EncodeChannelState(state);
  });
}

absl::Status Checkpointer::RemoveDropped() {
  while (!dropped_.empty()) {
    const auto& [channel, segment] = dropped_.back();
    const std::string directory = ChannelDirectory(directory_, channel->name());
    cache_->Forget(directory, segment);
    absl::Status s =
        Remove(*files_, directory + "/" + SegmentFileName(segment));
    if (s.ok()) {
      s = Remove(*files_, directory + "/" + IndexFileName(segment));
    }
    if (!s.ok()) return s;
    dropped_.pop_back();
  }
  return absl::OkStatus();
}

void Checkpointer::Evict() {
  while (cached_bytes_ > max_cached_bytes_) {
    const Cached& oldest = cached_.front();
    oldest.channel->Evict(oldest.end);
    cached_bytes_ -= oldest.bytes;
    cached_.pop_front();
  }
}

}  // namespace messenger

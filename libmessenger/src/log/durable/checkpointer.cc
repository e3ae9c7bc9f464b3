#include "log/durable/checkpointer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "log/durable/file_util.h"
#include "log/durable/journal.h"
#include "log/durable/layout.h"
#include "log/durable/retention.h"
#include "log/durable/segment_reader.h"
#include "log/durable/table_coding.h"

namespace messenger {
namespace {

// Segments that are open, and synced one by one.
constexpr std::size_t kMaxUnsynced = 64;
// If there are more, all of the file system is synced after so many.
constexpr std::size_t kMaxChannelsAtOnce = 512;

// Of what is carried over.
constexpr std::uint64_t kMaxCarriedOfChannel = std::uint64_t{64} << 10;
constexpr std::size_t kMaxCarriedRound = std::size_t{1} << 20;

absl::Status GivenUp() {
  return absl::CancelledError("the checkpoint was given up");
}

}  // namespace

Checkpointer::Checkpointer(std::shared_ptr<FileSystem> files,
                           std::string directory, const ChannelContext* context,
                           SegmentCache* cache, CheckpointFile* checkpoint,
                           LastCheckpoint last,
                           const CheckpointerLimits& limits)
    : files_(std::move(files)),
      directory_(std::move(directory)),
      context_(context),
      cache_(cache),
      checkpoint_(checkpoint),
      limits_(limits),
      log_(std::move(last.log)),
      encoded_(std::move(last.channels)),
      tombstones_(std::move(last.tombstones)),
      tables_(std::move(last.tables)),
      carried_(last.carried.begin(), last.carried.end()) {
  MeasureCheckpoint();
}

absl::Status Checkpointer::Run(CheckpointWork& work,
                               ForEachChannel for_each_channel,
                               GiveUp give_up) {
  std::vector<Unwritten> unwritten = FindUnwritten(work);
  const std::vector<Unwritten> carried = TakeLittle(&unwritten);
  absl::Status s = Flush(unwritten, give_up);
  if (s.ok()) s = Carry(carried, &work.log, give_up);
  if (!s.ok()) return s;
  is_ahead_ = true;
  CollectDropped(for_each_channel);
  for (CheckpointWork::Dirty& dirty : work.dirty) {
    dirty.channel->CompleteCheckpoint(&dirty.state);
    carried_.erase(dirty.channel);
    const std::string& name = dirty.state.name;
    if (IsDeleted(dirty.state)) {
      encoded_.erase(name);
      tombstones_.Change(
          name,
          EncodeTombstone(name, TombstoneOf(dirty.state, context_->epochs)));
    } else {
      encoded_[name] = EncodeChannelState(dirty.state);
      tombstones_.Change(name, "");
    }
  }
  tombstones_.Apply();
  TakeTables(work);
  for (DurableChannel* const channel : carried_) {
    std::string& encoded = encoded_[channel->name()];
    ChannelState state = DecodeChannelState(encoded);
    channel->CompleteCheckpoint(&state);
    encoded = EncodeChannelState(state);
  }
  carried_.clear();
  for (const Unwritten& little : carried) carried_.insert(little.channel);
  s = Write(work.log);
  if (s.ok()) {
    s = RemoveJournalsBefore(*files_, JournalsDirectory(directory_),
                             work.log.first_journal);
  }
  if (s.ok()) s = RemoveDropped();
  Evict();
  return s;
}

absl::StatusOr<bool> Checkpointer::RemoveWhatIsDropped(
    ForEachChannel for_each_channel) {
  // The old journals do not go with what is ahead of them.
  if (is_ahead_) return false;
  CollectDropped(for_each_channel);
  if (dropped_.empty()) return false;
  absl::Status s = Write(log_);
  if (s.ok()) s = RemoveDropped();
  if (!s.ok()) return s;
  return true;
}

void Checkpointer::TakeTables(const CheckpointWork& work) {
  for (const auto& [id, kept] : work.named_producers) {
    if (kept) {
      tables_.named_producers[id] = EncodeNamedProducer(*kept);
    } else {
      tables_.named_producers.erase(id);
    }
  }
  tables_.idempotency_keys = work.idempotency_keys;
}

absl::Status Checkpointer::Write(const LogState& log) {
  absl::Status s = checkpoint_->Write(log, encoded_, tombstones_, tables_);
  if (!s.ok()) return s;
  log_ = log;
  is_ahead_ = false;
  MeasureCheckpoint();
  return s;
}

void Checkpointer::MeasureCheckpoint() {
  checkpoint_size_ = tombstones_.fields().size();
  for (const auto& [name, encoded] : encoded_) {
    checkpoint_size_ += encoded.size();
  }
  for (const auto& [id, encoded] : tables_.named_producers) {
    checkpoint_size_ += encoded.size();
  }
  tables_.idempotency_keys.ForEach([this](const IdempotencyKey& key) {
    checkpoint_size_ += EncodedSize(key);
  });
}

std::vector<Checkpointer::Unwritten> Checkpointer::FindUnwritten(
    const CheckpointWork& work) {
  std::vector<Unwritten> unwritten;
  const auto add = [&](DurableChannel* channel, std::uint64_t head) {
    Unwritten found = {.channel = channel, .flush = channel->BeginFlush(head)};
    for (const EntryRun& run : found.flush.runs) found.bytes += run.size();
    if (found.bytes > 0) unwritten.push_back(std::move(found));
  };
  absl::flat_hash_set<DurableChannel*> dirty;
  for (const CheckpointWork::Dirty& d : work.dirty) {
    dirty.insert(d.channel);
    add(d.channel, d.state.head);
  }
  for (DurableChannel* const channel : carried_) {
    if (dirty.contains(channel)) continue;
    add(channel, DecodeChannelState(encoded_[channel->name()]).head);
  }
  return unwritten;
}

std::vector<Checkpointer::Unwritten> Checkpointer::TakeLittle(
    std::vector<Unwritten>* unwritten) const {
  if (unwritten->size() <= limits_.max_small_segments) return {};
  std::sort(
      unwritten->begin(), unwritten->end(),
      [](const Unwritten& a, const Unwritten& b) { return a.bytes < b.bytes; });
  std::uint64_t bytes = 0;
  auto end = unwritten->begin();
  for (; end != unwritten->end(); ++end) {
    bytes += end->bytes;
    if (end->bytes > kMaxCarriedOfChannel ||
        bytes > limits_.max_carried_bytes) {
      break;
    }
  }
  std::vector<Unwritten> little(std::make_move_iterator(unwritten->begin()),
                                std::make_move_iterator(end));
  unwritten->erase(unwritten->begin(), end);
  return little;
}

absl::Status Checkpointer::Carry(const std::vector<Unwritten>& carried,
                                 LogState* log, GiveUp give_up) {
  log->carried_rounds = 0;
  if (carried.empty()) return absl::OkStatus();
  // Those of one age in one round, since it has one time.
  struct Piece {
    const DurableChannel* channel;
    const EntryRun* run;
  };
  std::vector<Piece> pieces;
  for (const Unwritten& little : carried) {
    for (const EntryRun& run : little.flush.runs) {
      pieces.push_back({.channel = little.channel, .run = &run});
    }
  }
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Piece& a, const Piece& b) {
                     return a.run->last_write < b.run->last_write;
                   });
  auto writer = JournalWriter::Create(
      *files_, JournalsDirectory(directory_),
      {.key = log->key, .number = CarriedNumber(log->first_journal)});
  if (!writer.ok()) return writer.status();
  JournalRound round;
  TimeAnchor time = log->time;
  for (const Piece& piece : pieces) {
    if (!round.empty() && (round.size() >= kMaxCarriedRound ||
                           !TakesMore(context_->options.retention,
                                      time.log_time, piece.run->last_write))) {
      if (give_up()) return GivenUp();
      absl::Status s = (*writer)->Write(round, ++log->carried_rounds, time);
      if (!s.ok()) return s;
      round.Clear();
    }
    if (round.empty()) time.log_time = piece.run->last_write;
    round.AddEntries(piece.channel->name(), piece.run->first_sequence,
                     piece.run->bytes());
  }
  absl::Status s = (*writer)->Write(round, ++log->carried_rounds, time);
  if (s.ok()) s = (*writer)->Sync();
  EntryWriter memory(context_->options.retention);
  for (const Unwritten& little : carried) {
    if (s.ok()) s = little.channel->Compact(little.flush, &memory);
  }
  return s;
}

absl::Status Checkpointer::Flush(const std::vector<Unwritten>& unwritten,
                                 GiveUp give_up) {
  const bool one_by_one = unwritten.size() <= kMaxUnsynced;
  std::span<const Unwritten> rest = unwritten;
  while (!rest.empty()) {
    const std::size_t count = std::min(rest.size(), kMaxChannelsAtOnce);
    absl::Status s = FlushSome(rest.first(count), one_by_one, give_up);
    if (!s.ok()) return s;
    rest = rest.subspan(count);
  }
  return absl::OkStatus();
}

absl::Status Checkpointer::FlushSome(std::span<const Unwritten> unwritten,
                                     bool one_by_one, GiveUp give_up) {
  std::vector<std::vector<SegmentInfo>> segments(unwritten.size());
  std::vector<SegmentWriter> writers;
  absl::Status s;
  for (std::size_t i = 0; i < unwritten.size() && s.ok(); ++i) {
    if (!one_by_one) writers.clear();
    const std::size_t first = writers.size();
    s = give_up()
            ? GivenUp()
            : WriteSegments(unwritten[i].channel, unwritten[i].flush, &writers);
    for (std::size_t w = first; w < writers.size(); ++w) {
      segments[i].push_back(writers[w].info());
    }
  }
  if (one_by_one) {
    for (SegmentWriter& writer : writers) {
      if (s.ok()) s = give_up() ? GivenUp() : writer.Sync();
    }
    if (s.ok()) s = SyncDirectories(unwritten, segments);
  } else {
    writers.clear();
    if (s.ok()) s = give_up() ? GivenUp() : files_->SyncAll(directory_);
  }
  for (std::size_t i = 0; i < unwritten.size(); ++i) {
    const Unwritten& written = unwritten[i];
    if (!s.ok()) segments[i].clear();
    written.channel->EndFlush(written.flush, segments[i]);
    if (segments[i].empty()) continue;
    cached_.push_back({.channel = written.channel,
                       .end = segments[i].back().end_sequence,
                       .bytes = written.bytes});
    cached_bytes_ += written.bytes;
  }
  return s;
}

absl::Status Checkpointer::SyncDirectories(
    std::span<const Unwritten> written,
    const std::vector<std::vector<SegmentInfo>>& segments) {
  bool directories = false;
  for (std::size_t i = 0; i < written.size(); ++i) {
    // A segment that is not the last one grown has a name of its own.
    const auto& last = written[i].flush.last_segment;
    if (last && segments[i].back().first_sequence == last->first_sequence) {
      continue;
    }
    absl::Status s = files_->SyncDirectory(
        ChannelDirectory(directory_, written[i].channel->name()));
    if (!s.ok()) return s;
    directories = directories || !last;
  }
  return directories ? files_->SyncDirectory(ChannelsDirectory(directory_))
                     : absl::OkStatus();
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
    absl::Status s = CheckEnd(channel, directory, *last);
    if (s.ok()) {
      absl::StatusOr<SegmentWriter> resumed =
          SegmentWriter::Resume(*files_, directory, channel.name(), *last);
      if (resumed.ok()) return resumed;
      s = resumed.status();
    }
    // A damaged segment stays as it is, for those who read what is left of it;
    // it must not keep everything else from being written.
    if (!absl::IsDataLoss(s) && !absl::IsNotFound(s)) return s;
  }
  return SegmentWriter::Create(*files_, directory, channel.name(),
                               context_->epoch(), next.first_sequence);
}

// What is appended to damage could be taken for a part of it.
absl::Status Checkpointer::CheckEnd(const DurableChannel& channel,
                                    const std::string& directory,
                                    const SegmentInfo& segment) {
  if (intact_.contains(&channel)) return absl::OkStatus();
  const auto reader =
      SegmentReader::Open(*files_, directory, channel.name(), segment);
  if (!reader.ok()) return reader.status();
  const absl::StatusOr<bool> intact = (*reader)->EndIsIntact(segment);
  if (!intact.ok()) return intact.status();
  if (!*intact) return absl::DataLossError("the end is damaged");
  intact_.insert(&channel);
  return absl::OkStatus();
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
  std::vector<std::string> left_alone;
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
      left_alone.push_back(path);
      continue;
    }
    absl::Status s = RemoveIfThere(*files_, path);
    if (!s.ok()) return s;
  }
  cleaned_.insert(channel);
  // Not before it is done: until then it is tried again and again.
  for (const std::string& path : left_alone) {
    if (!context_->options.on_notice) break;
    context_->options.on_notice(
        fmt::format("{}: is no file of this log; left alone", path));
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
    channel->TakeDropped(&state);
    encoded->second = EncodeChannelState(state);
  });
}

absl::Status Checkpointer::RemoveDropped() {
  while (!dropped_.empty()) {
    const auto& [channel, segment] = dropped_.back();
    const std::string directory = ChannelDirectory(directory_, channel->name());
    cache_->Forget(directory, segment);
    absl::Status s =
        RemoveIfThere(*files_, directory + "/" + SegmentFileName(segment));
    if (s.ok()) {
      s = RemoveIfThere(*files_, directory + "/" + IndexFileName(segment));
    }
    if (!s.ok()) return s;
    dropped_.pop_back();
  }
  return absl::OkStatus();
}

void Checkpointer::Forget(
    const absl::flat_hash_set<DurableChannel*>& channels) {
  if (channels.empty()) return;
  for (DurableChannel* const channel : channels) {
    cleaned_.erase(channel);
    intact_.erase(channel);
    // Empty by now, or not there; or else it stays.
    static_cast<void>(
        files_->Remove(ChannelDirectory(directory_, channel->name())));
  }
  std::erase_if(cached_, [&](const Cached& cached) {
    if (!channels.contains(cached.channel)) return false;
    cached_bytes_ -= cached.bytes;
    return true;
  });
}

void Checkpointer::Evict() {
  while (cached_bytes_ > limits_.max_cached_bytes) {
    const Cached& oldest = cached_.front();
    oldest.channel->Evict(oldest.end);
    cached_bytes_ -= oldest.bytes;
    cached_.pop_front();
  }
}

}  // namespace messenger

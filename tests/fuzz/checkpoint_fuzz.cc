// Loading a checkpoint of arbitrary content. What is loaded is written again,
// and must be loaded as the same.
#include <google/protobuf/stubs/logging.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "fuzz/check.h"
#include "fuzz/input.h"
#include "fuzz/pieces.h"
#include "fuzz/targets.h"
#include "log/durable/checkpoint.h"
#include "log/durable/table_coding.h"
#include "support/faulty_file_system.h"
#include "wire/channel_name.h"

namespace messenger::fuzz {
namespace checkpoint_fuzz {
namespace {

void CheckChannel(const ChannelState& state) {
  Check(wire::ResolveChannelName(state.name).ok() && !state.name.empty(),
        "a bad name");
  std::uint64_t end = 1;
  for (const SegmentInfo& segment : state.segments) {
    Check(segment.first_sequence >= end &&
              segment.end_sequence > segment.first_sequence &&
              segment.end_sequence - 1 <= state.head,
          "segments out of order");
    end = segment.end_sequence;
  }
  for (const ProducerTable::Snapshot& producer : state.producers) {
    Check(!producer.runs.empty(), "a producer without runs");
  }
  const std::string encoded = EncodeChannelState(state);
  Check(EncodeChannelState(DecodeChannelState(encoded)) == encoded,
        "a channel is decoded as another one");
}

std::string WriteAgain(const Checkpoint& checkpoint, FileSystem& files) {
  EncodedChannels channels;
  for (const ChannelState& state : checkpoint.channels) {
    Check(channels.emplace(state.name, EncodeChannelState(state)).second,
          "two channels of one name");
  }
  CheckpointTables tables;
  for (const NamedProducers::Kept& kept : checkpoint.named_producers) {
    Check(tables.named_producers
              .emplace(kept.producer.id, EncodeNamedProducer(kept))
              .second,
          "two named producers of one id");
  }
  IdempotencyKeys keys(
      {.max_keys = SIZE_MAX, .timeout = std::chrono::nanoseconds::max()});
  for (const IdempotencyKey& key : checkpoint.idempotency_keys) {
    keys.Restore(key);
  }
  Check(keys.size() == checkpoint.idempotency_keys.size(),
        "another number of keys");
  tables.idempotency_keys = keys.Save();
  CheckOk(WriteCheckpoint(files, "", checkpoint.log, channels, {}, tables),
          "Write");
  return static_cast<test::FaultyFileSystem&>(files).Contents("/checkpoint");
}

void Run(Input& input) {
  // It would log what it does not accept.
  const google::protobuf::LogSilencer silence;
  const Piece piece = {.kind = PieceKind::kCheckpoint,
                       .name = 0,
                       .mode = input.Byte(),
                       .content = std::string(input.Rest())};
  test::FaultyFileSystem files;
  files.SetContents("/checkpoint", piece.File(0));
  const auto checkpoint = LoadCheckpoint(files, "");
  if (!checkpoint.ok()) {
    Check(absl::IsDataLoss(checkpoint.status()) ||
              absl::IsFailedPrecondition(checkpoint.status()),
          "another error");
    return;
  }
  Check(!checkpoint->log.epochs.empty(), "no epoch");
  for (const ChannelState& state : checkpoint->channels) CheckChannel(state);
  const std::string written = WriteAgain(*checkpoint, files);
  const auto again = LoadCheckpoint(files, "");
  CheckOk(again.status(), "what was written again");
  Check(again->log.version == checkpoint->log.version, "another version");
  Check(WriteAgain(*again, files) == written,
        "what is written again is loaded as something else");
}

}  // namespace
}  // namespace checkpoint_fuzz

void FuzzCheckpoint(Input input) {
  checkpoint_fuzz::Run(input);
}

}  // namespace messenger::fuzz

// What a log remembers of the producers of one channel, so that a retried send
// is stored once. The contract is in proto/messenger/v1/messenger.proto.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"

namespace messenger {

// Messages of a producer that are stored next to each other.
struct ProducerRun {
  std::uint64_t producer_sequence = 0;  // of the first one
  std::uint64_t sequence = 0;           // of the first one
  std::uint64_t count = 0;
};

// Whose a producer of a channel is, since it stored the message with this
// sequence.
struct ProducerOwner {
  std::string channel;
  ProducerId id{};
  std::string owner;  // not empty
  std::uint64_t sequence = 0;

  friend bool operator==(const ProducerOwner&, const ProducerOwner&) = default;
};

// Thread safety: none.
class ProducerTable {
 public:
  using Clock = std::chrono::steady_clock;

  // Runs remembered per producer. Batches that follow each other in the channel
  // are one run, so that this is reached only where many producers take turns.
  static constexpr std::size_t kMaxRuns = 256;

  struct Limits {
    std::size_t max_producers;
    std::chrono::nanoseconds idle_timeout;
  };
  explicit ProducerTable(const Limits& limits) : limits_(limits) {}

  // FAILED_PRECONDITION unless a producer that is not known may begin with this
  // sequence.
  static absl::Status CheckFirst(std::uint64_t producer_sequence);

  // Where the leading messages of a batch that `user` sends are stored already;
  // the rest, maybe all, are new. PERMISSION_DENIED, which tells nothing else,
  // if the producer has another owner; FAILED_PRECONDITION names the expected
  // sequence.
  using Stored = std::vector<ProducerRun>;
  absl::StatusOr<Stored> Find(const ProducerId& id, std::string_view user,
                              std::uint64_t first_producer_sequence,
                              std::uint64_t count) const;

  // The same of a named producer, whose last sequence is known elsewhere: what
  // is remembered of so many messages, in order, with holes.
  Stored FindRemembered(const ProducerId& id,
                        std::uint64_t first_producer_sequence,
                        std::uint64_t count) const;

  // How a producer counts: one after the other, or, if it is a named one, with
  // holes.
  enum class Counts : std::uint8_t { kConsecutively, kWithHoles };

  // `run` of this producer was appended, by `user`, who becomes its owner if it
  // has none. It must follow what Find allowed; if it does not go on where the
  // producer was that counts consecutively, what was before is forgotten, and
  // whose it was, if it begins at 1 again. Returns what undoes it.
  struct Recorded {
    ProducerId id;
    std::uint64_t count = 0;
    std::optional<ProducerRun> forgotten;  // the oldest run, to make room
    bool sets_owner = false;
  };
  Recorded Record(const ProducerId& id, const ProducerRun& run,
                  Clock::time_point now, Counts counts = Counts::kConsecutively,
                  std::string_view user = {});

  // It was not appended after all. Of those recorded, the last one goes first.
  // Producers that were forgotten meanwhile stay forgotten.
  void Undo(const Recorded& recorded);

  // Nothing that was appended so far is stored any more: remembers only where
  // each producer goes on, so that none of it is stored again.
  void ForgetStored(Clock::time_point now);

  // All that is remembered, longest idle first, and the same in an empty table.
  struct Snapshot {
    ProducerId id{};
    std::vector<ProducerRun> runs;  // oldest first, not none
    Clock::time_point last_used;
    std::string owner = {};  // empty: it has none
  };
  std::vector<Snapshot> Save() const;
  void Restore(Snapshot producer);
  // Does nothing if the producer is not known.
  void RestoreOwner(const ProducerId& id, std::string_view owner);

  std::size_t size() const { return producers_.size(); }
  // Runs that there is memory for.
  std::size_t run_capacity() const;

 private:
  struct Producer {
    std::vector<ProducerRun> runs;  // oldest first, never empty
    Clock::time_point last_used;
    std::list<ProducerId>::iterator place;  // in by_use_
    std::string owner;                      // empty: it has none

    std::uint64_t last_sequence() const {
      return runs.back().producer_sequence + runs.back().count - 1;
    }
  };

  // Those of `end` - `begin` messages that are remembered.
  static Stored Remembered(const Producer& producer, std::uint64_t begin,
                           std::uint64_t end);
  void ForgetIdle(Clock::time_point now);

  Limits limits_;
  absl::flat_hash_map<ProducerId, Producer> producers_;
  std::list<ProducerId> by_use_;  // longest idle first
};

}  // namespace messenger

// What is left of deleted channels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "log/producer_table.h"
#include "messenger/message.h"

namespace messenger {

// Enough of a deleted channel that its next message, if there is ever one, goes
// on where the last one was: no sequence is given out twice, send times do not
// go backwards, and positions of past epochs mean what they meant. It never
// changes.
struct Tombstone {
  // Where a producer goes on, so that what it repeats is not stored again.
  struct Producer {
    ProducerId id{};
    std::uint64_t producer_sequence = 0;  // of its last message
    std::uint64_t sequence = 0;           // of the same
    ProducerTable::Clock::time_point last_used;
    std::string owner;  // empty: it has none
  };

  std::uint64_t head = 0;   // the last sequence
  std::uint64_t epoch = 0;  // the log's when it was made
  Timestamp last_time;      // send time of the last message
  // As PastEpochs::heads in that epoch. In epochs after it the head was `head`.
  std::vector<std::uint64_t> epoch_heads;
  // Longest idle first; null if there are none.
  std::unique_ptr<const std::vector<Producer>> producers;

  // PastEpochs::heads in a log that has had these epochs, the present one last.
  std::vector<std::uint64_t> HeadsIn(
      std::span<const std::uint64_t> epochs) const;

  // To and from what a channel remembers of its producers.
  void SetProducers(const std::vector<ProducerTable::Snapshot>& snapshots);
  std::vector<ProducerTable::Snapshot> ProducerSnapshots() const;
};

// The tombstones of a log, by name: less than 300 bytes each, for names of some
// 30 bytes and few past epochs, without producers.
//
// Thread safety: none.
class Tombstones {
 public:
  // Producers that are remembered in all. Beyond it, those of the channel that
  // was deleted longest ago are forgotten. 72 bytes each, and what their owners
  // take beyond 15.
  static constexpr std::size_t kMaxProducers = 100'000;

  explicit Tombstones(std::size_t max_producers = kMaxProducers)
      : max_producers_(max_producers) {}

  std::size_t size() const { return tombstones_.size(); }
  // Null if there is none. Valid until the next call that is not const.
  const Tombstone* Find(std::string_view name) const;
  // Instead of the one with that name, if there is one.
  void Put(std::string name, Tombstone tombstone);
  // Does nothing if there is none.
  void Erase(std::string_view name);

  std::size_t producers() const { return producers_; }

 private:
  struct Kept {
    Tombstone tombstone;
    std::list<std::string_view>::iterator place;  // if it has producers
  };
  using Map = std::map<std::string, Kept, std::less<>>;

  void ForgetProducers(Kept* kept);

  std::size_t max_producers_;
  Map tombstones_;
  // Those with producers, the one made first at the front.
  std::list<std::string_view> with_producers_;
  std::size_t producers_ = 0;
};

}  // namespace messenger

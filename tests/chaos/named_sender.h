// Those who send as a named producer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "repeating_sender.h"

namespace messenger::test::chaos {

// Numbers what it sends, channel by channel, with holes now and then. When its
// client is gone, another one opens the producer, and goes on from anywhere at
// or before what is told to be the last number. When its client has a
// successor, that opens the producer while the first one is still sending; then
// the first one sends some more, which nobody sends again.
class NamedSender : public RepeatingSender {
 public:
  // Its clients must have a name.
  NamedSender(Connect connect, const std::vector<std::string>& channels,
              SenderOptions options);
  ~NamedSender() override { End(); }
  NamedSender(const NamedSender&) = delete;
  NamedSender& operator=(const NamedSender&) = delete;

 private:
  // What it has sent to a channel that is to be stored, by its number there.
  struct Entry {
    std::uint64_t producer_sequence;
    std::uint32_t number;
  };
  struct Lane {
    std::vector<Entry> entries;
    bool opened = false;
    bool broken = false;  // it must be opened again
    // Entries before this one are stored, as an opening has told.
    std::size_t told = 0;
  };

  void Step() override;
  void Repair() override;
  bool IsWhole() const override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnFailure(const Sent& sent) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Its client is destroyed, or has a successor; rarely.
  void Disturb(std::size_t channel);
  void SendNext(std::size_t channel);
  // Opens the producer by a second client while the first one is sending.
  void TakeOver(std::size_t channel);
  void BreakAll();
  // Opens the producer there. Returns what it is told to be the last number.
  std::uint64_t Open(std::size_t channel);
  void NoteOpened(const Opening& opening);
  std::uint64_t Acknowledged(std::size_t channel);
  // Sends again what was sent after the last number, or from some before it on.
  void GoOn(std::size_t channel, std::uint64_t last);

  std::vector<Lane> lanes_;  // by channel
  std::vector<bool> failed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::test::chaos

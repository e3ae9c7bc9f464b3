// Those who send with idempotency keys.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "repeating_sender.h"

namespace messenger::test::chaos {

// Each message has a key. When its client is gone, or has a successor while it
// is still sending, what has no receipt is sent again through the next one with
// the same key, and some of what has one.
class KeyedSender : public RepeatingSender {
 public:
  KeyedSender(Connect connect, const std::vector<std::string>& channels,
              SenderOptions options);
  ~KeyedSender() override { End(); }
  KeyedSender(const KeyedSender&) = delete;
  KeyedSender& operator=(const KeyedSender&) = delete;

 private:
  void Step() override;
  void Repair() override {}
  bool IsWhole() const override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return true;
  }
  void OnFailure(const Sent& /*sent*/) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {}

  SendOptions OptionsOf(std::uint32_t number) const;
  // Those without a receipt, in their order, and some before them.
  std::vector<std::uint32_t> PickRepeats();

  std::uint32_t settled_ = 0;  // all up to this one have receipts
};

}  // namespace messenger::test::chaos

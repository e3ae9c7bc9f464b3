// Subscriptions as the tests of them make them: by themselves, or as members of
// a tail (see `Tails` in messenger/client.h).
//
// ctest runs these tests, the suite "subscriptions", in three ways, as
// MESSENGER_TEST_TAILS says:
//   (not set)  a client shares streams if the test happens to have several
//              subscriptions that can: its default
//   off        with ClientOptions::share_tails = false
//   shared     each subscription has companions of the same client that wait at
//              the head of its channel, so that it goes over to their tail as
//              soon as it has caught up
//
// In each of them, what the callbacks of a subscription are given is checked
// against the contract of ReadCallbacks, whatever the test looks at besides.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "messenger/client.h"
#include "messenger/testing.h"

namespace messenger::test {

enum class Tails : std::uint8_t { kDefault, kOff, kShared };
Tails TailsOfThisRun();

// For tests that companions would disturb:
//   TEST_CASE("…" * doctest::skip(WithCompanions()))
inline bool WithCompanions() {
  return TailsOfThisRun() == Tails::kShared;
}

// The options of a client whose subscriptions are to be tested.
ClientOptions AsTested(ClientOptions options);

// A subscription, and its companions if it has them. Its end waits until they
// have come as far as it has, unless it is in a callback, and checks that all
// of them have got the same.
class Reading {
 public:
  Reading();
  Reading(Client& client, const ReadOptions& options, ReadCallbacks callbacks);
  ~Reading();
  Reading(Reading&& other) noexcept;
  Reading& operator=(Reading&& other) noexcept;
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  // As of a Subscription.
  void Cancel() const;
  absl::Status Wait() const;
  std::optional<Position> position() const;
  std::optional<Bookmark> bookmark() const;
  SubscriptionState state() const;

 private:
  struct All;
  std::unique_ptr<All> all_;
};

// As Client::Read.
[[nodiscard]] Reading Subscribe(Client& client, const ReadOptions& options,
                                ReadCallbacks callbacks);

// Waits until the server has so many readers of the channel; false after the
// deadline.
bool AwaitReaders(Client& client, std::string_view channel,
                  std::uint64_t count);

// The texts that the channel has; the default one if it is empty.
std::vector<std::string> StoredTexts(testing::TestServer& server,
                                     const std::string& channel = {});

// Of all readings so far that had companions: the messages that they were
// given, and those of them that were the same bytes in memory as a companion's:
// they had come by one stream.
struct Shares {
  std::uint64_t messages = 0;
  std::uint64_t shared = 0;
};
Shares SharesSoFar();

}  // namespace messenger::test

// Those who read, and go on where they were.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "history.h"
#include "messenger/client.h"
#include "messenger/message.h"

namespace messenger::test {

// A read that is recorded.
class RecordedRead {
 public:
  RecordedRead(Client& client, std::string reader, ReadOptions options);

  // Blocks until it has ended.
  Reading Wait();
  void Cancel() const { subscription_.Cancel(); }

 private:
  // Written by callbacks, which run one at a time.
  std::unique_ptr<Reading> reading_;
  Subscription subscription_;
};

// One reader of one channel, through all rounds.
//
// Thread safety: none.
class Reader {
 public:
  enum class Habit { kResumes, kFromEarliest };

  Reader(std::string name, std::string channel, Habit habit);

  void Begin(Client& client) { Begin(client, {}); }
  // The same, and ends with what was there when it began.
  void BeginUntilCaughtUp(Client& client) {
    Begin(client, {.until_caught_up = true});
  }
  void Cancel() const { read_->Cancel(); }
  // Blocks until the read has ended, as it does with the server.
  Reading End();

 private:
  void Begin(Client& client, ReadOptions options);

  std::string name_;
  std::string channel_;
  Habit habit_;
  std::optional<Position> position_;  // where to go on
  std::unique_ptr<RecordedRead> read_;
};

}  // namespace messenger::test
